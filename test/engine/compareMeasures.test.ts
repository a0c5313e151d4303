import assert from 'node:assert/strict';
import { entmaxRow } from '../oracle/approximations';
import { close } from '../oracle/close';
import { oracleProbabilities, randomCore } from '../oracle/dense';
import type { NativeAttention } from '../../engine/attention/core';
import type { Attended } from '../../engine/attention/mechanism';
import { attendNative } from '../../engine/attention/native';
import { mechanisms } from '../../engine/attention/registry';
import { compareCore } from '../../engine/measure/comparison';
import { drawnMeans, drawnRatios, meanOfDraws, middle95 } from '../../shared/bootstrap';
import { breaksIdentity, divergence } from '../../engine/measure/divergence';
import { EdgeRecall, entmaxKeys, TOP_P, topPKeys } from '../../engine/measure/goldGraphs';
import type { CoreInfo, Setting, MechanismResult } from '../../shared/protocol/engine';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { Analysis } from '../../engine/service/analysis';
import { compareMeasures, evenlySpaced, SAMPLED_ROWS } from '../../engine/service/compareMeasures';
import type { CutModel } from '../../engine/model/cut/cutModel';
import { random } from '../oracle/random';
import { setting } from '../support/settings';

describe('comparison measures', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  const [heads, queries] = [2, 300];
  const input = randomCore(11, { heads, queries, rule: { mask: { causal: true, window: null } } });
  const dense = Array.from({ length: heads }, (_, h) => oracleProbabilities(input, h));
  const lse = Float32Array.from(dense.flatMap(one => [...one.lse]));
  const choice = setting;

  /** An analysis of one core, without a model behind it; `native`: one that the model was made with a mechanism in. */
  async function analysis(
    tamper?: ((attended: Attended) => Attended) | null,
    native?: NativeAttention,
  ): Promise<Analysis> {
    const model = { info: { cores: [{ core: 0, heads }] } } as CutModel;
    const found = new Analysis('test', model, runtime, { ids: new Int32Array(queries) } as never);
    const context = { runtime, signal: neverCancelled, own: {} };
    const { output } = native?.attended ?? (await mechanisms[0]!.attend(input, {}, context));
    found.cores.push({
      result: { info: { core: 0, heads } as CoreInfo, heads: [] },
      // A map of probabilities has the sum 1 in each row.
      lse: native ? new Float32Array(heads * queries) : lse,
      entropy: new Float32Array(0),
      byDistance: new Float32Array(0),
      outline: input,
      tensors: { input: native ? { ...input, native } : input, output },
    });
    if (tamper) {
      const attend = found.attend.bind(found);
      found.attend = async (...args) => tamper(await attend(...args));
    }
    return found;
  }
  const compare = (one: Analysis, ...choices: Setting[]) =>
    compareMeasures(one, choices, neverCancelled, () => undefined);

  it('edge recall, divergence and sparsity are those of whole matrices', async () => {
    const window = 24;
    const [result] = await compare(await analysis(), choice('local', { window }));
    const sample = evenlySpaced(queries, SAMPLED_ROWS);
    assert.equal(sample.length, SAMPLED_ROWS);
    for (const [h, { measures }] of result!.heads.entries()) {
      let [entmax, entmaxKept, topP, topPKept, kl] = [0, 0, 0, 0, 0];
      for (const i of sample) {
        const p = [...dense[h]!.p[i]!.subarray(0, i + 1)];
        const kept = (j: number) => i - j < window;
        const support = entmaxRow(p.map(Math.log), 1.5).flatMap((w, j) => (w > 0 ? [j] : []));
        entmax += support.length;
        entmaxKept += support.filter(kept).length;
        const order = [...p.keys()].sort((a, b) => p[b]! - p[a]!);
        let mass = 0;
        while (mass < 0.95) {
          const key = order.shift()!;
          mass += p[key]!;
          topP++;
          if (kept(key)) topPKept++;
        }
      }
      // What a set of pairs diverges by is known of every query.
      for (const [i, row] of dense[h]!.p.entries()) {
        const p = [...row.subarray(0, i + 1)];
        kl -= Math.log(p.filter((_, j) => i - j < window).reduce((a, b) => a + b, 0));
      }
      assert.equal(measures!.sampled, sample.length);
      assert.equal(measures!.queries, queries);
      assert.equal(measures!.negative, 0);
      const found = [measures!.entmaxPairs, measures!.topPPairs].map(pairs => pairs * sample.length);
      close(found, [entmax, topP], 1e-9);
      close([measures!.entmaxRecall!, measures!.topPRecall!], [entmaxKept / entmax, topPKept / topP], 1e-9);
      assert.ok(measures!.entmaxRecall! < 1);
      close([measures!.kl!], [kl / queries], 1e-6);
      assert.equal(measures!.klQueries, queries);
      const pairs = Array.from({ length: queries }, (_, i) => Math.min(window, i + 1)).reduce(
        (a, b) => a + b,
      );
      close([measures!.sparsity], [1 - pairs / ((queries * (queries + 1)) / 2)], 1e-12);
      const { low, high } = measures!.recallInterval!;
      assert.ok(low < result!.heads[h]!.recall! && result!.heads[h]!.recall! < high && high - low < 0.2);
      const error = measures!.outputErrorInterval;
      assert.ok(error.low < result!.heads[h]!.outputError && result!.heads[h]!.outputError < error.high);
    }
    const { measures } = result!;
    close([measures!.kl!], [(result!.heads[0]!.measures!.kl! + result!.heads[1]!.measures!.kl!) / 2], 1e-12);
    // Both heads see the same blocks drawn: their mean varies less than each of them, but not by chance alone.
    const width = ({ low, high }: { low: number; high: number }) => high - low;
    assert.ok(width(measures!.recallInterval!) > 0);
    assert.deepEqual(result!.notes, []);
  });

  it('tells no mass of a native map by what the scores alone would give', async () => {
    const context = { runtime, signal: neverCancelled };
    const native = await attendNative(
      input,
      { name: 'entmax', params: { alpha: 1.5 }, tensors: [] },
      {},
      context,
    );
    const choices = [choice('local', { window: 24 }), choice('dense'), choice('entmax', { alpha: 1.5 })];
    const results = await compare(await analysis(null, native), ...choices);
    for (const { setting, notes, measures, heads } of results) {
      assert.deepEqual(notes, [], setting.key);
      assert.equal(measures!.recallInterval, null);
      for (const head of heads) {
        assert.equal(head.recall, null);
        assert.equal(head.measures!.recallInterval, null);
        // What gives a share to keys that entmax gives none is infinitely far from it.
        if (setting.name === 'entmax') close([head.measures!.kl!], [0], 1e-6);
        else assert.equal(head.measures!.kl, null);
        assert.equal(head.measures!.klQueries, SAMPLED_ROWS);
      }
    }
  });

  it('counts no pooled key among the pairs that are kept', async () => {
    // 12 pooled tokens in slots of 3, and the last 5: of a graph of all keys only what is read as it is.
    const params = { memory: 5, segment: 5, compressed: 4, rate: 3 };
    const one = await analysis();
    const [result] = await compare(one, choice('compressive', params));
    const whole = await compare(one, choice('compressive', { ...params, compressed: 0 }));
    for (const [h, { measures }] of result!.heads.entries()) {
      const without = whole[0]!.heads[h]!.measures!;
      assert.equal(measures!.topPRecall, without.topPRecall, 'slots add no pairs of the dense map');
      assert.equal(measures!.entmaxRecall, without.entmaxRecall);
      assert.ok(measures!.topPRecall! > 0);
    }
  });

  it('dense keeps both graphs and all mass', async () => {
    const [result] = await compare(await analysis(), choice('dense'));
    for (const { measures } of result!.heads) {
      assert.deepEqual([measures!.entmaxRecall, measures!.topPRecall, measures!.sparsity], [1, 1, 0]);
      assert.ok(Math.abs(measures!.kl!) < 1e-9);
    }
  });

  it('every mechanism of a causal core passes the self-check', async () => {
    const one = await analysis();
    const causal = mechanisms
      .map(({ info }) => choice(info.name))
      .filter(({ name, params }) => {
        const mechanism = mechanisms.find(({ info }) => info.name === name)!;
        return !mechanism.refuses?.(input, params);
      });
    causal.push(
      choice('adaptive-span', { massTarget: 0.7, ramp: 16 }),
      choice('lsh', { bucketSize: 16, rounds: 3, allowDuplicates: true }),
      choice('lsh', { bucketSize: 16, rounds: 3, attendAcrossBuckets: false }),
      choice('entmax', { alpha: 1 }),
    );
    assert.ok(causal.length > 14);
    for (const result of await compare(one, ...causal)) {
      assert.deepEqual(
        result.notes.filter(note => note.kind === 'contradiction'),
        [],
        result.setting.key,
      );
      for (const { measures, recall } of result.heads) {
        assert.equal(measures!.entmaxRecall === null, recall === null, result.setting.name);
        assert.ok(measures!.kl === null || measures!.kl > -1e-9, `${result.setting.key}: ${measures!.kl}`);
      }
      if (result.setting.name === 'entmax') {
        assert.equal(result.measures!.entmaxRecall, 1);
      }
    }
  });

  it('a mass that is not that of the rows is told', async () => {
    const wrong = await analysis(attended => {
      const changed = attended.lse!.slice();
      changed[queries + evenlySpaced(queries, SAMPLED_ROWS)[7]!]! -= 0.1;
      return { ...attended, lse: changed };
    });
    const [result] = await compare(wrong, choice('local', { window: 9 }));
    assert.equal(result!.notes.length, 1);
    assert.match(result!.notes[0]!.text, /contradict each other in core 0 head 1 \(1 queries\)/);
  });

  it('without choices: the results that are there, which keep their propagated part', async () => {
    const one = await analysis();
    const [local] = await compare(one, choice('local', { window: 9 }));
    const propagated: MechanismResult = { ...local!, scope: 'propagated', deltaLoss: 1 };
    one.results.set(local!.setting.key, propagated);
    const [result] = await compare(one);
    assert.deepEqual([result!.scope, result!.deltaLoss], ['propagated', 1]);
    assert.ok(result!.measures);
    assert.equal(one.results.get(local!.setting.key), result);
  });

  it('intervals hold the truth about as often as they claim', () => {
    // Means of 400 draws of a wave of known mean with noise; 95 % of 200 intervals should hold it.
    const { normal, uniform } = random(21);
    let holds = 0;
    for (let trial = 0; trial < 200; trial++) {
      const shift = uniform() * 6;
      const values = Array.from({ length: 400 }, (_, i) => 0.5 + 0.1 * Math.sin(shift + i) + 0.2 * normal());
      const { low, high } = middle95(drawnRatios(values, new Float64Array(400).fill(1)));
      if (low <= 0.5 && 0.5 <= high) holds++;
    }
    assert.ok(holds > 175 && holds < 200, `${holds} of 200`);
    const same = drawnRatios([3, 3, 3, 3, 3], [1, 1, 1, 1, 1]);
    assert.deepEqual(middle95(meanOfDraws([same, same])), { low: 3, high: 3 });
    assert.deepEqual(middle95(drawnRatios([], [])), { low: 0, high: 0 });
  });

  it('a ratio to as many ones is the mean, drawn alike where blocks are as long', () => {
    const { normal } = random(4);
    const values = Array.from({ length: 1024 }, normal);
    assert.deepEqual(drawnRatios(values, new Float64Array(1024).fill(1)), drawnMeans([values]));
  });

  it('graphs of single rows', () => {
    assert.deepEqual([...topPKeys(Float64Array.of(0.1, 0.2, 0, 0.5, 0.2))], [0, 1, 3, 4]);
    assert.deepEqual([...topPKeys(Float64Array.of(0.01, TOP_P, 0.04))], [1]);
    assert.deepEqual([...topPKeys(new Float64Array(4).fill(0.25))], [0, 1, 2, 3]);
    assert.deepEqual([...topPKeys(Float64Array.of(0.04, 0.6, 0.04, 0.04, 0.25, 0.03))], [0, 1, 2, 3, 4]);
    assert.deepEqual([...topPKeys(new Float64Array(40).fill(1 / 40))], [...Array(38).keys()]);
    assert.deepEqual([...topPKeys(new Float64Array(0))], []);
    assert.deepEqual([...entmaxKeys(Float64Array.of(0, -Infinity, -0.5, -30))], [0, 2]);
    const edges = new EdgeRecall();
    assert.equal(edges.recall, null);
    edges.add(Int32Array.of(2, 5), {
      keys: Int32Array.of(1, 2, 5),
      weights: Float64Array.of(1, 0.1, 0),
      mask: Float64Array.of(1, 0.5, 0),
    });
    assert.equal(edges.recall, 0.5);
  });

  it('the divergence of single rows', () => {
    const log = (key: number) => Math.log([0.5, 0.3, 0.2][key]!);
    const row = { keys: Int32Array.of(0, 2), weights: Float64Array.of(5 / 7, 2 / 7) };
    const found = divergence(row, log)!;
    close([found.kl!], [-Math.log(0.7)], 1e-12);
    assert.ok(!breaksIdentity(found, Math.log(0.7)) && breaksIdentity(found, Math.log(0.71)));
    // Half of key 2 masked: weights 0.5 and 0.1 of 0.6.
    const soft = { ...row, weights: Float64Array.of(5 / 6, 1 / 6), mask: Float64Array.of(1, 0.5) };
    assert.ok(!breaksIdentity(divergence(soft, log)!, Math.log(0.6)));
    assert.equal(divergence({ ...row, weights: Float64Array.of(2, -1) }, log)!.kl, null);
    assert.equal(divergence({ keys: new Int32Array(0), weights: new Float64Array(0) }, log), null);
    assert.equal(divergence(row, key => (key === 2 ? -Infinity : log(key)))!.kl, Infinity);
  });

  it('the comparison itself is unchanged', async () => {
    const [result] = await compare(await analysis(), choice('local', { window: 9 }));
    const one = await analysis();
    const { output } = await one.tensors(0, neverCancelled);
    const attended = await one.attendLocally(choice('local', { window: 9 }), 0, input, neverCancelled);
    const plain = compareCore({ core: 0 } as CoreInfo, input, { output, lse }, attended);
    assert.deepEqual(
      result!.heads.map(({ measures: _, ...head }) => head),
      plain,
    );
  });
});
