import { RefusedError, told } from '../../errors';
import { ElementType } from '../../runtime/onnxProto';
import { float32, int32, int64, type Tensor } from '../../runtime/tensor';
import type { Graph } from '../onnx/graph';
import {
  idInputs,
  isOfTarget,
  roleOf,
  unknownInput,
  type Conventions,
  type GraphInput,
  type InputRole,
} from '../onnx/inputs';
import { intAttribute } from '../onnx/node';
import { countPositions } from '../onnx/positions';

/** The token ids of one run: the text, and for encoder-decoders the target text. */
export interface Ids {
  ids: Int32Array;
  /** Decoder input of an encoder-decoder; models with one id input have none. */
  target: Int32Array | null;
}

/** Values of every graph input for these ids: everything visible, positions as the family counts them, segments 0, empty caches. */
export function makeFeeds(graph: Graph, { ids, target }: Ids): Record<string, Tensor> {
  const names = idInputs(graph);
  const feeds: Record<string, Tensor> = {};
  for (const input of graph.inputs) {
    const own = names.length > 1 && isOfTarget(input.name) ? target! : ids;
    const role = roleOf(input, names, graph.conventions);
    if (role) {
      const text = role.kind === 'target' ? target! : own;
      feeds[input.name] = valueOf(input, role, text, graph, holdsWindow(graph, input.name));
    } else if (graph.consumers(input.name).length > 0) throw unknownInput(input.name);
  }
  return feeds;
}

/** Of a cache of the window's size the operator itself knows that nothing is in it yet. */
const holdsWindow = (graph: Graph, name: string): boolean =>
  graph.consumers(name).every(node => intAttribute(node, 'sliding_window_cache', 0) === 1);

function valueOf(
  input: GraphInput,
  role: InputRole,
  ids: Int32Array,
  { conventions }: Pick<Graph, 'conventions'>,
  holdsWindow: boolean,
): Tensor {
  const tokens = ids.length;
  switch (role.kind) {
    case 'text':
    case 'target':
      return filled(input, perToken(input, tokens), i => ids[i]!);
    case 'mask':
      return maskOf(input, role, tokens);
    case 'heads':
      return filled(input, declared(input, 1), () => 1);
    case 'positions': {
      const positions = countPositions(ids, conventions.positions);
      return filled(input, perToken(input, tokens), i => positions[i % tokens]!);
    }
    case 'zeros':
      return filled(input, perToken(input, tokens), () => 0);
    case 'length':
      return filled(input, declared(input, 1), () => (role.of === 'past' ? 0 : tokens + role.beyond));
    case 'kept': {
      // 0 keeps all; a list of open length names the positions.
      const listed = input.dims?.length === 1 && typeof input.dims[0] === 'string';
      return filled(input, listed ? [tokens] : declared(input, 1), i => i);
    }
    case 'branch':
      return { type: 'bool', data: Uint8Array.of(0), dims: [1] };
    case 'cache':
      return filled(input, cacheDims(input, conventions, holdsWindow), () => 0);
  }
}

/**
 * The shape of something that every token has: [tokens], [1, tokens], [3, 1, tokens] (positions of several axes) or
 * [1, tokens, 4] (boxes).
 */
function perToken({ name, dims }: GraphInput, tokens: number): number[] {
  const rank = dims?.length ?? 2;
  const first = dims?.[0];
  if (rank === 3 && typeof dims!.at(-1) === 'number') return [1, tokens, dims!.at(-1) as number];
  // Multi-axis rotary positions: time, height and width.
  if (rank === 3) return [typeof first === 'number' ? first : 3, 1, tokens];
  if (rank === 2) return [typeof first === 'number' ? first : 1, tokens];
  if (rank === 1) return [tokens];
  throw new RefusedError(told`The model's input ${name} has ${rank} axes, which the inspector cannot fill.`);
}

/** A mask of keys, [1, tokens], or of queries by keys under leading axes of 1. */
function maskOf(
  input: GraphInput,
  { visible, hidden, byQuery, causal }: Extract<InputRole, { kind: 'mask' }>,
  tokens: number,
): Tensor {
  const rank = input.dims?.length ?? 2;
  if (!byQuery) return filled(input, rank === 1 ? [tokens] : [1, tokens], () => visible);
  const one = (axis: number) => input.dims?.at(axis) === 1;
  const rows = one(-2) ? 1 : tokens;
  const dims = [...Array<number>(rank - 2).fill(1), rows, tokens];
  const future = (i: number) => causal && rows > 1 && i % tokens > Math.floor(i / tokens);
  return filled(input, dims, i => (future(i) ? hidden : visible));
}

/** The declared shape, open sizes as `open`. */
const declared = ({ dims }: GraphInput, open: number): number[] =>
  (dims ?? []).map(d => (typeof d === 'number' ? d : open));

/**
 * Past keys and values of length zero, [1, heads, 0, dim], or [2, 1, heads, 0, dim] where both lie in one tensor. A state
 * that does not grow (of a convolution, of a recurrence) has its own size.
 */
function cacheDims(
  { name, dims }: GraphInput,
  { headSize, kvHeads }: Conventions,
  holdsWindow: boolean,
): number[] {
  const known = dims ?? [];
  const rank = known.length;
  const packed = rank === 5;
  const open = known.map((d, axis) => ({ d, axis })).filter(({ d }) => typeof d !== 'number');
  const isState = /conv|recurrent|ssm|state/.test(name);
  const lengthAxis = open.find(({ d, axis }) => axis > (packed ? 1 : 0) && namesLength(String(d)))?.axis;
  const missing = (): never => {
    throw new RefusedError(
      told`The shape of the model's cache input ${name} is not told: neither the file nor a config.json names its size.`,
    );
  };
  const sizes = known.map((d, axis): number => {
    if (typeof d === 'number') return d;
    if (axis === (packed ? 1 : 0)) return 1;
    if (isState) return 1;
    if (axis === lengthAxis) return 0;
    if (namesHeads(d) || (axis === rank - 3 && rank >= 4)) return kvHeads ?? missing();
    if (axis === rank - 1 && (lengthAxis !== undefined || open.some(o => o.axis === rank - 2)))
      return headSize ?? missing();
    return 0;
  });
  if (!isState && !holdsWindow && !sizes.includes(0))
    throw new RefusedError(
      told`The model's cache input ${name} has a fixed length and cannot be left empty.`,
    );
  return sizes;
}

const namesLength = (symbol: string) => /past|seq|len|total|kv_cache(?!_dim)|window/.test(symbol);
const namesHeads = (symbol: string) => /heads?$/.test(symbol);

function filled(input: GraphInput, dims: number[], value: (i: number) => number): Tensor {
  const values = Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => value(i));
  switch (input.type) {
    case ElementType.int64:
      return int64(values, dims);
    case ElementType.int32:
      return int32(Int32Array.from(values), dims);
    case ElementType.float32:
      return float32(Float32Array.from(values), dims);
    case ElementType.float64:
      return { type: 'float64', data: Float64Array.from(values), dims };
    case ElementType.float16:
      return { type: 'float16', data: Uint16Array.from(values, halfBits), dims };
    case ElementType.bool:
    case ElementType.uint8:
      return {
        type: input.type === ElementType.bool ? 'bool' : 'uint8',
        data: Uint8Array.from(values),
        dims,
      };
    case ElementType.int8:
      return { type: 'int8', data: Int8Array.from(values), dims };
    default:
      throw new RefusedError(
        told`The model's input ${input.name} has an element type that is not supported.`,
      );
  }
}

/** The bits of a whole number up to 65504 as a float16. */
function halfBits(value: number): number {
  if (value === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  const fraction = Math.round((Math.abs(value) / 2 ** exponent - 1) * 1024);
  return (value < 0 ? 0x8000 : 0) + ((exponent + 15) << 10) + fraction;
}

/** Deterministic ids below `vocabulary`, as random as a text is to the graph. */
export function sampleIds(count: number, vocabulary: number, seed: number): Int32Array {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * vocabulary);
  });
}
