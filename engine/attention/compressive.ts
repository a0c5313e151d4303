import { kvHead, type CoreInput } from './core';
import { pairCost } from './cost';
import { denseRows } from './dense';
import { scoreAt } from './lines';
import { attendLists, sequence } from './lists';
import type { AttendContext, Mechanism, SparseRow } from './mechanism';
import { largest } from './membership';
import { numberOr } from './parameters';
import { refusesRule } from './plainCore';
import { softmax } from './rows';
import {
  defaultMemory,
  recentKeys,
  recentPairs,
  refusesSegments,
  SEGMENT,
  segmentParameter,
  segmentsOf,
  type Segment,
} from './segments';
import { offsetTables, Outputs, runTiles } from './tiles';
import { RefusedError } from '../errors';
import type { MechanismParams } from '../protocol';

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
        description: 'How tokens become a slot; most-used keeps the tokens that the segment attends to most.',
      },
      segmentParameter,
    ],
    view: 'map',
    causalSelection: true,
  },

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
    const segment = numberOr(params, 'segment', SEGMENT);
    const memory = numberOr(params, 'memory', SEGMENT);
    const rate = numberOr(params, 'rate', 4);
    let slots = 0;
    for (let start = 0; start < tokens; start += segment) {
      const old = Math.floor(Math.max(0, start - memory) / rate);
      const rows = Math.min(segment, tokens - start);
      slots += rows * Math.min(old, numberOr(params, 'compressed', 128));
    }
    return pairCost(recentPairs(tokens, segment, memory) + slots, shape);
  },

  async attend(input, params, context) {
    const options = readOptions(input, params, context);
    const segments = segmentsOf(input, params);
    const outputs = new Outputs(input);
    const kept = new Float32Array(outputs.lse.length);
    const tables = offsetTables(input);
    const pairs = new Float64Array(input.heads);
    const memories: Slots[][] = [];
    for (let head = 0; head < input.heads; head++) {
      const pooled = pool(input, head, options);
      const slots: Slots[] = [];
      memories.push(slots);
      for (const segment of segments) {
        const seen = await slotsOf(input, head, segment, options, pooled, context);
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
          await addSlots(input, head, from, to, seen, outputs, context);
          if (options.pool === 'most-used') remember();
        }
      }
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
      extra: {},
    };
  },
};

interface Options {
  memory: number;
  compressed: number;
  rate: number;
  pool: string;
  /** [dim, dim, rate], out x in x position within the slot. */
  conv: Float32Array | null;
}

function memoryOf(input: CoreInput, params: MechanismParams): number {
  const otherwise = input.keys > input.queries ? Math.ceil(defaultMemory(input) / 2) : SEGMENT;
  return numberOr(params, 'memory', otherwise);
}

/** Whether any token gets old enough to be compressed. */
function hasSlots(input: CoreInput, params: MechanismParams): boolean {
  const last = segmentsOf(input, params).at(-1)!;
  const old = last.start - memoryOf(input, params);
  return old >= numberOr(params, 'rate', 4) && numberOr(params, 'compressed', 128) > 0;
}

function readOptions(input: CoreInput, params: MechanismParams, { own }: AttendContext): Options {
  const rate = numberOr(params, 'rate', 4);
  const options: Options = {
    memory: memoryOf(input, params),
    compressed: numberOr(params, 'compressed', 128),
    rate,
    pool: String(params['pool'] ?? 'mean'),
    conv: null,
  };
  if (options.pool !== 'conv') return options;
  const { dim, valueDim } = input;
  const conv = own['conv'];
  if (conv?.type !== 'float32' || conv.dims.join() !== `${dim},${dim},${rate}` || dim !== valueDim) {
    throw new RefusedError(`The pool "conv" needs the tensor "conv", float32 [${dim}, ${dim}, ${rate}].`);
  }
  return { ...options, conv: conv.data };
}

/** Pooled keys and values of one head for every group of `rate` tokens from the beginning. */
interface Pooled {
  k: Float32Array;
  v: Float32Array;
}

function pool(input: CoreInput, head: number, options: Options): Pooled {
  const kv = kvHead(input, head);
  const poolRows = (data: Float32Array, width: number) =>
    poolSlots(data.subarray(kv * input.keys * width, (kv + 1) * input.keys * width), width, options);
  return options.pool === 'most-used'
    ? { k: new Float32Array(0), v: new Float32Array(0) }
    : { k: poolRows(input.k, input.dim), v: poolRows(input.v, input.valueDim) };
}

function poolSlots(rows: Float32Array, width: number, { rate, pool: kind, conv }: Options): Float32Array {
  const slots = Math.floor(rows.length / width / rate);
  const pooled = new Float32Array(slots * width);
  for (let s = 0; s < slots; s++) {
    for (let c = 0; c < width; c++) {
      let value = kind === 'max' ? -Infinity : 0;
      for (let t = 0; t < rate; t++) {
        const at = (s * rate + t) * width;
        if (kind === 'mean') value += rows[at + c]! / rate;
        else if (kind === 'max') value = Math.max(value, rows[at + c]!);
        else for (let x = 0; x < width; x++) value += conv![(c * width + x) * rate + t]! * rows[at + x]!;
      }
      pooled[s * width + c] = value;
    }
  }
  return pooled;
}

/** The compressed memory of one segment. */
interface Slots {
  count: number;
  /** [count, dim] and [count, valueDim] */
  k: Float32Array;
  v: Float32Array;
  /** First token of each slot, and how many it stands for. */
  tokens: Int32Array;
  size: number;
}

async function slotsOf(
  input: CoreInput,
  head: number,
  segment: Segment,
  options: Options,
  pooled: Pooled,
  context: AttendContext,
): Promise<Slots> {
  const { dim, valueDim } = input;
  const { rate, compressed } = options;
  const old = Math.max(0, segment.start - options.memory);
  const all = Math.floor(old / rate);
  const count = Math.min(all, compressed);
  if (options.pool !== 'most-used') {
    return {
      count,
      k: pooled.k.subarray((all - count) * dim, all * dim),
      v: pooled.v.subarray((all - count) * valueDim, all * valueDim),
      tokens: Int32Array.from({ length: count }, (_, t) => (all - count + t) * rate),
      size: rate,
    };
  }
  const tokens = (await mostUsed(input, head, segment, old, all, context)).subarray(all - count);
  const kv = kvHead(input, head);
  const pick = (data: Float32Array, width: number) => {
    const rows = new Float32Array(count * width);
    tokens.forEach((token, t) => {
      const from = (kv * input.keys + token) * width;
      rows.set(data.subarray(from, from + width), t * width);
    });
    return rows;
  };
  return { count, k: pick(input.k, dim), v: pick(input.v, valueDim), tokens, size: 1 };
}

/** The tokens before `old` that the segment's queries give most mass in the dense map, in the order of the text. */
async function mostUsed(
  input: CoreInput,
  head: number,
  { from, to }: Segment,
  old: number,
  count: number,
  context: AttendContext,
): Promise<Int32Array> {
  const chosen = new Int32Array(count);
  if (count === 0) return chosen;
  const use = new Float32Array(old);
  for (let first = from; first < to; first += ROWS) {
    const last = Math.min(to, first + ROWS);
    const rows = await denseRows(input, head, first, last, context);
    for (let r = 0; r < last - first; r++) {
      for (let j = 0; j < old; j++) use[j]! += rows[r * input.keys + j]!;
    }
  }
  largest(use, count, chosen);
  return chosen;
}

async function addSlots(
  input: CoreInput,
  head: number,
  from: number,
  to: number,
  { k, v, count }: Slots,
  outputs: Outputs,
  context: AttendContext,
): Promise<void> {
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
  outputs.merge({ ...tiles, head }, await runTiles(core, tiles, context));
}

/** Weights of real keys; a slot's weight is shared equally by its tokens (exact for the mean). */
function effectiveRow(
  input: CoreInput,
  head: number,
  query: number,
  segment: Segment,
  slots: Slots,
  options: Options,
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
  return { keys: Int32Array.from(keys), weights: Float64Array.from(weights) };
}
