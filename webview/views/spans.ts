import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { HeadProfile, Role, SpanFit } from '../../shared/protocol/engine';
import { massAt, niceCeiling } from '../draw/colour';
import { count, csv, percent, tokenLabel } from '../../shared/numbers';
import { exact, tokens as inTokens } from '../model/amounts';
import { headName, rolesWhere, shortName } from '../model/names';
import { ROLES, mainRole, roleGlyph } from '../model/roles';
import { ROLE_TITLES } from '../../shared/roleTitles';
import { gridOf, spanLines } from '../model/spanLines';
import { learnedSpan } from '../model/standing';
import { theme } from '../draw/theme';
import { Remote } from '../host/remote';
import { store } from '../host/store';
import { rich, t } from '../host/words';
import { Component } from '../ui/component';
import { segmented, slider } from '../ui/controls';
import { saveMenu, type Savable } from '../ui/save';
import { emptyState, requestState } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';
import '../plots/distanceHeat';
import '../plots/distancePlot';
import '../plots/spanColumns';
import '../ui/legend';

/** Of the width, what the picture of all heads has beside that of the selected one, and the room between them. */
const [SHARE, GAP] = [0.535, 28];

/** How far each head looks, and how short its span could be made. */
@customElement('ai-spans')
export class Spans extends Component implements Savable {
  static override styles = [
    ...Component.styles,
    stateStyles,
    css`
      .two {
        display: grid;
        grid-template-columns: minmax(0, ${SHARE}fr) minmax(0, ${1 - SHARE}fr);
        gap: 8px ${GAP}px;
      }
      .two.narrow {
        grid-template-columns: minmax(0, 1fr);
      }
      section {
        min-width: 0;
      }
      ai-distance {
        height: 300px;
      }
      .key {
        display: flex;
        flex-wrap: wrap;
        gap: 2px 14px;
        font-size: 11px;
        color: var(--muted);
        align-items: center;
      }
      .key svg {
        vertical-align: -2px;
      }
      .lead {
        min-height: 1.5em;
        margin: 2px 0 8px;
      }
      .lead strong {
        font-size: 1.15em;
      }
      .below {
        margin-top: 14px;
      }
      .heading {
        display: flex;
        flex-wrap: wrap;
        gap: 4px 16px;
        align-items: baseline;
      }
      .heading ai-legend {
        margin-left: auto;
      }
      details {
        margin-top: 10px;
      }
      summary {
        cursor: pointer;
        color: var(--muted);
      }
      ol {
        margin: 4px 0 0;
        padding-left: 20px;
      }
    `,
  ];
  private readonly fit = new Remote(this, 'analysis/spans', 80);
  private readonly outside = new Remote(this, 'analysis/outsideSpan', 120);

  private get by(): 'mass' | 'budget' {
    return store.option<string>('spans', 'by', 'budget') === 'mass' ? 'mass' : 'budget';
  }

  private get ramp(): number {
    return store.option('spans', 'ramp', 32);
  }

  private fitted(profile: HeadProfile): SpanFit['heads'][number] | null {
    return this.fit.value?.heads.find(h => h.core === profile.core && h.head === profile.head) ?? null;
  }

  override willUpdate(): void {
    const { id } = store;
    const by =
      this.by === 'mass'
        ? { massTarget: store.option('spans', 'mass', 0.95) }
        : { budget: store.option('spans', 'budget', 0.1) };
    this.fit.want(id && store.summary ? { id, ...by, ramp: this.ramp } : null);
    const head = store.shownHead;
    const profile = head && store.profile(head);
    const fitted = profile && this.fitted(profile);
    this.outside.want(id && head && fitted ? { id, ...head, span: fitted.span, ramp: this.ramp } : null);
  }

  override render() {
    const empty = emptyState('spans');
    if (empty) return empty;
    const head = store.previewHead ?? store.shownHead;
    const profile = head && store.profile(head);
    if (!profile)
      return html`<div class="state"><p class="muted">${t('The first heads are being computed.')}</p></div>`;
    const narrow = this.width < 800 || !this.fitsBeside();
    return html`
      ${this.toolbar()}
      <div id="figure" class=${store.stale ? 'is-stale' : ''}>
        <div class="lead" role="status">${this.lead()}</div>
        <div class="two ${narrow ? 'narrow' : ''}">
          <section aria-label=${t('Span of every head by layer')}>
            <h2>${t('Every head, by layer')}</h2>
            <ai-span-columns .fit=${this.fit.value}></ai-span-columns>
            ${this.key()}
          </section>
          <section aria-label=${t('Mass by distance of the selected head')}>
            ${this.selected(profile)}
          </section>
        </div>
        ${this.heat()}
      </div>
      ${this.table()}
    `;
  }

  /** Whether all heads can be told apart in a line beside the plot of the selected one. */
  private fitsBeside(): boolean {
    return spanLines(gridOf(store.cores), (this.width - GAP) * SHARE).lines === 1;
  }

  private toolbar(): TemplateResult {
    const { by } = this;
    const value = by === 'mass' ? store.option('spans', 'mass', 0.95) : store.option('spans', 'budget', 0.1);
    return html`<div class="toolbar">
      ${segmented(
        t('Fit spans to'),
        by,
        [
          { value: 'budget', label: t('a budget') },
          { value: 'mass', label: t('mass kept') },
        ],
        choice => store.setOption('spans', 'by', choice),
      )}
      ${
        by === 'mass'
          ? // The slider moves in the share left out, logarithmically: 99.9 % is as far from 99 % as 90 % is.
            slider(
              t('each head keeps'),
              -Math.log10(1 - value),
              { min: 0.1, max: 3, step: 0.02 },
              percent(value),
              v => store.setOption('spans', 'mass', round(1 - 10 ** -v)),
            )
          : slider(
              t('of all pairs, spend'),
              Math.log10(value),
              { min: -3, max: 0, step: 0.02 },
              percent(value),
              v => store.setOption('spans', 'budget', round(10 ** v)),
            )
      }
      ${slider(t('ramp'), this.ramp, { min: 1, max: 128, step: 1 }, inTokens(this.ramp), v =>
        store.setOption('spans', 'ramp', v),
      )}
      <span class="end">${saveMenu(this)}</span>
    </div>`;
  }

  /** The whole point in one sentence. */
  private lead(): TemplateResult | typeof nothing {
    const fit = this.fit.value;
    if (!fit) {
      if (!store.summary)
        return html`<span class="muted">${t('Spans are fitted when all layers are finished.')}</span>`;
      return html`${requestState(this.fit, t('Fitting spans.'))}`;
    }
    const spans = fit.heads.map(h => h.span).sort((a, b) => a - b);
    const sum = (pick: (h: SpanFit['heads'][number]) => number) => fit.heads.reduce((a, h) => a + pick(h), 0);
    const pairs = sum(h => h.pairs) / sum(h => h.densePairs);
    const recall = sum(h => h.recall) / fit.heads.length;
    const cut = fit.heads.filter(h => h.censored).length;
    const short = spans.filter(s => s <= 100).length;
    const longest = spans.at(-1) ?? 0;
    return html`${rich(
      'With spans of their own, the heads keep {0} of the mass with {1} of the pairs; {2} of {3} heads need no more than 100 tokens, the longest needs {4}. {5} {6}',
      html`<strong title=${exact(recall * 100, '%')}>${percent(recall)}</strong>`,
      html`<strong title=${exact(pairs * 100, '%')}>${percent(pairs)}</strong>`,
      short,
      spans.length,
      inTokens(longest),
      cut > 0
        ? html`${rich('The length of the text cuts off {0}: on longer texts {1} expected to be longer.', cut === 1 ? t('one of them') : html`${rich('{0} of them', html`<strong>${cut}</strong>`)}`, cut === 1 ? t('it is') : t('they are'))}`
        : nothing,
      html`<span class="muted">${t('(local, what-if)')}</span>`,
    )}
    ${longest === 0 ? this.overBudget(pairs) : nothing}
    ${this.fit.error ? requestState(this.fit, '') : nothing}`;
  }

  /** Where spans of nothing already spend more. */
  private overBudget(pairs: number): string | typeof nothing {
    return this.by === 'budget' && pairs > store.option('spans', 'budget', 0.1)
      ? t(
          'That is more than the budget: the ramp of {0} alone spends it; a shorter ramp spends less.',
          inTokens(this.ramp),
        )
      : nothing;
  }

  private key(): TemplateResult {
    const present = new Set(store.heads.map(mainRole));
    const roles = (Object.keys(ROLES) as Role[]).filter(role => present.has(role));
    return html`<div class="key" data-legend>
      <span
        ><svg width="12" height="12"><circle cx="6" cy="6" r="4" fill="currentColor"></circle></svg>
        ${t('fitted span (what-if), in the colour of what the head does {0}:', rolesWhere())}</span
      >
      ${roles.map(role => html`<span title=${ROLES[role].summary}>${roleGlyph(role, 12)} ${t(ROLE_TITLES[role])}</span>`)}
      ${
        store.heads.some(head => learnedSpan(head) !== null)
          ? html`<span
              ><svg width="12" height="12">
                <rect
                  x="2"
                  y="2"
                  width="8"
                  height="8"
                  fill="none"
                  stroke="currentColor"
                  stroke-width="2"
                ></rect>
              </svg>
              ${t('learned span (native)')}</span
            >`
          : nothing
      }
      <span
        ><svg width="12" height="14"><line x1="6" x2="6" y1="0" y2="14" stroke="currentColor"></line></svg>
        ${t('reach of 95 % of the mass, 5th to 95th percentile of queries')}</span
      >
      <span
        ><svg width="12" height="12">
          <line x1="1" x2="11" y1="6" y2="6" stroke="currentColor" stroke-width="2"></line>
        </svg>
        ${t('median query')}</span
      >
    </div>`;
  }

  private selected(profile: HeadProfile): TemplateResult {
    const fitted = this.fitted(profile);
    const linear = store.option<string>('spans', 'scale', 'log') === 'linear';
    return html`<div class="heading">
        <h2>${headName(profile)}</h2>
        ${
          fitted
            ? html`<span
                >${rich('fitted span {0}, keeps {1}', html`<strong title=${exact(fitted.span, 'tokens')}>${inTokens(fitted.span)}</strong>`, html`<span title=${exact(fitted.recall * 100, '%')}>${percent(fitted.recall)}</span>`)}</span
              >`
            : nothing
        }
        ${this.learned(profile)}
        <span data-no-export
          >${segmented(
            t('axes'),
            linear ? 'linear' : 'log',
            [
              { value: 'log', label: t('log') },
              { value: 'linear', label: t('linear') },
            ],
            value => store.setOption('spans', 'scale', value),
          )}</span
        >
      </div>
      <ai-distance
        .profile=${profile}
        .linear=${linear}
        .mask=${fitted ? { span: fitted.span, ramp: this.ramp } : null}
      ></ai-distance>
      <div role="status" aria-live="polite">${this.outsideWords(profile)}</div>`;
  }

  /** Of a head with a span of its own: what it learned, to be held against what is fitted. */
  private learned(profile: HeadProfile): TemplateResult | typeof nothing {
    const span = learnedSpan(profile);
    return span === null
      ? nothing
      : html`<span
          >${rich('learned span {0} {1}', html`<strong title=${exact(span, 'tokens')}>${inTokens(span)}</strong>`, html`<span class="muted">${t('(native)')}</span>`)}</span
        >`;
  }

  /** "2.1 % of the mass lies outside, most of it on “import” at 812 tokens" */
  private outsideWords(profile: HeadProfile): TemplateResult | typeof nothing {
    const { value, answers } = this.outside;
    const { tokens } = store;
    if (!value || !tokens || answers?.core !== profile.core || answers.head !== profile.head) {
      return this.outside.error ? requestState(this.outside, '') : nothing;
    }
    const name = (token: number) => html`“${tokenLabel(tokens.text[token] ?? '', 18)}”`;
    const worst = value.heaviest[0];
    if (!worst || value.mass <= 0) return html`<p>${t('Nothing lies outside the span.')}</p>`;
    return html`<p>
        ${rich('{0} of the mass lies outside; the heaviest is {1} looking at {2}, {3} back.', html`<strong title=${exact(value.mass * 100, '%')}>${percent(value.mass)}</strong>`, name(worst.query), name(worst.key), inTokens(worst.distance))}
      </p>
      <ol>
        ${value.heaviest.slice(0, 4).map(
          link =>
            html`<li>
              <button
                class="link"
                @click=${() => store.host.send({ type: 'reveal', tokens: [link.query, link.key] })}
              >
                ${name(link.query)} (${link.query}) → ${name(link.key)} (${link.key})
              </button>
              <span class="muted" title=${exact(link.mass * 100, '%')}
                >${rich('{0} at {1}', percent(link.mass), inTokens(link.distance))}</span
              >
            </li>`,
        )}
      </ol>`;
  }

  /** Heads by span, the longest on top. */
  private get ranking(): HeadProfile[] {
    const spans = new Map(this.fit.value?.heads.map(h => [`${h.core}.${h.head}`, h.span]));
    const spanOf = (h: HeadProfile) => spans.get(`${h.core}.${h.head}`) ?? h.span95;
    return [...store.heads].sort((a, b) => spanOf(b) - spanOf(a) || b.span95 - a.span95);
  }

  private heat(): TemplateResult {
    const heads = this.ranking;
    const largest = niceCeiling(
      Math.max(...heads.map(h => h.distance.mass.reduce((a, b) => Math.max(a, b), 0)), 0),
    );
    const scale = store.settings.massScale;
    return html`<section class="below" aria-label=${t('All heads by relative distance')}>
      <div class="heading">
        <h2>${t('All heads by relative distance')}</h2>
        <span class="muted">${t('longest span on top; orange: fitted span (what-if)')}</span>
        <ai-legend
          label=${t('mass per bin')}
          .lut=${theme().sequential}
          .ticks=${[0, 0.5, 1].map(at => ({ at, label: percent(massAt(at, largest, scale)) }))}
        ></ai-legend>
      </div>
      <ai-distance-heat .heads=${heads} .fit=${this.fit.value} .largest=${largest}></ai-distance-heat>
    </section>`;
  }

  private table(): TemplateResult | typeof nothing {
    const { value } = this.fit;
    if (!value) return nothing;
    const heads = [...value.heads].sort((a, b) => b.span - a.span);
    const learned = heads.some(h => learnedSpan(h) !== null);
    return html`<details>
      <summary>${t('The spans as a table')}</summary>
      <table>
        <tr>
          <th>${t('head')}</th>
          <th>${t('fitted span, tokens')}</th>
          ${learned ? html`<th>${t('learned span, tokens')}</th>` : nothing}
          <th>${t('mass kept')}</th>
          <th>${t('pairs of dense')}</th>
        </tr>
        ${heads.map(
          h =>
            html`<tr>
              <td>
                <button
                  class="link"
                  aria-label=${headName(h)}
                  @click=${() => store.select({ core: h.core, head: h.head })}
                >
                  ${shortName(h)}
                </button>
              </td>
              <td
                class="number"
                title=${h.censored ? t("{0}; the text's length cuts it off", exact(h.span)) : exact(h.span)}
              >
                ${h.censored ? '≥ ' : ''}${count(h.span)}
              </td>
              ${learned ? html`<td class="number">${wholeOrNone(learnedSpan(h))}</td>` : nothing}
              <td class="number" title=${exact(h.recall * 100, '%')}>${percent(h.recall)}</td>
              <td class="number" title=${t('{0} of {1}', exact(h.pairs), exact(h.densePairs))}>
                ${percent(h.pairs / h.densePairs)}
              </td>
            </tr>`,
        )}
      </table>
    </details>`;
  }

  // ------------------------------------------------------------ saving

  get saveName(): string {
    return 'spans';
  }

  get caption(): string {
    const { by } = this;
    const fitted =
      by === 'mass'
        ? t('each head keeps {0} of its mass', percent(store.option('spans', 'mass', 0.95)))
        : t('all heads together spend {0} of the pairs', percent(store.option('spans', 'budget', 0.1)));
    const head = store.shownHead;
    return t(
      'Span of every head, fitted so that {0} (ramp {1}){2}.',
      fitted,
      inTokens(this.ramp),
      head ? `; by distance: ${headName(head)}` : '',
    );
  }

  get figure(): HTMLElement | null {
    return this.renderRoot.querySelector('#figure');
  }

  toCsv(): string {
    const edges = [...(store.heads[0]?.distance.edges ?? [])].slice(0, -1);
    return csv(
      [
        'core',
        'head',
        'fitted span [tokens], what-if',
        'learned span [tokens], native',
        'ramp',
        'mass kept',
        'pairs',
        'dense pairs',
        'span90',
        'span95',
        'span99',
        ...edges.map(e => `mass from distance ${e}`),
      ],
      this.ranking.map(h => {
        const f = this.fitted(h);
        return [
          h.core,
          h.head,
          f?.span,
          learnedSpan(h),
          this.ramp,
          f?.recall,
          f?.pairs,
          f?.densePairs,
          h.span90,
          h.span95,
          h.span99,
          ...h.distance.mass,
        ];
      }),
    );
  }
}

const wholeOrNone = (span: number | null) => (span === null ? '–' : count(span));

/** Shares from a slider: four digits are enough and keep requests alike. */
function round(share: number): number {
  return Number(share.toPrecision(4));
}
