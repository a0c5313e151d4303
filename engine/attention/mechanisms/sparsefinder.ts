import { attendBand, bandKeys, bandPairs, type Band } from '../kernels/band';
import { kvHead, visibleKeys, type CoreInput } from '../core';
import { bandSize, caught, pairCost, visiblePairs } from '../cost';
import { hashedBuckets } from '../kernels/bucketing';
import { attendGroups, attendLists, sequence } from '../kernels/lists';
import { singularProjections } from '../maths/lowRank';
import type { AttendContext, Mechanism } from '../mechanism';
import { numberOf, wordOf } from '../../../shared/setting';
import { range, sparseRow } from '../kernels/rows';
import { attendPairs, servesLists, type ListKeys } from '../kernels/pairs';
import { settingsOf } from '../kernels/shares';
import { offsetTables, Outputs, type OffsetTable } from '../kernels/tiles';
import { RefusedError, told } from '../../errors';
import type { MechanismParams } from '../../../shared/protocol/engine';
import { checkpoint } from '../../runtime/cancellation';
import { lowerBound } from '../../statistics';
import { float32, int32, type Tensor } from '../../runtime/tensor';

/** Queries at once under the distance rule. */
const ROWS = 64;

/**
 * SparseFinder: queries and keys are projected to a few dimensions, and a simple rule there predicts which pairs
 * matter. The paper trains the projections; ours come from the singular values of this text's Q K^T where none are
 * given. The distance rule looks at every pair, so it saves no time; the others do.
 */
export const sparsefinder: Mechanism = {
  info: {
    name: 'sparsefinder',
    title: 'SparseFinder',
    label: 'finder',
    hue: '#9c755f',
    summary:
      'Pairs that are near in a few dimensions attend to each other, and every token to its neighbours.',
    paper: 'Treviso et al., Predicting Attention Sparsity in Transformers, 2022, section 4',
    parameters: [
      {
        name: 'rule',
        type: 'string',
        default: 'quantize',
        choices: ['distance', 'quantize', 'cluster'],
        description:
          'Nearer than a threshold; of the same rank group in any dimension; or nearest to the same centroid.',
      },
      {
        name: 'threshold',
        type: 'number',
        default: 1.5,
        minimum: 0,
        description: 'Largest distance of the projections (rule distance).',
      },
      {
        name: 'bucketSize',
        type: 'integer',
        default: 16,
        minimum: 1,
        description: 'Tokens of one rank group (rule quantize).',
      },
      {
        name: 'clusters',
        type: 'integer',
        default: 16,
        minimum: 1,
        description: 'Number of centroids (rule cluster).',
      },
      {
        name: 'window',
        type: 'integer',
        default: 3,
        minimum: 0,
        description: 'Neighbours that are always kept: 3 is i-1 .. i+1, 4 is i-1 .. i+2; 0 = none.',
      },
      {
        name: 'rank',
        type: 'integer',
        default: 4,
        minimum: 1,
        maximum: 16,
        description: 'Dimensions of the projections, where none are given.',
      },
    ],
    view: 'buckets',
    causalSelection: false,
  },

  about: {
    what: 'Queries and keys are projected to a few dimensions, where a simple rule predicts the pairs; a small window is always kept.',
    rule: 'near: |q′-k′| < threshold; or equal rank group in any dimension; or the same nearest centroid',
    exact:
      'Exact for given projections `wq`, `wk` and `centroids`. The paper trains the projections on the 1.5-entmax graph; ours are the singular vectors of this text’s Q Kᵀ.',
    cost: '`distance` looks at every pair and saves no time, whatever it keeps; `quantize` and `cluster` find theirs by sorting.',
    when: 'To see how predictable a head’s graph is: compare its edge recall with that of LSH and routing at equal pairs.',
  },

  examples: [
    { rule: 'quantize', bucketSize: 4, rank: 3 },
    { rule: 'cluster', clusters: 5 },
    { rule: 'distance', threshold: 1 },
  ],
  whole: tokens => [
    { rule: 'distance', threshold: 1e6 },
    { rule: 'quantize', bucketSize: tokens },
    { rule: 'cluster', clusters: 1 },
  ],

  tensors: {
    wq: { dims: ['heads', 'dim', 'rank'] },
    wk: { dims: ['heads', 'dim', 'rank'] },
    centroids: { dims: ['heads', 'clusters', 'rank'] },
  },

  families: [byGroups, byClusters],
  settings: (input, share) => settingsOf([byGroups, byClusters], input, share),

  alike: { tensors: ['wq', 'wk'], parameters: ['rank'] },

  async prepare(input, params, context): Promise<Record<string, Tensor>> {
    const { own } = context;
    const weights = own['wq'] && own['wk'] ? {} : await singularWeights(input, params, context);
    if (wordOf(params, 'rule') !== 'cluster' || own['centroids']) return weights;
    return {
      ...weights,
      centroids: await fitCentroids(input, params, { ...context, own: { ...weights, ...own } }),
    };
  },

  cost(tokens, params, shape) {
    const window = numberOf(params, 'window');
    const near =
      window === 0
        ? 0
        : bandSize(tokens, Math.floor((window - 1) / 2), shape.causal ? 0 : Math.floor(window / 2));
    const all = visiblePairs(tokens, shape.causal);
    const rank = Math.min(shape.dim, numberOf(params, 'rank'));
    const own = { flops: 4 * tokens * shape.dim * rank, floats: 2 * tokens * rank };
    if (wordOf(params, 'rule') === 'distance') {
      // Every pair's distance is computed.
      return pairCost(all, shape, 'most', { ...own, flops: own.flops + 3 * all * rank });
    }
    const size = Math.min(tokens, numberOf(params, 'bucketSize'));
    const clusters = numberOf(params, 'clusters');
    const share = wordOf(params, 'rule') === 'cluster' ? 1 / clusters : caught(size / tokens, rank);
    return pairCost(near + share * (all - near), shape, 'expected', own);
  },

  buckets: hashedBuckets,

  async attend(input, params, context) {
    const window = numberOf(params, 'window');
    const band: Band | null =
      window === 0 ? null : { before: Math.floor((window - 1) / 2), after: Math.floor(window / 2) };
    const outputs = new Outputs(input);
    if (band) await attendBand(input, () => band, outputs, context);
    const pairs = new Float64Array(input.heads).fill(band ? bandPairs(input, band) : 0);
    const tables = offsetTables(input);
    const predictions: Prediction[] = [];
    for (let head = 0; head < input.heads; head++) {
      const prediction = predict(input, head, params, context);
      predictions.push(prediction);
      pairs[head]! += await attendPredicted(input, head, prediction, band, tables(head), outputs, context);
    }
    return {
      output: outputs.output,
      lse: outputs.lse,
      pairs,
      row: (head, query) => {
        const { from, to } = visibleKeys(input, query);
        const near = band ? bandKeys(input, band, query) : { from: 0, to: 0 };
        const keeps = predictions[head]!.keeps;
        const keys = function* (): Generator<number> {
          for (const key of range(from, to)) {
            if ((key >= near.from && key < near.to) || keeps(query, key)) yield key;
          }
        };
        return sparseRow(input, head, query, keys());
      },
      extra: bucketTensors(input, predictions),
    };
  },
};

function byGroups({ keys }: CoreInput, share: number): MechanismParams | null {
  const bucketSize = Math.min(keys, Math.floor((share * keys) / 4));
  return bucketSize < 2 ? null : { rule: 'quantize', bucketSize, rank: 4 };
}

function byClusters({ keys }: CoreInput, share: number): MechanismParams | null {
  const clusters = Math.max(1, Math.round(1 / share));
  return clusters > keys / 4 ? null : { rule: 'cluster', clusters, rank: 4 };
}

/** Projections of the largest singular values of this text's Q K^T, [heads, dim, rank]. */
async function singularWeights(
  input: CoreInput,
  params: MechanismParams,
  context: AttendContext,
): Promise<Record<string, Tensor>> {
  const { heads, dim, queries, keys } = input;
  const rank = Math.min(dim, numberOf(params, 'rank'));
  const wq = new Float32Array(heads * dim * rank);
  const wk = new Float32Array(heads * dim * rank);
  for (let head = 0; head < heads; head++) {
    await checkpoint(context.signal);
    const kv = kvHead(input, head);
    const found = singularProjections(
      input.q.subarray(head * queries * dim, (head + 1) * queries * dim),
      input.k.subarray(kv * keys * dim, (kv + 1) * keys * dim),
      dim,
      rank,
    );
    wq.set(found.wq, head * dim * rank);
    wk.set(found.wk, head * dim * rank);
  }
  const dims = [heads, dim, rank];
  return { wq: float32(wq, dims), wk: float32(wk, dims) };
}

/** Centroids of the projected queries and keys, [heads, clusters, rank]. */
async function fitCentroids(
  input: CoreInput,
  params: MechanismParams,
  context: AttendContext,
): Promise<Tensor> {
  const clusters = numberOf(params, 'clusters');
  const found: Float32Array[] = [];
  for (let head = 0; head < input.heads; head++) {
    await checkpoint(context.signal);
    const { q, k, rank } = projections(input, head, context);
    found.push(Float32Array.from(kMeans(q, k, rank, clusters)));
  }
  const size = found[0]!.length;
  const all = new Float32Array(input.heads * size);
  found.forEach((centroids, head) => all.set(centroids, head * size));
  return float32(all, [input.heads, clusters, size / clusters]);
}

/** Which pairs the rule predicts. */
interface Prediction {
  keeps(query: number, key: number): boolean;
  /** Groups that find the pairs without looking at all of them, one list for each dimension; null = distance rule. */
  groupings: { queries: Int32Array; keys: Int32Array; count: number }[] | null;
}

function predict(
  input: CoreInput,
  head: number,
  params: MechanismParams,
  context: AttendContext,
): Prediction {
  const { queries, keys } = input;
  const { q, k, rank } = projections(input, head, context);
  switch (wordOf(params, 'rule')) {
    case 'distance': {
      const limit = numberOf(params, 'threshold') ** 2;
      const keeps = (i: number, j: number) => squaredDistance(q, i, k, j, rank) < limit;
      return { keeps, groupings: null };
    }
    case 'cluster': {
      const centroids = centroidsOf(input, head, rank, context);
      const ofQueries = nearest(q, centroids, rank);
      const ofKeys = nearest(k, centroids, rank);
      return {
        keeps: (i, j) => ofQueries[i] === ofKeys[j],
        groupings: [{ queries: ofQueries, keys: ofKeys, count: centroids.length / rank }],
      };
    }
    default: {
      const size = numberOf(params, 'bucketSize');
      const groupings = Array.from({ length: rank }, (_, d) => ({
        queries: rankGroups(q, d, rank, size),
        keys: rankGroups(k, d, rank, size),
        count: Math.ceil(Math.max(queries, keys) / size),
      }));
      return { keeps: (i, j) => groupings.some(g => g.queries[i] === g.keys[j]), groupings };
    }
  }
}

/** Queries and keys of one head in the few dimensions, [tokens, rank]. */
function projections(
  input: CoreInput,
  head: number,
  context: AttendContext,
): { q: Float64Array; k: Float64Array; rank: number } {
  const { queries, keys, dim } = input;
  const wq = weight(input, context, 'wq');
  const wk = weight(input, context, 'wk');
  const rank = wq.dims[2]!;
  if (wk.dims[2] !== rank) throw new RefusedError('"wq" and "wk" have different ranks.');
  return {
    q: project(input.q, head * queries, queries, dim, wq.data, head, rank),
    k: project(input.k, kvHead(input, head) * keys, keys, dim, wk.data, head, rank),
    rank,
  };
}

function weight(input: CoreInput, { own }: AttendContext, name: string): Tensor & { type: 'float32' } {
  const tensor = own[name];
  const { heads, dim } = input;
  if (
    tensor?.type !== 'float32' ||
    tensor.dims.length !== 3 ||
    tensor.dims[0] !== heads ||
    tensor.dims[1] !== dim
  ) {
    throw new RefusedError(told`"${name}" must be float32 [${heads}, ${dim}, rank].`);
  }
  return tensor;
}

/** [rows, rank], in float64 */
function project(
  data: Float32Array,
  first: number,
  rows: number,
  dim: number,
  matrix: Float32Array,
  head: number,
  rank: number,
): Float64Array {
  const projected = new Float64Array(rows * rank);
  const columns = Array.from({ length: rank }, (_, d) =>
    Float64Array.from({ length: dim }, (_, c) => matrix[(head * dim + c) * rank + d]!),
  );
  let d = 0;
  // Two at once: a single sum waits for each of its products.
  for (; d + 1 < rank; d += 2) {
    const [one, other] = [columns[d]!, columns[d + 1]!];
    for (let i = 0; i < rows; i++) {
      const at = (first + i) * dim;
      let sum = 0;
      let second = 0;
      for (let c = 0; c < dim; c++) {
        const value = data[at + c]!;
        sum += value * one[c]!;
        second += value * other[c]!;
      }
      projected[i * rank + d] = sum;
      projected[i * rank + d + 1] = second;
    }
  }
  if (d < rank) {
    const column = columns[d]!;
    for (let i = 0; i < rows; i++) {
      const at = (first + i) * dim;
      let sum = 0;
      for (let c = 0; c < dim; c++) sum += data[at + c]! * column[c]!;
      projected[i * rank + d] = sum;
    }
  }
  return projected;
}

/** The same sum without a loop, which would take longer than it: settings for a budget have four dimensions. */
function ofFour(a: Float64Array, i: number, b: Float64Array, j: number): number {
  const x = a[i]! - b[j]!;
  const y = a[i + 1]! - b[j + 1]!;
  const z = a[i + 2]! - b[j + 2]!;
  const w = a[i + 3]! - b[j + 3]!;
  return x * x + y * y + z * z + w * w;
}

function squaredDistance(a: Float64Array, i: number, b: Float64Array, j: number, rank: number): number {
  if (rank === 4) return ofFour(a, 4 * i, b, 4 * j);
  let sum = 0;
  for (let d = 0; d < rank; d++) {
    const x = a[i * rank + d]! - b[j * rank + d]!;
    sum += x * x;
  }
  return sum;
}

/** Rank of each row in one dimension (smallest first, lower index on ties), divided into groups of `size`. */
export function rankGroups(rows: Float64Array, d: number, rank: number, size: number): Int32Array {
  const count = rows.length / rank;
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) values[i] = rows[i * rank + d]!;
  // Without a comparison of ours, which would take longer than the attention.
  const sorted = values.slice().sort();
  const groupAt = groupFinder(sorted, size);
  const groups = new Int32Array(count);
  const equals = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const value = values[i]!;
    const group = groupAt(value);
    const first = group * size;
    groups[i] = group;
    if (first === 0 || sorted[first - 1] !== value) continue;
    // Equal values in several groups: by their order.
    const before = equals.get(value) ?? 0;
    equals.set(value, before + 1);
    groups[i] = Math.floor((lowerBound(sorted, value) + before) / size);
  }
  return groups;
}

/** The last group that begins at or below a value. It is looked for from where it would be if values lay evenly: near that in most texts. */
function groupFinder(sorted: Float64Array, size: number): (value: number) => number {
  const firsts = sorted.filter((_, place) => place % size === 0);
  const cells = 4 * firsts.length;
  const low = sorted[0]!;
  const range = sorted.at(-1)! - low;
  const scale = range > 0 ? (cells - 1) / range : 0;
  const cellOf = (value: number) => Math.floor((value - low) * scale);
  // A group that begins in an earlier cell, or the first one.
  const guide = new Int32Array(cells);
  for (let cell = 1, group = 0; cell < cells; cell++) {
    while (group + 1 < firsts.length && cellOf(firsts[group + 1]!) < cell) group++;
    guide[cell] = group;
  }
  return value => {
    let group = guide[cellOf(value)]!;
    while (firsts[group + 1]! <= value) group++;
    return group;
  };
}

function centroidsOf(input: CoreInput, head: number, rank: number, { own }: AttendContext): Float64Array {
  const tensor = own['centroids'];
  const { heads } = input;
  if (
    tensor?.type !== 'float32' ||
    tensor.dims.length !== 3 ||
    tensor.dims[0] !== heads ||
    tensor.dims[2] !== rank
  ) {
    throw new RefusedError(told`"centroids" must be float32 [${heads}, clusters, ${rank}].`);
  }
  const size = tensor.dims[1]! * rank;
  return Float64Array.from(tensor.data.subarray(head * size, (head + 1) * size));
}

function nearest(rows: Float64Array, centroids: Float64Array, rank: number): Int32Array {
  const ids = new Int32Array(rows.length / rank);
  const count = centroids.length / rank;
  for (let i = 0; i < ids.length; i++) {
    let smallest = Infinity;
    for (let c = 0; c < count; c++) {
      const distance = squaredDistance(rows, i, centroids, c, rank);
      if (distance >= smallest) continue;
      smallest = distance;
      ids[i] = c;
    }
  }
  return ids;
}

/** Ten iterations over queries and keys together, from the first query and then the points farthest from all. */
function kMeans(q: Float64Array, k: Float64Array, rank: number, clusters: number): Float64Array {
  const points = new Float64Array(q.length + k.length);
  points.set(q);
  points.set(k, q.length);
  const count = points.length / rank;
  const centroids = new Float64Array(clusters * rank);
  const away = new Float64Array(count).fill(Infinity);
  let chosen = 0;
  for (let c = 0; c < clusters; c++) {
    centroids.set(points.subarray(chosen * rank, (chosen + 1) * rank), c * rank);
    let farthest = -1;
    for (let i = 0; i < count; i++) {
      away[i] = Math.min(away[i]!, squaredDistance(points, i, centroids, c, rank));
      if (away[i]! > farthest) [farthest, chosen] = [away[i]!, i];
    }
  }
  for (let iteration = 0; iteration < 10; iteration++) {
    const ids = nearest(points, centroids, rank);
    const sums = new Float64Array(centroids.length);
    const sizes = new Int32Array(clusters);
    ids.forEach((id, i) => {
      sizes[id]!++;
      for (let d = 0; d < rank; d++) sums[id * rank + d]! += points[i * rank + d]!;
    });
    sums.forEach((sum, t) => {
      const size = sizes[Math.floor(t / rank)]!;
      if (size > 0) centroids[t] = sum / size;
    });
  }
  return centroids;
}

async function attendPredicted(
  input: CoreInput,
  head: number,
  { keeps, groupings }: Prediction,
  band: Band | null,
  offsets: OffsetTable,
  outputs: Outputs,
  context: AttendContext,
): Promise<number> {
  const shift = input.keys - input.queries;
  const isNear = (position: number, key: number) =>
    band !== null && key >= position - band.before && key <= position + band.after;
  let pairs = 0;
  if (groupings && servesLists(input, context, true)) {
    return attendPairs(input, head, keysSeen(input, groupings, isNear), offsets, outputs, context);
  }
  if (!groupings) {
    const keep = (position: number, key: number) => !isNear(position, key) && keeps(position - shift, key);
    for (let from = 0; from < input.queries; from += ROWS) {
      const queries = sequence(from, Math.min(input.queries, from + ROWS));
      const last = visibleKeys(input, queries[queries.length - 1]!).to;
      const keys = sequence(visibleKeys(input, from).from, last);
      pairs += await attendLists(input, head, queries, keys, keep, offsets, outputs, context);
    }
    return pairs;
  }
  for (const [g, grouping] of groupings.entries()) {
    // A pair that an earlier dimension has found already does not count again.
    const ofQueries = groupings.slice(0, g).map(before => before.queries);
    const ofKeys = groupings.slice(0, g).map(before => before.keys);
    const keep = (position: number, key: number) => {
      if (isNear(position, key)) return false;
      for (let b = 0; b < g; b++) if (ofQueries[b]![position - shift] === ofKeys[b]![key]) return false;
      return true;
    };
    const queries = membersOf(grouping.queries, grouping.count);
    const keys = membersOf(grouping.keys, grouping.count);
    const groups = queries
      .map((list, b) => ({ queries: list, keys: keys[b]! }))
      .filter(group => group.queries.length > 0 && group.keys.length > 0);
    pairs += await attendGroups(input, head, groups, keep, offsets, outputs, context);
  }
  return pairs;
}

/** The keys that any dimension brings to a query, but for those that are seen anyway. */
function keysSeen(
  { queries, keys, rule }: CoreInput,
  groupings: NonNullable<Prediction['groupings']>,
  isNear: (position: number, key: number) => boolean,
): ListKeys {
  const members = groupings.map(({ keys: groups, count }) => membersOf(groups, count));
  const seen = new Int32Array(keys).fill(-1);
  return (query, into, at) => {
    const position = query + keys - queries;
    const last = rule.mask.causal ? position : keys - 1;
    let end = at;
    for (const [g, grouping] of groupings.entries()) {
      const group = members[g]![grouping.queries[query]!]!;
      for (let t = 0; t < group.length; t++) {
        const key = group[t]!;
        if (key > last) break;
        if (seen[key] === query || isNear(position, key)) continue;
        seen[key] = query;
        into[end++] = key;
      }
    }
    return end;
  };
}

/** Ascending members of each group. */
function membersOf(groups: Int32Array, count: number): Int32Array[] {
  const lists: number[][] = Array.from({ length: count }, () => []);
  groups.forEach((group, i) => lists[group]!.push(i));
  return lists.map(list => Int32Array.from(list));
}

/** [heads, dimensions or 1, tokens]; none under the distance rule. */
function bucketTensors(input: CoreInput, predictions: Prediction[]): Record<string, Tensor> {
  const rounds = predictions[0]!.groupings?.length;
  if (rounds === undefined) return {};
  const tensor = (side: 'queries' | 'keys') => {
    const tokens = input[side];
    const data = new Int32Array(input.heads * rounds * tokens);
    predictions.forEach(({ groupings }, h) =>
      groupings!.forEach((g, r) => data.set(g[side], (h * rounds + r) * tokens)),
    );
    return int32(data, [input.heads, rounds, tokens]);
  };
  return { buckets: tensor('queries'), key_buckets: tensor('keys') };
}
