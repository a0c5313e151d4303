import { ElementType } from '../../runtime/onnxProto';
import type { Extract, Graph } from '../onnx/graph';

/** Weight matrices of pieces that are built alike: what lies between one attention and the next, layer after layer. */
export interface LayerWeights {
  /** For each matrix its initialiser in every piece. */
  matrices: string[][];
  pieces: number;
  /** Numbers in one piece's matrices, and in the largest of them. */
  size: number;
  largest: number;
  /** All pieces have the same matrices: one block for all layers. */
  shared: boolean;
  /** They can be read as floats as they are. */
  plain: boolean;
}

/** Null when fewer than two pieces are alike. */
export function layerWeights(graph: Graph, pieces: readonly (Extract | null)[]): LayerWeights | null {
  const dims = (name: string) => (graph.initializers.get(name)?.dims ?? []).map(Number);
  const matricesOf = (piece: Extract) => piece.initializers.filter(name => dims(name).length === 2);
  const shapeOf = (piece: Extract) =>
    [...piece.nodes.map(n => n.op), ...matricesOf(piece).map(name => dims(name).join('x'))].join('|');
  const groups = new Map<string, Extract[]>();
  for (const piece of pieces) {
    if (!piece || matricesOf(piece).length === 0) continue;
    const key = shapeOf(piece);
    groups.set(key, [...(groups.get(key) ?? []), piece]);
  }
  const alike = [...groups.values()].sort((a, b) => b.length - a.length)[0] ?? [];
  if (alike.length < 2) return null;
  const lists = alike.map(matricesOf);
  const matrices = lists[0]!.map((_, t) => lists.map(list => list[t]!));
  const sizes = matrices.map(([name]) => dims(name!).reduce((product, d) => product * d, 1));
  return {
    matrices,
    pieces: alike.length,
    size: sizes.reduce((sum, n) => sum + n, 0),
    largest: Math.max(...sizes),
    shared: matrices.every(names => new Set(names).size === 1),
    plain: matrices.flat().every(name => graph.type(name) === ElementType.float32),
  };
}
