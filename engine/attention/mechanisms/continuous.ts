import { densePairs, kvHead, type CoreInput } from '../core';
import { visiblePairs } from '../cost';
import { gaussianBasis, ridgeFit, type Basis, type RidgeFit } from '../maths/gaussianBasis';
import type { AttendContext, Attended, Mechanism } from '../mechanism';
import { numberOf, wordOf } from '../../../shared/setting';
import {
  BINS,
  coefficientsOf,
  massOfBins,
  nextMemory,
  placesAfter,
  plainMemory,
  read,
  tokensOfBins,
  tokenWeights,
  type Coefficients,
  type Memory,
  type MemoryKind,
} from '../kernels/continuousMemory';
import {
  attendWithPast,
  pastPairs,
  pastSegmentParameter,
  refusesPast,
  type Past,
  type Summary,
} from '../kernels/pastSummary';
import { attendBlock, readsOf } from '../kernels/gaussianDensity';
import { refusesRule } from '../kernels/plainCore';
import { scoresWith } from '../kernels/rows';
import type { Segment } from '../kernels/segments';
import { logSumExp } from '../../statistics';
import { checkpoint } from '../../runtime/cancellation';
import { float32 } from '../../runtime/tensor';
import type { MechanismParams } from '../../../shared/protocol/engine';

/** Queries at once. */
const ROWS = 1024;

/**
 * The infinity-former's continuous attention: keys and values become functions of the position in 0..1, a ridge fit in
 * Gaussian bumps; a query attends with one Gaussian density. Without trained parameters its mean and variance are
 * those of the softmax over the bumps. One bump of attention: heads with several peaks are not served. Under a causal mask the
 * function is the long-term memory of the paper, beside the segment's own keys: they share one softmax by their mass, where
 * trained models add the two.
 */
export const continuous: Mechanism = {
  info: {
    name: 'continuous',
    title: 'Continuous (∞-former)',
    label: '∞',
    hue: '#ff9da7',
    pale: true,
    summary: 'The text becomes a smooth function, and every token attends to it with one bell curve.',
    paper: 'Martins et al., ∞-former: Infinite Memory Transformer, 2022, section 3',
    parameters: [
      {
        name: 'basis',
        type: 'integer',
        default: 64,
        minimum: 2,
        maximum: 512,
        description: 'Bumps: half of them of width 0.01, half of width 0.05 (an even number).',
      },
      {
        name: 'ridge',
        type: 'number',
        default: 1,
        minimum: 1e-6,
        description: 'Penalty of the fit; more is smoother.',
      },
      {
        name: 'memory',
        type: 'string',
        default: 'sticky',
        choices: ['sticky', 'even', 'whole'],
        description:
          'Under a causal mask, from segment to segment: the old memory is read where it was attended to (sticky) or evenly, and squeezed; or all tokens are fitted anew (whole).',
      },
      pastSegmentParameter,
    ],
    view: 'map',
    causalSelection: true,
    approximate: true,
  },

  about: {
    what: 'The text becomes a smooth function of the position; every token attends to it with one bell curve.',
    rule: 'ridge fit in Gaussian bumps; O = Σ E[ψ_j] v_j under N(μ, σ²)',
    exact:
      'The fit and the expectation are exact (over all of the line, as in the authors’ code). Their trained maps to μ and σ are missing: both are those of the softmax over the bumps. Under a causal mask: the unbounded memory of the paper (512 places in three quarters, 128 bins; even quantiles where the authors draw) beside the segment’s own keys; how much of the mass is in memory is told by the keys’ function at 128 places, each with the weight of its tokens.',
    cost: 'N · basis, and one fit, under a causal mask one for each segment.',
    when: 'Heads with one broad peak. Several peaks become one wide one, as in the picture.',
  },

  examples: [
    { basis: 16, segment: 8 },
    { basis: 8 },
    { basis: 8, segment: 6, memory: 'even' },
    { basis: 12, segment: 9, memory: 'whole' },
  ],
  whole: () => [],

  refuses(input, params) {
    if (numberOf(params, 'basis') % 2 !== 0) return 'The basis must have an even number of bumps.';
    return refusesPast('Continuous attention', input) ?? refusesRule('Continuous attention', input);
  },

  /** The ridge fit of keys and values to the bumps, then each query against the bumps. */
  cost(tokens, params, { dim, valueDim, causal }) {
    const bumps = numberOf(params, 'basis');
    const width = dim + valueDim;
    const fit = (length: number) =>
      2 * bumps * bumps * length + (2 / 3) * bumps ** 3 + 2 * length * bumps * width;
    if (!causal)
      return {
        pairs: Math.min(visiblePairs(tokens, causal), tokens * bumps),
        count: 'exact',
        flops: fit(tokens) + 2 * tokens * bumps * width,
        bytes: 4 * bumps * (2 * tokens + width),
      };
    const whole = wordOf(params, 'memory') === 'whole';
    let [fits, longest] = [0, 0];
    const pairs = pastPairs(tokens, params, (rows, start) => {
      const length = whole ? start : placesAfter(rows).length;
      fits += fit(length);
      longest = Math.max(longest, length);
      return pastReads(rows, start, bumps);
    });
    return {
      pairs,
      count: 'exact',
      flops: 2 * pairs * width + fits,
      bytes: 4 * (pairs + bumps * (2 * longest + width)),
    };
  },

  async attend(input, params, context) {
    if (input.rule.mask.causal) return attendMemory(input, params, context);
    const { heads, queries, keys, valueDim, kvHeads } = input;
    const basis = gaussianBasis(numberOf(params, 'basis'));
    const fit = ridgeFit(basis, keys, numberOf(params, 'ridge'));
    const coefficients: Coefficients[] = [];
    for (let kv = 0; kv < kvHeads; kv++) {
      await checkpoint(context.signal);
      coefficients.push({
        k: fit.coefficients(input.k.subarray(kv * keys * input.dim), input.dim),
        v: fit.coefficients(input.v.subarray(kv * keys * valueDim), valueDim),
      });
    }
    const output = new Float32Array(heads * queries * valueDim);
    const mu = new Float32Array(heads * queries);
    const sigma = new Float32Array(heads * queries);
    for (let head = 0; head < heads; head++) {
      for (let from = 0; from < queries; from += ROWS) {
        const to = Math.min(queries, from + ROWS);
        const part = await attendBlock(
          input,
          head,
          from,
          to,
          basis,
          coefficients[kvHead(input, head)]!,
          context,
        );
        output.set(part.output, (head * queries + from) * valueDim);
        mu.set(part.mu, head * queries + from);
        sigma.set(part.sigma, head * queries + from);
      }
    }
    return {
      output,
      lse: null,
      pairs: new Float64Array(heads).fill(Math.min(densePairs(input), queries * basis.centre.length)),
      row: (head, query) => {
        const reads = readsOf(input, head, query, basis, coefficients[kvHead(input, head)]!.k);
        return { keys: Int32Array.from({ length: keys }, (_, j) => j), weights: fit.weights(reads) };
      },
      extra: { mu: float32(mu, [heads, queries]), sigma: float32(sigma, [heads, queries]) },
    };
  },
};

async function attendMemory(
  input: CoreInput,
  params: MechanismParams,
  context: AttendContext,
): Promise<Attended> {
  const memory = new ContinuousMemory(input, params);
  const attended = await attendWithPast(input, params, memory, context);
  const dims = [input.heads, input.queries];
  return { ...attended, extra: { mu: float32(memory.mu, dims), sigma: float32(memory.sigma, dims) } };
}

/** Scores of `rows` queries with the bumps, and with the places that tell their mass; no more than the pairs they stand for. */
const pastReads = (rows: number, start: number, bumps: number) => rows * Math.min(start, bumps + BINS);

/** What is before each segment as functions of the position, and what the queries read of it. */
class ContinuousMemory implements Summary {
  /** [heads, queries]: the densities in the memory; 0 where there is none. */
  readonly mu: Float32Array;
  readonly sigma: Float32Array;
  private readonly basis: Basis;
  private readonly ridge: number;
  private readonly kind: MemoryKind;
  private readonly memories = new Map<number, Memory>();
  private readonly fits = new Map<number, RidgeFit>();

  constructor(
    private readonly input: CoreInput,
    params: MechanismParams,
  ) {
    this.basis = gaussianBasis(numberOf(params, 'basis'));
    this.ridge = numberOf(params, 'ridge');
    this.kind = wordOf(params, 'memory') as MemoryKind;
    this.mu = new Float32Array(input.heads * input.queries);
    this.sigma = new Float32Array(input.heads * input.queries);
  }

  past(head: number, { from, to, start }: Segment): Past {
    const { input, basis } = this;
    const { dim, valueDim, keys, queries } = input;
    const memory = this.memoryBefore(start);
    const kv = kvHead(input, head);
    const fitted = coefficientsOf(memory, basis, kv, {
      k: input.k.subarray(kv * keys * dim, (kv + 1) * keys * dim),
      v: input.v.subarray(kv * keys * valueDim, (kv + 1) * keys * valueDim),
      dim,
      valueDim,
    });
    const massOf = this.massIn(memory, head, fitted.k);
    return {
      pairs: pastReads(to - from, start, basis.centre.length),
      read: async context => {
        const { output, mu, sigma } = await attendBlock(input, head, from, to, basis, fitted, context);
        this.mu.set(mu, head * queries + from);
        this.sigma.set(sigma, head * queries + from);
        return { output, lse: Float32Array.from({ length: to - from }, (_, r) => massOf(from + r)) };
      },
      row: query => ({
        weights: tokenWeights(memory, readsOf(input, head, query, basis, fitted.k)),
        lse: massOf(query),
      }),
    };
  }

  /** All heads have read the memory before a segment: the next one may be made of it. */
  read({ from, to, start }: Segment): void {
    const { heads, queries } = this.input;
    if (start === 0 || to === queries || this.kind === 'whole') return;
    const mass = this.kind === 'sticky' ? new Float64Array(BINS) : null;
    if (mass)
      for (let head = 0; head < heads; head++) {
        const rows = [head * queries + from, head * queries + to] as const;
        massOfBins(this.mu.subarray(...rows), this.sigma.subarray(...rows), mass);
      }
    const added = to - from;
    let fit = this.fits.get(added);
    if (!fit) this.fits.set(added, (fit = ridgeFit(this.basis, placesAfter(added), this.ridge)));
    this.memories.set(start + added, nextMemory(this.basis, this.memoryBefore(start), added, fit, mass));
  }

  private memoryBefore(start: number): Memory {
    let memory = this.memories.get(start);
    if (!memory) {
      memory = plainMemory(this.basis, start, this.ridge);
      // Of the whole text's fits one at a time: each is as long as what it holds.
      if (this.kind === 'whole') this.memories.clear();
      this.memories.set(start, memory);
    }
    return memory;
  }

  /** Log of the sum of exponentials of a query's scores with all tokens in memory, by the keys' function in each bin. */
  private massIn(memory: Memory, head: number, k: Float64Array): (query: number) => number {
    const { dim, q, queries, rule } = this.input;
    const keys = new Float64Array(BINS * dim);
    for (let b = 0; b < BINS; b++) keys.set(read(this.basis, (b + 0.5) / BINS, k, dim), b * dim);
    const tokens = tokensOfBins(memory).map(Math.log);
    const scale = rule.scale[head]!;
    return query =>
      logSumExp(
        scoresWith(q, (head * queries + query) * dim, keys, dim, scale).map((score, b) => score + tokens[b]!),
      );
  }
}
