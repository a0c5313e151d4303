import { ElementType } from '../runtime/onnxProto';
import { contentOf } from './findCores';
import type { Graph } from './graph';

const CONTEXT_KEYS = [
  'n_positions',
  'max_position_embeddings',
  'n_ctx',
  'max_sequence_length',
  'max_seq_len',
  'seq_length',
];

/** Rows of the tables that are indexed by the text itself, or by positions. */
function tableRows(graph: Graph, inputs: readonly string[], byContent: boolean): number[] {
  const content = contentOf(graph, inputs);
  return graph.nodes.flatMap(node => {
    if (node.op !== 'Gather') return [];
    const dims = tableDims(graph, node.inputs[0]!);
    return dims?.length === 2 && content.has(node.inputs[1]!) === byContent ? [dims[0]!] : [];
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
  const rows = tableRows(graph, inputs, true).filter(n => n > 2);
  if (rows.length > 0) return Math.min(...rows);
  return typeof config['vocab_size'] === 'number' ? config['vocab_size'] : 16;
}

/** Longest text: from the configuration, or the rows of the position table; null = no limit. */
export function contextOf(
  graph: Graph,
  inputs: readonly string[],
  config: Record<string, unknown>,
): number | null {
  const tables = tableRows(graph, inputs, false).filter(n => n >= 8);
  const named = CONTEXT_KEYS.map(key => config[key]).find(v => typeof v === 'number' && v > 0) as
    number | undefined;
  // RoBERTa and its kin start counting after the padding index.
  const offset = /roberta|camembert|longformer|xlm/.test(String(config['model_type']))
    ? Number(config['pad_token_id'] ?? 1) + 1
    : 0;
  if (named !== undefined) return named - offset;
  return tables.length > 0 && !relativeOnly(graph, config) ? Math.min(...tables) : null;
}

/** T5 looks relative distances up in a table of 32 rows, which limits nothing. */
function relativeOnly(_graph: Graph, config: Record<string, unknown>): boolean {
  return /t5/.test(String(config['model_type']));
}
