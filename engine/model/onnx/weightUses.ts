/** How many numbers a model's weights hold, and what is done with them. */
import { ElementType } from '../../runtime/onnxProto';
import type { Graph } from './graph';
import { intAttribute, reads, type GraphNode } from './node';
import { countParameters } from './weights';

/** Of a model's parameters, each counted once. */
export interface WeightUses {
  /** In every product or sum of a forward: all but the tables that rows are only looked up in. */
  multiplied: number;
  /** In the matrix that makes the logits, where it is not the table of embeddings (tied). */
  output: number;
  /** In tables other than the embeddings that rows are only looked up in: of positions, of kinds of tokens. */
  tables: number;
}

export function weightUses(graph: Graph, folder: string, vocabulary: number | null): WeightUses {
  const multiplied = (name: string) => !isLookedUp(graph, name) || isMultiplied(graph, name);
  const ofWords = (name: string) => {
    const dims = (graph.initializers.get(name)?.dims ?? []).map(Number);
    return dims.length >= 2 && dims.includes(vocabulary ?? -1);
  };
  const untied = (name: string) => ofWords(name) && !isLookedUp(graph, name);
  const all = countWeights(graph, folder);
  return {
    multiplied: countWeights(graph, folder, multiplied),
    // A tied table that is stored a second time, turned, is counted with the first.
    output: all - countWeights(graph, folder, name => !untied(name)),
    tables: countWeights(graph, folder, name => !multiplied(name) && !ofWords(name)),
  };
}

/** Numbers in the floating-point or quantised weights that the model uses, each counted once. */
export function countWeights(
  graph: Graph,
  folder: string,
  counts: (name: string) => boolean = () => true,
): number {
  const used = new Set(graph.nodes.flatMap(node => weightsOf(graph, node)));
  const weights = [...graph.initializers]
    .filter(([name]) => used.has(name) && counts(name))
    .map(([, tensor]) => tensor);
  // Packed weights of a few bits are bytes to ONNX.
  const packed = new Map(
    graph.nodes.flatMap(n => {
      const table =
        n.op === 'MatMulNBits' ? n.inputs[1] : n.op === 'GatherBlockQuantized' ? n.inputs[0] : null;
      const tensor = table == null ? undefined : graph.initializers.get(table);
      const inBytes = tensor?.data_type === ElementType.uint8;
      return inBytes ? [[tensor, 8 / intAttribute(n, 'bits', 4)] as const] : [];
    }),
  );
  return countParameters(weights, folder, tensor => packed.get(tensor) ?? 1);
}

/** What of a node's inputs is learned: no tables of sines and cosines, no scales and zero points of packed weights. */
function weightsOf(graph: Graph, node: GraphNode): string[] {
  if (node.op === 'RotaryEmbedding') return node.inputs.slice(0, 1);
  if (node.op === 'MatMulNBits' || node.op === 'GatherBlockQuantized')
    return node.inputs.filter((_, i) => i !== 2 && i !== 3);
  if (isUnpacked(graph, node)) return [];
  return reads(node);
}

/** Weights of whole numbers times a scale, as a product of its own: what is learned are the numbers. */
function isUnpacked(graph: Graph, node: GraphNode): boolean {
  const wholes = node.inputs.map(input => graph.producer(input)).find(cast => cast?.op === 'Cast');
  const source = wholes && graph.initializers.get(wholes.inputs[0]!);
  const areWhole = source?.data_type === ElementType.int8 || source?.data_type === ElementType.uint8;
  const others = node.inputs.filter(input => input !== wholes?.outputs[0]);
  return node.op === 'Mul' && areWhole && others.every(input => graph.initializers.has(input));
}

/** What only writes a table in another way. */
const PASSING: ReadonlySet<string> = new Set([
  'Cast',
  'DequantizeLinear',
  'Identity',
  'Reshape',
  'Transpose',
]);

const usesOf = (graph: Graph, name: string): { node: GraphNode; input: string }[] =>
  graph
    .consumers(name)
    .flatMap(node =>
      PASSING.has(node.op) || isUnpacked(graph, node)
        ? usesOf(graph, node.outputs[0]!)
        : [{ node, input: name }],
    );

const looksUp = ({ node, input }: { node: GraphNode; input: string }): boolean =>
  /^Gather(BlockQuantized)?$/.test(node.op) && node.inputs[0] === input;

const isLookedUp = (graph: Graph, name: string) => usesOf(graph, name).some(looksUp);
const isMultiplied = (graph: Graph, name: string) => usesOf(graph, name).some(use => !looksUp(use));
