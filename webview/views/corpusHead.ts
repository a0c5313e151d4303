import { html, nothing, type TemplateResult } from 'lit';
import type { CorpusHead, CorpusProfile } from '../../shared/protocol/corpus';
import { number, percent } from '../../shared/numbers';
import { ROLE_TITLES } from '../../shared/roleTitles';
import { store } from '../host/store';
import { t } from '../host/words';
import { differencesOf, distributionOf, facetName } from '../model/corpus';
import { headName } from '../model/names';

/** Measures whose difference between kinds is shown. */
const DIFFERENCES = 4;

/** The head in a sentence: its roles and how far it looks. */
export function headLine(head: CorpusHead, profile: CorpusProfile): TemplateResult {
  const roles = head.roles
    .filter(({ facet }) => facet === 'all')
    .sort((a, b) => b.texts - a.texts)
    .map(({ role, texts, of }) => t('{0} on {1} of the texts', t(ROLE_TITLES[role]), percent(texts / of)));
  const span = distributionOf(head, 'queries span95', 'all');
  const words = [
    ...(roles.length > 0 ? roles : [t('no role')]),
    ...(span
      ? [t('span of 95 %: {0} tokens ({1} to {2})', number(span.p50), number(span.p5), number(span.p95))]
      : []),
  ];
  // Which layer a core is in is known of the model that is open.
  const isOpen = store.model?.name === profile.settings.model;
  return html`<h3>${isOpen ? headName(head) : t('Core {0}, head {1}', head.core, head.head)}</h3>
    <p>${words.join('; ')}.</p>`;
}

/** How the head differs between kinds of text. */
export function headKinds(head: CorpusHead, profile: CorpusProfile): TemplateResult | typeof nothing {
  const differences = differencesOf(head, profile).slice(0, DIFFERENCES);
  if (differences.length === 0) return nothing;
  return html`<h3>${t('By kind of text')}</h3>
    <table aria-label=${t('How the head differs by kind of text')}>
      ${differences.map(
        ({ label, kinds }) =>
          html`<tr>
            <td>${label}</td>
            ${kinds.map(
              ({ facet, distribution: { mean, p5, p95 } }) =>
                html`<td title=${t('5 % to 95 %: {0} to {1}', number(p5), number(p95))}>
                  ${facetName(facet)} ${number(mean)}
                </td>`,
            )}
          </tr>`,
      )}
    </table>`;
}
