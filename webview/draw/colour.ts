import { interpolateViridis, schemeTableau10 } from 'd3-scale-chromatic';
import type { MassScale } from '../../shared/protocol/host';

/** Red, green, blue, 0..255. */
export type Rgb = readonly [number, number, number];

/** 256 colours, 4 bytes each (RGBA). */
export type Lut = Uint8Array;

export interface ThemeColours {
  dark: boolean;
  highContrast: boolean;
  background: Rgb;
  foreground: Rgb;
  /** Dimmed text and axes. */
  muted: Rgb;
  border: Rgb;
  /** The selection. */
  focus: Rgb;
}

export function parseColour(text: string): Rgb | null {
  const hex = /^#([0-9a-f]{3,8})$/i.exec(text.trim())?.[1];
  if (hex) {
    const digits = hex.length < 6 ? [...hex].map(d => d + d).join('') : hex;
    return [0, 2, 4].map(i => parseInt(digits.slice(i, i + 2), 16)) as unknown as Rgb;
  }
  const parts = /^rgba?\(([^)]+)\)$/
    .exec(text.trim())?.[1]
    ?.split(/[\s,/]+/)
    .map(Number);
  return parts && parts.length >= 3 ? [parts[0]!, parts[1]!, parts[2]!] : null;
}

export function toCss([r, g, b]: Rgb, alpha = 1): string {
  const c = [r, g, b].map(x => Math.round(x)).join(', ');
  return alpha === 1 ? `rgb(${c})` : `rgba(${c}, ${alpha})`;
}

export function mix(a: Rgb, b: Rgb, t: number): Rgb {
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
}

/** WCAG relative luminance, 0..1. */
export function luminance([r, g, b]: Rgb): number {
  const linear = (c: number) => (c <= 10 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
}

export function contrast(a: Rgb, b: Rgb): number {
  const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (hi + 0.05) / (lo + 0.05);
}

/** The theme's own ink where it can be read, else black or white. */
export function inkOn(fill: Rgb, foreground: Rgb): string {
  if (contrast(fill, foreground) >= 4.5) return toCss(foreground);
  return contrast(fill, [0, 0, 0]) > contrast(fill, [255, 255, 255]) ? '#000' : '#fff';
}

function lut(colourAt: (t: number) => Rgb): Lut {
  const table = new Uint8Array(256 * 4);
  for (let i = 0; i < 256; i++) {
    const [r, g, b] = colourAt(i / 255);
    table.set([r, g, b, 255], i * 4);
  }
  return table;
}

/**
 * Mass: viridis, turned round on light themes, fading out of the background so that nothing looks like nothing.
 * Even in lightness and safe for colour-blind eyes.
 */
export function sequential(theme: ThemeColours): Lut {
  const map = theme.dark ? (t: number) => 0.12 + 0.88 * t : (t: number) => 0.97 * (1 - t);
  // Share of the map over which it comes out of the background; the light end of viridis is loud and needs longer.
  const fade = theme.dark ? 0.18 : 0.32;
  return lut(t => {
    const colour = parseColour(interpolateViridis(map(t)))!;
    return t >= fade ? colour : mix(theme.background, colour, t / fade);
  });
}

/** Zero = background in the middle; blue below, orange above. */
export function diverging(theme: ThemeColours): Lut {
  const [below, above]: [Rgb, Rgb] = theme.dark
    ? [
        [74, 158, 255],
        [255, 140, 40],
      ]
    : [
        [20, 90, 180],
        [196, 84, 0],
      ];
  return lut(t =>
    t < 0.5 ? mix(theme.background, below, 1 - 2 * t) : mix(theme.background, above, 2 * t - 1),
  );
}

export function lutColour(table: Lut, t: number): Rgb {
  const i = Math.max(0, Math.min(255, Math.round(t * 255))) * 4;
  return [table[i]!, table[i + 1]!, table[i + 2]!];
}

/** A cell of which a mechanism keeps only a share: the rest of its colour goes grey and faint. */
export function dimLost(colour: Rgb, background: Rgb, kept: number): Rgb {
  const grey = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2];
  const dim = mix(background, mix(colour, [grey, grey, grey], 0.75), 0.7);
  return mix(colour, dim, 1 - Math.min(1, kept));
}

// ---------------------------------------------------------------- mass to 0..1

/** Least mass that the logarithmic scale tells from nothing, as a share of the largest. */
export const LOG_FLOOR = 1e-4;

/** Position of a mass on the colour map; `largest` is at 1. */
export function scaleMass(mass: number, largest: number, scale: MassScale): number {
  const share = largest > 0 ? Math.min(1, Math.max(0, mass / largest)) : 0;
  if (scale === 'linear') return share;
  if (scale === 'sqrt') return Math.sqrt(share);
  return share <= LOG_FLOOR ? 0 : 1 - Math.log(share) / Math.log(LOG_FLOOR);
}

/** The mass at a position of the colour map: inverse of `scaleMass`. */
export function massAt(t: number, largest: number, scale: MassScale): number {
  if (scale === 'linear') return t * largest;
  if (scale === 'sqrt') return t * t * largest;
  return largest * LOG_FLOOR ** (1 - t);
}

/** The next 1, 2 or 5 times a power of ten, at most 1. */
export function niceCeiling(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find(s => s * power >= value * 0.999999)!;
  return Math.min(1, step * power);
}

// ---------------------------------------------------------------- buckets

const HUES = schemeTableau10.map(c => parseColour(c)!);

export interface BucketColour {
  fill: Rgb;
  text: Rgb;
  /** Which repetition of the hues this is: 0 plain, then stripes of growing density. */
  pattern: number;
}

/** Ten hues; from the eleventh bucket on they repeat with a pattern (and the number is written). -1 = none. */
export function bucketColour(bucket: number, theme: ThemeColours): BucketColour {
  if (bucket < 0)
    return { fill: mix(theme.background, theme.muted, 0.25), text: theme.foreground, pattern: 0 };
  const fill = HUES[bucket % HUES.length]!;
  const black: Rgb = [0, 0, 0];
  const white: Rgb = [255, 255, 255];
  const text = contrast(fill, black) >= contrast(fill, white) ? black : white;
  return { fill, text, pattern: Math.floor(bucket / HUES.length) % 4 };
}

export const BUCKET_HUES = HUES.length;
