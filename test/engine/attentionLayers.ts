import type { ModelWriter } from '../fixtures/onnxModels';
import { DIM, HEADS, linear, WIDTH, type Layer } from './cutHarness';

/** Q, K, V as [batch, heads, tokens, dim] and back, around `core`. */
export function aroundHeads(
  core: (m: ModelWriter, parts: { q: string; k: string; v: string; x: string }, id: string) => string,
): Layer {
  return (m, x, id) => {
    const [q, k, v] = ['q', 'k', 'v'].map(n => {
      const split = m.op('Reshape', [linear(m, x, n + id), m.ints(`split${n}${id}`, [0, 0, HEADS, DIM])]);
      return m.op('Transpose', [split], { perm: [0, 2, 1, 3] });
    }) as [string, string, string];
    const context = core(m, { q, k, v, x }, id);
    const back = m.op('Transpose', [context], { perm: [0, 2, 1, 3] });
    return m.op('Reshape', [back, m.ints(`join${id}`, [0, 0, WIDTH])]);
  };
}

export const transposed = (m: ModelWriter, k: string) => m.op('Transpose', [k], { perm: [0, 1, 3, 2] });
export const scaled = (m: ModelWriter, scores: string, id: string) =>
  m.op('Mul', [scores, m.floats(`scale${id}`, [1 / Math.sqrt(DIM)], [])]);
export const softmax = (m: ModelWriter, scores: string) => m.op('Softmax', [scores], { axis: -1 });

/** 0, 1, ..., tokens-1 of [batch, tokens, ...] with `dims`. */
export function positions(m: ModelWriter, x: string, id: string, dims: number[]): string {
  const count = m.op('Gather', [m.op('Shape', [x]), m.ints(`axis${id}`, [1], [])], { axis: 0 });
  const range = m.op('Range', [m.ints(`from${id}`, [0], []), count, m.ints(`by${id}`, [1], [])]);
  return m.op('Reshape', [range, m.ints(`dims${id}`, dims)]);
}

export const dropped = (m: ModelWriter, keep: string, scores: string, id: string) =>
  m.op('Where', [keep, scores, m.floats(`low${id}`, [-3.4028234663852886e38], [])]);
