import { scaleBand, scaleLog } from 'd3-scale';
import { css, html, nothing, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { SpanFit } from '../../shared/protocol/engine';
import { count, percent } from '../../shared/numbers';
import { exact, tokens as inTokens } from '../model/amounts';
import { coreInfo, headName } from '../model/names';
import { roleHue } from '../model/roles';
import { learnedSpan } from '../model/standing';
import { t } from '../host/words';
import { store } from '../host/store';
import { Component } from '../ui/component';
import { axisLeft, labelEvery } from './axes';

type FittedHead = SpanFit['heads'][number];

/** The picture of the adaptive-span paper: a column per layer, a mark per head at its span. */
@customElement('ai-span-columns')
export class SpanColumns extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        height: 100%;
      }
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

  override render() {
    const { width, height, fit } = this;
    const { cores } = store;
    if (!width || !height || !cores.length) return nothing;
    const room = { left: 46, right: 6, top: 22, bottom: 36 };
    const bottom = height - room.bottom;
    const longest = Math.max(2, (store.tokens?.ids.length ?? 2) - 1);
    // A span s stands at s + 1: zero has its place at the foot.
    const y = scaleLog()
      .domain([1, longest + 1])
      .range([bottom, room.top])
      .clamp(true);
    const x = scaleBand<number>()
      .domain(cores.map(c => c.info.core))
      .range([room.left, width - room.right])
      .paddingInner(0.12);
    const every = labelEvery(
      cores.map(({ info }) => columnName(info.core)),
      x.step(),
    );
    const fitted = new Map(fit?.heads.map(h => [`${h.core}.${h.head}`, h]));
    return html`<svg
      width=${width}
      height=${height}
      role="img"
      aria-label=${t('Span of every head by layer, on a logarithmic scale; the table below has the numbers')}
      @mouseleave=${() => store.previewOf(null)}
    >
      ${axisLeft(y, room.left - 6, { ticks: 5, format: t => count(t), grid: width - room.left, label: t('span, tokens (log)') })}
      ${cores.map(({ info, heads }, at) => {
        const left = x(info.core)!;
        const step = x.bandwidth() / heads.length;
        return svg`<rect class="band" x=${left} y=${room.top} width=${x.bandwidth()} height=${bottom - room.top}></rect>
          <g class="axis"><text x=${left + x.bandwidth() / 2} y=${bottom + 15} text-anchor="middle">${at % every === 0 ? columnName(info.core) : ''}</text></g>
          ${heads.map((h, i) => {
            const cx = left + (i + 0.5) * step;
            const found = fitted.get(`${h.core}.${h.head}`);
            const shown = h.core === store.shownHead?.core && h.head === store.shownHead.head;
            const learned = learnedSpan(h);
            const { p5, p50, p95 } = h.span95Quantiles;
            return svg`<g class="head ${shown ? 'shown' : ''}" data-head=${`${h.core}.${h.head}`}
                @mouseenter=${() => store.previewOf(h)}
                @click=${() => store.select({ core: h.core, head: h.head })}>
              <title>${this.words(h, found, p5, p50, p95)}</title>
              <rect class="hit" x=${cx - step / 2} y=${room.top} width=${step} height=${bottom - room.top}></rect>
              <line class="range" x1=${cx} x2=${cx} y1=${y(p5 + 1)} y2=${y(p95 + 1)}></line>
              <line class="median" x1=${cx - Math.min(5, step / 2)} x2=${cx + Math.min(5, step / 2)} y1=${y(p50 + 1)} y2=${y(p50 + 1)}></line>
              ${learned === null ? nothing : svg`<rect class="learned" x=${cx - 4} y=${y(learned + 1) - 4} width="8" height="8"></rect>`}
              ${found ? svg`<circle class="span" style=${`fill: ${roleHue(h)}`} cx=${cx} cy=${y(found.span + 1)} r=${Math.max(3, Math.min(6, step / 2 - 0.5))}></circle>` : nothing}
            </g>`;
          })}`;
      })}
      <g class="axis">
        <text x=${(room.left + width) / 2} y=${height - 4} text-anchor="middle">
          ${t('layer (heads side by side)')}
        </text>
      </g>
    </svg>`;
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
