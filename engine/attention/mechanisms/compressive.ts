import { CompressedMemory, type CompressionOptions, type Slots } from '../kernels/compressedMemory';
import type { CoreInput } from '../core';
import { pairCost } from '../cost';
import { scoreAt } from '../kernels/lines';
import { attendLists, sequence } from '../kernels/lists';
import type { AttendContext, Mechanism, SparseRow } from '../mechanism';
import { numberOf, numberOrAuto, wordOf } from '../../../shared/setting';
import { refusesRule } from '../kernels/plainCore';
import { softmax } from '../kernels/rows';
import {
  defaultMemory,
  recentKeys,
  recentPairs,
  refusesSegments,
  SEGMENT,
  segmentLength,
  segmentParameter,
  segmentsOf,
  type Segment,
} from '../kernels/segments';
import { AttentionReconstruction, autoencodingError } from '../kernels/reconstruction';
import { offsetTables, Outputs, runTiles, type TileResult } from '../kernels/tiles';
import { RefusedError, told } from '../../errors';
import type { MechanismParams } from '../../../shared/protocol/engine';
import { float32 } from '../../runtime/tensor';

/** Queries at once. */
const ROWS = 64;

/**
 * Compressive Transformer: what falls out of the memory is compressed, `rate` tokens to one slot, and stays visible
 * for longer. Keys and values are pooled as they are: exact for the mean (it commutes with the linear projections),
 * an approximation for `max` and `conv`, which the paper applies to hidden states. A slot stands for several tokens
 * but has the weight of one.
 */
export const compressive: Mechanism = {
  info: {
    name: 'compressive',
    title: 'Compressive',
    label: 'slots',
    hue: '#f28e2c',
    pale: true,
    summary:
      'Every token attends to its segment, to a memory before it, and to a compressed memory before that.',
    paper: 'Rae et al., Compressive Transformers for Long-Range Sequence Modelling, 2020, section 3',
    parameters: [
      {
        name: 'memory',
        type: 'integer',
        default: null,
        defaultRule: '128, or half of the keys before the queries',
        minimum: 0,
        description: 'Keys remembered as they are from before the segment.',
      },
      {
        name: 'compressed',
        type: 'integer',
        default: 128,
        minimum: 0,
        description: 'Slots of the compressed memory; the oldest are dropped.',
      },
      { name: 'rate', type: 'integer', default: 4, minimum: 1, description: 'Tokens for each slot.' },
      {
        name: 'pool',
        type: 'string',
        default: 'mean',
        choices: ['mean', 'max', 'conv', 'most-used'],
        description:
          'How tokens become a slot; most-used keeps those that were attended to most while they were still in the memory.',
      },
      segmentParameter,
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'As Transformer-XL, and what falls out of the memory is compressed, `rate` tokens to one slot, and stays for longer.',
    rule: 'keys = [slots; memory; segment], one softmax; a slot is the mean, maximum or convolution of its tokens, or a token that was used most',
    exact:
      '`mean` is exact (it commutes with the projections, positions apart). `max` and `conv` pool keys and values, the paper pools hidden states. Pooled slots are not pairs of the dense map, so recall counts what is left as it is. `most-used` is chosen by the segment that still had the tokens. Results tell the attention reconstruction error: attention over the slots against attention over their tokens; `attend` also gives the auto-encoding error.',
    cost: 'N · (segment / 2 + memory + compressed) pairs.',
    when: 'Heads that need the gist of the distant past. A reconstruction error near 1 says that slots do not stand for their tokens.',
  },

  examples: [
    { segment: 8, memory: 8, compressed: 5, rate: 4 },
    { segment: 6, memory: 4, compressed: 3, rate: 2 },
    { segment: 16, memory: 8, compressed: 5, rate: 3 },
    { segment: 10, memory: 0, compressed: 100, rate: 2 },
  ],
  whole: tokens => [
    { segment: 5, memory: tokens },
    { segment: 7, memory: 3, compressed: tokens, rate: 1 },
  ],

  tensors: { conv: { dims: ['dim', 'dim', 'rate'] } },

  causalOnly: true,

  refuses(input, params) {
    // A bias by pair is for tokens: it has no value for a pooled slot.
    const pairs = input.rule.bias?.kind === 'opaque' && !hasSlots(input, params);
    return (
      refusesSegments('The Compressive Transformer', input) ??
      refusesRule(
        'The Compressive Transformer',
        pairs ? { ...input, rule: { ...input.rule, bias: null } } : input,
      )
    );
  },

  cost(tokens, params, shape) {
    const segment = numberOrAuto(params, 'segment', SEGMENT);
    const memory = numberOrAuto(params, 'memory', SEGMENT);
    const rate = numberOf(params, 'rate');
    let slots = 0;
    for (let start = 0; start < tokens; start += segment) {
      const old = Math.floor(Math.max(0, start - memory) / rate);
      const rows = Math.min(segment, tokens - start);
      slots += rows * Math.min(old, numberOf(params, 'compressed'));
    }
    return pairCost(recentPairs(tokens, segment, memory) + slots, shape);
  },

  settle: (input, params) => ({ memory: memoryOf(input, params), segment: segmentLength(input, params) }),

  async attend(input, params, context) {
    const options = readOptions(input, params, context);
    const segments = segmentsOf(input, params);
    const outputs = new Outputs(input);
    const kept = new Float32Array(outputs.lse.length);
    const tables = offsetTables(input);
    const pairs = new Float64Array(input.heads);
    const memories: Slots[][] = [];
    const reconstruction = new Float32Array(input.heads);
    const autoencoding = new Float32Array(input.heads);
    for (let head = 0; head < input.heads; head++) {
      const memory = new CompressedMemory(input, head, options);
      const lost = new AttentionReconstruction(input, head, ROWS);
      const slots: Slots[] = [];
      memories.push(slots);
      for (const segment of segments) {
        const seen = await memory.before(segment, context);
        slots.push(seen);
        for (let from = segment.from; from < segment.to; from += ROWS) {
          const to = Math.min(segment.to, from + ROWS);
          const first = recentKeys(input, from, segment.start, options.memory).from;
          const keys = sequence(first, recentKeys(input, to - 1, segment.start, options.memory).to);
          const queries = sequence(from, to);
          pairs[head]! += await attendLists(input, head, queries, keys, null, tables(head), outputs, context);
          const rows = head * input.queries;
          const remember = () => kept.set(outputs.lse.subarray(rows + from, rows + to), rows + from);
          remember();
          pairs[head]! += (to - from) * seen.count;
          if (seen.count === 0) continue;
          const result = await addSlots(input, head, from, to, seen, outputs, context);
          await lost.add(from, to, seen, result, context);
          if (options.pool === 'most-used') remember();
        }
      }
      reconstruction[head] = lost.error;
      autoencoding[head] = autoencodingError(input, head, slots.at(-1)!, options);
    }
    return {
      output: outputs.output,
      // Mass is kept on the keys that are there as they are; pooled slots are not pairs of the dense map.
      lse: kept,
      reweighted: true,
      pairs,
      row: (head, query) => {
        const s = segments.findIndex(segment => query < segment.to);
        return effectiveRow(input, head, query, segments[s]!, memories[head]![s]!, options);
      },
      extra: {
        attention_reconstruction: float32(reconstruction, [input.heads]),
        autoencoding: float32(autoencoding, [input.heads]),
      },
    };
  },
};

function memoryOf(input: CoreInput, params: MechanismParams): number {
  const otherwise = input.keys > input.queries ? Math.ceil(defaultMemory(input) / 2) : SEGMENT;
  return numberOrAuto(params, 'memory', otherwise);
}

/** Whether any token gets old enough to be compressed. */
function hasSlots(input: CoreInput, params: MechanismParams): boolean {
  const last = segmentsOf(input, params).at(-1)!;
  const old = last.start - memoryOf(input, params);
  return old >= numberOf(params, 'rate') && numberOf(params, 'compressed') > 0;
}

function readOptions(input: CoreInput, params: MechanismParams, { own }: AttendContext): CompressionOptions {
  const rate = numberOf(params, 'rate');
  const options: CompressionOptions = {
    memory: memoryOf(input, params),
    compressed: numberOf(params, 'compressed'),
    rate,
    pool: wordOf(params, 'pool'),
    conv: null,
  };
  if (options.pool !== 'conv') return options;
  const { dim, valueDim } = input;
  const conv = own['conv'];
  if (conv?.type !== 'float32' || conv.dims.join() !== `${dim},${dim},${rate}` || dim !== valueDim) {
    throw new RefusedError(told`The pool "conv" needs the tensor "conv", float32 [${dim}, ${dim}, ${rate}].`);
  }
  return { ...options, conv: conv.data };
}

async function addSlots(
  input: CoreInput,
  head: number,
  from: number,
  to: number,
  { k, v, count }: Slots,
  outputs: Outputs,
  context: AttendContext,
): Promise<TileResult> {
  const { queries, dim, rule } = input;
  const core: CoreInput = {
    ...input,
    heads: 1,
    kvHeads: 1,
    keys: count,
    q: input.q.subarray(head * queries * dim, (head + 1) * queries * dim),
    k,
    v,
    rule: { ...rule, scale: rule.scale.subarray(head, head + 1) },
  };
  const tiles = {
    head: 0,
    rows: to - from,
    columns: count,
    queries: sequence(from, to),
    keys: sequence(0, count),
    bias: null,
  };
  const result = await runTiles(core, tiles, context);
  outputs.merge({ ...tiles, head }, result);
  return result;
}

/** Weights of real keys; a slot's weight is shared equally by its tokens (exact for the mean). */
function effectiveRow(
  input: CoreInput,
  head: number,
  query: number,
  segment: Segment,
  slots: Slots,
  options: CompressionOptions,
): SparseRow {
  const { dim, queries, q, rule } = input;
  const { from, to } = recentKeys(input, query, segment.start, options.memory);
  const scores: number[] = [];
  for (let s = 0; s < slots.count; s++) {
    let dot = 0;
    for (let c = 0; c < dim; c++) dot += q[(head * queries + query) * dim + c]! * slots.k[s * dim + c]!;
    scores.push(dot * rule.scale[head]!);
  }
  for (let key = from; key < to; key++) scores.push(scoreAt(input, head, query, key));
  const softmaxed = scores.some(score => score > -Infinity) ? softmax(scores) : scores.map(() => 0);
  const keys: number[] = [];
  const weights: number[] = [];
  slots.tokens.forEach((token, s) => {
    for (let t = 0; t < slots.size; t++) {
      keys.push(token + t);
      weights.push(softmaxed[s]! / slots.size);
    }
  });
  for (let key = from; key < to; key++) {
    if (scores[slots.count + key - from] === -Infinity) continue;
    keys.push(key);
    weights.push(softmaxed[slots.count + key - from]!);
  }
  return {
    keys: Int32Array.from(keys),
    weights: Float64Array.from(weights),
    ...(slots.size > 1 && { pooled: slots.count * slots.size }),
  };
}
