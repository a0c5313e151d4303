import type { CoreInput } from '../core';
import { pairCost } from '../cost';
import { scoreAt } from '../kernels/lines';
import { attendLists, sequence } from '../kernels/lists';
import type { AttendContext, Mechanism, SparseRow } from '../mechanism';
import { numberOrAuto } from '../../../shared/setting';
import { refusesRule } from '../kernels/plainCore';
import { sparseRow, visibleRow } from '../kernels/rows';
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
import { termShares } from '../kernels/relativeTerms';
import { addOpaque, MASKED, offsetTables, Outputs } from '../kernels/tiles';
import { RefusedError, told } from '../../errors';
import type { MechanismParams } from '../../../shared/protocol/engine';
import { float32, floats, type Tensor } from '../../runtime/tensor';

/** Queries at once. */
const ROWS = 64;

/**
 * Transformer-XL: segments with a memory of the keys before them. With `r`, `u` and `v_bias` the scores are the
 * paper's, (q + u).k + (q + v).r of the distance; without them the model's own scores are used (a what-if that shows
 * what the segments cut off).
 */
export const transformerXl: Mechanism = {
  info: {
    name: 'transformer-xl',
    title: 'Transformer-XL',
    label: 'XL',
    hue: '#4e79a7',
    pale: true,
    summary: 'Every token attends to its segment and to a memory of the tokens before it.',
    paper:
      'Dai et al., Transformer-XL: Attentive Language Models beyond a Fixed-Length Context, 2019, section 3',
    parameters: [
      {
        name: 'memory',
        type: 'integer',
        default: null,
        defaultRule: 'all keys before the queries, or 128 when the text is one sequence',
        minimum: 0,
        description: 'Keys remembered from before the segment.',
      },
      segmentParameter,
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'Segments, each with a memory of the tokens before it.',
    rule: 'keys from start(segment) - memory to i; with `r`, `u`, `v_bias`: (q+u)·k + (q+v)·r of the distance',
    exact:
      'With the three tensors the paper’s scores exactly, and the shares of its four terms (`term_shares`). Without them the model’s own scores: a what-if that shows what segments cut off. The terms of a model with absolute positions (token and position parts of its first layer) are what the lens _Content and position_ shows.',
    cost: 'N · (segment / 2 + memory) pairs.',
    when: 'To find the memory a model really uses before building a recurrent one.',
  },

  examples: [
    { segment: 10, memory: 10 },
    { segment: 6, memory: 4 },
    { segment: 16, memory: 8 },
    { segment: 30, memory: 100 },
  ],
  whole: tokens => [{ segment: tokens }, { segment: 5, memory: tokens }],

  tensors: {
    r: { dims: ['heads', 'keys', 'dim'] },
    u: { dims: ['heads', 'dim'] },
    v_bias: { dims: ['heads', 'dim'] },
  },

  causalOnly: true,

  refuses: input => refusesSegments('Transformer-XL', input),

  cost(tokens, params, shape) {
    const segment = numberOrAuto(params, 'segment', SEGMENT);
    const memory = numberOrAuto(params, 'memory', SEGMENT);
    return pairCost(recentPairs(tokens, segment, memory), shape);
  },

  settle: (input, params) => ({ memory: memoryOf(input, params), segment: segmentLength(input, params) }),

  async attend(input, params, context) {
    const memory = memoryOf(input, params);
    const relative = readRelative(input, context);
    const segments = segmentsOf(input, params, relative !== null || input.keys > input.queries);
    const core = relative ? { ...input, q: relative.contentQueries } : input;
    const outputs = new Outputs(core);
    const tables = offsetTables(core);
    const pairs = new Float64Array(input.heads);
    for (let head = 0; head < input.heads; head++) {
      for (const segment of segments) {
        for (let from = segment.from; from < segment.to; from += ROWS) {
          const to = Math.min(segment.to, from + ROWS);
          const first = recentKeys(input, from, segment.start, memory).from;
          const keys = sequence(first, recentKeys(input, to - 1, segment.start, memory).to);
          if (relative) {
            const tiles = await relativeTiles(input, head, relative, from, to, keys, context);
            await outputs.add(tiles, context);
            for (let i = from; i < to; i++) pairs[head]! += countKeys(input, i, segment, memory);
          } else {
            const queries = sequence(from, to);
            pairs[head]! += await attendLists(
              input,
              head,
              queries,
              keys,
              null,
              tables(head),
              outputs,
              context,
            );
          }
        }
      }
    }
    return {
      output: outputs.output,
      // Relative scores are not the model's: the mass they keep is not its mass.
      lse: relative ? null : outputs.lse,
      pairs,
      row: (head, query) => {
        const segment = segments.find(s => query < s.to)!;
        const { from, to } = recentKeys(input, query, segment.start, memory);
        return relative
          ? relativeRow(input, core, head, relative, query, from, to)
          : sparseRow(input, head, query, { from, to });
      },
      extra: { ...(relative && { term_shares: termShares(input, relative, segments, memory) }) },
    };
  },
};

function memoryOf(input: CoreInput, params: MechanismParams): number {
  return numberOrAuto(params, 'memory', defaultMemory(input));
}

function countKeys(input: CoreInput, query: number, segment: Segment, memory: number): number {
  const { from, to } = recentKeys(input, query, segment.start, memory);
  return to - from;
}

interface Relative {
  /** [heads, keys, dim]; row t is for distance t. */
  r: Float32Array;
  /** [heads, dim] */
  u: Float32Array;
  v: Float32Array;
  /** q + u and q + v, [heads, queries, dim] */
  contentQueries: Float32Array;
  positionQueries: Float32Array;
}

function readRelative(input: CoreInput, { own }: AttendContext): Relative | null {
  const { heads, queries, keys, dim } = input;
  if (!own['r']) return null;
  // A bias by pair is added to the paper's scores; the model's own by distance would compete with theirs.
  const added = input.rule.bias?.kind === 'opaque' ? { ...input.rule, bias: null } : input.rule;
  const reason = refusesRule('Transformer-XL with its own relative scores', { ...input, rule: added });
  if (reason) throw new RefusedError(reason);
  const read = (name: string, dims: number[]) => {
    const tensor = own[name];
    if (tensor?.type !== 'float32' || tensor.dims.join() !== dims.join()) {
      throw new RefusedError(told`"${name}" must be float32 [${dims.join(', ')}].`);
    }
    return tensor.data;
  };
  const plus = (bias: Float32Array) =>
    input.q.map((x, t) => x + bias[Math.floor(t / (queries * dim)) * dim + (t % dim)]!);
  const r = read('r', [heads, keys, dim]);
  const [u, v] = [read('u', [heads, dim]), read('v_bias', [heads, dim])];
  return { r, u, v, contentQueries: plus(u), positionQueries: plus(v) };
}

/** A block of queries with the position terms as bias: (q + v).r for the distance of each pair, then the mask. */
async function relativeTiles(
  input: CoreInput,
  head: number,
  { r, positionQueries }: Relative,
  from: number,
  to: number,
  keys: Int32Array,
  context: AttendContext,
) {
  const { queries, dim, rule } = input;
  const shift = input.keys - queries;
  const rows = to - from;
  const columns = keys.length;
  const distances = to - 1 + shift - keys[0]! + 1;
  const session = await context.runtime.graph('relative-positions', g => {
    const q = g.op('Mul', [g.input('q', 'float32', ['a', 'd']), g.input('scale', 'float32', [1])]);
    g.output('terms', g.op('Gemm', [q, g.input('r', 'float32', ['t', 'd'])], { transB: 1 }));
  });
  const at = (head * queries + from) * dim;
  const first = head * input.keys * dim;
  const results: Record<string, Tensor> = await session.run({
    q: float32(positionQueries.subarray(at, at + rows * dim), [rows, dim]),
    r: float32(r.subarray(first, first + distances * dim), [distances, dim]),
    scale: float32(Float32Array.of(rule.scale[head]!), [1]),
  });
  const terms = floats(results['terms']!);
  const bias = new Float32Array(rows * columns).fill(MASKED);
  for (let row = 0; row < rows; row++) {
    const position = from + row + shift;
    for (let c = 0; c < columns && keys[c]! <= position; c++) {
      bias[row * columns + c] = terms[row * distances + position - keys[c]!]!;
    }
  }
  const tiles = { head, rows, columns, queries: sequence(from, to), keys, bias };
  addOpaque(input, tiles);
  return tiles;
}

function relativeRow(
  input: CoreInput,
  content: CoreInput,
  head: number,
  { r, positionQueries }: Relative,
  query: number,
  from: number,
  to: number,
): SparseRow {
  const { dim, queries, keys, rule } = input;
  const position = query + keys - queries;
  const scores = Array.from({ length: to - from }, (_, t) => {
    let dot = 0;
    const at = (head * keys + position - (from + t)) * dim;
    for (let c = 0; c < dim; c++) dot += positionQueries[(head * queries + query) * dim + c]! * r[at + c]!;
    return scoreAt(content, head, query, from + t) + dot * rule.scale[head]!;
  });
  return visibleRow(sequence(from, to), scores);
}
