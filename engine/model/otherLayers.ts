import type { OtherLayers } from '../../shared/protocol/engine';
import { intAttribute } from './onnx/node';
import type { Graph } from './onnx/graph';

type Config = Record<string, unknown>;

/** How configurations call what mixes the tokens of a layer, in words; the rest of their names is attention. */
const KINDS: readonly [RegExp, string][] = [
  [/conv/, 'convolution'],
  [/linear|lightning|delta/, 'linear attention'],
  [/mamba|ssm/, 'state space'],
  [/recurrent|rglru|rwkv|lstm/, 'recurrence'],
];

/** The same, as operators of a graph. */
const OPERATORS: Readonly<Record<string, string>> = {
  CausalConvWithState: 'convolution',
  LinearAttention: 'linear attention',
  LSTM: 'recurrence',
  GRU: 'recurrence',
  RNN: 'recurrence',
  Scan: 'recurrence',
};

/**
 * Layers that mix tokens by something else than attention (hybrid models), which no view shows. Which layers they are is
 * read from the configuration, where its list agrees with the attentions that were found; else the graph's operators are
 * counted.
 */
export function otherLayers(graph: Graph, config: Config, attentions: number): OtherLayers[] {
  const listed = listOf(config) ?? listOf((config['text_config'] ?? {}) as Config);
  const kinds = listed?.map(name => KINDS.find(([pattern]) => pattern.test(name))?.[1] ?? null);
  if (kinds && kinds.filter(kind => kind === null).length === attentions) {
    const others = [...new Set(kinds)].filter(kind => kind !== null);
    return others.map(what => {
      const layers = kinds.flatMap((kind, layer) => (kind === what ? [layer] : []));
      return { what, count: layers.length, layers, of: kinds.length };
    });
  }
  const found = graph.nodes.flatMap(node => {
    // A filter of its own for each channel moves along the tokens; others make embeddings of pictures and sound.
    const alongTokens = node.op === 'Conv' && intAttribute(node, 'group', 1) > 1;
    return alongTokens ? ['convolution'] : (OPERATORS[node.op] ?? []);
  });
  return [...new Set(found)].map(what => ({ what, count: found.filter(kind => kind === what).length }));
}

/** Longer lists are none of layers. */
const MOST_LAYERS = 10_000;

/** What each layer is made of, in the words of the configuration. */
function listOf(config: Config): string[] | null {
  const list = config['layer_types'] ?? config['layers_block_type'];
  const layers = Number(config['num_hidden_layers']);
  if (Array.isArray(list)) return list.length <= MOST_LAYERS ? list.map(String) : null;
  const pattern = config['block_types'];
  if (Array.isArray(pattern) && pattern.length > 0 && layers > 0 && layers <= MOST_LAYERS)
    return Array.from({ length: layers }, (_, layer) => String(pattern[layer % pattern.length]));
  return null;
}
