import { kvHead, type CoreInput } from '../core';
import { bandSize, caught, pairCost, visiblePairs } from '../cost';
import { clusteredBuckets, clusterMask } from '../kernels/bucketing';
import { sphericalKMeans } from '../kernels/kmeans';
import type { AttendContext, Attended, Mechanism, SparseRow } from '../mechanism';
import { chooseLocalHeads, withLocalHeads } from '../kernels/localHeads';
import { Memberships, nearestMembers } from '../kernels/membership';
import { rootOf } from '../parameters';
import { flagOf, numberOf, numberOrAuto } from '../../../shared/setting';
import { LazyRow, scoresOf, shownKeys, softmax } from '../kernels/rows';
import { refusesTie, SELF_AS_LAST_RESORT, tieKeys } from '../kernels/tied';
import { settingsOf } from '../kernels/shares';
import {
  addOpaque,
  BATCH_ELEMENTS,
  logAdd,
  MASKED,
  offsetTables,
  runTiles,
  type OffsetTable,
  type Tiles,
} from '../kernels/tiles';
import { RefusedError, told } from '../../errors';
import type { MechanismParams } from '../../../shared/protocol/engine';
import { float32, int32, type Tensor } from '../../runtime/tensor';

/** Keeps the mean of a token in no cluster finite (lucidrains' routing-transformer has the same). */
const EPSILON = 1e-5;

/**
 * Routing attention: every centroid takes the queries and the keys nearest to it, which attend to each other; a
 * token's output is the mean over the clusters that hold it, 0 where none does.
 */
export const routing: Mechanism = {
  info: {
    name: 'routing',
    title: 'Routing',
    label: 'route',
    hue: '#ff9da7',
    summary: 'Tokens near the same centroid attend to each other.',
    paper: 'Roy et al., Efficient Content-Based Sparse Attention with Routing Transformers, 2021, section 4',
    parameters: [
      {
        name: 'window',
        type: 'integer',
        default: null,
        defaultRule: 'square root of the tokens',
        minimum: 1,
        description: 'Queries and keys that each cluster takes.',
      },
      {
        name: 'clusters',
        type: 'integer',
        default: null,
        defaultRule: 'tokens divided by the window',
        minimum: 1,
        description: 'Number of clusters, where no centroids are given.',
      },
      {
        name: 'sharedQK',
        type: 'boolean',
        default: false,
        description: 'The key of a token is its query at unit length; itself it sees only as a last resort.',
      },
      {
        name: 'localHeads',
        type: 'integer',
        default: 0,
        minimum: 0,
        description:
          'At most so many heads of a layer attend to a local window instead: those that it serves better (in the paper half of them).',
      },
      {
        name: 'localWindow',
        type: 'integer',
        default: 256,
        minimum: 1,
        description: 'Window of the local heads.',
      },
    ],
    view: 'buckets',
    causalSelection: false,
  },

  about: {
    what: 'Centroids take the queries and the keys nearest to them, which attend to each other within the cluster.',
    rule: 'top-`window` of x̂·centroid for each cluster; a token’s output is the mean over its clusters',
    exact:
      'Exact for given `centroids`. On a model that was not trained so they come from spherical k-means on this text’s queries and keys. A token in no cluster gives 0 and is counted as uncovered.',
    cost: 'N² / (2 clusters) pairs; N · √N / 2 at the default.',
    when: 'Heads that group tokens by topic or kind. Both clusters and members are chosen from the whole text, so it is no causal mechanism even under a causal mask. `localHeads` gives heads that a window serves better to that window, as the paper does with half of them.',
  },

  examples: [{ window: 11, clusters: 4 }],
  whole: tokens => [
    { window: tokens, clusters: 1 },
    { window: tokens, clusters: 4 },
  ],

  tensors: {
    centroids: { dims: ['heads', 'clusters', 'dim'] },
    local_heads: { dims: ['local'], holds: 'indices' },
  },
  tiesKeys: params => flagOf(params, 'sharedQK'),

  refuses(input, params) {
    if (flagOf(params, 'sharedQK') && numberOf(params, 'localHeads') > 0) {
      return 'Local heads are chosen by the mass that they keep, which tied queries and keys do not tell.';
    }
    return refusesTie(input, params);
  },

  families: [byWindow],
  settings: (input, share) => settingsOf([byWindow], input, share),

  settle: (input, params) => ({
    window: windowOf(input.keys, params),
    clusters: clustersOf(input.keys, params),
  }),

  async prepare(input, params, context): Promise<Record<string, Tensor>> {
    const made: Record<string, Tensor> = {};
    if (!context.own['centroids']) made['centroids'] = await fitCentroids(input, params, context);
    const most = numberOf(params, 'localHeads');
    if (most === 0 || context.own['local_heads']) return made;
    const routed = await attendRouted(input, params, { ...context, own: { ...made, ...context.own } });
    const window = numberOf(params, 'localWindow');
    return { ...made, local_heads: await chooseLocalHeads(input, routed, { most, window }, context) };
  },

  /**
   * Every cluster pairs its queries with its keys; ranking all tokens for all centroids comes on top. Mean over the heads of
   * a layer, as many of them local as may be.
   */
  cost(tokens, params, shape) {
    const window = Math.min(tokens, windowOf(tokens, params));
    const clusters = clustersOf(tokens, params);
    const share = caught((window / tokens) ** 2, clusters);
    const ranked = (flagOf(params, 'sharedQK') ? 1 : 2) * tokens;
    const { layerHeads = 1 } = shape;
    const local = Math.min(numberOf(params, 'localHeads'), layerHeads) / layerHeads;
    const reach = numberOf(params, 'localWindow') - 1;
    const band = bandSize(tokens, reach, shape.causal ? 0 : reach);
    const routed = share * visiblePairs(tokens, shape.causal);
    return pairCost(local * band + (1 - local) * routed, shape, local === 1 ? 'exact' : 'expected', {
      flops: (1 - local) * 2 * ranked * clusters * shape.dim,
      floats: (1 - local) * ranked * clusters,
    });
  },

  mask: (attended, input, params) =>
    attended.extra['local_heads']?.dims[0]
      ? { kind: 'rule', rule: { near: numberOf(params, 'localWindow') - 1 } }
      : clusterMask(attended.extra, input),

  buckets: clusteredBuckets,

  async attend(input, params, context) {
    const routed = await attendRouted(input, params, context);
    const local = Array.from(context.own['local_heads']?.data ?? [], Number);
    return withLocalHeads(input, routed, local, numberOf(params, 'localWindow'), context);
  },
};

/** As many clusters as windows: together they hold window * keys of the pairs. */
function byWindow({ keys }: CoreInput, share: number): MechanismParams | null {
  const window = Math.min(keys, Math.floor(share * keys));
  return window < 4 ? null : { window, clusters: Math.ceil(keys / window) };
}

/** Centroids of spherical k-means over queries and keys, [heads, clusters, dim]. */
async function fitCentroids(
  input: CoreInput,
  params: MechanismParams,
  context: AttendContext,
): Promise<Tensor> {
  const clusters = clustersOf(input.keys, params);
  const core = flagOf(params, 'sharedQK') ? tieKeys(input) : input;
  const centroids = new Float32Array(input.heads * clusters * input.dim);
  for (let head = 0; head < input.heads; head++) {
    const { queries, keys } = vectors(core, head);
    const points = new Float32Array(queries.length + keys.length);
    points.set(queries);
    points.set(keys, queries.length);
    const found = await sphericalKMeans(points, input.dim, clusters, context);
    centroids.set(found, head * clusters * input.dim);
  }
  return float32(centroids, [input.heads, clusters, input.dim]);
}

async function attendRouted(
  input: CoreInput,
  params: MechanismParams,
  context: AttendContext,
): Promise<Attended> {
  const shared = flagOf(params, 'sharedQK');
  const core = shared ? tieKeys(input) : input;
  const { heads, queries, valueDim } = core;
  const output = new Float32Array(heads * queries * valueDim);
  const lse = new Float32Array(heads * queries).fill(-Infinity);
  const pairs = new Float64Array(heads);
  const tables = offsetTables(core);
  const routed: Routed[] = [];
  for (let head = 0; head < heads; head++) {
    const clusters = await route(core, head, shared, windowOf(input.keys, params), context);
    routed.push(clusters);
    const at = head * queries;
    pairs[head] = await attendHead(
      core,
      clusters,
      tables(head),
      output.subarray(at * valueDim, (at + queries) * valueDim),
      lse.subarray(at, at + queries),
      context,
    );
  }
  return {
    output,
    // Tied keys have scores of their own: the mass they keep is not the model's.
    lse: shared ? null : lse,
    reweighted: true,
    pairs,
    row: (head, query) => rowOf(core, routed[head]!, query),
    extra: {
      query_members: memberTensor(
        routed.map(r => r.queryMembers),
        routed[0]!.clusters,
      ),
      key_members: memberTensor(
        routed.map(r => r.keyMembers),
        routed[0]!.clusters,
      ),
    },
  };
}

function windowOf(tokens: number, params: MechanismParams): number {
  return numberOrAuto(params, 'window', rootOf(tokens));
}

function clustersOf(tokens: number, params: MechanismParams): number {
  return numberOrAuto(params, 'clusters', Math.ceil(tokens / windowOf(tokens, params)));
}

function vectors(input: CoreInput, head: number): { queries: Float32Array; keys: Float32Array } {
  const { q, k, dim, queries, keys } = input;
  const kv = kvHead(input, head);
  return {
    queries: q.subarray(head * queries * dim, (head + 1) * queries * dim),
    keys: k.subarray(kv * keys * dim, (kv + 1) * keys * dim),
  };
}

interface Routed {
  head: number;
  shared: boolean;
  clusters: number;
  /** [clusters, window], ascending */
  queryMembers: Int32Array;
  keyMembers: Int32Array;
  ofQueries: Memberships;
  ofKeys: Memberships;
}

async function route(
  input: CoreInput,
  head: number,
  shared: boolean,
  window: number,
  context: AttendContext,
): Promise<Routed> {
  const tensor = context.own['centroids'];
  const { heads, dim } = input;
  if (
    tensor?.type !== 'float32' ||
    tensor.dims.length !== 3 ||
    tensor.dims[0] !== heads ||
    tensor.dims[2] !== dim
  ) {
    throw new RefusedError(told`"centroids" must be float32 [${heads}, clusters, ${dim}].`);
  }
  const clusters = tensor.dims[1]!;
  const centroids = tensor.data.subarray(head * clusters * dim, (head + 1) * clusters * dim);
  const { queries, keys } = vectors(input, head);
  const queryMembers = await nearestMembers(queries, centroids, dim, window, context);
  const keyMembers = shared ? queryMembers : await nearestMembers(keys, centroids, dim, window, context);
  return {
    head,
    shared,
    clusters,
    queryMembers,
    keyMembers,
    ofQueries: new Memberships(queryMembers, clusters, input.queries),
    ofKeys: new Memberships(keyMembers, clusters, input.keys),
  };
}

/** Fills one head's output [queries, valueDim] and lse [queries]; returns its distinct pairs. */
async function attendHead(
  input: CoreInput,
  routed: Routed,
  offsets: OffsetTable,
  output: Float32Array,
  lse: Float32Array,
  context: AttendContext,
): Promise<number> {
  const { valueDim } = input;
  const { clusters, queryMembers, keyMembers, ofQueries } = routed;
  const size = queryMembers.length / clusters;
  const columns = keyMembers.length / clusters;
  // Usually a tile is a whole cluster; very wide clusters are cut into blocks of rows.
  const rows = Math.max(1, Math.min(size, Math.floor(BATCH_ELEMENTS / columns)));
  const perBatch = rows < size ? 1 : Math.max(1, Math.floor(BATCH_ELEMENTS / (rows * columns)));
  const bias = new Float32Array(Math.min(perBatch, clusters) * rows * columns);
  const share = new Float32Array(bias.length);
  let pairs = 0;
  for (let c = 0; c < clusters; c += perBatch) {
    const count = Math.min(perBatch, clusters - c);
    for (let from = 0; from < size; from += rows) {
      const height = Math.min(rows, size - from);
      const cut = rows < size;
      const tiles: Tiles = {
        head: routed.head,
        rows: height,
        columns,
        queries: cut
          ? queryMembers.subarray(c * size + from, c * size + from + height)
          : queryMembers.subarray(c * size, (c + count) * size),
        keys: keyMembers.subarray(c * columns, (c + count) * columns),
        bias: bias.subarray(0, count * height * columns).fill(0),
        share: share.subarray(0, count * height * columns).fill(1),
        scattered: true,
      };
      pairs += fillBias(input, routed, offsets, tiles);
      addOpaque(input, tiles);
      const result = await runTiles(input, tiles, context);
      const { output: added, distinctLse } = result;
      for (let t = 0; t < tiles.queries.length; t++) {
        const query = tiles.queries[t]!;
        lse[query] = logAdd(lse[query]!, distinctLse[t]! + (tiles.shift?.[t] ?? 0));
        const to = query * valueDim;
        for (let d = 0; d < valueDim; d++) output[to + d]! += added[t * valueDim + d]!;
      }
    }
  }
  ofQueries.counts.forEach((held, query) => {
    const factor = 1 / (held + EPSILON);
    for (let d = query * valueDim; d < (query + 1) * valueDim; d++) output[d]! *= factor;
  });
  return Math.round(pairs);
}

/** Masks on original positions and shares of pairs that several clusters hold; returns the distinct pairs. */
function fillBias(input: CoreInput, routed: Routed, { table, base }: OffsetTable, tiles: Tiles): number {
  const { mask, bias: modelBias } = input.rule;
  const { ofQueries, ofKeys, shared } = routed;
  const { rows, columns, queries, keys } = tiles;
  const bias = tiles.bias!;
  const share = tiles.share!;
  const masked = MASKED;
  const shift = input.keys - input.queries;
  const plain = modelBias === null && mask.window === null && mask.chunk === undefined && !mask.streaming;
  // Columns of the tile whose keys are in several clusters; only they can be paired more than once.
  let repeated: number[] = [];
  let seen = 0;
  let pairs = 0;
  for (let r = 0; r < queries.length; r++) {
    const query = queries[r]!;
    const position = query + shift;
    const at = r * columns;
    const keysAt = Math.floor(r / rows) * columns;
    if (r % rows === 0) {
      repeated = [];
      for (let c = 0; c < columns; c++) if (ofKeys.counts[keys[keysAt + c]!]! > 1) repeated.push(c);
      seen = 0;
    }
    // Queries and keys ascend within a tile, and so does the number of keys before the query.
    if (mask.causal) while (seen < columns && keys[keysAt + seen]! <= position) seen++;
    else seen = columns;
    bias.fill(masked, at + seen, at + columns);
    if (plain) pairs += seen;
    else {
      for (let c = 0; c < seen; c++) {
        const value = table[keys[keysAt + c]! - position + base]!;
        bias[at + c] = value;
        if (value !== masked) pairs++;
      }
    }
    if (shared) {
      for (let c = 0; c < seen; c++) if (keys[keysAt + c] === query) bias[at + c]! += SELF_AS_LAST_RESORT;
    }
    if (ofQueries.counts[query]! <= 1) continue;
    for (const c of repeated) {
      if (c >= seen) break;
      if (bias[at + c] === masked) continue;
      const together = ofQueries.together(query, ofKeys, keys[keysAt + c]!);
      share[at + c] = 1 / together;
      pairs -= 1 - 1 / together;
    }
  }
  return pairs;
}

function rowOf(input: CoreInput, routed: Routed, query: number): SparseRow {
  const { head, shared, clusters, keyMembers, ofQueries } = routed;
  const columns = keyMembers.length / clusters;
  const seen = Array.from(ofQueries.clustersOf(query), cluster => {
    const members = keyMembers.subarray(cluster * columns, (cluster + 1) * columns);
    const keys = shownKeys(input, head, query, members);
    return shared && keys.length > 1 ? keys.filter(key => key !== query) : keys;
  });
  const all = union(seen);
  return new LazyRow(all, () => {
    const sums = new Map<number, number>();
    const held = ofQueries.counts[query]! + EPSILON;
    for (const keys of seen) {
      const weights = softmax(scoresOf(input, head, query, keys));
      keys.forEach((key, t) => sums.set(key, (sums.get(key) ?? 0) + weights[t]! / held));
    }
    return Float64Array.from(all, key => sums.get(key)!);
  });
}

/** Each number once, ascending. */
function union(lists: readonly Int32Array[]): Int32Array {
  const [only] = lists;
  if (only && lists.length === 1) return only;
  const all = new Int32Array(lists.reduce((sum, list) => sum + list.length, 0));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  all.sort();
  return all.filter((number, t) => number !== all[t - 1]);
}

/** [heads, clusters, window] */
function memberTensor(heads: Int32Array[], clusters: number): Tensor {
  const data = new Int32Array(heads.length * heads[0]!.length);
  heads.forEach((members, h) => data.set(members, h * members.length));
  return int32(data, [heads.length, clusters, heads[0]!.length / clusters]);
}
