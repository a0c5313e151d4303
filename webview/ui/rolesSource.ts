import { html, nothing, type TemplateResult } from 'lit';
import type { ViewParams } from '../../shared/protocol/host';
import { probeRun } from '../host/longRun';
import { store } from '../host/store';
import { t } from '../host/words';
import { segmented } from './controls';

/** Which roles are shown: those of this text, or those on the canonical probe, which runs when it is asked for. */
export function rolesSource(): TemplateResult | typeof nothing {
  const { summary, report, probe } = store;
  if (!summary || report) return nothing;
  const params: ViewParams<'heads/probe'> = { model: summary.model.ref, device: summary.device.device };
  if (probeRun.runs(params))
    return html`<span class="control" role="status" data-no-export
      >${t('The probe runs once for every head.')}
      <button class="link" @click=${() => probeRun.cancel()}>${t('Cancel')}</button></span
    >`;
  const failure = probeRun.failed(params);
  const about = t(
    'On the probe: random words said over and over, where only the past of the text itself tells what comes',
  );
  return html`<span title=${about}
      >${segmented(
        t('Roles'),
        probe ? 'probe' : 'text',
        [
          { value: 'text', label: t('on this text') },
          { value: 'probe', label: t('on the probe') },
        ],
        value => void show(value, params),
      )}</span
    >${failure ? html`<span role="alert">${failure}</span>` : nothing}`;
}

async function show(source: string, params: ViewParams<'heads/probe'>): Promise<void> {
  if (source === 'text') return store.showRolesOf(null);
  const found = probeRun.result(params) ?? (await probeRun.start(params));
  if (found) store.showRolesOf(found);
}
