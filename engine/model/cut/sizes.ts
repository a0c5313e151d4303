import { ElementType } from '../../runtime/onnxProto';
import { contentOf } from './findCores';
import type { Graph } from '../onnx/graph';
import { positionsOf } from '../onnx/positions';

const CONTEXT_KEYS = [
  'n_positions',
  'max_position_embeddings',
  'n_ctx',
  'max_sequence_length',
  'max_seq_len',
  'seq_length',
];

/** Rows of the tables that are indexed by the text itself. */
function contentRows(graph: Graph, inputs: readonly string[]): number[] {
  const content = contentOf(graph, inputs);
  return graph.nodes.flatMap(node => {
    if (node.op !== 'Gather') return [];
    const dims = tableDims(graph, node.inputs[0]!);
    return dims?.length === 2 && content.has(node.inputs[1]!) ? [dims[0]!] : [];
  });
}

/** Shape of a float table, directly or behind its dequantisation. */
function tableDims(graph: Graph, name: string): number[] | undefined {
  const tensor = graph.initializers.get(name);
  if (tensor) return tensor.data_type === ElementType.int64 ? undefined : tensor.dims?.map(Number);
  const made = graph.producer(name);
  return made && ['DequantizeLinear', 'Cast'].includes(made.op)
    ? tableDims(graph, made.inputs[0]!)
    : undefined;
}

/** Token ids that the model's own table holds. */
export function vocabularyOf(
  graph: Graph,
  inputs: readonly string[],
  config: Record<string, unknown>,
): number {
  const rows = contentRows(graph, inputs).filter(n => n > 2);
  if (rows.length > 0) return Math.min(...rows);
  return typeof config['vocab_size'] === 'number' ? config['vocab_size'] : 16;
}

/** Longest text that the configuration names, or null. */
export function namedContext(config: Record<string, unknown>): number | null {
  const named = CONTEXT_KEYS.map(key => config[key]).find(v => Number.isSafeInteger(v) && Number(v) > 0) as
    number | undefined;
  if (named === undefined) return null;
  const { first, padding } = positionsOf(config);
  // Where counting starts after the padding id, the table holds the rows before it too.
  const context = padding === null ? named : named - first;
  return context > 0 ? context : null;
}

/** Tokens up to which row numbers are computed to see whether they grow on. */
const LONGEST_CHECK = 2048;

/** A table that is read by positions: its rows, and the tensor of the row numbers. */
export interface PositionTable {
  rows: number;
  index: string;
}

export function positionTables(graph: Graph, inputs: readonly string[]): PositionTable[] {
  const content = contentOf(graph, inputs);
  return graph.nodes.flatMap(node => {
    if (node.op !== 'Gather' || content.has(node.inputs[1]!) || graph.initializers.has(node.inputs[1]!))
      return [];
    const dims = tableDims(graph, node.inputs[0]!);
    return dims?.length === 2 && dims[0]! >= 8 ? [{ rows: dims[0]!, index: node.inputs[1]! }] : [];
  });
}

/**
 * Longest text by the tables of positions: where the largest row number grows by one with every token, the rows end it.
 * Others (T5's buckets of distances) limit nothing. `largest`: row numbers read at these lengths, NaN where it fails.
 */
export async function contextOfTables(
  tables: readonly PositionTable[],
  largest: (index: string, length: number) => Promise<number>,
): Promise<number | null> {
  let context: number | null = null;
  for (const { rows, index } of tables) {
    const first = (await largest(index, 6)) - 5;
    const limit = rows - first;
    if (limit < 8 || (await largest(index, 11)) - 10 !== first) continue;
    // Distances stop growing at the last row; positions go beyond it, or fail there.
    const check = Math.min(LONGEST_CHECK, limit + 3);
    const beyond = (await largest(index, check)) - (check - 1);
    if (Number.isNaN(beyond) || beyond === first) context = Math.min(limit, context ?? Infinity);
  }
  return context;
}
