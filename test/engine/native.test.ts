import assert from 'node:assert/strict';
import { join } from 'node:path';
import { denseCore, denseOutput, denseRows } from '../../engine/attention/kernels/dense';
import { denseColumn, denseRow } from '../../engine/attention/kernels/lines';
import { someHeads } from '../../engine/attention/kernels/subset';
import type { CoreInput } from '../../engine/attention/core';
import { settingOf } from '../../engine/attention/parameters';
import { seesAll, standIn } from '../../engine/attention/whatIf';
import { findMechanism } from '../../engine/attention/registry';
import { memory as memoryLens } from '../../engine/lens/memory';
import { positionTerms } from '../../engine/lens/positionTerms';
import { verifyJson } from '../../engine/export/verifyJson';
import { loadModel } from '../../engine/model/load';
import type { CutModel } from '../../engine/model/cut/cutModel';
import { RefusedError } from '../../engine/errors';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { floats, int64 } from '../../engine/runtime/tensor';
import { routersOf, type RouterRows } from '../../engine/model/cut/routers';
import { graphOf } from '../../engine/model/onnx/readGraph';
import { readSkeleton } from '../../engine/model/onnx/skeleton';
import { aroundHeads, dropped, positions, scaled, softmax, transposed } from './attentionLayers';
import type { Setting } from '../../shared/setting';
import type { ModelWriter } from '../fixtures/onnxModels';
import { assertReproduces, Bench, DIM, HEADS, layered, WIDTH, type Layer } from './cutHarness';

const ZOO = join(__dirname, '..', 'fixtures', 'zoo');

/** What the recipe gave its small samples (scripts/zoo/samples.py). */
const MADE_WITH: Record<string, Record<string, unknown>> = {
  strided: { stride: 6 },
  'adaptive-span': { ramp: 5 },
  lsh: { bucketSize: 6, rounds: 3, sharedQK: true, attendAcrossBuckets: false },
  routing: { window: 12, localHeads: 2, localWindow: 7, sharedQK: true },
  'transformer-xl': { segment: 12, memory: 7 },
  compressive: { segment: 12, memory: 8, compressed: 3, rate: 4, pool: 'conv' },
  entmax: {},
  shaped: {},
};
/** Of the sample with a router. */
const EXPERTS = 3;
const HEADS_OF_SAMPLE = 4;
/** Learned as one number for each head. */
const LEARNED: Record<string, string[]> = {
  'adaptive-span': ['span'],
  entmax: ['alpha'],
  shaped: ['alpha', 'beta', 'gamma'],
};

describe('models made with a mechanism of a paper, which their file carries by name', () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await createRuntime('cpu');
  });
  after(() => runtime.dispose());

  const load = (name: string): Promise<CutModel> => {
    const onnx = join(ZOO, name, 'onnx', 'model.onnx');
    return loadModel({ onnx, name, ref: onnx }, runtime, { signal: neverCancelled });
  };

  for (const [name, settings] of Object.entries(MADE_WITH))
    it(`${name}: our mechanism with the learned tensors gives the uncut model's output, and the map gives the core's`, async () => {
      const model = await load(name);
      try {
        await assertReproduces(model, 5e-5, 50);
        for (const { attention } of verifyJson(model.info).cores) {
          assert.equal(attention.name, name);
          assert.equal(attention.native, true);
          const params: Record<string, unknown> = attention.params;
          for (const [key, value] of Object.entries(settings)) assert.equal(params[key], value, key);
          for (const key of LEARNED[name] ?? []) assert.equal((params[key] as number[]).length, 4, key);
        }
        if (findMechanism(name).beyondMap) return;
        for (const input of await coresOf(model)) await assertMapGivesOutput(input, runtime);
      } finally {
        await model.dispose();
      }
    });

  it('transformer-xl: the four terms of its scores in every layer are those that the mechanism tells', async () => {
    const model = await load('transformer-xl');
    const inputs = await coresOf(model);
    const analysis = { model, tensors: async (core: number) => ({ input: inputs[core]! }) };
    for (const [core, { native, heads }] of inputs.entries()) {
      const context = { core, signal: neverCancelled, onProgress: () => undefined } as never;
      const found = await positionTerms.look(analysis as never, {}, context);
      assert.deepEqual([found.native, found.core, found.heads.length], [true, core, heads]);
      const told = floats(native!.attended.extra['term_shares']!);
      for (const { head, shares, ofBias } of found.heads) {
        shares.forEach((share, n) => assert.ok(Math.abs(share - told[4 * head + n]!) < 1e-5));
        assert.ok(shares.every(share => Math.abs(share) > 1e-6));
        assert.deepEqual(ofBias, shares.slice(2));
      }
    }
    await model.dispose();
  });

  it('compressive and transformer-xl: the lens on memory tells the mass by place and by slot as their formula has it', async () => {
    for (const name of ['compressive', 'transformer-xl']) {
      const model = await load(name);
      const inputs = await coresOf(model);
      const { memory, segment, compressed = 0, rate = 1 } = MADE_WITH[name] as Record<string, number>;
      const analysis = {
        model,
        core: () => ({ outline: inputs[0]! }),
        settled: ({ params }: Setting) => params,
        visit: async (
          cores: number[],
          see: (core: number, tensors: { input: CoreInput }) => Promise<void>,
        ) => {
          for (const core of cores) await see(core, { input: inputs[core]! });
        },
        attendLocally: async ({ key }: Setting, _: number, { native }: CoreInput) => {
          assert.equal(native!.setting, key);
          return native!.attended;
        },
      };
      const context = { core: 1, head: 2, signal: neverCancelled, onProgress: () => undefined } as never;
      const found = await memoryLens.look(analysis as never, {}, context);
      assert.deepEqual([found.native, found.cores.length, found.from], [true, inputs.length, 12]);
      assert.deepEqual(
        [found.segment, found.memory, found.compressed, found.rate],
        [segment, memory, compressed, rate],
      );
      for (const { core, heads } of found.cores) {
        const input = inputs[core]!;
        const told = input.native!.attended.extra['attention_reconstruction'];
        for (const { head, reconstruction, ...mass } of heads) {
          const wanted = { segment: 0, memory: 0, compressed: 0 };
          const rows = input.queries - found.from;
          assert.ok(rows <= 64, 'all queries count');
          for (let i = found.from; i < input.queries; i++) {
            const p = recurrentProbabilities(input, head, i, {
              segment: segment!,
              memory: memory!,
              compressed,
              rate,
            });
            for (const place of ['segment', 'memory', 'compressed'] as const)
              wanted[place] += p[place].reduce((a, b) => a + b, 0) / rows;
          }
          for (const place of ['segment', 'memory', 'compressed'] as const)
            assert.ok(Math.abs(mass[place] - wanted[place]) < 1e-5, `${name} ${place}: ${mass[place]}`);
          if (compressed > 0) assert.ok(Math.abs(reconstruction! - floats(told!)[head]!) < 1e-7);
          else assert.equal(reconstruction, null);
        }
      }
      const input = inputs[1]!;
      const last = Math.floor((input.queries - 1) / segment!) * segment!;
      assert.equal(found.slots.length, compressed);
      found.slots.forEach(({ from, to, mass, query, most }, s) => {
        const all = Math.floor((last - memory!) / rate);
        assert.deepEqual([from, to], [(all - compressed + s) * rate, (all - compressed + s + 1) * rate]);
        const given = Array.from({ length: input.queries - last }, (_, i) => {
          const layout = { segment: segment!, memory: memory!, compressed, rate };
          return recurrentProbabilities(input, 2, last + i, layout).compressed[s]!;
        });
        assert.ok(Math.abs(mass - given.reduce((a, b) => a + b) / given.length) < 1e-5);
        assert.ok(Math.abs(most - Math.max(...given)) < 1e-5);
        assert.ok(Math.abs(given[query - last]! - most) < 1e-5);
      });
      await model.dispose();
    }
  });

  it('compressive: its reconstruction error is that of its own slots, by content, and slots keep their mass in the map', async () => {
    const model = await load('compressive');
    const inputs = await coresOf(model);
    for (const { native, heads, queries, keys, dim, q, k, v, rule } of inputs) {
      const { own, attended } = native!.partOf(0);
      const { memory, segment, compressed, rate } = MADE_WITH['compressive'] as Record<string, number>;
      const [slotK, slotV] = [floats(own['slot_k']!), floats(own['slot_v']!)];
      const told = floats(attended.extra['attention_reconstruction']!);
      for (let head = 0; head < heads; head++) {
        let [lost, all] = [0, 0];
        for (let i = 0; i < queries; i++) {
          const slots = Math.floor(Math.max(0, i - (i % segment!) - memory!) / rate!);
          const first = Math.max(0, slots - compressed!);
          if (slots === 0) continue;
          const over = (from: number, to: number, ks: Float32Array, vs: Float32Array, size: number) => {
            const at = (t: number) => (head * size + t) * dim;
            const scores = Array.from({ length: to - from }, (_, t) => {
              let dot = 0;
              for (let c = 0; c < dim; c++) dot += q[(head * queries + i) * dim + c]! * ks[at(from + t) + c]!;
              return Math.exp(dot * rule.scale[head]!);
            });
            const sum = scores.reduce((a, b) => a + b);
            return Array.from({ length: dim }, (_, c) =>
              scores.reduce((total, s, t) => total + (s / sum) * vs[at(from + t) + c]!, 0),
            );
          };
          const compact = over(first, slots, slotK, slotV, slotK.length / heads / dim);
          const full = over(first * rate!, slots * rate!, k, v, keys);
          lost += full.reduce((sum, x, c) => sum + (x - compact[c]!) ** 2, 0);
          all += full.reduce((sum, x) => sum + x ** 2, 0);
          const row = attended.row(head, i);
          assert.equal(row.pooled, (slots - first) * rate!);
          assert.ok(Math.abs(row.weights.reduce((a, b) => a + b) - 1) < 1e-9);
        }
        assert.ok(Math.abs(told[head]! - Math.sqrt(lost / all)) < 1e-4, `${told[head]} ${lost / all}`);
      }
    }
    await model.dispose();
  });

  for (const [name, tied] of [
    ['lsh', [0, 1, 2, 3]],
    ['routing', [2, 3]],
  ] as const)
    it(`${name}: a what-if has the model's own scores, of tied queries and keys, a token itself its last resort`, async () => {
      const model = await load(name);
      for (const input of await coresOf(model)) {
        const core = standIn(input, findMechanism('dense'), {});
        assertTiedScores(core, input, tied);
        // A single head says the same.
        const alone = standIn(someHeads(input, [3]), findMechanism('dense'), {});
        for (const query of [0, 20]) assert.deepEqual(denseRow(alone, 0, query), denseRow(core, 3, query));
        const near = await findMechanism('local').attend(
          core,
          { window: 9 },
          { runtime, signal: neverCancelled, own: {} },
        );
        for (let head = 0; head < input.heads; head++)
          for (const query of [0, 1, 20]) {
            const { keys, weights } = near.row(head, query);
            const row = expectedRow(input, head, query, tied.includes(head as never), j => query - j < 9);
            keys.forEach((key, t) => assert.ok(Math.abs(weights[t]! - row[key]!) < 1e-5));
          }
        // What has no score of a pair has no last resort, either.
        assert.equal(standIn(input, findMechanism('performer'), {}).rule.bias, null);
      }
      await model.dispose();
    });

  for (const name of ['shaped', 'compressive'])
    it(`${name}: what an intervention takes away is taken from its attention, and leaves the rest of it`, async () => {
      const model = await load(name);
      const context = { runtime, signal: neverCancelled };
      const [, input] = await coresOf(model);
      const { heads, queries, valueDim } = input!;
      const at = (core: CoreInput, keys: { from: number; to: number }) =>
        denseOutput(
          { ...core, rule: { ...core.rule, blocked: [{ head: 1, queries: null, keys }] } },
          context,
        );
      const own = await denseOutput(input!, context);
      const [beyond, without] = [
        await at(input!, { from: queries - 1, to: queries }),
        await at(input!, { from: queries - 3, to: queries - 1 }),
      ];
      // Only the last query saw the last key, and only in head 1 is it gone.
      const differs = (other: Float32Array, head: number, query: number) =>
        Math.max(
          ...Array.from({ length: valueDim }, (_, c) => {
            const t = (head * queries + query) * valueDim + c;
            return Math.abs(other[t]! - own[t]!);
          }),
        );
      for (let head = 0; head < heads; head++)
        for (let i = 0; i < queries; i++) {
          const changed = differs(beyond, head, i) > 1e-5;
          assert.equal(changed, head === 1 && i === queries - 1, `${head} ${i}`);
          if (head !== 1 || i < queries - 3) assert.ok(differs(without, head, i) < 1e-5);
        }
      // A head alone says the same as all of them.
      const alone = someHeads(input!, [1]);
      const blocked = [{ head: 0, queries: null, keys: { from: queries - 1, to: queries } }];
      const one = await denseOutput({ ...alone, rule: { ...alone.rule, blocked } }, context);
      one.forEach((x, t) => assert.ok(Math.abs(x - beyond[queries * valueDim + t]!) < 1e-5));
      await model.dispose();
    });

  for (const name of ['dense', 'switch'])
    it(`${name}: dense attention`, async () => {
      const model = await load(name);
      await assertReproduces(model, 5e-5, 50);
      for (const { attention } of verifyJson(model.info).cores)
        assert.deepEqual(attention, { name: 'dense', native: false, params: {} });
      await model.dispose();
    });

  it('switch: its routers are found, and decide what they decide in the uncut model', async () => {
    const model = await load('switch');
    const ids = Int32Array.from({ length: 40 }, (_, i) => (i * i + 3) % 40);
    const told: RouterRows[] = [];
    const dense = (_: unknown, input: CoreInput) => denseOutput(input, { runtime, signal: neverCancelled });
    const onRouter = (router: RouterRows) => told.push({ ...router, data: router.data.slice() });
    await model.run(ids, dense, { signal: neverCancelled, onRouter });
    await model.dispose();
    const graph = graphOf(readSkeleton(join(ZOO, 'switch', 'onnx', 'model.onnx')).model);
    const names = routersOf(graph);
    assert.deepEqual(
      told.map(({ behind, experts, data }) => [behind, experts, data.length]),
      names.map((_, i) => [2 * i + 1, EXPERTS, EXPERTS * ids.length]),
    );
    const externalDataFolder = join(ZOO, 'switch', 'onnx');
    const { bytes } = graph.extract(names, () => false);
    const uncut = await runtime.load(bytes, { optimization: 'basic', externalDataFolder });
    const feeds = { i0: int64(ids, [1, ids.length]) };
    const results = await uncut.run(feeds);
    for (const [i, { data }] of told.entries()) {
      const expected = floats(results[`o${i}`]!);
      data.forEach((p, t) => assert.ok(Math.abs(p - expected[t]!) < 1e-5));
      for (let t = 0; t < ids.length; t++) {
        const sum = data.subarray(EXPERTS * t, EXPERTS * (t + 1)).reduce((a, b) => a + b);
        assert.ok(Math.abs(sum - 1) < 1e-5);
      }
    }
    await uncut.release();
  });

  it('retro: refused by name', async () => {
    await assert.rejects(load('retro'), (error: unknown) => {
      assert.ok(error instanceof RefusedError);
      assert.match(error.message, /"retro"/);
      return true;
    });
  });
});

/** The inputs of all cores for a text of 40 tokens. */
async function coresOf(model: CutModel): Promise<CoreInput[]> {
  const inputs: CoreInput[] = [];
  const ids = Int32Array.from({ length: 40 }, (_, i) => (i * i + 3) % 40);
  const attend = async (_: unknown, input: CoreInput) => {
    inputs.push(input);
    return input.native!.attended.output;
  };
  await model.run(ids, attend, { signal: neverCancelled });
  return inputs;
}

/** Probabilities of a query over the keys before it that are seen; of tied keys itself only where there is no other. */
function expectedRow(
  { q, k, queries, keys, heads, kvHeads, dim, rule }: CoreInput,
  head: number,
  query: number,
  tied: boolean,
  sees: (key: number) => boolean,
): number[] {
  const row = (data: Float32Array, at: number) => data.subarray(at * dim, (at + 1) * dim);
  const kv = Math.floor((head * kvHeads) / heads);
  const asked = row(q, head * queries + query);
  const score = (j: number) => {
    if (j > query || !sees(j) || (tied && j === query && query > 0)) return 0;
    const key = tied ? row(q, head * keys + j) : row(k, kv * keys + j);
    const length = tied ? Math.hypot(...key) : 1;
    return Math.exp((rule.scale[head]! * asked.reduce((sum, x, c) => sum + x * key[c]!, 0)) / length);
  };
  const scores = Array.from({ length: keys }, (_, j) => score(j));
  const sum = scores.reduce((a, b) => a + b);
  return scores.map(each => each / sum);
}

function assertTiedScores(core: CoreInput, input: CoreInput, tied: readonly number[]): void {
  for (let head = 0; head < core.heads; head++)
    for (let i = 0; i < core.queries; i++) {
      const row = expectedRow(input, head, i, tied.includes(head), () => true);
      denseRow(core, head, i).forEach((p, j) => assert.ok(Math.abs(p - row[j]!) < 1e-5, `${head} ${i} ${j}`));
    }
}

/** Every way to look at the map shows the same probabilities, and their weighted sums of values are the model's output. */
async function assertMapGivesOutput(input: CoreInput, runtime: Runtime): Promise<void> {
  const { heads, queries, keys, valueDim, v } = input;
  const context = { runtime, signal: neverCancelled };
  const { output, lse } = await denseCore(input, context);
  assert.deepEqual(output, input.native!.attended.output);
  let zeros = 0;
  for (let head = 0; head < heads; head++) {
    const rows = await denseRows(input, head, 0, queries, context);
    for (let i = 0; i < queries; i++) {
      const row = denseRow(input, head, i);
      for (let j = 0; j < keys; j++) {
        if (j <= i && row[j] === 0) zeros++;
        assert.ok(Math.abs(row[j]! - rows[i * keys + j]!) < 1e-5);
        assert.ok(Math.abs(denseColumn(input, lse, head, j)[i]! - row[j]!) < 1e-5);
      }
      for (let c = 0; c < valueDim; c++) {
        const sum = row.reduce(
          (total, weight, j) => total + weight * v[(head * keys + j) * valueDim + c]!,
          0,
        );
        assert.ok(Math.abs(sum - output[(head * queries + i) * valueDim + c]!) < 1e-4);
      }
    }
  }
  assert.ok(zeros > 0, 'keys that softmax would not have left without any mass');
}

// ---------------------------------------------------------------- recognised from plain operators

/** Query less key position, [tokens, tokens], as numbers. */
const distances = (m: ModelWriter, x: string, id: string) => {
  const at = (n: string, dims: number[]) => m.op('Cast', [positions(m, x, n + id, dims)], { to: 1 });
  return m.op('Sub', [at('row', [-1, 1]), at('column', [1, -1])]);
};
const past = (m: ModelWriter, distance: string, id: string) =>
  m.op('GreaterOrEqual', [distance, m.floats(`now${id}`, [0], [])]);
const causalScores = (m: ModelWriter, q: string, k: string, d: string, id: string) =>
  dropped(m, past(m, d, id), scaled(m, m.op('MatMul', [q, transposed(m, k)]), id), id);
const total = (m: ModelWriter, x: string, id: string) =>
  m.op('ReduceSum', [x, m.ints(`last${id}`, [-1])], { keepdims: 1 });

const SPANS = [3, 9.5, 20, 70];
const RAMP = 6;
const ramped = (m: ModelWriter, distance: string, id: string, spans = SPANS) => {
  const ends = m.floats(
    `span${id}`,
    spans.map(z => z + RAMP),
    [HEADS, 1, 1],
  );
  const slope = m.op('Div', [m.op('Sub', [ends, distance]), m.floats(`ramp${id}`, [RAMP], [])]);
  return m.op('Clip', [slope, m.floats(`no${id}`, [0], []), m.floats(`yes${id}`, [1], [])]);
};
const GAINS = { alpha: [1.5, 0.5, 0.25, -1], beta: [1, 2, 0.5, 1], gamma: [0.75, 1, 0.1, 0.3] };

const ALPHAS = [1.5, 1.25, 2, 1.8];
const HALVINGS = 24;
/** Entmax by bisection, as `entmax_bisect` of the entmax package is exported (Correia et al. 2019, algorithm 1). */
function halved(m: ModelWriter, scores: string, id: string): string {
  const ofHeads = (name: string, of: (alpha: number) => number) =>
    m.floats(name + id, ALPHAS.map(of), [HEADS, 1, 1]);
  const number = (name: string, value: number) => m.floats(name + id, [value], []);
  const z = m.op('Mul', [scores, ofHeads('less', alpha => alpha - 1)]);
  const power = ofHeads('power', alpha => 1 / (alpha - 1));
  const largest = m.op('ReduceMax', [z], { axes: [-1], keepdims: 1 });
  const above = (tau: string) => m.op('Pow', [m.op('Relu', [m.op('Sub', [z, tau])]), power]);
  const over = (p: string, at: string) => m.op('Sub', [total(m, p, at), number(`sum${at}`, 1)]);
  let low = m.op('Sub', [largest, number('first', 1)]);
  const start = over(above(low), `low${id}`);
  let p = '';
  for (let step = 1; step <= HALVINGS; step++) {
    // Up to where so many equal keys would have their share.
    const width = (alpha: number) => 1 - 4096 ** (1 - alpha);
    const middle = m.op('Add', [low, ofHeads(`half${step}-`, alpha => width(alpha) * 2 ** -step)]);
    p = above(middle);
    const isBelow = m.op('GreaterOrEqual', [
      m.op('Mul', [over(p, `${step}-${id}`), start]),
      number(`none${step}-`, 0),
    ]);
    low = m.op('Where', [isBelow, middle, low]);
  }
  return m.op('Div', [p, total(m, p, `end${id}`)]);
}

/** The product of queries with what stands for each distance, at the distance of query and key. */
function relative(m: ModelWriter, { q, x }: { q: string; x: string }, id: string): string {
  const far = 128;
  const d = m.op('Abs', [distances(m, x, `far${id}`)]);
  const index = m.op('Reshape', [m.op('Cast', [d], { to: 7 }), m.ints(`plane${id}`, [1, 1, -1])]);
  const count = m.op('Gather', [m.op('Shape', [x]), m.ints(`tokens${id}`, [1])], { axis: 0 });
  const square = m.op('Concat', [m.ints(`lead${id}`, [1, 1]), count, count], { axis: 0 });
  const all = m.op('Expand', [m.op('Reshape', [index, square]), m.op('Shape', [scoresOf(m, q)])]);
  return m.op('GatherElements', [m.op('MatMul', [q, m.weight(`r${id}`, [DIM, far], 0.3)]), all], { axis: 3 });
}
const scoresOf = (m: ModelWriter, q: string) => m.op('MatMul', [q, transposed(m, q)]);
const learnt = (m: ModelWriter, name: string, dims: number[]) => m.weight(name, dims, 0.4);

/** Scores under a mask of positions. */
const underMask = (
  mask: (m: ModelWriter, at: { d: string; row: string; column: string }, id: string) => string,
): Layer =>
  aroundHeads((m, { q, k, v, x }, id) => {
    const at = (n: string, dims: number[]) => m.op('Cast', [positions(m, x, n + id, dims)], { to: 1 });
    const seen = mask(m, { d: distances(m, x, id), row: at('r', [-1, 1]), column: at('c', [1, -1]) }, id);
    const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
    return m.op('MatMul', [softmax(m, dropped(m, seen, scores, id)), v]);
  });
const multiple = (m: ModelWriter, d: string, of: number, id: string) =>
  m.op('Equal', [
    m.op('Mod', [d, m.floats(`every${id}`, [of], [])], { fmod: 1 }),
    m.floats(`none${id}`, [0], []),
  ]);

/** What heads read of the values of both halves side by side, [1, heads, tokens, 2 dim]. */
function doubled(m: ModelWriter, { q, k, v, x }: Record<'q' | 'k' | 'v' | 'x', string>, id: string): string {
  m.ops('Split', [v], [`v1${id}`, `v2${id}`], { axis: 1 });
  const wide = m.op('Concat', [`v1${id}`, `v2${id}`], { axis: -1 });
  const all = m.op('Concat', [wide, wide], { axis: 1 });
  return m.op('MatMul', [softmax(m, causalScores(m, q, k, distances(m, x, id), id)), all]);
}
const normed = (m: ModelWriter, x: string, id: string) => {
  const squares = m.op('ReduceMean', [m.op('Mul', [x, x])], { axes: [-1], keepdims: 1 });
  const size = m.op('Sqrt', [m.op('Add', [squares, m.floats(`eps${id}`, [1e-5], [])])]);
  return m.op('Mul', [m.op('Div', [x, size]), m.floats(`less${id}`, [0.7], [])]);
};

/** `own`: these settings say it all, so that our mechanism with them is the model's own. */
const FORMS: Record<
  string,
  { layer: Layer; name: string; params: Record<string, unknown>; own?: Record<string, string | number> }
> = {
  'a softmax times a ramp of distances, over the sum of both': {
    name: 'adaptive-span',
    params: { ramp: RAMP, span: SPANS },
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const d = distances(m, x, id);
      const weights = m.op('Mul', [softmax(m, causalScores(m, q, k, d, id)), ramped(m, d, id)]);
      return m.op('MatMul', [m.op('Div', [weights, total(m, weights, id)]), v]);
    }),
  },
  'the logarithm of the ramp beside the scores': {
    name: 'adaptive-span',
    params: { ramp: RAMP, span: SPANS },
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const d = distances(m, x, id);
      const logits = m.op('Add', [causalScores(m, q, k, d, id), m.op('Log', [ramped(m, d, id)])]);
      return m.op('MatMul', [softmax(m, logits), v]);
    }),
  },
  'the logarithm of the ramp, kept from minus infinity': {
    name: 'adaptive-span',
    params: { ramp: RAMP, span: SPANS },
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const d = distances(m, x, id);
      const least = m.op('Max', [ramped(m, d, id), m.floats(`least${id}`, [1e-20], [])]);
      const logits = m.op('Add', [causalScores(m, q, k, d, id), m.op('Log', [least])]);
      return m.op('MatMul', [softmax(m, logits), v]);
    }),
  },
  'the logarithm of the ramp and a small number': {
    name: 'adaptive-span',
    params: { ramp: RAMP, span: SPANS },
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const d = distances(m, x, id);
      const finite = m.op('Add', [ramped(m, d, id), m.floats(`finite${id}`, [1e-6], [])]);
      const logits = m.op('Add', [causalScores(m, q, k, d, id), m.op('Log', [finite])]);
      return m.op('MatMul', [softmax(m, logits), v]);
    }),
  },
  'a ramp behind which no head sees anything': {
    name: 'adaptive-span',
    params: { ramp: RAMP, span: [0, 0, 0, 0] },
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const d = distances(m, x, id);
      const weights = m.op('Mul', [softmax(m, causalScores(m, q, k, d, id)), ramped(m, d, id, [0, 0, 0, 0])]);
      return m.op('MatMul', [m.op('Div', [weights, total(m, weights, id)]), v]);
    }),
  },
  'exponentials times the ramp and the mask of the future, over their sum of absolute values': {
    name: 'adaptive-span',
    params: { ramp: RAMP, span: SPANS },
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const d = distances(m, x, id);
      const seen = m.op('Cast', [past(m, d, `seen${id}`)], { to: 1 });
      const e = m.op('Exp', [scaled(m, m.op('MatMul', [q, transposed(m, k)]), id)]);
      const weights = m.op('Mul', [m.op('Mul', [e, ramped(m, d, id)]), seen]);
      const sum = m.op('ReduceL1', [weights], { axes: [-1], keepdims: 1 });
      const bounded = m.op('Clip', [sum, m.floats(`tiny${id}`, [1e-12], [])]);
      return m.op('MatMul', [m.op('Div', [weights, bounded]), v]);
    }),
  },
  'a sum of exponentials that has one more': {
    name: 'sink',
    params: {},
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const e = m.op('Exp', [causalScores(m, q, k, distances(m, x, id), id)]);
      const more = m.op('Add', [total(m, e, id), m.floats(`more${id}`, [1], [])]);
      return m.op('MatMul', [m.op('Div', [e, more]), v]);
    }),
  },
  'a sum of exponentials that has one more, all below a number that is taken off': {
    name: 'sink',
    params: {},
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const scores = causalScores(m, q, k, distances(m, x, id), id);
      const largest = m.op('ReduceMax', [scores], { axes: [-1], keepdims: 1 });
      const shift = m.op('Max', [largest, m.floats(`none${id}`, [0], [])]);
      const e = m.op('Exp', [m.op('Sub', [scores, shift])]);
      const all = m.op('Add', [total(m, e, id), m.op('Exp', [m.op('Neg', [shift])])]);
      return m.op('MatMul', [m.op('Div', [e, all]), v]);
    }),
  },
  'a threshold taken off the scores': {
    name: 'entmax',
    params: { alpha: 2 },
    layer: aroundHeads((m, { q, k, v, x }, id) =>
      m.op('MatMul', [sparsemax(m, causalScores(m, q, k, distances(m, x, id), id), 1, id), v]),
    ),
  },
  'a threshold that is found by halving': {
    name: 'entmax',
    params: { alpha: ALPHAS },
    layer: aroundHeads((m, { q, k, v, x }, id) =>
      m.op('MatMul', [halved(m, causalScores(m, q, k, distances(m, x, id), id), id), v]),
    ),
  },
  'a mask of tokens with the same signs': {
    name: 'lsh',
    params: { buckets: 8 },
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const d = distances(m, x, id);
      const directions = m.weight(`signs${id}`, [DIM, 3], 1);
      const zero = m.floats(`none${id}`, [0], []);
      const bucket = (of: string, axis: number) => {
        const positive = m.op('Greater', [m.op('MatMul', [of, directions]), zero]);
        const bits = m.op('Mul', [
          m.op('Cast', [positive], { to: 1 }),
          m.floats(`bits${axis}${id}`, [1, 2, 4]),
        ]);
        const number = m.op('ReduceSum', [bits, m.ints(`sum${axis}${id}`, [-1])], { keepdims: 0 });
        return m.op('Unsqueeze', [number, m.ints(`axis${axis}${id}`, [axis])]);
      };
      const same = m.op('And', [m.op('Equal', [bucket(q, 3), bucket(k, 2)]), past(m, d, id)]);
      const seen = m.op('Or', [same, m.op('Equal', [d, m.floats(`own${id}`, [0], [])])]);
      const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
      return m.op('MatMul', [softmax(m, dropped(m, seen, scores, id)), v]);
    }),
  },
  'shared queries and keys, hashed by directions and their negatives, a token itself the last resort': {
    name: 'lsh',
    params: { buckets: 8 },
    layer: aroundHeads((m, { q, v, x }, id) => {
      const d = distances(m, x, id);
      const directions = m.weight(`hash${id}`, [DIM, 4], 1);
      const products = m.op('MatMul', [q, directions]);
      const both = m.op('Concat', [products, m.op('Neg', [products])], { axis: -1 });
      const bucket = m.op('ArgMax', [both], { axis: -1, keepdims: 0 });
      const along = (axis: number) => m.op('Unsqueeze', [bucket, m.ints(`axis${axis}${id}`, [axis])]);
      const same = m.op('And', [m.op('Equal', [along(3), along(2)]), past(m, d, id)]);
      const unit = m.op('Div', [q, m.op('ReduceL2', [q], { axes: [-1], keepdims: 1 })]);
      const scores = scaled(m, m.op('MatMul', [q, transposed(m, unit)]), id);
      const itself = m.op('Equal', [d, m.floats(`own${id}`, [0], [])]);
      const last = m.op('Where', [itself, m.floats(`last${id}`, [-1e5], []), scores]);
      return m.op('MatMul', [
        softmax(m, m.op('Where', [same, last, m.floats(`hidden${id}`, [-1e9], [])])),
        v,
      ]);
    }),
  },
  'identity plus attention less the mean': {
    name: 'shaped',
    params: GAINS,
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const d = distances(m, x, id);
      const seen = m.op('Cast', [past(m, d, `seen${id}`)], { to: 1 });
      const own = m.op('Cast', [m.op('Equal', [d, m.floats(`own${id}`, [0], [])])], { to: 1 });
      const gain = (key: keyof typeof GAINS, x: string) =>
        m.op('Mul', [m.floats(key + id, GAINS[key], [HEADS, 1, 1]), x]);
      const mean = m.op('Div', [seen, total(m, seen, id)]);
      const sum = m.op('Add', [gain('alpha', own), gain('beta', softmax(m, causalScores(m, q, k, d, id)))]);
      return m.op('MatMul', [m.op('Sub', [sum, gain('gamma', mean)]), v]);
    }),
  },
  'heads in two halves, whose outputs are subtracted (DiffLlama)': {
    name: 'differential',
    params: { lambda: 0.3, factor: [1, 1, -0.3, -0.3] },
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      m.ops('Split', [doubled(m, { q, k, v, x }, id)], [`one${id}`, `two${id}`], { axis: 1 });
      const second = m.op('Mul', [m.floats(`lambda${id}`, [0.3], []), `two${id}`]);
      return normed(m, m.op('Sub', [`one${id}`, second]), id);
    }),
  },
  'heads in pairs that stand beside each other, with a factor of each pair': {
    name: 'differential',
    params: { lambda: [0.3, 0.3, 0.5, 0.5], factor: [1, -0.3, 1, -0.5] },
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const pairs = m.op('Reshape', [
        doubled(m, { q, k, v, x }, id),
        m.ints(`p${id}`, [1, 2, 2, -1, 2 * DIM]),
      ]);
      const of = (at: number) => m.op('Gather', [pairs, m.ints(`at${at}${id}`, [at], [])], { axis: 2 });
      const second = m.op('Mul', [of(1), m.floats(`lambda${id}`, [-0.3, -0.5], [2, 1, 1])]);
      return normed(m, m.op('Add', [of(0), second]), id);
    }),
  },
  'heads in two halves, the factor of which each token has its own': {
    name: 'differential',
    params: {},
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      m.ops('Split', [doubled(m, { q, k, v, x }, id)], [`one${id}`, `two${id}`], { axis: 1 });
      const asked = m.op('MatMul', [x, m.weight(`ask${id}`, [WIDTH, 2], 0.5)]);
      const lambda = m.op('Unsqueeze', [
        m.op('Transpose', [m.op('Sigmoid', [asked])], { perm: [0, 2, 1] }),
        m.ints(`l${id}`, [-1]),
      ]);
      return normed(m, m.op('Sub', [`one${id}`, m.op('Mul', [lambda, `two${id}`])]), id);
    }),
  },
  'features of the same heads, which are subtracted from each other': {
    name: 'dense',
    params: {},
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const scores = causalScores(m, q, k, distances(m, x, id), id);
      const wide = m.op('MatMul', [softmax(m, scores), m.op('Concat', [v, q], { axis: -1 })]);
      m.ops('Split', [wide], [`one${id}`, `two${id}`], { axis: 3 });
      return m.op('Sub', [`one${id}`, m.op('Mul', [m.floats(`part${id}`, [0.3], []), `two${id}`])]);
    }),
  },
  'queries with numbers added before their heads stand apart, for keys and for distances': {
    name: 'transformer-xl',
    params: {},
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const tokens = m.op('Transpose', [q], { perm: [0, 2, 1, 3] });
      const added = (name: string) =>
        m.op('Transpose', [m.op('Add', [tokens, learnt(m, `${name} bias${id}`, [HEADS, DIM])])], {
          perm: [0, 2, 1, 3],
        });
      const content = m.op('MatMul', [added('u'), transposed(m, k)]);
      const scores = m.op('Add', [content, relative(m, { q: added('v'), x }, id)]);
      const seen = past(m, distances(m, x, id), id);
      return m.op('MatMul', [softmax(m, dropped(m, seen, scaled(m, scores, id), id)), v]);
    }),
  },
  'four terms by themselves': {
    name: 'transformer-xl',
    params: {},
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const keys = transposed(m, k);
      const ofKeys = m.op('MatMul', [learnt(m, `u bias${id}`, [1, HEADS, 1, DIM]), keys]);
      const biased = m.op('Add', [q, learnt(m, `v bias${id}`, [HEADS, 1, DIM])]);
      const content = m.op('Add', [m.op('MatMul', [q, keys]), ofKeys]);
      const scores = m.op('Add', [content, relative(m, { q: biased, x }, id)]);
      const seen = past(m, distances(m, x, id), id);
      return m.op('MatMul', [softmax(m, dropped(m, seen, scaled(m, scores, id), id)), v]);
    }),
  },
  'relative positions without numbers added, though the projection of queries has a bias': {
    name: 'dense',
    params: {},
    layer: aroundHeads((m, { q: plain, k, v, x }, id) => {
      const q = m.op('Add', [plain, learnt(m, `bias${id}`, [HEADS, 1, DIM])]);
      const scores = m.op('Add', [m.op('MatMul', [q, transposed(m, k)]), relative(m, { q, x }, id)]);
      const seen = past(m, distances(m, x, id), id);
      return m.op('MatMul', [softmax(m, dropped(m, seen, scaled(m, scores, id), id)), v]);
    }),
  },
  'a mask of the nearest keys and of every so many': {
    name: 'strided',
    params: { stride: 7 },
    own: { stride: 7 },
    layer: underMask((m, { d }, id) => {
      const near = m.op('LessOrEqual', [d, m.floats(`near${id}`, [7], [])]);
      return m.op('And', [m.op('Or', [near, multiple(m, d, 7, id)]), past(m, d, id)]);
    }),
  },
  'a mask of the own block and of the ends of all': {
    name: 'fixed',
    params: { block: 12, summary: 3 },
    own: { block: 12, summary: 3 },
    layer: underMask((m, { d, row, column }, id) => {
      const block = (of: string, name: string) =>
        m.op('Floor', [m.op('Div', [of, m.floats(`${name}${id}`, [12], [])])]);
      const own = m.op('Equal', [block(row, 'a'), block(column, 'b')]);
      const within = m.op('Mod', [column, m.floats(`within${id}`, [12], [])], { fmod: 1 });
      const end = m.op('GreaterOrEqual', [within, m.floats(`end${id}`, [9], [])]);
      return m.op('And', [m.op('Or', [own, end]), past(m, d, id)]);
    }),
  },
  'a mask of every so many keys within a window': {
    name: 'dilated',
    params: { dilation: 3, window: 5 },
    own: { dilation: 3, window: 5 },
    layer: underMask((m, { d }, id) => {
      const near = m.op('LessOrEqual', [d, m.floats(`near${id}`, [15], [])]);
      return m.op('And', [m.op('And', [near, multiple(m, d, 3, id)]), past(m, d, id)]);
    }),
  },
  'a window on both sides, and tokens that see all and that all see': {
    name: 'longformer',
    params: { window: 4 },
    own: { window: 4, globals: '2' },
    layer: underMask((m, { d, row, column }, id) => {
      const near = m.op('LessOrEqual', [m.op('Abs', [d]), m.floats(`near${id}`, [4], [])]);
      const isGlobal = (of: string, name: string) => m.op('Equal', [of, m.floats(`${name}${id}`, [2], [])]);
      return m.op('Or', [m.op('Or', [near, isGlobal(row, 'a')]), isGlobal(column, 'b')]);
    }),
  },
  'a mask of tokens that are nearest to the same of some directions': {
    name: 'routing',
    params: { clusters: 5 },
    layer: aroundHeads((m, { q, k, v, x }, id) => {
      const d = distances(m, x, id);
      const directions = m.weight(`directions${id}`, [HEADS, DIM, 5], 1);
      const cluster = (of: string, axis: number) =>
        m.op('Unsqueeze', [
          m.op('ArgMax', [m.op('MatMul', [of, directions])], { axis: -1, keepdims: 0 }),
          m.ints(`axis${axis}${id}`, [axis]),
        ]);
      const same = m.op('And', [m.op('Equal', [cluster(q, 3), cluster(k, 2)]), past(m, d, id)]);
      const seen = m.op('Or', [same, m.op('Equal', [d, m.floats(`own${id}`, [0], [])])]);
      const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
      return m.op('MatMul', [softmax(m, dropped(m, seen, scores, id)), v]);
    }),
  },
};

describe('mechanisms of papers in plain operators', () => {
  let bench: Bench;
  before(async () => {
    bench = await Bench.open();
  });
  after(() => bench.close());

  for (const [title, { layer, name, params, own }] of Object.entries(FORMS))
    it(`${title}: ${name}`, async () => {
      const model = await bench.load(layered(layer));
      for (const { attention } of verifyJson(model.info).cores) {
        assert.equal(attention.name, name);
        assert.equal(attention.native, name !== 'dense');
        const found: Record<string, unknown> = attention.params;
        for (const [key, value] of Object.entries(params)) {
          const [a, b] = [[found[key]].flat() as number[], [value].flat() as number[]];
          assert.equal(a.length, b.length, key);
          a.forEach((one, i) => assert.ok(Math.abs(one - b[i]!) < 1e-3, `${key}: ${a.join()}`));
        }
      }
      for (const core of model.info.cores)
        if (own) assert.equal(core.ownSetting, settingOf(findMechanism(name).info, own).key);
      await assertReproduces(model, 5e-5, 90);
      await model.dispose();
    });

  it('shared queries and keys in plain operators: what if this head saw everything leaves a token itself its last resort', async () => {
    const [title] = Object.keys(FORMS).filter(each => each.startsWith('shared queries'));
    const model = await bench.load(layered(FORMS[title!]!.layer));
    const inputs: CoreInput[] = [];
    const ids = Int32Array.from({ length: 40 }, (_, i) => (i * i + 3) % 40);
    const attend = async (_: unknown, input: CoreInput) => {
      inputs.push(input);
      return denseOutput(input, { runtime: bench.runtime, signal: neverCancelled });
    };
    await model.run(ids, attend, { signal: neverCancelled });
    for (const input of inputs) assertTiedScores(seesAll(input), input, [0, 1, 2, 3]);
    await model.dispose();
  });

  const refused: [string, Parameters<typeof aroundHeads>[0], RegExp][] = [
    [
      'the difference of what two maps read of the same values: differential attention',
      (m, { q, k, v, x }, id) => {
        const d = distances(m, x, id);
        const read = (a: string, b: string, part: string) =>
          m.op('MatMul', [softmax(m, causalScores(m, a, b, d, id + part)), v]);
        const second = m.op('Mul', [read(k, q, 'b'), m.floats(`lambda${id}`, [0.3], [])]);
        return m.op('Sub', [read(q, k, 'a'), second]);
      },
      /differential attention/,
    ],
    [
      'a softmax times a ramp of distances that is not divided by the sum',
      (m, { q, k, v, x }, id) => {
        const d = distances(m, x, id);
        const weights = m.op('Mul', [softmax(m, causalScores(m, q, k, d, id)), ramped(m, d, id)]);
        return m.op('MatMul', [weights, v]);
      },
      /multiplies the probabilities .* does not divide by their sum/,
    ],
    [
      'a softmax times a ramp that begins beyond all samples of the proof',
      (m, { q, k, v, x }, id) => {
        const d = distances(m, x, id);
        const scores = causalScores(m, q, k, d, id);
        return m.op('MatMul', [m.op('Mul', [softmax(m, scores), ramped(m, d, id, [300, 300, 300, 300])]), v]);
      },
      /multiplies the probabilities .* does not divide by their sum/,
    ],
    [
      'clusters of a fixed number of tokens, which no short text has',
      (m, { q, k, v, x }, id) => {
        const products = m.op('MatMul', [q, m.weight(`directions${id}`, [HEADS, DIM, 5], 1)]);
        const byCluster = m.op('Transpose', [products], { perm: [0, 1, 3, 2] });
        m.ops('TopK', [byCluster, m.ints(`most${id}`, [40])], [`best${id}`, `at${id}`], { axis: -1 });
        const least = m.op('ReduceMin', [`best${id}`], { axes: [-1], keepdims: 1 });
        const member = m.op('Cast', [m.op('GreaterOrEqual', [byCluster, least])], { to: 1 });
        const together = m.op('MatMul', [m.op('Transpose', [member], { perm: [0, 1, 3, 2] }), member]);
        const d = distances(m, x, id);
        const same = m.op('And', [
          m.op('Greater', [together, m.floats(`none${id}`, [0], [])]),
          past(m, d, id),
        ]);
        const seen = m.op('Or', [same, m.op('Equal', [d, m.floats(`own${id}`, [0], [])])]);
        const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
        return m.op('MatMul', [softmax(m, dropped(m, seen, scores, id)), v]);
      },
      /TopK takes 40 of what are only \d+ in a short text: .* fewer than 40 tokens/,
    ],
    [
      'a threshold taken off scores with a bias by distance',
      (m, { q, k, v, x }, id) => {
        const d = distances(m, x, id);
        const slope = m.op('Mul', [d, m.floats(`slope${id}`, [-0.5, -0.25, -0.125, -0.0625], [HEADS, 1, 1])]);
        const scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
        const seen = dropped(m, past(m, d, id), m.op('Add', [scores, slope]), id);
        return m.op('MatMul', [sparsemax(m, seen, 1, id), v]);
      },
      /threshold \(sparsemax or entmax\) off scores that .* bias/,
    ],
    [
      'squares of positive scores over their sum: linear attention',
      (m, { q, k, v, x }, id) => {
        const d = distances(m, x, id);
        const positive = m.op('Relu', [m.op('MatMul', [q, transposed(m, k)])]);
        const squares = m.op('Mul', [positive, positive]);
        const weights = m.op('Mul', [squares, m.op('Cast', [past(m, d, id)], { to: 1 })]);
        const sum = m.op('Add', [total(m, weights, id), m.floats(`tiny${id}`, [1e-6], [])]);
        return m.op('MatMul', [m.op('Div', [weights, sum]), v]);
      },
      /linear, kernel or sigmoid attention/,
    ],
    [
      'sums over the keys before each query of features times values: linear attention',
      (m, { q, k, v }, id) => {
        const features = (of: string) => m.op('Softplus', [of]);
        const outer = m.op('Mul', [
          m.op('Unsqueeze', [features(k), m.ints(`a${id}`, [-1])]),
          m.op('Unsqueeze', [v, m.ints(`b${id}`, [-2])]),
        ]);
        const sums = m.op('CumSum', [outer, m.ints(`tokens${id}`, [2], [])]);
        const asked = m.op('Unsqueeze', [features(q), m.ints(`c${id}`, [-2])]);
        return m.op('Squeeze', [m.op('MatMul', [asked, sums]), m.ints(`d${id}`, [-2])]);
      },
      /linear or kernel attention/,
    ],
    [
      'heads that are mixed after the softmax',
      (m, { q, k, v, x }, id) => {
        const p = softmax(m, causalScores(m, q, k, distances(m, x, id), id));
        const last = m.op('Transpose', [p], { perm: [0, 2, 3, 1] });
        const mixed = m.op('MatMul', [last, m.weight(`mix${id}`, [HEADS, HEADS], 1)]);
        return m.op('MatMul', [m.op('Transpose', [mixed], { perm: [0, 3, 1, 2] }), v]);
      },
      /mixes attention maps/,
    ],
    [
      'keys on another axis than the last',
      (m, { q, k, v, x }, id) => {
        const turned = m.op('Transpose', [causalScores(m, q, k, distances(m, x, id), id)], {
          perm: [2, 3, 0, 1],
        });
        const p = m.op('Transpose', [m.op('Softmax', [turned], { axis: 1 })], { perm: [2, 3, 0, 1] });
        return m.op('MatMul', [p, v]);
      },
      /keys on another axis than the last/,
    ],
  ];
  for (const [what, layer, sentence] of refused)
    it(`refuses ${what}`, async () => {
      await assert.rejects(bench.load(layered(aroundHeads(layer))), sentence);
    });

  it('a small number beside the sum that counts where a span leaves next to nothing: refused at that text', async () => {
    const past = (m: ModelWriter, q: string, k: string, d: string, id: string) =>
      // Far keys have all of the mass.
      m.op('Add', [
        causalScores(m, q, k, d, id),
        m.op('Mul', [
          m.op('Cast', [m.op('Greater', [d, m.floats(`far${id}`, [80], [])])], { to: 1 }),
          m.floats(`more${id}`, [40], []),
        ]),
      ]);
    const model = layered(
      aroundHeads((m, { q, k, v, x }, id) => {
        const d = distances(m, x, id);
        const weights = m.op('Mul', [softmax(m, past(m, q, k, d, id)), ramped(m, d, id)]);
        const sum = m.op('Add', [total(m, weights, id), m.floats(`tiny${id}`, [1e-12], [])]);
        return m.op('MatMul', [m.op('Div', [weights, sum]), v]);
      }),
    );
    const loaded = await bench.load(model);
    for (const { attention } of verifyJson(loaded.info).cores) assert.equal(attention.name, 'adaptive-span');
    await assertReproduces(loaded, 5e-5, 70);
    await assert.rejects(
      assertReproduces(loaded, 5e-5, 150),
      /at 150 tokens core 0 does not reproduce its own graph/,
    );
    await loaded.dispose();
  });

  it('refuses other sums of probabilities by their place', async () => {
    const layer = aroundHeads((m, { q, k, v, x }, id) => {
      const d = distances(m, x, id);
      const p = softmax(m, causalScores(m, q, k, d, id));
      return m.op('MatMul', [m.op('Add', [p, m.op('Mul', [d, m.floats(`bit${id}`, [1e-3], [])])]), v]);
    });
    await assert.rejects(bench.load(layered(layer)), /probabilities of the attention .* not understood/);
  });
});

// ---------------------------------------------------------------- declared beside the model

interface Declared {
  q: string;
  k: string;
  v: string;
  context: string;
}

/** A layer of sparse probabilities, and the names of its tensors as attention.json has them. */
function thresholded(names: Declared[], alpha = 2): Layer {
  return aroundHeads((m, { q, k, v, x }, id) => {
    const scores = causalScores(m, q, k, distances(m, x, id), id);
    const context = m.op('MatMul', [sparsemax(m, scores, alpha - 1, id), v]);
    names.push({ q, k, v, context });
    return context;
  });
}

/** Sparsemax by sorting (Martins & Astudillo 2016, algorithm 1). */
function sparsemax(m: ModelWriter, scores: string, factor: number, id: string): string {
  const z = m.op('Mul', [scores, m.floats(`factor${id}`, [factor], [])]);
  const keys = m.op('Slice', [m.op('Shape', [z]), m.ints(`s${id}`, [-1]), m.ints(`e${id}`, [99])]);
  const sorted = `sorted${id}`;
  m.ops('TopK', [z, keys], [sorted, `order${id}`], { axis: -1 });
  const one = m.floats(`one${id}`, [1], []);
  const ranks = m.op('CumSum', [
    m.op('Add', [m.op('Mul', [sorted, m.floats(`zero${id}`, [0], [])]), one]),
    m.ints(`ax${id}`, [-1], []),
  ]);
  const sums = m.op('CumSum', [sorted, m.ints(`ay${id}`, [-1], [])]);
  const inside = m.op('Greater', [m.op('Add', [m.op('Mul', [ranks, sorted]), one]), sums]);
  const support = m.op('Cast', [inside], { to: 1 });
  const within = m.op('Where', [inside, sorted, m.floats(`none${id}`, [0], [])]);
  const tau = m.op('Div', [m.op('Sub', [total(m, within, `t${id}`), one]), total(m, support, `u${id}`)]);
  return m.op('Relu', [m.op('Sub', [z, tau])]);
}

describe('mechanisms that attention.json declares', () => {
  let bench: Bench;
  before(async () => {
    bench = await Bench.open();
  });
  after(() => bench.close());

  const declare = (names: readonly Declared[], more: object) => ({
    cores: names.map(one => ({ ...one, ...more })),
  });

  it('sparsemax: entmax with an alpha of 2', async () => {
    const names: Declared[] = [];
    const model = layered(thresholded(names));
    const attention = declare(names, { mechanism: 'entmax', params: { alpha: 2 } });
    const loaded = await bench.load(model, {}, { attention });
    for (const { attention } of verifyJson(loaded.info).cores)
      assert.deepEqual(attention, { name: 'entmax', native: true, params: { alpha: 2 } });
    await assertReproduces(loaded, 5e-5, 50);
    for (const input of await coresOf(loaded)) await assertMapGivesOutput(input, bench.runtime);
    await loaded.dispose();
  });

  it('learned numbers of each head, by the name of an initialiser or as they are', async () => {
    const names: Declared[] = [];
    const model = layered(thresholded(names));
    model.floats('learned', [2, 2, 2, 2], [HEADS, 1, 1]);
    const attention = declare(names, { mechanism: 'entmax', tensors: { alpha: 'learned' } });
    Object.assign(attention.cores[1]!, { tensors: { alpha: [2, 2, 2, 2] } });
    const loaded = await bench.load(model, {}, { attention });
    for (const { attention } of verifyJson(loaded.info).cores)
      assert.deepEqual(attention.params, { alpha: [2, 2, 2, 2] });
    await loaded.dispose();
  });

  it('keys that are turned already', async () => {
    const names: Declared[] = [];
    const model = layered(
      aroundHeads((m, { q, k, v, x }, id) => {
        const turned = transposed(m, k);
        const scores = scaled(m, m.op('MatMul', [q, turned]), id);
        const seen = dropped(m, past(m, distances(m, x, id), id), scores, id);
        const context = m.op('MatMul', [sparsemax(m, seen, 1, id), v]);
        names.push({ q, k: turned, v, context });
        return context;
      }),
    );
    const attention = declare(names, { mechanism: 'entmax', params: { alpha: 2 }, turnedKeys: true });
    const loaded = await bench.load(model, {}, { attention });
    await assertReproduces(loaded, 5e-5, 50);
    await loaded.dispose();
  });

  it('is compared at the length of the text: a window that the samples of the proof are too short for', async () => {
    const names: Declared[] = [];
    const windowed = (tokens: number): Layer =>
      aroundHeads((m, { q, k, v, x }, id) => {
        const d = distances(m, x, id);
        const near = m.op('Less', [d, m.floats(`reach${id}`, [tokens], [])]);
        const seen = m.op('And', [past(m, d, id), near]);
        const turned = transposed(m, k);
        const scores = dropped(m, seen, scaled(m, m.op('MatMul', [q, turned]), id), id);
        const context = m.op('MatMul', [softmax(m, scores), v]);
        names.push({ q, k: turned, v, context });
        return context;
      });
    const model = layered(windowed(100));
    const run = async (window: number) => {
      const attention = declare(names, { mechanism: 'local', params: { window }, turnedKeys: true });
      const loaded = await bench.load(model, {}, { attention });
      try {
        await assertReproduces(loaded, 5e-5, 150);
      } finally {
        await loaded.dispose();
      }
    };
    await run(100);
    await assert.rejects(run(110), (error: unknown) => {
      assert.ok(error instanceof RefusedError, String(error));
      assert.match(error.message, /at 150 tokens core 0 does not reproduce its own graph/);
      return true;
    });
  });

  const refusals: [string, object, RegExp][] = [
    ['what the graph does not do', { mechanism: 'entmax', params: { alpha: 1.5 } }, /does not reproduce/],
    ['a mechanism of another name', { mechanism: 'magic' }, /"magic", which is none of ours/],
    ['a setting of another name', { mechanism: 'entmax', params: { beta: 1 } }, /"beta"/],
    ['a setting that cannot be', { mechanism: 'entmax', params: { alpha: -1 } }, /cannot be: .*\balpha\b/],
    [
      'a learned setting that cannot be',
      { mechanism: 'entmax', tensors: { alpha: [2, 2, 2, -1] } },
      /cannot be: .*\balpha\b/,
    ],
    ['a tensor that is not there', { mechanism: 'entmax', tensors: { alpha: 'lost' } }, /no tensor "lost"/],
    ['a context that is not made of q, k and v', { mechanism: 'entmax', context: 'table' }, /not made of/],
    ['no mechanism', {}, /needs "mechanism"/],
  ];
  for (const [what, more, sentence] of refusals)
    it(`refuses ${what}`, async () => {
      const names: Declared[] = [];
      const model = layered(thresholded(names));
      await assert.rejects(bench.load(model, {}, { attention: declare(names, more) }), (error: unknown) => {
        assert.ok(error instanceof RefusedError, String(error));
        assert.match(error.message, sentence);
        return true;
      });
    });
});

/** Probabilities of a query over its segment, its memory and its slots, with Transformer-XL's scores, as the papers write them. */
function recurrentProbabilities(
  { native, queries, dim, q, k, rule }: CoreInput,
  head: number,
  query: number,
  layout: { segment: number; memory: number; compressed: number; rate: number },
): Record<'segment' | 'memory' | 'compressed', number[]> {
  const { own } = native!.partOf(head);
  const [r, u, v] = ['r', 'u', 'v_bias'].map(name => floats(own[name]!)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const start = query - (query % layout.segment);
  const recent = Math.max(0, start - layout.memory);
  const all = layout.compressed > 0 ? Math.floor(recent / layout.rate) : 0;
  const slots = Math.min(all, layout.compressed);
  const score = (keys: Float32Array, at: number, distance: number) => {
    let sum = 0;
    for (let c = 0; c < dim; c++) {
      const asked = q[(head * queries + query) * dim + c]!;
      sum += (asked + u[head * dim + c]!) * keys[at * dim + c]!;
      sum += (asked + v[head * dim + c]!) * r[(head * queries + distance) * dim + c]!;
    }
    return Math.exp(sum * rule.scale[head]!);
  };
  const list = (from: number, to: number, of: (t: number) => number) =>
    Array.from({ length: to - from }, (_, t) => of(from + t));
  const ofToken = (key: number) => score(k, head * queries + key, query - key);
  const slotK = slots > 0 ? floats(own['slot_k']!) : new Float32Array();
  const perHead = slotK.length / HEADS_OF_SAMPLE / dim;
  // [slots; memory; segment]: a slot is one position.
  const ofSlot = (slot: number) =>
    score(slotK, head * perHead + slot, query - start + (start - recent) + all - slot);
  const found = {
    segment: list(start, query + 1, ofToken),
    memory: list(recent, start, ofToken),
    compressed: list(all - slots, all, ofSlot),
  };
  const total = Object.values(found)
    .flat()
    .reduce((a, b) => a + b);
  const share = (values: number[]) => values.map(value => value / total);
  return {
    segment: share(found.segment),
    memory: share(found.memory),
    compressed: share(found.compressed),
  };
}
