import { startModule, type WasmMemory } from '../../runtime/wasm';
import { PAIRS } from './assembly/pairs.wasm';

/** The loops over single pairs (assembly/pairs.ts): all numbers lie in the program's memory, places in it are in bytes. */
export interface PairProgram {
  /**
   * Attention of `rows` queries to lists of keys. `starts` [rows + 1]: where each list begins in `keys` (whole numbers) and in `bias`
   * (0 = there is none); `q`, `k`, `v`, `out`: rows of `keyBytes` and `valueBytes` bytes, multiples of 16. `tops` and `sums`, [rows]:
   * the largest score and the sum of exp(score - largest), 0 where a list is empty. `scratch`: as long as the longest list, and 8 more.
   */
  attend(
    rows: number,
    starts: number,
    keys: number,
    bias: number,
    q: number,
    k: number,
    v: number,
    out: number,
    tops: number,
    sums: number,
    scratch: number,
    keyBytes: number,
    valueBytes: number,
    scale: number,
  ): void;
  /** [rows, stride] dot products in float64 of `q` [rows, dim] with the first `count` columns of `a` [dim, stride]; stride and count: multiples of 8. */
  dots(rows: number, count: number, stride: number, dim: number, q: number, a: number, out: number): void;
  /** The same, but of each dimension the larger of its products with `a` and `b`. */
  bounds(
    rows: number,
    count: number,
    stride: number,
    dim: number,
    q: number,
    a: number,
    b: number,
    out: number,
  ): void;
}

export const startPairProgram = (memory: WasmMemory): PairProgram =>
  startModule(PAIRS, memory) as PairProgram;
