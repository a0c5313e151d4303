import { html, nothing, type TemplateResult } from 'lit';
import type { ViewMethod, ViewParams } from '../../shared/protocol/host';
import type { Asking } from '../host/longRun';
import { progressWords } from '../model/amounts';
import { store } from '../host/store';
import { t } from '../host/words';
import { button } from './controls';

/** Starts a long request, shows how far it is, stops it; nothing once its answer is there. */
export function longRunControl<M extends ViewMethod>(
  run: Asking<M>,
  params: ViewParams<M> & { id: string },
  {
    label,
    title,
    start = () => void run.start(params),
  }: { label: string; title: string; start?: () => void },
): TemplateResult | typeof nothing {
  if (run.result(params)) return nothing;
  if (!run.runs(params)) {
    const failure = run.failed(params);
    return html`${button(label, start, { secondary: true, title })}${failure ? html`<span role="alert">${failure}</span>` : nothing}`;
  }
  const work = store.work?.id === params.id ? store.work : null;
  return html`<span class="control" role="status" data-no-export
    >${work ? t('{0} done', progressWords(work.fraction, work.secondsLeft)) : t('The engine works.')}
    <button class="link" @click=${() => run.cancel()}>${t('Cancel')}</button></span
  >`;
}
