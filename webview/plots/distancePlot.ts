import { scaleLinear, scaleLog } from 'd3-scale';
import { css, html, nothing, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { HeadProfile } from '../../shared/protocol/engine';
import { count, percent } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { Component } from '../ui/component';
import { axisBottom, axisLeft, path, roughWidth } from './axes';
import { binMiddle, distanceBins, distanceWords, softMask } from './distance';
import { rich, t } from '../host/words';

/** Mass by distance of one head, its cumulative curve and, if given, the soft mask of a span drawn on it. */
@customElement('ai-distance')
export class DistancePlot extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        height: 100%;
      }
      svg {
        display: block;
        overflow: visible;
      }
      .mass {
        fill: var(--accent);
        fill-opacity: 0.75;
      }
      .cumulative {
        fill: none;
        stroke: var(--vscode-foreground);
        stroke-width: 1.5;
      }
      .mask {
        fill: none;
        stroke: var(--accent2);
        stroke-width: 2;
      }
      .outside {
        fill: var(--accent2);
        fill-opacity: 0.18;
      }
    `,
  ];
  @property({ attribute: false }) profile: HeadProfile | null = null;
  @property({ type: Boolean }) compact = false;
  /** Both axes logarithmic, or both linear. */
  @property({ type: Boolean }) linear = false;
  @property({ attribute: false }) mask: { span: number; ramp: number } | null = null;

  override render() {
    const { profile, width, height, compact, linear, mask } = this;
    if (!profile || !width || !height) return nothing;
    const bins = distanceBins(profile);
    const [massName, otherName] = [
      t('mass per token of distance'),
      t('cumulative (line){0}', mask ? t(', mask (orange)') : ''),
    ];
    // The names of both axes stand side by side, or, where they would meet, one above the other.
    const meet = roughWidth(massName) + roughWidth(otherName) > width - 60;
    const room = compact
      ? { left: 8, right: 18, top: 4, bottom: 20 }
      : { left: 52, right: 46, top: meet ? 40 : 24, bottom: 34 };
    const farthest = Math.max(2, bins[bins.length - 1]?.to ?? 2);
    const bottom = height - room.bottom;
    const xRange = [room.left, width - room.right];
    // On the logarithmic axis a distance d stands at d + 1, so that the token itself (0) has a place.
    const x = linear
      ? scaleLinear().domain([0, farthest]).range(xRange)
      : scaleLog()
          .domain([1, farthest + 1])
          .range(xRange);
    const at = (distance: number) => x(linear ? distance : distance + 1);
    const most = Math.max(...bins.map(b => b.density), 1e-12);
    const least = Math.max(most * 1e-6, Math.min(...bins.filter(b => b.density > 0).map(b => b.density)));
    const y =
      linear || compact
        ? scaleLinear()
            .domain([0, compact ? Math.max(...bins.map(b => b.mass)) : most])
            .range([bottom, room.top])
        : scaleLog()
            .domain([least * 0.7, most])
            .range([bottom, room.top]);
    const share = scaleLinear().domain([0, 1]).range([bottom, room.top]);
    const value = (b: { mass: number; density: number }) => (compact ? b.mass : b.density);
    const floor = y.domain()[0]!;
    return html`<svg width=${width} height=${height} role="img" aria-label=${this.words(bins)}>
      ${mask ? svg`<rect class="outside" x=${at(Math.min(farthest, mask.span))} y=${room.top} width=${Math.max(0, at(farthest) - at(Math.min(farthest, mask.span)))} height=${bottom - room.top}></rect>` : nothing}
      ${bins.map(b => {
        const [x0, x1] = [at(b.from), at(Math.max(b.from + 0.6, b.to))];
        const top = value(b) > floor ? y(value(b)) : bottom;
        return svg`<rect class="mass" x=${x0} y=${top} width=${Math.max(0.5, x1 - x0 - (x1 - x0 > 4 ? 1 : 0))} height=${Math.max(0, bottom - top)}>
          <title>${rich('{0}: {1} of the mass', distanceWords(b.from, b.to), exact(b.mass * 100, '%'))}</title></rect>`;
      })}
      ${mask ? svg`<path class="mask" d=${path(maskLine(mask, at, share, farthest))}></path>` : nothing}
      ${svg`<path class="cumulative" d=${path(bins.map(b => [linear ? at(b.to - 1) : x(Math.max(1, Math.min(binMiddle(b), farthest))), share(Math.min(1, b.cumulative))]))}></path>`}
      ${axisBottom(x, bottom, {
        ticks: compact ? 3 : 6,
        format: t => count(linear ? t : t),
        label: compact ? undefined : linear ? t('distance, tokens') : t('distance + 1, tokens'),
      })}
      ${
        compact
          ? nothing
          : svg`${axisLeft(y, room.left, { ticks: 4, format: t => percent(t), label: massName, grid: width - room.left - room.right })}
          <g class="axis">${[0, 0.5, 1].map(
            t =>
              svg`<text x=${width - room.right + 6} y=${share(t)} dominant-baseline="middle">${percent(t)}</text>`,
          )}<text x=${width} y=${room.top - (meet ? 25 : 9)} text-anchor="end">${otherName}</text></g>`
      }
    </svg>`;
  }

  private words(bins: ReturnType<typeof distanceBins>): string {
    const reach = (share: number) => bins.find(b => b.cumulative >= share)?.to ?? 0;
    return t(
      'Mass by distance: half within {0} tokens, 90 % within {1}, 99 % within {2}.',
      count(reach(0.5)),
      count(reach(0.9)),
      count(reach(0.99)),
    );
  }
}

/** The soft mask of a span, with enough points for its ramp, which is a curve on a logarithmic axis. */
function maskLine(
  { span, ramp }: { span: number; ramp: number },
  at: (distance: number) => number,
  share: (value: number) => number,
  farthest: number,
): [number, number][] {
  const end = Math.min(farthest, span + ramp);
  const falling = Array.from({ length: 33 }, (_, i) => span + ((end - span) * i) / 32);
  const points = [0, Math.min(span, farthest), ...falling.filter(d => d <= farthest), farthest];
  return points.map(d => [at(d), share(softMask(d, span, ramp))]);
}
