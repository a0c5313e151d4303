/** Whose attention is shown: text, model and selection, in words that are never cut off. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { count, tokenLabel } from '../../shared/numbers';
import { store, type Side } from '../host/store';
import { said, t } from '../host/words';
import { headName } from '../model/names';
import { mainRole } from '../model/roles';
import { ROLE_TITLES } from '../../shared/roleTitles';

export function subject(): TemplateResult | typeof nothing {
  const { analysis, model, tokens } = store;
  if (analysis.status !== 'ready' && analysis.status !== 'running') return nothing;
  const began = analysis.status === 'ready' ? analysis.summary : analysis.began;
  const { name, selectionStart } = analysis.document;
  const asides = [
    ...(tokens ? [t('{0} tokens', count(tokens.ids.length))] : []),
    ...(began ? [began.device.device] : []),
    ...(store.report ? [t('report of {0}', store.report.made)] : []),
  ];
  return html`<div
    class="subject"
    role="group"
    aria-label=${t('What is shown')}
    title=${(began?.device.notes ?? []).map(said).join('\n') || nothing}
  >
    <span class="part"
      ><strong>${name}</strong>${selectionStart === null ? nothing : ` ${t('(a selection of it)')}`}</span
    >
    ${model ? html`<span class="part">${t('in')} <strong>${model.name}</strong></span>` : nothing} ${head()}
    ${token()}
    <span class="part muted">${asides.join(' · ')}</span>
  </div>`;
}

function head(): TemplateResult | typeof nothing {
  const shown = store.shownHead;
  const profile = shown && store.profile(shown);
  if (!profile) return nothing;
  const role = mainRole(profile);
  return html`<span class="part"
    ><strong>${headName(profile)}</strong
    >${sidesOf(profile.core)}${role ? html` <span class="muted">${t(ROLE_TITLES[role])}</span>` : nothing}</span
  >`;
}

/** Of a model that reads two texts: which of them asks, and which is looked at. */
function sidesOf(core: number): string {
  if (!store.target) return '';
  const { queries, keys } = store.sides(core);
  const name = (side: Side) => (side === 'target' ? t('the target text') : t('the analyzed text'));
  return queries === keys
    ? t(', within {0}', name(queries))
    : t(', from {0} to {1}', name(queries), name(keys));
}

function token(): TemplateResult | typeof nothing {
  const { token } = store.selection;
  const text = token === null ? undefined : store.tokens?.text[token];
  return token === null || text === undefined
    ? // Takes the place, so that what is below stays under the pointer when a token is pinned.
      html`<span class="part muted">${t('no token pinned')}</span>`
    : html`<span class="part"
        >${t('on')} <strong>“${tokenLabel(text, 24)}”</strong>
        <span class="muted">${t('token {0}', token)}</span></span
      >`;
}

export const subjectStyles = css`
  .subject {
    display: flex;
    flex-wrap: wrap;
    align-items: baseline;
    gap: 0 14px;
    padding: 6px 0 5px;
    min-width: 0;
  }
  .subject .part {
    min-width: 0;
    overflow-wrap: anywhere;
  }
  .subject strong {
    font-size: 1.08em;
  }
`;
