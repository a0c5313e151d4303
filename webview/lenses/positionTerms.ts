import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { PositionsLens } from '../../shared/protocol/engine';
import { bucketColour, toCss } from '../draw/colour';
import { count, csv, number, percent } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { coreInfo, headName, shortName } from '../model/names';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { LensPart } from './lensPart';
import { rich, t } from '../host/words';

type Head = PositionsLens['heads'][number];

/** Query's side first, as in the paper. */
const TERMS = [
  { letter: 'a', name: 'content × content', own: 'query × key' },
  { letter: 'b', name: 'content × position', own: 'query × distance' },
  { letter: 'c', name: 'position × content', own: 'u × key' },
  { letter: 'd', name: 'position × position', own: 'v × distance' },
] as const;

/** `own`: in a model made with Transformer-XL's scores. */
const termsOf = ({ native }: PositionsLens) =>
  TERMS.map(({ letter, name, own }) => ({ letter, name: native ? own : name }));

const OF_NATIVE = t(
  "The model was made with Transformer-XL's scores: the learned numbers u and v, alike for all queries, stand where a query's position would. A share is the term's covariance with the score within a query's row, over the score's variance: shares add up to 1, and a term left of the line works against the others. Of each query the keys of its segment and memory count.",
);

const NORMS = {
  none: t('no norm stands between the sum and the projections'),
  layer: t('the mean and deviation of the layer norm are kept as those of the sum'),
  rms: t('the root mean square of the norm is kept as that of the sum'),
};

/** Content and position: the four terms of each score of layer 0. */
@customElement('ai-lens-positions')
export class PositionsView extends LensPart<'positions'> {
  static override styles = [
    ...LensPart.styles,
    css`
      .bars {
        grid-template-columns: max-content minmax(0, 1fr);
      }
      button {
        border: none;
        padding: 0;
        background: none;
        cursor: pointer;
        width: 100%;
      }
      button.shown {
        outline: 2px solid var(--vscode-foreground);
        outline-offset: 1px;
      }
      button:focus-visible {
        outline: 2px solid var(--focus);
        outline-offset: 1px;
      }
      .track .zero {
        width: 0;
        border-left: 1px solid var(--vscode-foreground);
      }
      table {
        border-collapse: collapse;
      }
      th,
      td {
        text-align: right;
        padding: 2px 10px 2px 0;
        font-weight: normal;
      }
      th {
        color: var(--muted);
      }
      th[scope='row'] {
        text-align: left;
        color: inherit;
      }
    `,
  ];
  protected readonly lens = 'positions';

  protected draw(found: PositionsLens): TemplateResult {
    const { heads, core, native } = found;
    const terms = termsOf(found);
    const most = terms.map((_, n) => heads.filter(h => h.shares[n] === Math.max(...h.shares)).length);
    const shown = store.shownHead;
    const head = heads.find(h => shown?.core === core && shown.head === h.head) ?? heads[0]!;
    const layer = coreInfo(core)?.layer ?? 0;
    return html`
      <div class="lead" role="status">
        ${rich(
          'What tells keys apart in layer {0} is mostly {1} of {2} heads. {3}',
          layer,
          terms.map(
            ({ name }, n) =>
              html`${rich('{0}{1} in {2}', n === 0 ? '' : n === 3 ? t(' and ') : ', ', name, html`<strong>${most[n]}</strong>`)}`,
          ),
          heads.length,
          html`<span class="muted"
            >${rich('({0}, over {1} of {2} queries with up to {3} keys each)', native ? t("native: the model's own terms") : t('exact split'), count(found.rows), count(found.tokens), count(found.keys))}</span
          >`,
        )}
      </div>
      <div class="two ${this.narrow ? 'narrow' : ''}">
        <section aria-label=${t('Shares of the four terms')}>
          <h2>${t("Shares of the scores' variance")}</h2>
          ${this.bars(found, head)}
          <div class="key">
            ${terms.map(
              ({ letter, name }, n) =>
                html`<span><i .style=${`background: ${colour(n)}`}></i>(${letter}) ${name}</span>`,
            )}
          </div>
        </section>
        <section aria-label=${t("One head's terms")}>
          <h2>${headName({ core, head: head.head })}</h2>
          ${this.table(found, head)}
        </section>
      </div>
      <p class="notes">${native ? OF_NATIVE : this.ofSplit(found)}</p>
    `;
  }

  private ofSplit(found: PositionsLens): TemplateResult {
    return html`${rich("Query × key. Hidden rows of layer 0 are token plus position; {0}, so queries and keys split exactly (their parts miss them by {1} of the largest at most). A share is the term's covariance with the score within a query's row, over the score's variance: shares add up to 1, and a term left of the line works against the others. Token types count as content. The query's bias is alike for all queries and counts to (c) and (d), where Transformer-XL puts u and v; the key's bias adds the same to all keys of a query and moves nothing.", NORMS[found.norm], number(found.error))}`;
  }

  /** A bar for each head: what works against the score left of the line, what makes it right of it. */
  private bars(found: PositionsLens, shown: Head): TemplateResult {
    const { heads, core } = found;
    const terms = termsOf(found);
    const against = ({ shares }: Head) => shares.reduce((sum, x) => sum - Math.min(0, x), 0);
    const left = Math.max(...heads.map(against));
    const whole = left + Math.max(...heads.map(h => 1 + against(h)));
    const width = (share: number) => `${(100 * Math.abs(share)) / whole}%`;
    const part = (share: number, n: number) =>
      html`<div
        title=${`(${terms[n]!.letter}) ${terms[n]!.name}: ${exact(100 * share, '%')}`}
        .style=${`width: ${width(share)}; background: ${colour(n)}`}
      ></div>`;
    return html`<div class="bars">
      ${heads.map(head => {
        const words = `${headName({ core, head: head.head })}: ${terms.map(({ name }, n) => `${name} ${percent(head.shares[n]!)}`).join(', ')}`;
        return html`<span>${shortName({ core, head: head.head })}</span>
          <button
            class=${head === shown ? 'shown' : ''}
            aria-label=${words}
            aria-pressed=${head === shown}
            @click=${() => store.select({ core, head: head.head })}
          >
            <div class="track" .style=${`margin-left: ${width(left - against(head))}`}>
              ${head.shares.map((share, n) => (share < 0 ? part(share, n) : ''))}
              <div class="zero"></div>
              ${head.shares.map((share, n) => (share > 0 ? part(share, n) : ''))}
            </div>
          </button>`;
      })}
    </div>`;
  }

  private table(found: PositionsLens, head: Head): TemplateResult {
    const share = (value: number) => html`<td title=${exact(100 * value, '%')}>${percent(value)}</td>`;
    return html`<table>
      <tr>
        <th></th>
        <th scope="col">${t('share')}</th>
        ${found.native ? nothing : html`<th scope="col">${t("of it the query's bias")}</th>`}
        <th scope="col">${t('correlation')}</th>
        <th
          scope="col"
          title=${t('Queries whose largest score is at the key that this term alone would choose')}
        >
          ${t('same choice alone')}
        </th>
      </tr>
      ${termsOf(found).map(
        ({ letter, name }, n) =>
          html`<tr>
            <th scope="row">(${letter}) ${name}</th>
            ${share(head.shares[n]!)}
            ${found.native ? nothing : n < 2 ? html`<td></td>` : share(head.ofBias[n - 2]!)}
            <td title=${exact(head.correlations[n]!)}>${number(head.correlations[n]!)}</td>
            ${share(head.sameChoice[n]!)}
          </tr>`,
      )}
    </table>`;
  }

  protected csvOf(found: PositionsLens): string {
    const { core, heads } = found;
    return csv(
      [
        'core',
        'head',
        'name',
        'term',
        'meaning',
        'share',
        "of it the query's bias",
        'correlation',
        'same choice',
      ],
      heads.flatMap(h =>
        termsOf(found).map(({ letter, name }, n) => [
          ...[core, h.head, shortName({ core, head: h.head }), letter, name, h.shares[n]],
          ...[n < 2 ? null : h.ofBias[n - 2], h.correlations[n], h.sameChoice[n]],
        ]),
      ),
    );
  }
}

function colour(term: number): string {
  return toCss(bucketColour(term, theme()).fill);
}
