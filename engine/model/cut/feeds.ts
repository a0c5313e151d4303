import { RefusedError } from '../../errors';
import { ElementType } from '../../runtime/onnxProto';
import { float32, int32, int64, type Tensor } from '../../runtime/tensor';
import type { Graph, GraphInput } from '../onnx/graph';

/** The token ids of one run: the text, and for encoder-decoders the target text. */
export interface Ids {
  ids: Int32Array;
  /** Decoder input of an encoder-decoder; models with one id input have none. */
  target: Int32Array | null;
}

const TEXT = ['input_ids', 'input_ids_0', 'input', 'tokens', 'ids', 'input.1'];
const TARGET = ['decoder_input_ids'];

/** Names of the graph inputs that take token ids: the text, then the target text if there is one. */
export function idInputs(graph: Graph): string[] {
  const integer = graph.inputs.filter(i => i.type === ElementType.int64 || i.type === ElementType.int32);
  const text = TEXT.map(name => integer.find(i => i.name === name)).find(i => i !== undefined);
  const chosen = text ?? (integer.length === 1 ? integer[0] : undefined);
  if (!chosen) {
    const names = graph.inputs.map(i => i.name).join(', ');
    throw new RefusedError(
      `The model takes no token ids that the inspector knows of (its inputs: ${names}).`,
    );
  }
  for (const size of chosen.dims?.slice(1) ?? [])
    if (typeof size === 'number')
      throw new RefusedError(
        `The model takes exactly ${size} tokens; export it with a dynamic sequence length.`,
      );
  const target = integer.find(i => TARGET.includes(i.name));
  return target ? [chosen.name, target.name] : [chosen.name];
}

/** Values of every graph input for these ids: masks of ones, positions 0, 1, 2, ..., segments 0, empty caches. */
export function makeFeeds(graph: Graph, { ids, target }: Ids): Record<string, Tensor> {
  const [text, second] = idInputs(graph);
  const feeds: Record<string, Tensor> = {};
  for (const input of graph.inputs) {
    const own = second !== undefined && input.name.startsWith('decoder_') ? target! : ids;
    if (input.name === text || input.name === second)
      feeds[input.name] = whole(input, Array.from(own), [1, own.length]);
    else {
      const value = other(input, own.length);
      if (value) feeds[input.name] = value;
      else if (graph.consumers(input.name).length > 0) throw unknownInput(input.name);
    }
  }
  return feeds;
}

/** Null for an input of no known meaning. */
function other(input: GraphInput, tokens: number): Tensor | null {
  const { name } = input;
  const fill = (value: (i: number) => number) =>
    whole(
      input,
      Array.from({ length: tokens }, (_, i) => value(i)),
      [1, tokens],
    );
  if (/attention_mask|(^|\.|_)mask$|input_mask/.test(name)) return fill(() => 1);
  if (/position/.test(name)) return fill(i => i);
  if (/token_type|segment/.test(name)) return fill(() => 0);
  if (/use_cache_branch/.test(name)) return { type: 'bool', data: Uint8Array.of(0), dims: [1] };
  // How many tokens are in the cache.
  if (/past_(sequence_)?length|past_seq_len/.test(name))
    return whole(input, [0], input.dims && input.dims.length > 0 ? [1] : []);
  if (/past|cache/.test(name)) return emptyCache(input);
  return null;
}

export function unknownInput(name: string): RefusedError {
  if (name === 'encoder_hidden_states')
    return new RefusedError(
      'The file holds the decoder of an encoder-decoder only: its encoder_model.onnx must lie beside it.',
    );
  return new RefusedError(`The model has an input ${name} that the inspector does not know how to fill.`);
}

function whole(input: GraphInput, values: number[], dims: number[]): Tensor {
  switch (input.type) {
    case ElementType.int64:
      return int64(values, dims);
    case ElementType.int32:
      return int32(Int32Array.from(values), dims);
    case ElementType.float32:
      return float32(Float32Array.from(values), dims);
    case ElementType.bool:
      return { type: 'bool', data: Uint8Array.from(values), dims };
    default:
      throw new RefusedError(`The model's input ${input.name} has an element type that is not supported.`);
  }
}

/** Past keys and values of length zero: [batch 1, heads, 0, dim]. */
function emptyCache(input: GraphInput): Tensor {
  const dims = (input.dims ?? []).map((d, i) => (typeof d === 'number' ? d : i === 0 ? 1 : 0));
  if (!dims.includes(0))
    throw new RefusedError(
      `The model's cache input ${input.name} has a fixed length and cannot be left empty.`,
    );
  if (input.type === ElementType.float16) return { type: 'float16', data: new Uint16Array(0), dims };
  return whole(input, [], dims);
}

/** Deterministic ids below `vocabulary`, as random as a text is to the graph. */
export function sampleIds(count: number, vocabulary: number, seed: number): Int32Array {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * vocabulary);
  });
}
