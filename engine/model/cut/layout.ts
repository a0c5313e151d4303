import { RefusedError, told } from '../../errors';
import type { AxisOrder } from './findCores';
import type { Graph } from '../onnx/graph';
import { attribute } from '../onnx/node';

/**
 * How a tensor of a core lies in the graph, and the way to the canonical [heads, tokens, dim] and back.
 * `split` is the raw shape with packed heads taken apart; `perm` brings the axes into the order heads..., tokens, dim.
 * -1 stands for the tokens.
 */
export interface Layout {
  raw: number[];
  split: number[];
  perm: number[];
  heads: number;
  dim: number;
}

/** From the shapes seen at two lengths. */
export function layoutOf(
  what: string,
  dims: readonly [readonly number[], readonly number[]],
  lengths: readonly [number, number],
  packedHeads: number,
  order: AxisOrder,
): Layout {
  const [a, b] = dims;
  const raw = a.map((d, i) => (d === b[i] ? d : -1));
  const at = raw.indexOf(-1);
  const one = a.length === b.length && raw.filter(d => d === -1).length === 1;
  const more = a[at]! - lengths[0];
  if (one && more > 0 && b[at]! - lengths[1] === more)
    throw new RefusedError(
      told`The ${what} hold ${more} more than the tokens of the text (a learned prefix or a memory), which is not supported.`,
    );
  if (!one || a[at] !== lengths[0] || b[at] !== lengths[1])
    throw new RefusedError(
      told`The ${what} have the shape [${a.join(', ')}] for ${lengths[0]} tokens, a layout that is not supported.`,
    );
  if (packedHeads > 0 && raw.length === 3) {
    const dim = raw[2]! / packedHeads;
    return { raw, split: [-1, packedHeads, dim], perm: [1, 0, 2], heads: packedHeads, dim };
  }
  const n = raw.length;
  const perm = typeof order === 'string' ? [...Array(n).keys()] : order;
  if (order === 'columns') [perm[n - 2], perm[n - 1]] = [n - 1, n - 2];
  if (n < 3 || at !== perm[n - 2])
    throw new RefusedError(
      told`The ${what} have the shape [${a.join(', ')}] for ${lengths[0]} tokens, a layout that is not supported.`,
    );
  const dim = raw[perm[n - 1]!]!;
  const heads = perm.slice(0, -2).reduce((product, axis) => product * raw[axis]!, 1);
  return { raw, split: raw, perm, heads, dim };
}

const isIdentity = (perm: readonly number[]) => perm.every((p, i) => p === i);
const same = (a: readonly number[], b: readonly number[]) =>
  a.length === b.length && a.every((d, i) => d === b[i]);

/** Adds the nodes that bring `name` to [heads, tokens, dim]. */
export function toCanonical(graph: Graph, name: string, layout: Layout, output: string): void {
  let at = name;
  if (!same(layout.split, layout.raw)) at = graph.op('Reshape', [at, graph.ints(layout.split)]);
  let perm = layout.perm;
  // Undo a Transpose of the graph's own instead of transposing twice.
  const made = graph.producer(at);
  if (!isIdentity(perm) && made?.op === 'Transpose' && made.domain === '') {
    const own = made.attributes.find(a => a.name === 'perm')?.ints?.map(Number);
    if (own) {
      perm = perm.map(p => own[p]!);
      at = made.inputs[0]!;
    }
  }
  if (!isIdentity(perm)) at = graph.op('Transpose', [at], [attribute.ints('perm', perm)]);
  graph.op('Reshape', [at, graph.ints([layout.heads, -1, layout.dim])], [], output);
}

/** Adds the nodes that bring a canonical tensor back into the raw layout, under the name `output`. */
export function fromCanonical(graph: Graph, name: string, layout: Layout, output: string): void {
  const permuted = layout.perm.map(p => layout.split[p]!);
  let at = graph.op('Reshape', [name, graph.ints(permuted)]);
  if (!isIdentity(layout.perm)) {
    const inverse = layout.perm.map((_, i) => layout.perm.indexOf(i));
    at = graph.op('Transpose', [at], [attribute.ints('perm', inverse)]);
  }
  if (same(layout.split, layout.raw)) graph.op('Identity', [at], [], output);
  else graph.op('Reshape', [at, graph.ints(layout.raw)], [], output);
}
