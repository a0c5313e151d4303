import type { Tensor } from '../../runtime/tensor';
import type { Extract, Graph } from '../onnx/graph';
import { reads, type GraphNode } from '../onnx/node';
import { isFloat } from './headWrites';

/** Rows of the residual stream: what a core's queries are made from. */
export interface HiddenRows {
  /** Core index, or `output`: what the last projection (or the user of a base model) gets. */
  at: number | 'output';
  rows: number;
  width: number;
  /** [rows, width] */
  data: Float32Array;
}

const PASSING = new Set(['Cast', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten']);

/** The look-up of the token embedding alone, from ids to rows of the table; null when there is no such node. */
export function embeddingPiece(graph: Graph, ids: string): Extract | null {
  const lookup = embeddingLookup(graph, ids);
  return lookup && graph.extract([lookup.outputs[0]!], () => false);
}

export function embeddingLookup(graph: Graph, ids: string): GraphNode | null {
  const constants = graph.constants();
  const isIds = (name: string): boolean => {
    if (name === ids) return true;
    const made = graph.producer(name);
    return made !== undefined && PASSING.has(made.op) && isIds(made.inputs[0]!);
  };
  const lookup = graph.nodes.find(
    n =>
      /^Gather(BlockQuantized)?$/.test(n.op) &&
      constants.has(n.inputs[0]!) &&
      isIds(n.inputs[1]!) &&
      isFloat(graph, n.outputs[0]!),
  );
  return lookup ?? null;
}

/**
 * Among the tensors that cross the cut before a core, the one that its queries are made from and that is carried past
 * it: the residual stream. The widest of them; null when there is none, or more than one could be it.
 */
export function residualOf(
  graph: Graph,
  query: string,
  tensors: ReadonlyMap<string, Tensor>,
  carried: (name: string) => boolean,
): { name: string; tensor: Tensor } | null {
  const found = new Map<string, Tensor>();
  const seen = new Set<string>();
  const stack = [query];
  while (stack.length > 0) {
    const name = stack.pop()!;
    if (seen.has(name)) continue;
    seen.add(name);
    const tensor = name === query ? undefined : tensors.get(name);
    if (tensor && carried(name) && isRows(tensor)) {
      found.set(name, tensor);
      continue;
    }
    const made = graph.producer(name);
    if (made) stack.push(...reads(made));
  }
  // Tables of rotary positions cross the cut too, and are as narrow as a head.
  const widest = Math.max(0, ...[...found.values()].map(tensor => tensor.dims.at(-1)!));
  const all = [...found].filter(([, tensor]) => tensor.dims.at(-1) === widest);
  return all.length === 1 ? { name: all[0]![0], tensor: all[0]![1] } : null;
}

/** [1, rows, width] or [rows, width] of floats. */
function isRows({ type, dims }: Tensor): boolean {
  return (
    /^float/.test(type) && (dims.length === 2 || (dims.length === 3 && dims[0] === 1)) && dims.at(-1)! > 1
  );
}
