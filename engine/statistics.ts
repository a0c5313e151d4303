/** Sums, means and ranks of lists of numbers. */

export function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let t = 0; t < values.length; t++) total += values[t]!;
  return total;
}

/** 0 of no values. */
export function mean(values: ArrayLike<number>): number {
  return sum(values) / Math.max(1, values.length);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Between the two nearest values; there must be one. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return low + (high - low) * (at - Math.floor(at));
}

/** Place of the largest value, the first of equal ones. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let t = 1; t < values.length; t++) if (values[t]! > values[best]!) best = t;
  return best;
}

/** Of a distribution, in nats. */
export function entropyOf(row: ArrayLike<number>): number {
  let entropy = 0;
  for (let t = 0; t < row.length; t++) if (row[t]! > 0) entropy -= row[t]! * Math.log(row[t]!);
  return entropy;
}

/** First index of an ascending list whose value is at least `value`. */
export function lowerBound(ascending: ArrayLike<number>, value: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** log of the sum of exponentials; -Infinity of nothing. */
export function logSumExp(values: ArrayLike<number>): number {
  let top = -Infinity;
  for (let t = 0; t < values.length; t++) top = Math.max(top, values[t]!);
  if (top === -Infinity) return top;
  let total = 0;
  for (let t = 0; t < values.length; t++) total += Math.exp(values[t]! - top);
  return top + Math.log(total);
}
