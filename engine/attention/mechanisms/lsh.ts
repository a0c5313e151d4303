import { kvHead, type CoreInput } from '../core';
import { caught, pairCost, visiblePairs } from '../cost';
import { hashRows, padNorms, rotationDims } from '../kernels/hash';
import type { AttendContext, Mechanism, SettingFamily, SparseRow } from '../mechanism';
import { flagOf, numberOf } from '../../../shared/setting';
import { seededGaussians } from '../maths/random';
import { buildRing, type Ring } from '../kernels/ring';
import { hashedBuckets, ringMask } from '../kernels/bucketing';
import { attendPairs, servesLists, type ListKeys } from '../kernels/pairs';
import { LazyRow, scoresOf, shownKeys, softmax } from '../kernels/rows';
import { refusesTie, SELF_AS_LAST_RESORT, tieKeys } from '../kernels/tied';
import { settingsOf } from '../kernels/shares';
import {
  addOpaque,
  BATCH_ELEMENTS,
  logAdd,
  MASKED,
  offsetTables,
  Outputs,
  runTiles,
  type OffsetTable,
  type Tiles,
} from '../kernels/tiles';
import { RefusedError } from '../../errors';
import type { MechanismParams } from '../../../shared/protocol/engine';
import { float32, int32, type Tensor } from '../../runtime/tensor';

/** Buckets up to which one rotation does; beyond, the hash is factorised. */
const DIRECT_BUCKETS = 64;

/** A query sees its chunk and the one before, in every round, as far as the mask lets it. */
const FAMILIES = [1, 2, 4].map((rounds): SettingFamily => ({ keys }, share) => {
  const bucketSize = Math.min(keys, Math.floor((share * keys) / (2 * rounds)));
  return bucketSize < 4 ? null : { bucketSize, rounds };
});

/**
 * Reformer's LSH attention. Ours departs in one point: without duplicates the count of a pair takes in those seen
 * across the seam of two rounds, so that the result is one softmax over the union of the visible pairs.
 */
export const lsh: Mechanism = {
  info: {
    name: 'lsh',
    title: 'LSH (Reformer)',
    label: 'LSH',
    hue: '#af7aa1',
    summary: 'Tokens whose queries and keys hash into the same bucket attend to each other.',
    paper: 'Kitaev et al., Reformer: The Efficient Transformer, 2020, section 2',
    parameters: [
      {
        name: 'bucketSize',
        type: 'integer',
        default: 64,
        minimum: 1,
        description: 'Length of a chunk of the sorted tokens, and the mean size of a bucket.',
      },
      {
        name: 'rounds',
        type: 'integer',
        default: 2,
        minimum: 1,
        maximum: 64,
        description: 'Independent hashes; a pair is kept if any of them brings it together.',
      },
      {
        name: 'sharedQK',
        type: 'boolean',
        default: false,
        description:
          'As Reformer is trained: the key of a token is its query at unit length, and k is ignored.',
      },
      {
        name: 'attendAcrossBuckets',
        type: 'boolean',
        default: true,
        description: 'Attend to the whole chunk and the one before, whatever the buckets.',
      },
      {
        name: 'allowDuplicates',
        type: 'boolean',
        default: false,
        description: 'Count a pair once for every round that brings it together.',
      },
      {
        name: 'seed',
        type: 'integer',
        default: 1,
        minimum: 0,
        description: 'Seed of the random rotations, where none are given.',
      },
    ],
    view: 'buckets',
    causalSelection: false,
  },

  about: {
    what: 'Queries and keys are hashed by random rotations; tokens are sorted by bucket and cut into chunks, which see themselves and the chunk before.',
    rule: 'bucket = argmax [xR; -xR]; several rounds, one softmax over the union of visible pairs',
    exact:
      'With `sharedQK` it is Reformer’s rule exactly: keys are queries at unit length. On a model with separate keys (the default) queries and keys are padded to equal norms, so that the angle follows q·k: which pairs are found is then a what-if of ours, the weights of the found pairs are exact.',
    cost: 'rounds · N · bucketSize pairs at most (twice that without a causal mask; fewer where rounds find the same, and where queries and keys hash apart), and a sort.',
    when: 'Heads whose mass is on few, strongly matching keys. More rounds find more; the Buckets view shows what no round caught. The sort order sees the whole text.',
  },

  examples: [{ bucketSize: 5, rounds: 2 }, { bucketSize: 4 }, { bucketSize: 16, rounds: 1, sharedQK: true }],
  whole: tokens => [
    { bucketSize: tokens, rounds: 1 },
    { bucketSize: 3 * tokens, rounds: 3 },
  ],

  tensors: {
    rotations: { dims: ['dim | dim + 2', 'rounds', 'half'] },
    rotations_fine: { dims: ['dim | dim + 2', 'rounds', 'fine'] },
  },
  tiesKeys: params => flagOf(params, 'sharedQK'),

  refuses: refusesTie,

  families: FAMILIES,
  settings: (input, share) => settingsOf(FAMILIES, input, share),

  async prepare(input, params, context): Promise<Record<string, Tensor>> {
    if (context.own['rotations']) return {};
    return seededRotations(input, params);
  },

  /**
   * Every query sees its chunk and the one before, as when queries and keys hash alike; where they hash apart, chunks
   * meet fewer keys. Hashing costs one product per rotation, token and round.
   */
  cost(tokens, params, shape) {
    const { bucketSize, attendAcrossBuckets } = readOptions(params);
    const rounds = numberOf(params, 'rounds');
    const { coarse, fine } = bucketPlan(tokens, bucketSize);
    const buckets = fine === null ? 2 * coarse : 4 * coarse * fine;
    const share = attendAcrossBuckets ? Math.min(1, (2 * bucketSize) / tokens) : 1 / buckets;
    const shared = flagOf(params, 'sharedQK');
    const hashed = (shared ? 1 : 2) * tokens;
    const width = shape.dim + (shared ? 0 : 2);
    return pairCost(caught(share, rounds) * visiblePairs(tokens, shape.causal), shape, 'expected', {
      flops: 2 * hashed * width * rounds * (coarse + (fine ?? 0)),
      floats: hashed * rounds,
    });
  },

  mask({ extra, reweighted }, _input, params) {
    const { bucketSize, attendAcrossBuckets } = readOptions(params);
    return reweighted && numberOf(params, 'rounds') > 1
      ? { kind: 'none', reason: 'a pair that several rounds bring together counts several times' }
      : ringMask(extra, bucketSize, attendAcrossBuckets);
  },

  buckets: hashedBuckets,

  async attend(input, params, context) {
    const options = readOptions(params);
    const shared = flagOf(params, 'sharedQK');
    const core = shared ? tieKeys(input) : input;
    const outputs = new Outputs(core);
    const distinct = new Float32Array(outputs.lse.length).fill(-Infinity);
    const pairs = new Float64Array(input.heads);
    const tables = offsetTables(core);
    const rings: HashedHead[] = [];
    for (let head = 0; head < input.heads; head++) {
      const hashed = await hashHead(core, head, shared, options, context);
      rings.push(hashed);
      pairs[head] =
        !shared && !options.allowDuplicates && servesLists(core, context, true)
          ? await attendPairs(core, head, keysSeen(core, hashed), tables(head), outputs, context)
          : await attendHead(core, hashed, tables(head), outputs, distinct, context);
    }
    return {
      output: outputs.output,
      // Tied keys have scores of their own: the mass they keep is not the model's.
      lse: shared ? null : options.allowDuplicates ? distinct : outputs.lse,
      ...(options.allowDuplicates ? { reweighted: true } : {}),
      pairs,
      row: (head, query) => rowOf(core, rings[head]!, query),
      extra: {
        buckets: bucketTensor(rings.map(r => r.queryBuckets)),
        ...(shared ? {} : { key_buckets: bucketTensor(rings.map(r => r.keyBuckets)) }),
      },
    };
  },
};

interface Options {
  bucketSize: number;
  attendAcrossBuckets: boolean;
  allowDuplicates: boolean;
}

function readOptions(params: MechanismParams): Options {
  return {
    bucketSize: numberOf(params, 'bucketSize'),
    attendAcrossBuckets: flagOf(params, 'attendAcrossBuckets'),
    allowDuplicates: flagOf(params, 'allowDuplicates'),
  };
}

function seededRotations(input: CoreInput, params: MechanismParams): Record<string, Tensor> {
  const rounds = numberOf(params, 'rounds');
  const seed = numberOf(params, 'seed');
  const width = flagOf(params, 'sharedQK') ? input.dim : input.dim + 2;
  const { coarse, fine } = bucketPlan(input.keys, numberOf(params, 'bucketSize'));
  const rotation = (half: number, salt: number) =>
    float32(seededGaussians(width * rounds * half, seed * 2 + salt), [width, rounds, half]);
  return {
    rotations: rotation(coarse, 0),
    ...(fine === null ? {} : { rotations_fine: rotation(fine, 1) }),
  };
}

/** Rotations of each hash, half as many as its buckets; `fine` null = one hash does. */
function bucketPlan(keys: number, bucketSize: number): { coarse: number; fine: number | null } {
  const buckets = Math.max(2, 2 * Math.round(keys / bucketSize / 2));
  if (buckets <= DIRECT_BUCKETS) return { coarse: buckets / 2, fine: null };
  const coarse = Math.max(1, Math.round(Math.sqrt(buckets) / 2));
  return { coarse, fine: Math.max(1, Math.round(buckets / coarse / 4)) };
}

interface HashedHead {
  head: number;
  options: Options;
  shared: boolean;
  queryBuckets: Int32Array[];
  keyBuckets: Int32Array[];
  ring: Ring;
}

/**
 * Rotations [dim, ...] hash queries and keys as they are; rotations [dim + 2, ...] hash them padded to equal norms,
 * so that the angle follows the inner product.
 */
async function hashHead(
  input: CoreInput,
  head: number,
  shared: boolean,
  options: Options,
  context: AttendContext,
): Promise<HashedHead> {
  const { dim } = input;
  const rotations = context.own['rotations'];
  if (!rotations) throw new RefusedError('lsh needs the tensor "rotations".');
  const fine = context.own['rotations_fine'];
  const [width] = rotationDims(rotations);
  const kv = kvHead(input, head);
  const vectors = input.q.subarray(head * input.queries * dim, (head + 1) * input.queries * dim);
  const others = input.k.subarray(kv * input.keys * dim, (kv + 1) * input.keys * dim);
  const { queries, keys } =
    width === dim + 2 && !shared
      ? padNorms(vectors, others, dim)
      : {
          queries: { vectors, width: dim, padding: null },
          keys: { vectors: others, width: dim, padding: null },
        };
  const queryBuckets = await hashRows(queries, rotations, fine, context);
  const keyBuckets = shared ? queryBuckets : await hashRows(keys, rotations, fine, context);
  const ring = buildRing(queryBuckets, keyBuckets, options.bucketSize);
  return { head, options, shared, queryBuckets, keyBuckets, ring };
}

/** The keys that any round brings to a query. */
function keysSeen({ queries, keys, rule }: CoreInput, hashed: HashedHead): ListKeys {
  const { ring, options, queryBuckets, keyBuckets } = hashed;
  const { rounds, keyOrder, chunkOf, chunks } = ring;
  const seen = new Int32Array(keys).fill(-1);
  return (query, into, at) => {
    const last = rule.mask.causal ? query + keys - queries : keys - 1;
    let end = at;
    for (let round = 0; round < rounds; round++) {
      const { first, end: behind, wrap } = chunks[chunkOf[round * queries + query]!]!;
      const bucket = queryBuckets[round]![query]!;
      const ofKeys = keyBuckets[round]!;
      // Where the ring closes, its last places come behind the others.
      for (let place = first; place < keyOrder.length; place++) {
        if (place === behind) place = Math.max(place, wrap);
        if (place >= keyOrder.length) break;
        const key = keyOrder[place]!;
        if (key > last || seen[key] === query) continue;
        if (!options.attendAcrossBuckets && (ofKeys[key] !== bucket || Math.floor(place / keys) !== round))
          continue;
        seen[key] = query;
        into[end++] = key;
      }
    }
    return end;
  };
}

/** Runs the chunks of one head; returns its distinct pairs. */
async function attendHead(
  input: CoreInput,
  hashed: HashedHead,
  offsets: OffsetTable,
  outputs: Outputs,
  distinct: Float32Array,
  context: AttendContext,
): Promise<number> {
  const { ring, head, options } = hashed;
  const rows = Math.min(options.bucketSize, ring.queryOrder.length);
  const columns = Math.min(2 * options.bucketSize, ring.keyOrder.length);
  const perBatch = Math.max(1, Math.floor(BATCH_ELEMENTS / (rows * columns)));
  const reweigh = options.allowDuplicates && ring.rounds > 1;
  const most = Math.min(perBatch, ring.chunks.length);
  const queries = new Int32Array(most * rows);
  const keys = new Int32Array(most * columns);
  const bias = new Float32Array(most * rows * columns);
  const share = reweigh ? new Float32Array(bias.length) : null;
  let pairs = 0;
  for (let c = 0; c < ring.chunks.length; c += perBatch) {
    const count = Math.min(perBatch, ring.chunks.length - c);
    const tiles: Tiles = {
      head,
      rows,
      columns,
      queries: queries.subarray(0, count * rows).fill(-1),
      keys: keys.subarray(0, count * columns).fill(-1),
      bias: bias.subarray(0, count * rows * columns).fill(MASKED),
      scattered: true,
      ...(share ? { share: share.subarray(0, count * rows * columns).fill(0) } : {}),
    };
    for (let t = 0; t < count; t++) pairs += fillChunk(input, hashed, c + t, t, offsets, tiles);
    addOpaque(input, tiles);
    const result = await runTiles(input, tiles, context);
    outputs.merge(tiles, result);
    if (!reweigh) continue;
    tiles.queries.forEach((query, t) => {
      const at = head * input.queries + query;
      if (query >= 0) distinct[at] = logAdd(distinct[at]!, result.distinctLse[t]! + (tiles.shift?.[t] ?? 0));
    });
  }
  if (options.allowDuplicates && !reweigh) {
    const at = head * input.queries;
    distinct.set(outputs.lse.subarray(at, at + input.queries), at);
  }
  return Math.round(pairs);
}

/** Fills tile t with a chunk; returns its visible pairs, each counted 1/n when n places in the ring show it. */
function fillChunk(
  input: CoreInput,
  hashed: HashedHead,
  chunkIndex: number,
  t: number,
  { table, base }: OffsetTable,
  tiles: Tiles,
): number {
  const { ring, options, shared, queryBuckets, keyBuckets } = hashed;
  const { rows, columns, share } = tiles;
  const bias = tiles.bias!;
  const { attendAcrossBuckets, allowDuplicates } = options;
  const { keyOrder, rounds } = ring;
  const { queries, keys } = input;
  const chunk = ring.chunks[chunkIndex]!;
  const own = chunk.end - chunk.first;
  const seen = own + keyOrder.length - chunk.wrap;
  const placeOf = (c: number) => (c < own ? chunk.first + c : chunk.wrap + c - own);
  const keysAt = t * columns;
  const tileKeys = tiles.keys;
  for (let c = 0; c < columns; c++) {
    tileKeys[keysAt + c] = c < seen ? keyOrder[placeOf(c)]! : -1;
  }
  const masked = MASKED;
  const plain = rounds === 1 && attendAcrossBuckets && !shared;
  let pairs = 0;
  for (let entry = chunk.from; entry < chunk.to; entry++) {
    const r = t * rows + entry - chunk.from;
    const query = ring.queryOrder[entry]!;
    tiles.queries[r] = query;
    const zero = base - (query + keys - queries);
    const at = r * columns;
    if (plain) {
      for (let c = 0; c < seen; c++) {
        const value = table[tileKeys[keysAt + c]! + zero]!;
        bias[at + c] = value;
        if (value !== masked) pairs++;
      }
      continue;
    }
    const round = Math.floor(entry / queries);
    const bucket = queryBuckets[round]![query]!;
    const bucketsOfKeys = keyBuckets[round]!;
    for (let c = 0; c < seen; c++) {
      const key = tileKeys[keysAt + c]!;
      let value = table[key + zero]!;
      if (value === masked) continue;
      if (!attendAcrossBuckets) {
        if (bucketsOfKeys[key] !== bucket || Math.floor(placeOf(c) / keys) !== round) continue;
      }
      const count = rounds === 1 ? 1 : multiplicity(hashed, query, key, queries, keys);
      pairs += 1 / count;
      if (shared && key === query) value += SELF_AS_LAST_RESORT;
      if (!allowDuplicates) value -= logOf(count);
      else if (share) share[at + c] = 1 / count;
      bias[at + c] = value;
    }
  }
  return pairs;
}

const logs = Float64Array.from({ length: 256 }, (_, n) => Math.log(n));

function logOf(count: number): number {
  return logs[count] ?? Math.log(count);
}

/** In how many places of the ring, over all rounds, the query sees the key. */
function multiplicity(
  { ring, options, queryBuckets, keyBuckets }: HashedHead,
  query: number,
  key: number,
  queries: number,
  keys: number,
): number {
  const { rounds, keyPlace, chunkOf, chunks } = ring;
  let count = 0;
  for (let round = 0; round < rounds; round++) {
    const { first, end, wrap, mixed } = chunks[chunkOf[round * queries + query]!]!;
    if (!options.attendAcrossBuckets) {
      if (queryBuckets[round]![query] !== keyBuckets[round]![key]) continue;
      const place = keyPlace[round * keys + key]!;
      if ((place >= first && place < end) || place >= wrap) count++;
      continue;
    }
    const [from, to] = mixed ? [0, rounds] : [round, round + 1];
    for (let other = from; other < to; other++) {
      const place = keyPlace[other * keys + key]!;
      if ((place >= first && place < end) || place >= wrap) count++;
    }
  }
  return count;
}

function rowOf(input: CoreInput, hashed: HashedHead, query: number): SparseRow {
  const { ring, head, options, shared, queryBuckets, keyBuckets } = hashed;
  const { queries, keys } = input;
  const found: number[] = [];
  for (let round = 0; round < ring.rounds; round++) {
    const { first, end, wrap } = ring.chunks[ring.chunkOf[round * queries + query]!]!;
    const bucket = queryBuckets[round]![query]!;
    const look = (from: number, to: number) => {
      for (let place = from; place < to; place++) {
        const key = ring.keyOrder[place]!;
        if (!options.attendAcrossBuckets) {
          if (Math.floor(place / keys) !== round || keyBuckets[round]![key] !== bucket) continue;
        }
        found.push(key);
      }
    };
    look(first, end);
    look(wrap, ring.keyOrder.length);
  }
  const places = shownKeys(input, head, query, found).sort();
  let kept = places.filter((key, t) => key !== places[t - 1]);
  if (shared && kept.length > 1) kept = kept.filter(key => key !== query);
  return new LazyRow(kept, () => {
    const logs = new Float64Array(kept.length);
    if (options.allowDuplicates) kept.forEach((key, t) => (logs[t] = Math.log(countOf(places, key))));
    return softmax(scoresOf(input, head, query, kept), logs);
  });
}

/** How often a number stands in an ascending list. */
function countOf(list: Int32Array, number: number): number {
  const first = list.indexOf(number);
  let end = first;
  while (list[end] === number) end++;
  return end - first;
}

/** [heads, rounds, tokens] */
function bucketTensor(heads: Int32Array[][]): Tensor {
  const rounds = heads[0]!.length;
  const tokens = heads[0]![0]!.length;
  const data = new Int32Array(heads.length * rounds * tokens);
  heads.forEach((list, h) => list.forEach((ids, r) => data.set(ids, (h * rounds + r) * tokens)));
  return int32(data, [heads.length, rounds, tokens]);
}
