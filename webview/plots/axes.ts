import type { ScaleContinuousNumeric } from 'd3-scale';
import { svg, type SVGTemplateResult } from 'lit';

type Scale = ScaleContinuousNumeric<number, number>;

export interface AxisOptions {
  /** About how many ticks. */
  ticks: number;
  format: (value: number) => string;
  /** Length of grid lines across the plot; 0 = none. */
  grid?: number;
  label?: string;
}

/** Powers of ten for logarithmic scales (1, 2 and 5 of each where there are few), round numbers for linear ones, within the domain. */
function ticksOf(scale: Scale, about: number): number[] {
  const [low, high] = scale.domain() as [number, number];
  const all = scale.ticks(about);
  if (!('base' in scale)) return all;
  const powers = all.filter(t => Math.abs(Math.log10(t) - Math.round(Math.log10(t))) < 1e-9);
  return powers.length >= 3
    ? powers
    : all.filter(t => t === low || t === high || /^[125]e/.test(t.toExponential()));
}

export function axisBottom(scale: Scale, y: number, options: AxisOptions): SVGTemplateResult {
  const [from, to] = scale.range() as [number, number];
  const ticks = ticksOf(scale, options.ticks);
  const legible = withRoom(ticks.map(t => ({ at: scale(t), text: options.format(t) })));
  return svg`<g class="axis">
    <line x1=${from} x2=${to} y1=${y} y2=${y}></line>
    ${ticks.map((t, i) => {
      const x = scale(t);
      return svg`<g class="grid"><line x1=${x} x2=${x} y1=${y} y2=${y - (options.grid ?? 0)}></line></g>
        <line x1=${x} x2=${x} y1=${y} y2=${y + 4}></line>
        <text x=${x} y=${y + 15} text-anchor="middle">${legible[i] ? options.format(t) : ''}</text>`;
    })}
    ${options.label ? svg`<text x=${to} y=${y + 29} text-anchor="end">${options.label}</text>` : ''}
  </g>`;
}

export function axisLeft(scale: Scale, x: number, options: AxisOptions): SVGTemplateResult {
  const [from, to] = scale.range() as [number, number];
  return svg`<g class="axis">
    <line x1=${x} x2=${x} y1=${from} y2=${to}></line>
    ${ticksOf(scale, options.ticks).map(t => {
      const y = scale(t);
      return svg`<g class="grid"><line x1=${x} x2=${x + (options.grid ?? 0)} y1=${y} y2=${y}></line></g>
        <line x1=${x - 4} x2=${x} y1=${y} y2=${y}></line>
        <text x=${x - 7} y=${y} text-anchor="end" dominant-baseline="middle">${options.format(t)}</text>`;
    })}
    ${options.label ? svg`<text x=${x - 4} y=${Math.min(from, to) - 9} text-anchor="start">${options.label}</text>` : ''}
  </g>`;
}

/** A path through points; undefined values break it. */
export function path(points: ([number, number] | undefined)[]): string {
  let d = '';
  let open = false;
  for (const p of points) {
    if (!p || !Number.isFinite(p[0]) || !Number.isFinite(p[1])) {
      open = false;
      continue;
    }
    d += `${open ? 'L' : 'M'}${p[0].toFixed(1)},${p[1].toFixed(1)}`;
    open = true;
  }
  return d;
}

/** Widest of the digits and letters that name columns, with the room between two names. */
const LETTER = 7;
const BETWEEN = 6;

/** Pixels that a name takes at most, before it is drawn: letters, and signs as wide as they are high. */
export function roughWidth(text: string): number {
  return [...text].reduce((sum, letter) => sum + (letter > '\u2e7f' ? 12 : 6.2), 0);
}

/** Which of the labels, ascending and each around its place, do not run into the one written before. */
export function withRoom(labels: readonly { at: number; text: string }[]): boolean[] {
  let end = -Infinity;
  return labels.map(({ at, text }) => {
    const half = (LETTER * text.length) / 2;
    if (at - half < end + BETWEEN) return false;
    end = at + half;
    return true;
  });
}

/** Every how many columns a name has room, where columns are so many pixels apart. */
export function labelEvery(names: readonly string[], apart: number): number {
  const widest = Math.max(0, ...names.map(name => name.length));
  return Math.max(1, Math.ceil((LETTER * widest + BETWEEN) / apart));
}
