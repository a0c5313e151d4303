import type { Buckets } from '../../shared/protocol/engine';
import { contrast, bucketColour, mix, toCss, type Rgb, type ThemeColours } from '../draw/colour';

/**
 * How far the rounds agree on a token's company: for every two rounds the overlap of the token's buckets
 * (|A and B| / |A or B|), mean over the pairs of rounds. 1 = the same company every time. One round: all 1.
 */
export function agreement(rounds: Int32Array[], count: number): Float32Array {
  const n = rounds[0]?.length ?? 0;
  const result = new Float32Array(n);
  const sizes = rounds.map(ids => {
    const size = new Int32Array(count);
    for (const id of ids) if (id >= 0) size[id]!++;
    return size;
  });
  let pairs = 0;
  for (let r = 0; r < rounds.length; r++) {
    for (let s = r + 1; s < rounds.length; s++) {
      pairs++;
      const both = new Map<number, number>();
      const [a, b] = [rounds[r]!, rounds[s]!];
      for (let i = 0; i < n; i++) {
        const key = a[i]! * count + b[i]!;
        if (a[i]! >= 0 && b[i]! >= 0) both.set(key, (both.get(key) ?? 0) + 1);
      }
      for (let i = 0; i < n; i++) {
        const shared = a[i]! >= 0 && b[i]! >= 0 ? both.get(a[i]! * count + b[i]!)! : 0;
        if (shared) result[i]! += shared / (sizes[r]![a[i]!]! + sizes[s]![b[i]!]! - shared);
      }
    }
  }
  return pairs ? result.map(x => x / pairs) : result.fill(1);
}

/** Tokens that are in no bucket, and in more than one, of routing-like mechanisms (for LSH `rounds` is what is due). */
export function coverage({ multiplicity, rounds }: Pick<Buckets, 'multiplicity' | 'rounds'>): {
  none: number;
  several: number;
} {
  let none = 0;
  let several = 0;
  for (const m of multiplicity) {
    if (m === 0) none++;
    else if (m > rounds) several++;
  }
  return { none, several };
}

/** Share of the tokens that no bucket takes as a query. */
export const untaken = (found: Pick<Buckets, 'multiplicity' | 'rounds'>): number =>
  coverage(found).none / Math.max(1, found.multiplicity.length);

/** CSS background of a bucket; repeated hues carry stripes. */
export function bucketBackground(bucket: number, theme: ThemeColours): string {
  const { fill, text, pattern } = bucketColour(bucket, theme);
  const base = toCss(fill);
  if (!pattern) return base;
  const angle = [0, 45, 135, 90][pattern]!;
  // Stripes away from the text's colour: they must not make it harder to read.
  const stripe: Rgb = text[0] === 0 ? [255, 255, 255] : [0, 0, 0];
  return `repeating-linear-gradient(${angle}deg, ${toCss(stripe, 0.35)} 0 2px, transparent 2px 6px), ${base}`;
}

/** Size of the buckets if all tokens were spread evenly over them. */
export function evenSize(sizes: Int32Array): number {
  return sizes.reduce((a, b) => a + b, 0) / Math.max(1, sizes.length);
}

/** Imbalance: the largest bucket against the even size; 1 = perfectly even. */
export function imbalance(sizes: Int32Array): number {
  const even = evenSize(sizes);
  return even > 0 ? Math.max(...sizes) / even : 1;
}

/** The words that tell a bucket from the others: those that are in it more often than by chance, most telling first. */
export function tellingWords(
  tokens: readonly string[],
  buckets: Int32Array,
  count: number,
  most: number,
): string[][] {
  const totals = new Map<string, number>();
  const own = Array.from({ length: count }, () => new Map<string, number>());
  const sizes = new Float64Array(count);
  tokens.forEach((token, at) => {
    const word = token.trim();
    const bucket = buckets[at] ?? -1;
    if (!word || bucket < 0) return;
    totals.set(word, (totals.get(word) ?? 0) + 1);
    own[bucket]!.set(word, (own[bucket]!.get(word) ?? 0) + 1);
    sizes[bucket]!++;
  });
  const all = sizes.reduce((sum, size) => sum + size, 0);
  return own.map((words, bucket) =>
    [...words]
      .map(([word, times]) => ({
        word,
        telling: times * Math.log(times / sizes[bucket]! / (totals.get(word)! / all)),
        times,
      }))
      .sort((a, b) => b.telling - a.telling || b.times - a.times)
      .slice(0, most)
      .map(({ word }) => word),
  );
}

/** Contrast of small text, a little above what WCAG 2 asks for (4.5). */
const READABLE = 4.7;

/** Behind text of the theme's own colour: the hue of a bucket, faint enough to read on. */
export function bucketTint(bucket: number, theme: ThemeColours): string {
  const { fill } = bucketColour(bucket, theme);
  let share = theme.dark ? 0.42 : 0.38;
  while (share > 0.1 && contrast(mix(theme.background, fill, share), theme.foreground) < READABLE)
    share -= 0.02;
  return toCss(mix(theme.background, fill, share));
}
