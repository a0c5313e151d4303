import { range } from 'd3-array';
import { scaleBand, scaleLog, type ScaleContinuousNumeric } from 'd3-scale';
import { css, html, nothing, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { CoreResult, HeadProfile, SpanFit } from '../../shared/protocol/engine';
import { count, percent } from '../../shared/numbers';
import { exact, tokens as inTokens } from '../model/amounts';
import { coreInfo, headName } from '../model/names';
import { roleHue } from '../model/roles';
import { inParts } from '../model/gridLayout';
import { COLUMN_GAP, SIDES, gridOf, spanLines } from '../model/spanLines';
import { learnedSpan } from '../model/standing';
import { t } from '../host/words';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { axisLeft, labelEvery } from './axes';

type FittedHead = SpanFit['heads'][number];

/** Above the plot of a line, under it, and under all lines. */
const [TOP, NAMES, BELOW] = [22, 22, 14];

/** The picture of the adaptive-span paper: a column per layer, a mark per head at its span; in lines where there are many. */
@customElement('ai-span-columns')
export class SpanColumns extends Component {
  static override styles = [
    ...Component.styles,
    css`
      svg {
        display: block;
      }
      .band {
        fill: var(--vscode-foreground);
        fill-opacity: 0.045;
      }
      .head {
        cursor: pointer;
      }
      .hit {
        fill: transparent;
      }
      .range {
        stroke: var(--muted);
        stroke-opacity: 0.8;
        stroke-width: 1;
      }
      .median {
        stroke: var(--muted);
        stroke-width: 2;
      }
      .span {
        stroke: var(--vscode-editor-background);
      }
      .learned {
        fill: var(--vscode-editor-background);
        stroke: var(--vscode-foreground);
        stroke-width: 2;
      }
      .head:hover .span,
      .head.shown .span {
        stroke: var(--focus);
        stroke-width: 2.5;
      }
      .head.shown .range {
        stroke: var(--focus);
        stroke-width: 2;
        stroke-opacity: 1;
      }
      .head.shown .name {
        fill: var(--vscode-foreground);
        font-weight: 600;
      }
    `,
  ];
  @property({ attribute: false }) fit: SpanFit | null = null;
  private fitted = new Map<string, FittedHead>();

  override willUpdate(): void {
    this.fitted = new Map(this.fit?.heads.map(h => [`${h.core}.${h.head}`, h]));
  }

  override render() {
    const { width } = this;
    const { cores } = store;
    if (!width || !cores.length) return nothing;
    const { columns, lines, height } = spanLines(gridOf(cores), width);
    return html`<svg
      width=${width}
      height=${lines * height + BELOW}
      role="img"
      aria-label=${t('Span of every head by layer, on a logarithmic scale; the table below has the numbers')}
      @mouseleave=${() => store.previewOf(null)}
    >
      ${inParts(cores, lines).map(
        (part, at) =>
          svg`<g transform="translate(0 ${at * height})">${this.line(part, columns, height, at === 0)}</g>`,
      )}
      <g class="axis">
        <text x=${(SIDES.left + width) / 2} y=${lines * height + BELOW - 4} text-anchor="middle">
          ${t('layer (heads side by side)')}
        </text>
      </g>
    </svg>`;
  }

  /** Layers side by side, with an axis of their own. */
  private line(cores: readonly CoreResult[], columns: number, height: number, isFirst: boolean) {
    const bottom = height - NAMES;
    const right = this.width - SIDES.right;
    const longest = Math.max(2, (store.tokens?.ids.length ?? 2) - 1);
    // A span s stands at s + 1: zero has its place at the foot.
    const y = scaleLog()
      .domain([1, longest + 1])
      .range([bottom, TOP])
      .clamp(true);
    const x = scaleBand<number>().domain(range(columns)).range([SIDES.left, right]).paddingInner(COLUMN_GAP);
    const every = labelEvery(
      cores.map(({ info }) => columnName(info.core)),
      x.step(),
    );
    const label = isFirst ? t('span, tokens (log)') : '';
    return svg`${axisLeft(y, SIDES.left - 6, { ticks: 5, format: count, grid: right - SIDES.left + 6, label })}
      ${cores.map(({ info, heads }, at) => {
        const left = x(at)!;
        const step = x.bandwidth() / heads.length;
        return svg`<rect class="band" x=${left} y=${TOP} width=${x.bandwidth()} height=${bottom - TOP}></rect>
          <g class="axis"><text x=${left + x.bandwidth() / 2} y=${bottom + 15} text-anchor="middle">${at % every === 0 ? columnName(info.core) : ''}</text></g>
          ${heads.map((head, i) => this.head(head, left + (i + 0.5) * step, step, y))}`;
      })}`;
  }

  private head(h: HeadProfile, cx: number, step: number, y: ScaleContinuousNumeric<number, number>) {
    const found = this.fitted.get(`${h.core}.${h.head}`);
    const shown = h.core === store.shownHead?.core && h.head === store.shownHead.head;
    const learned = learnedSpan(h);
    const { p5, p50, p95 } = h.span95Quantiles;
    const [bottom, top] = y.range() as [number, number];
    const half = Math.min(5, step / 2);
    return svg`<g class="head ${shown ? 'shown' : ''}" data-head=${`${h.core}.${h.head}`}
        @mouseenter=${() => store.previewOf(h)}
        @click=${() => store.select({ core: h.core, head: h.head })}>
      <title>${this.words(h, found, p5, p50, p95)}</title>
      <rect class="hit" x=${cx - step / 2} y=${top} width=${step} height=${bottom - top}></rect>
      <line class="range" x1=${cx} x2=${cx} y1=${y(p5 + 1)} y2=${y(p95 + 1)}></line>
      <line class="median" x1=${cx - half} x2=${cx + half} y1=${y(p50 + 1)} y2=${y(p50 + 1)}></line>
      ${learned === null ? nothing : svg`<rect class="learned" x=${cx - 4} y=${y(learned + 1) - 4} width="8" height="8"></rect>`}
      ${found ? svg`<circle class="span" style=${`fill: ${roleHue(h)}`} cx=${cx} cy=${y(found.span + 1)} r=${Math.max(3, Math.min(6, step / 2 - 0.5))}></circle>` : nothing}
    </g>`;
  }

  private words(
    head: { core: number; head: number },
    fitted: FittedHead | undefined,
    p5: number,
    p50: number,
    p95: number,
  ): string {
    const learned = learnedSpan(head);
    const own = learned === null ? '' : `\n${t('learned span {0} (native)', exact(learned, 'tokens'))}`;
    const range = t(
      '95 % of the mass within {0} for the median query ({1} to {2})',
      inTokens(p50),
      exact(p5),
      exact(p95),
    );
    if (!fitted) return `${headName(head)}${own}\n${range}`;
    const pairs = percent(fitted.pairs / fitted.densePairs);
    const span = t(
      'fitted span {0} (what-if): keeps {1} with {2} of the pairs',
      exact(fitted.span, 'tokens'),
      percent(fitted.recall),
      pairs,
    );
    return `${headName(head)}${own}\n${span}\n${range}`;
  }
}

function columnName(core: number): string {
  const info = coreInfo(core);
  if (!info) return String(core);
  return info.kind === 'self' ? String(info.layer) : `${info.kind[0]}${info.layer}`;
}
