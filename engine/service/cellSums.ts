/** Rows of a map summed into square cells. */
export interface Cells {
  max: Float32Array;
  sum: Float32Array;
  /** Tokens along a side of a cell. */
  cell: number;
}

/** Adds one row's masses at the keys from `from` on. `at`: where the cell of key `first`, the first of a cell, lies. */
export function addToCells(
  { max, sum, cell }: Cells,
  at: number,
  first: number,
  from: number,
  mass: Float32Array,
): void {
  let c = at + Math.floor((from - first) / cell);
  let end = first + (c - at + 1) * cell - from;
  for (let start = 0; start < mass.length; start = end, end += cell, c++) {
    const stop = Math.min(end, mass.length);
    let total = 0;
    let most = max[c]!;
    for (let j = start; j < stop; j++) {
      const one = mass[j]!;
      total += one;
      if (one > most) most = one;
    }
    sum[c]! += total;
    max[c] = most;
  }
}
