import { html, nothing, svg, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import { guard } from 'lit/directives/guard.js';
import type { CoreInfo, HeadProfile } from '../../shared/protocol/engine';
import { csv, percent } from '../../shared/numbers';
import { nativeWords } from '../../shared/native';
import { otherLayersLine } from '../../shared/otherLayers';
import {
  defaultMeasure,
  findMeasure,
  headMeasures,
  measurePosition,
  measureRange,
  writeExact,
  writeInterval,
  writeMeasure,
  writeShort,
  type HeadMeasure,
} from '../model/measures';
import { coreInfo, headName, rolesInWords, rolesWhere, shortName, STACKS } from '../model/names';
import { ROLES, mainRole, roleGlyph, roleHue } from '../model/roles';
import { ROLE_TITLES } from '../../shared/roleTitles';
import { nativeIn } from '../model/standing';
import { theme } from '../draw/theme';
import { store, type HeadId } from '../host/store';
import { t } from '../host/words';
import { gridLayout, inParts } from '../model/gridLayout';
import { Component } from '../ui/component';
import { button, choose, segmented } from '../ui/controls';
import { ablationControl } from '../ui/ablation';
import { rolesSource } from '../ui/rolesSource';
import { attributionControl, knownAttribution } from '../ui/attributionControl';
import { saveMenu, type Savable } from '../ui/save';
import { emptyState } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';
import '../ui/legend';
import '../ui/thumb';
import './headTable';
import type { HeadTable } from './headTable';
import { overviewStyles } from './overviewStyles';

/** Layers x heads: a thumbnail, a role and a measure for each; sorted, a ranked list. */
@customElement('ai-overview')
export class Overview extends Component implements Savable {
  static override styles = [...Component.styles, stateStyles, overviewStyles];

  private get measures(): HeadMeasure[] {
    return headMeasures(store.mechanisms, store.plan, store.heads, store.ablation, knownAttribution());
  }

  private get asTable(): boolean {
    return store.option('overview', 'table', false);
  }

  private get measure(): HeadMeasure {
    const { measures } = this;
    return findMeasure(measures, store.option('overview', 'measure', defaultMeasure(measures)));
  }

  override render() {
    const empty = emptyState('overview');
    if (empty) return empty;
    const { model } = store;
    if (!model)
      return html`<div class="state">
        <p class="muted">${t('Waiting for the model to say how many heads it has.')}</p>
      </div>`;
    const sorted = store.option('overview', 'sorted', false);
    const { measure } = this;
    const others = otherLayersLine(model, t);
    return html`
      ${this.toolbar(measure, sorted)}
      <div id="figure" class=${store.stale ? 'is-stale' : ''}>
        ${
          this.asTable
            ? html`<ai-head-table></ai-head-table>`
            : html`<div class="scroll">
                  ${sorted ? this.ranked(measure) : this.grid(model.cores, measure)}
                </div>
                ${others === null ? nothing : html`<p class="muted">${others}.</p>`} ${this.detail(measure)}
                ${this.legend(measure)}`
        }
      </div>
    `;
  }

  private toolbar(measure: HeadMeasure, sorted: boolean): TemplateResult {
    return html`<div class="toolbar">
      ${segmented(
        t('Show'),
        this.asTable ? 'table' : 'maps',
        [
          { value: 'maps', label: t('maps') },
          { value: 'table', label: t('table') },
        ],
        value => store.setOption('overview', 'table', value === 'table'),
      )}
      ${this.asTable ? nothing : this.order(measure, sorted)} ${ablationControl()} ${attributionControl()}
      ${rolesSource()}
      <span class="end">${saveMenu(this)}</span>
    </div>`;
  }

  private order(measure: HeadMeasure, sorted: boolean): TemplateResult {
    return html`${choose(
      t('Measure'),
      measure.id,
      this.measures.map(m => ({ value: m.id, label: m.title })),
      value => store.setOption('overview', 'measure', value),
    )}
    ${button(
      sorted ? t('Back to the grid') : t('Sort by it'),
      () => store.setOption('overview', 'sorted', !sorted),
      {
        secondary: true,
        title: sorted ? t('Put every head back in its layer') : t('Rank all heads by {0}', measure.title),
      },
    )} `;
  }

  // ------------------------------------------------------------ grid

  private grid(cores: CoreInfo[], measure: HeadMeasure): TemplateResult {
    const done = new Map(store.cores.map(c => [c.info.core, c.heads]));
    const running =
      store.analysis.status === 'running' ? cores.find(c => !done.has(c.core))?.core : undefined;
    const columns = Math.max(...cores.map(c => c.heads));
    const layers = Math.max(...STACKS.map(b => cores.filter(c => c.kind === b.kind).length));
    const { parts, strip, cell } = gridLayout(
      { layers, columns },
      { width: this.width, height: this.onPaper ? Infinity : window.innerHeight },
    );
    const position = measurePosition(measure, store.heads);
    return html`${STACKS.map(({ kind, title }) => {
      const rows = cores.filter(c => c.kind === kind).sort((a, b) => b.layer - a.layer);
      if (!rows.length) return nothing;
      return html`${title ? html`<h2>${title}</h2>` : nothing}
        <div class="parts">
          ${inParts(rows, parts).map(
            part =>
              html`<div
                class="block"
                role="grid"
                aria-label=${t('{0}: rows are layers, the first at the bottom; columns are heads', title || t('Attention heads'))}
                .style=${`--cell: ${cell}px; grid-template-columns: auto repeat(${columns}, ${cell}px)${strip ? ` ${strip}px` : ''}`}
                @mouseleave=${() => store.previewOf(null)}
              >
                ${part.map(
                  info =>
                    html`<div class="row" role="row">
                      <span class="label ${info.core === running ? 'running' : ''}" role="rowheader"
                        >${cell > 40 ? t('layer {0}', info.layer) : info.layer}</span
                      >
                      ${Array.from({ length: info.heads }, (_, head) => {
                        const profile = done.get(info.core)?.find(h => h.head === head);
                        return profile
                          ? this.cell(profile, measure, position, cell)
                          : html`<div
                              class="cell"
                              role="gridcell"
                              aria-label=${t('{0}: not finished', headName({ core: info.core, head }))}
                            >
                              <div class="waiting ${info.core === running ? 'running' : ''}"></div>
                              <div class="track"></div>
                            </div>`;
                      })}
                      ${strip ? this.strip(info, done.get(info.core) ?? [], measure, position, strip, cell, columns) : nothing}
                    </div>`,
                )}
                <div class="row" role="row">
                  <span class="label">${t('head')}</span>
                  ${Array.from({ length: columns }, (_, head) => html`<span class="column" role="columnheader">${head}</span>`)}
                  ${strip ? this.stripAxis(measure) : nothing}
                </div>
              </div>`,
          )}
        </div>`;
    })}`;
  }

  /** The heads of one layer on the measure's own axis: how the measure changes with depth is seen at once. */
  private strip(
    info: CoreInfo,
    heads: HeadProfile[],
    measure: HeadMeasure,
    position: (value: number | null) => number,
    width: number,
    height: number,
    columns: number,
  ): TemplateResult {
    const inLayer = (head: HeadId | null) => (head?.core === info.core ? head.head : null);
    const marked = [inLayer(store.shownHead), inLayer(store.previewHead)];
    const values = heads.map(h => measure.value(h)).join();
    const range = heads[0] ? position(measure.value(heads[0])) : 0;
    return html`${guard([measure.id, values, range, width, height, ...marked], () => {
      const x = (value: number | null) => 12 + position(value) * (width - 24);
      const known = heads.filter(h => measure.value(h) !== null);
      const middle = median(known.map(h => measure.value(h)!));
      return html`<svg
        class="strip"
        width=${width}
        height=${height}
        aria-hidden="true"
        .style=${`grid-column: ${columns + 2}`}
      >
        <line class="rail" x1="12" x2=${width - 12} y1=${height / 2} y2=${height / 2}></line>
        ${
          middle === null
            ? nothing
            : svg`<line class="middle" x1=${x(middle)} x2=${x(middle)} y1=${height / 2 - 10} y2=${height / 2 + 10}></line>`
        }
        ${known.map(h => {
          const shown = isHead(store.shownHead?.core ?? null, store.shownHead?.head ?? null, h);
          const preview = isHead(store.previewHead?.core ?? null, store.previewHead?.head ?? null, h);
          return svg`<circle data-dot=${`${h.core}.${h.head}`} class=${shown || preview ? 'dot shown' : 'dot'} cx=${x(measure.value(h))} cy=${height / 2} r=${shown || preview ? 6 : 4}
            @mouseenter=${() => store.previewOf(h)} @click=${() => store.select({ core: h.core, head: h.head })}>
            <title>${`${headName({ core: info.core, head: h.head })}: ${writeMeasure(measure, measure.value(h))}`}</title></circle>`;
        })}
      </svg>`;
    })}`;
  }

  private stripAxis(measure: HeadMeasure): TemplateResult {
    const range = measureRange(measure, store.heads);
    if (!range) return html`<span></span>`;
    return html`<span class="axis-end" aria-hidden="true"
      ><span>${writeShort(measure, range.valueAt(0))}</span
      ><span>${measure.title}${measure.scale === 'log' ? ` ${t('(log)')}` : ''}</span
      ><span>${writeShort(measure, range.valueAt(1))}</span></span
    >`;
  }

  private cell(
    profile: HeadProfile,
    measure: HeadMeasure,
    position: (value: number | null) => number,
    size: number,
  ): TemplateResult {
    const id: HeadId = { core: profile.core, head: profile.head };
    const value = measure.value(profile);
    const at = position(value);
    const selected = isHead(store.shownHead?.core ?? null, store.shownHead?.head ?? null, id);
    const previewed = isHead(store.previewHead?.core ?? null, store.previewHead?.head ?? null, id);
    // There may be a thousand cells, and the pointer moves over them: only those that changed are made anew.
    return html`${guard([profile, measure.id, value, at, size, selected, previewed], () => {
      const role = mainRole(profile);
      const colour = measure.id === 'role' ? roleHue(profile) : 'var(--accent)';
      const causal = coreInfo(id.core)?.causal;
      const roles = rolesInWords(profile);
      return html`<div
        class="cell ${previewed ? 'preview' : ''}"
        role="gridcell"
        tabindex=${selected ? 0 : -1}
        aria-selected=${selected}
        aria-label=${`${ownName(id)}: ${measure.title} ${writeMeasure(measure, value)}; ${roles}`}
        title=${`${ownName(id)}\n${measure.title}: ${writeExact(measure, value)}\n${roles}`}
        data-head=${`${id.core}.${id.head}`}
        @mouseenter=${() => store.previewOf(id)}
        @click=${() => store.select(id)}
        @dblclick=${() => store.show('head')}
        @keydown=${(event: KeyboardEvent) => this.cellKey(event, id)}
      >
        <ai-thumb .thumbnail=${profile.thumbnail}></ai-thumb>
        ${
          size >= 30
            ? html`<div class="corner ${causal ? '' : 'backed'}">
                ${role ? roleGlyph(role, size >= 56 ? 14 : 10) : nothing}
                ${size >= 56 ? html`<span>${writeShort(measure, value)}</span>` : nothing}
              </div>`
            : nothing
        }
        <div class="track"><div .style=${`width: ${at * 100}%; background: ${colour}`}></div></div>
      </div>`;
    })}`;
  }

  private cellKey(event: KeyboardEvent, id: HeadId): void {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    store.select(id);
    if (event.key === 'Enter') store.show('head');
  }

  /** Keeps the keyboard focus on the selected cell as the selection moves. */
  override updated(): void {
    const root = this.renderRoot as ShadowRoot;
    const focused = root.activeElement as HTMLElement | null;
    const { core, head } = store.selection;
    if (
      !focused?.dataset.head ||
      core === null ||
      head === null ||
      focused.dataset.head === `${core}.${head}`
    )
      return;
    root.querySelector<HTMLElement>(`[data-head="${core}.${head}"]`)?.focus();
  }

  // ------------------------------------------------------------ ranked list

  private ranking(measure: HeadMeasure): HeadProfile[] {
    const known = (h: HeadProfile) => measure.value(h) ?? -Infinity;
    return [...store.heads].sort((a, b) => known(b) - known(a) || a.core - b.core || a.head - b.head);
  }

  private ranked(measure: HeadMeasure): TemplateResult {
    const position = measurePosition(measure, store.heads);
    return html`<div
      class="ranked"
      role="grid"
      aria-label=${t('Heads by {0}, largest first', measure.title)}
      .style=${'--cell: 84px'}
      @mouseleave=${() => store.previewOf(null)}
    >
      ${this.ranking(measure).map(
        profile =>
          html`<div role="row">
            ${this.cell(profile, measure, position, 84)}
            <div class="caption"><span>${shortName(profile)}</span></div>
          </div>`,
      )}
    </div>`;
  }

  // ------------------------------------------------------------ below the figure

  private detail(measure: HeadMeasure): TemplateResult {
    const id = store.previewHead ?? store.shownHead;
    const profile = id && store.profile(id);
    return html`<div class="detail" role="status" aria-live="polite">
      ${
        profile
          ? html`<strong>${ownName(profile)}</strong>: ${rolesInWords(profile)}; ${measure.title}
              <span title=${writeExact(measure, measure.value(profile))}
                >${writeMeasure(measure, measure.value(profile))}</span
              >${certainty(measure, profile)}. <span class="muted">${measure.summary}</span>`
          : nothing
      }
    </div>`;
  }

  /** The colours are the maps' alone: what a head is measured by is the length of its bar. */
  private legend(measure: HeadMeasure): TemplateResult {
    const present = new Set(store.heads.map(mainRole));
    const roles = (Object.keys(ROLES) as (keyof typeof ROLES)[]).filter(r => present.has(r));
    const range = measureRange(measure, store.heads);
    return html`<div class="legend" data-legend>
      ${
        store.heads.length
          ? html`<ai-legend
              label=${t('attention (square root)')}
              .lut=${theme().sequential}
              .ticks=${[
                { at: 0, label: '0' },
                { at: 1, label: t('largest of each map') },
              ]}
            ></ai-legend>`
          : nothing
      }
      ${
        range
          ? html`<span
              >${t(
                'bars: {0}, {1} to {2}',
                measure.title,
                writeShort(measure, range.valueAt(0)),
                writeMeasure(measure, range.valueAt(1)),
              )}</span
            >`
          : nothing
      }
      <span class="roles" aria-label=${t('Roles')}>
        ${roles.length ? html`<span data-roles-where>${t('roles {0}:', rolesWhere())}</span>` : nothing}
        ${roles.map(r => html`<span title=${ROLES[r].summary}>${roleGlyph(r, 14)} ${t(ROLE_TITLES[r])}</span>`)}
      </span>
      ${roles.length ? html`<span class="wrap">${t('queries run downwards, keys to the right')}</span>` : nothing}
    </div>`;
  }

  // ------------------------------------------------------------ saving

  get saveName(): string {
    return 'overview';
  }

  get caption(): string {
    if (this.asTable)
      return t(
        'Output error of mechanisms in place of dense attention, head by head, at {0} of the pairs.',
        percent(store.option('compare', 'budget', 0.1)),
      );
    const { title, summary } = this.measure;
    return t(
      'Every attention head by {0}. {1} Maps: queries downwards, keys to the right; square root of mass, each relative to its own largest.',
      title,
      summary,
    );
  }

  get figure(): HTMLElement | null {
    return this.renderRoot.querySelector('#figure');
  }

  toCsv(): string {
    const table = this.renderRoot.querySelector<HeadTable>('ai-head-table');
    if (table) return table.toCsv();
    const { measures } = this;
    return csv(
      [
        ...[
          'core',
          'kind',
          'layer',
          'head',
          'attention',
          `role ${store.probe ? 'on the probe' : 'on this text'}`,
          'role score',
        ],
        ...measures.map(m => `${m.title} [${m.unit}]`),
        ...QUANTILES.map(([span, quantile]) => `${span} ${quantile} [tokens]`),
      ],
      store.cores.flatMap(({ info, heads }) =>
        heads.map(h => [
          info.core,
          info.kind,
          info.layer,
          h.head,
          nativeWords(info.attention) ?? 'dense',
          mainRole(h),
          h.roles[0]?.score,
          ...measures.map(m => m.value(h)),
          ...QUANTILES.map(([span, quantile]) => h[`${span}Quantiles`][quantile]),
        ]),
      ),
    );
  }
}

/** With what the model was made with, where that is not dense attention. */
function ownName(id: HeadId): string {
  const native = nativeIn(id.core);
  return native ? `${headName(id)} (${native})` : headName(id);
}

/** Of the spans over queries: in the saved table only. */
const QUANTILES = (['span90', 'span95', 'span99'] as const).flatMap(span =>
  (['p5', 'p25', 'p50', 'p75', 'p95'] as const).map(quantile => [span, quantile] as const),
);

/** Between what the value lies, where that is known. */
function certainty(measure: HeadMeasure, profile: HeadProfile): string {
  const range = writeInterval(measure, profile);
  return range ? ` (95 %: ${range})` : '';
}

function median(values: number[]): number | null {
  return values.length ? values.sort((a, b) => a - b)[values.length >> 1]! : null;
}

function isHead(core: number | null, head: number | null, id: HeadId): boolean {
  return core === id.core && head === id.head;
}
