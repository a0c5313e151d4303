import { attendBand, bandRow, type Band } from '../kernels/band';
import type { CoreInput } from '../core';
import { bandSize, pairCost, visiblePairs } from '../cost';
import { denseRows } from '../kernels/dense';
import type { AttendContext, Mechanism } from '../mechanism';
import { AUTO, numberOf, numberOrAuto } from '../../../shared/setting';
import { largestWithin, pairsOfShare } from '../kernels/shares';
import { fitSpan, reach, softMask, spanPairs } from '../../../shared/softSpan';
import { RefusedError, told } from '../../errors';
import { float32, floats, type Tensor } from '../../runtime/tensor';
import { Outputs } from '../kernels/tiles';

const RAMP = 32;

/** Of settings for a budget: the pairs under a long soft edge count in full. */
const SHORT_RAMP = 8;

/**
 * Adaptive span: each head keeps the distances within its own span, with a soft edge that multiplies the
 * exponentiated scores before they are normalised again. Spans are given, or fitted to this text.
 */
export const adaptiveSpan: Mechanism = {
  info: {
    name: 'adaptive-span',
    title: 'Adaptive span',
    label: 'span',
    hue: '#edc949',
    summary: 'Every head attends as far back as it needs, and no further.',
    paper: 'Sukhbaatar et al., Adaptive Attention Span in Transformers, 2019, section 3',
    parameters: [
      {
        name: 'ramp',
        type: 'number',
        default: RAMP,
        minimum: 0,
        description: 'Length of the soft edge beyond the span, in tokens; 0 cuts sharply.',
      },
      {
        name: 'massTarget',
        type: 'number',
        default: 0.95,
        minimum: 0,
        maximum: 1,
        description: 'Share of its mass that each head keeps, when spans are fitted.',
      },
      {
        name: 'budget',
        type: 'number',
        default: null,
        defaultRule: 'none: the mass target decides',
        minimum: 0,
        maximum: 1,
        description:
          'Share of the dense pairs that the heads of a core may spend together; replaces massTarget.',
      },
      {
        name: 'span',
        type: 'number',
        default: null,
        defaultRule: 'fitted to each head',
        minimum: 0,
        description: 'One span for every head, in tokens, where none are given; replaces the fit.',
      },
    ],
    view: 'spans',
    causalSelection: true,
  },

  about: {
    what: 'Every head as far back as it needs: a span `z` with a soft edge of `ramp` tokens.',
    rule: 'weights ∝ clamp((ramp + z - |i-j|) / ramp, 0, 1) · exp(score)',
    exact:
      'Exact for given spans. Spans are fitted to the text (smallest that keeps `massTarget` of the mass) and not trained, so they come out longer than with the paper’s penalty.',
    cost: 'N · (z + ramp) pairs for each head.',
    when: 'The first thing to try: it tells short heads from long ones, and the Spans view draws it.',
  },

  examples: [
    { massTarget: 0.75, ramp: 6 },
    { massTarget: 0.6, ramp: 3 },
    { span: 5, ramp: 0 },
    { budget: 0.4, ramp: 4 },
  ],
  whole: tokens => [{ span: tokens }, { massTarget: 1, ramp: 0 }],

  tensors: { span: { dims: ['heads'] } },

  settings(input, share) {
    const { queries, keys, rule } = input;
    const pairs = (span: number) => spanPairs(rule.mask, queries, keys, span, SHORT_RAMP);
    const span = largestWithin(pairsOfShare(input, share), 0, keys, pairs);
    return span === null ? [] : [{ span, ramp: SHORT_RAMP }];
  },

  async prepare(input, params, context): Promise<Record<string, Tensor>> {
    if (context.own['span']) return {};
    if (params['span'] !== AUTO) {
      const span = numberOf(params, 'span');
      return { span: float32(new Float32Array(input.heads).fill(span), [input.heads]) };
    }
    const ramp = numberOf(params, 'ramp');
    const mass = await massByDistance(input, context);
    const spans =
      params['budget'] === AUTO
        ? fitSpans(mass, input.heads, ramp, numberOf(params, 'massTarget'))
        : fitSpansToBudget(input, mass, ramp, numberOf(params, 'budget'));
    return { span: float32(spans, [input.heads]) };
  },

  cost(tokens, params, shape) {
    const ramp = numberOf(params, 'ramp');
    const pairsOf = (span: number) => {
      const limit = reach(span, ramp);
      return bandSize(tokens, limit, shape.causal ? 0 : limit);
    };
    const spans = Array.from(shape.spans ?? []);
    if (spans.length > 0) {
      const sum = spans.reduce((total, span) => total + pairsOf(span), 0);
      return pairCost(sum / spans.length, shape, shape.extrapolated ? 'expected' : 'exact');
    }
    const share = numberOrAuto(params, 'budget', 1);
    return pairCost(share * visiblePairs(tokens, shape.causal), shape, 'most');
  },

  mask({ extra }, _input, params) {
    const span = Number(extra['span']!.data[0]!);
    const ramp = numberOf(params, 'ramp');
    return ramp === 0 ? { kind: 'rule', rule: { near: Math.floor(span) } } : { kind: 'soft', span, ramp };
  },

  spans: {
    wish(params) {
      if (params['span'] !== AUTO) return { span: numberOf(params, 'span') };
      const ramp = numberOf(params, 'ramp');
      return params['budget'] === AUTO
        ? { ramp, massTarget: numberOf(params, 'massTarget') }
        : { ramp, budget: numberOf(params, 'budget') };
    },
    atBudget: budget => ({ ramp: SHORT_RAMP, budget }),
    given: (params, span) => ({ ...params, budget: AUTO, span }),
  },

  async attend(input, params, context) {
    const ramp = numberOf(params, 'ramp');
    const spans = givenSpans(input, context);
    const bands = Array.from(spans, span => softBand(input, span, ramp));
    const outputs = new Outputs(input);
    await attendBand(input, head => bands[head]!, outputs, context);
    const { mask } = input.rule;
    return {
      output: outputs.output,
      lse: outputs.lse,
      pairs: Float64Array.from(spans, span => spanPairs(mask, input.queries, input.keys, span, ramp)),
      row: (head, query) => bandRow(input, head, query, bands[head]!),
      extra: { span: float32(Float32Array.from(spans), [input.heads]) },
    };
  },
};

function softBand({ queries, keys }: CoreInput, span: number, ramp: number): Band {
  const limit = reach(span, ramp);
  const within = Math.min(limit, Math.max(queries, keys));
  const shares = new Float64Array(2 * within + 1);
  for (let t = 0; t < shares.length; t++) shares[t] = softMask(Math.abs(t - within), span, ramp);
  return { before: limit, after: limit, soft: { reach: within, shares, logs: shares.map(Math.log) } };
}

function givenSpans(input: CoreInput, { own }: AttendContext): Float32Array {
  const tensor = own['span'];
  if (!tensor) throw new RefusedError('adaptive-span needs the tensor "span".');
  if (tensor.data.length !== input.heads) {
    throw new RefusedError(told`"span" must have one value for each of the ${input.heads} heads.`);
  }
  const spans = Float32Array.from(tensor.data as ArrayLike<number | bigint>, Number);
  if (spans.some(span => !(span >= 0))) throw new RefusedError('A span must be 0 or more tokens.');
  return spans;
}

/** One span per head; `mass`: [heads, distances], mean mass at each distance. */
export function fitSpans(mass: Float32Array, heads: number, ramp: number, target: number): Float32Array {
  const distances = mass.length / heads;
  return Float32Array.from({ length: heads }, (_, head) =>
    fitSpan(mass.subarray(head * distances, (head + 1) * distances), target, ramp),
  );
}

/** One mass target for all heads of the core: the largest whose spans the budget pays for. */
function fitSpansToBudget(input: CoreInput, mass: Float32Array, ramp: number, budget: number): Float32Array {
  const { heads, queries, keys, rule } = input;
  const cost = (span: number) => spanPairs(rule.mask, queries, keys, span, ramp);
  const allowed = budget * heads * cost(queries + keys);
  let low = 0;
  let high = 1;
  for (let step = 0; step < 24; step++) {
    const target = (low + high) / 2;
    const spent = fitSpans(mass, heads, ramp, target).reduce((sum, span) => sum + cost(span), 0);
    if (spent <= allowed) low = target;
    else high = target;
  }
  return fitSpans(mass, heads, ramp, low);
}

/**
 * Mean mass of each head at each distance |i-j|, [heads, keys]: a dense pass, block by block, unless the caller has it
 * from his own (`mass_by_distance`). Queries that see nothing do not count.
 */
async function massByDistance(input: CoreInput, context: AttendContext): Promise<Float32Array> {
  const given = context.own['mass_by_distance'];
  if (given) return floats(given);
  const { heads, queries, keys } = input;
  const distances = Math.max(queries, keys);
  const result = new Float32Array(heads * distances);
  const step = Math.max(1, Math.min(256, Math.floor(2 ** 20 / keys)));
  for (let head = 0; head < heads; head++) {
    const sums = new Float64Array(distances);
    let rows = 0;
    for (let from = 0; from < queries; from += step) {
      const to = Math.min(queries, from + step);
      const block = await denseRows(input, head, from, to, context);
      for (let i = from; i < to; i++) {
        const position = i + keys - queries;
        const at = (i - from) * keys;
        let seen = 0;
        for (let j = 0; j < keys; j++) {
          const mass = block[at + j]!;
          sums[Math.abs(position - j)]! += mass;
          seen += mass;
        }
        if (seen > 0) rows++;
      }
    }
    for (let x = 0; x < distances; x++) result[head * distances + x] = sums[x]! / Math.max(1, rows);
  }
  return result;
}
