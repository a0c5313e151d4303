/** From so many on, all are sorted. */
const MANY = 256;

/**
 * Where the largest values stand, the largest first; equal ones as they stand. Of few, each value is looked at once: rows of long texts are
 * asked for while the pointer moves.
 */
export function largestAt(values: ArrayLike<number>, count: number): number[] {
  if (count >= MANY) {
    const all = Array.from({ length: values.length }, (_, at) => at);
    return all.sort((a, b) => values[b]! - values[a]!).slice(0, count);
  }
  const found: number[] = [];
  for (let i = 0; i < values.length && count > 0; i++) {
    const value = values[i]!;
    if (found.length === count && !(value > values[found[count - 1]!]!)) continue;
    let at = Math.min(found.length, count - 1);
    for (; at > 0 && values[found[at - 1]!]! < value; at--) found[at] = found[at - 1]!;
    found[at] = i;
  }
  return found;
}
