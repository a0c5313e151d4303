import { CompressedMemory, type CompressionOptions, type Slots } from '../kernels/compressedMemory';
import type { CoreInput } from '../core';
import { pairCost } from '../cost';
import { sequence } from '../kernels/lists';
import { RecentAttention, ROWS } from '../kernels/recentAttention';
import {
  positionTerm,
  positionTerms,
  readRelative,
  RELATIVE,
  type Relative,
} from '../kernels/relativeScores';
import type { AttendContext, Mechanism, SparseRow } from '../mechanism';
import { numberOf, numberOrAuto, wordOf } from '../../../shared/setting';
import { refusesRule } from '../kernels/plainCore';
import { scoresWith, softmax } from '../kernels/rows';
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
import { termShares } from '../kernels/relativeTerms';
import { runTiles, type TileResult, type Tiles } from '../kernels/tiles';
import { RefusedError, told } from '../../errors';
import type { MechanismParams } from '../../../shared/protocol/engine';
import { float32 } from '../../runtime/tensor';

/**
 * Compressive Transformer: what falls out of the memory is compressed, `rate` tokens to one slot, and stays visible
 * for longer. Keys and values are pooled as they are: exact for the mean (it commutes with the linear projections),
 * an approximation for `max` and `conv`, which the paper applies to hidden states. A slot stands for several tokens
 * but has the weight of one. A model that was made with it brings its own slots (`slot_k`, `slot_v`) and, with `r`, `u`
 * and `v_bias`, the paper's scores: then it is exact.
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
      '`mean` is exact (it commutes with the projections, positions apart). `max` and `conv` pool keys and values, the paper pools hidden states; of a model that was made with it the slots are its own (`slot_k`, `slot_v`), and with `r`, `u` and `v_bias` the scores are Transformer-XL’s, where a slot counts as one position. Pooled slots are not pairs of the dense map, so recall counts what is left as it is. `most-used` is chosen by the segment that still had the tokens. Results tell the attention reconstruction error: attention over the slots against attention over their tokens; `attend` also gives the auto-encoding error.',
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

  tensors: {
    conv: { dims: ['dim', 'dim', 'rate'] },
    slot_k: { dims: ['heads', 'slots', 'dim'] },
    slot_v: { dims: ['heads', 'slots', 'valueDim'] },
    ...RELATIVE,
  },
  // A model compresses by what it learned.
  madeWith: { pool: 'conv' },
  // The map says a slot's share again for each of its tokens.
  beyondMap: 'weights',

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
    const relative = readRelative('The Compressive Transformer', input, context);
    const recent = new RecentAttention(input, relative, options.memory);
    const { content, outputs } = recent;
    const kept = new Float32Array(outputs.lse.length);
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
          const block = { from, to: Math.min(segment.to, from + ROWS) };
          const { to } = block;
          pairs[head]! += await recent.attend(head, block, segment.start, context);
          const rows = head * input.queries;
          const remember = () => kept.set(outputs.lse.subarray(rows + from, rows + to), rows + from);
          remember();
          pairs[head]! += (to - from) * seen.count;
          if (seen.count === 0) continue;
          const distance = slotDistance(input, segment, seen, options);
          const bias =
            relative &&
            (await positionTerms(
              input,
              head,
              relative,
              block,
              seen.count,
              distance(to - 1, 0),
              (row, slot) => distance(from + row, slot),
              context,
            ));
          const result = await overSlots(content, head, block, seen, bias, context);
          outputs.merge({ ...slotTiles(block, seen, bias), head }, result);
          const byContent = () => (relative ? overSlots(input, head, block, seen, null, context) : result);
          await lost.add(from, to, seen, byContent, context);
          if (options.pool === 'most-used') remember();
        }
      }
      reconstruction[head] = lost.error;
      autoencoding[head] = autoencodingError(input, head, slots.at(-1)!, options);
    }
    return {
      output: outputs.output,
      // Mass is kept on the keys that are there as they are; pooled slots are not pairs of the dense map. Relative scores are not the model's.
      lse: relative ? null : kept,
      reweighted: true,
      pairs,
      row: (head, query) => {
        const s = segments.findIndex(segment => query < segment.to);
        return effectiveRow(recent, head, query, segments[s]!, memories[head]![s]!, relative, options);
      },
      extra: {
        attention_reconstruction: float32(reconstruction, [input.heads]),
        autoencoding: float32(autoencoding, [input.heads]),
        ...(relative && { term_shares: termShares(input, relative, segments, options.memory) }),
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
  const { dim, valueDim } = input;
  const rate = numberOf(params, 'rate');
  const options: CompressionOptions = {
    memory: memoryOf(input, params),
    compressed: numberOf(params, 'compressed'),
    rate,
    pool: wordOf(params, 'pool'),
    conv: null,
    slots: ownSlots(input, rate, own),
  };
  if (options.slots && options.pool !== 'conv')
    throw new RefusedError(told`"slot_k" and "slot_v" are for the pool "conv", not "${options.pool}".`);
  if (options.pool !== 'conv' || options.slots) return options;
  const conv = own['conv'];
  if (conv?.type !== 'float32' || conv.dims.join() !== `${dim},${dim},${rate}` || dim !== valueDim) {
    throw new RefusedError(told`The pool "conv" needs the tensor "conv", float32 [${dim}, ${dim}, ${rate}].`);
  }
  return { ...options, conv: conv.data };
}

/** Slots that were made elsewhere, one for each begun or each whole group of `rate` tokens; null where there are none. */
function ownSlots(
  { keys, dim, valueDim }: CoreInput,
  rate: number,
  own: AttendContext['own'],
): CompressionOptions['slots'] {
  const { slot_k, slot_v } = own;
  if (!slot_k && !slot_v) return null;
  if (slot_k?.type !== 'float32' || slot_v?.type !== 'float32')
    throw new RefusedError(told`"slot_k" and "slot_v" come together, as float32.`);
  const count = slot_k.dims[1]!;
  if (count < Math.floor(keys / rate))
    throw new RefusedError(
      told`"slot_k" has ${count} slots; ${keys} keys in groups of ${rate} have ${Math.floor(keys / rate)}.`,
    );
  return { k: slot_k.data, v: slot_v.data, sizeK: count * dim, sizeV: count * valueDim };
}

/** Positions between a query and a slot, as in [slots; memory; segment]. */
function slotDistance(
  { keys, queries }: CoreInput,
  { start }: Segment,
  { count }: Slots,
  { memory }: CompressionOptions,
): (query: number, slot: number) => number {
  const before = Math.min(start, memory) + count - start + keys - queries;
  return (query, slot) => query + before - slot;
}

const slotTiles = (
  { from, to }: { from: number; to: number },
  { count }: Slots,
  bias: Float32Array | null,
): Tiles => ({
  ...{ head: 0, rows: to - from, columns: count, bias },
  queries: sequence(from, to),
  keys: sequence(0, count),
});

/** Attention of a block of queries to the slots alone. */
async function overSlots(
  input: CoreInput,
  head: number,
  block: { from: number; to: number },
  slots: Slots,
  bias: Float32Array | null,
  context: AttendContext,
): Promise<TileResult> {
  const { queries, dim, rule } = input;
  const core: CoreInput = {
    ...input,
    heads: 1,
    kvHeads: 1,
    keys: slots.count,
    q: input.q.subarray(head * queries * dim, (head + 1) * queries * dim),
    k: slots.k,
    v: slots.v,
    rule: { ...rule, scale: rule.scale.subarray(head, head + 1) },
  };
  return runTiles(core, slotTiles(block, slots, bias), context);
}

/** Weights of real keys; a slot's weight is shared equally by its tokens (exact for the mean). */
function effectiveRow(
  recent: RecentAttention,
  head: number,
  query: number,
  segment: Segment,
  slots: Slots,
  relative: Relative | null,
  options: CompressionOptions,
): SparseRow {
  const { content } = recent;
  const { dim, queries, q, rule } = content;
  const { from, to } = recentKeys(content, query, segment.start, options.memory);
  const distance = slotDistance(content, segment, slots, options);
  const ownSlots = slots.k.subarray(0, slots.count * dim);
  const bySlot = scoresWith(q, (head * queries + query) * dim, ownSlots, dim, rule.scale[head]!);
  const position = (slot: number) =>
    relative ? positionTerm(content, head, relative, query, distance(query, slot)) : 0;
  const scores = Array.from(bySlot, (score, slot) => score + position(slot));
  for (let key = from; key < to; key++) scores.push(recent.score(head, query, key));
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
