import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import type { AnalysisSummary, ChosenAttention, Setting } from '../../shared/protocol/engine';
import {
  clusterModel,
  CLUSTERS,
  inductionModel,
  lookBackModel,
  NAMED,
  needleStart,
  needleText,
  plantedText,
  writePlanted,
} from '../fixtures/plantedModels';
import { random } from '../oracle/random';
import { setting } from '../support/settings';

describe('planted truth: models of which it is known what they do', function () {
  this.timeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), 'planted-'));
  const engine = new Engine();
  after(async () => {
    await engine.dispose();
    rmSync(folder, { recursive: true });
  });

  async function analyze(
    model: string,
    text: string,
    mechanisms: Setting[] = [],
    propagate = false,
    attention: ChosenAttention | null = null,
  ): Promise<AnalysisSummary> {
    const summary = await engine.analyze({
      id: model,
      model: join(folder, model),
      text,
      device: 'cpu',
      maxTokens: null,
      mechanisms,
      propagate,
      attention,
    });
    assert.equal(summary.tokens.ids.length, text.split(' ').length);
    return summary;
  }

  it('a model that is written anew is read anew; what was analyzed of the old one answers no more', async () => {
    const text = Array.from({ length: 60 }, (_, t) => `w${(t * 7) % NAMED}`).join(' ');
    const span = async () => (await analyze('anew', text)).cores[0]!.heads[0]!.span95Quantiles.p50;
    writePlanted(join(folder, 'anew'), lookBackModel([2]));
    assert.equal(await span(), 2);
    const mechanism = setting('local', { window: 2 });
    const again = () => engine.request('analysis/mechanism', { id: 'anew', mechanism, scope: 'propagated' });
    writePlanted(join(folder, 'anew'), lookBackModel([9]));
    await assert.rejects(again(), /have changed since it was loaded: analyze the text again/);
    // The lens on scaling counts weights without running a piece.
    const scaling = engine.request('analysis/lens', {
      id: 'anew',
      lens: 'scaling',
      core: 0,
      head: 0,
      params: {},
    });
    await assert.rejects(scaling, /have changed since it was loaded: analyze the text again/);
    assert.equal(await span(), 9);
    await again();
  });

  it('a head that attends exactly w back has that span', async () => {
    const distances = [1, 5, 32, 150];
    writePlanted(join(folder, 'back'), lookBackModel(distances));
    const { uniform } = random(3);
    const text = Array.from({ length: 700 }, () => `w${Math.floor(uniform() * NAMED)}`).join(' ');
    const { cores } = await analyze('back', text);
    for (const [head, back] of distances.entries()) {
      const profile = cores[0]!.heads[head]!;
      // The first tokens have nothing that far back and look at the first.
      assert.equal(profile.span95Quantiles.p50, back);
      assert.equal(profile.span99Quantiles.p95, back);
      const expected = Array.from({ length: 700 }, (_, i) => Math.min(i, back)).reduce((a, b) => a + b) / 700;
      assert.ok(Math.abs(profile.meanDistance - expected) < 1e-3, `${profile.meanDistance}, not ${expected}`);
    }
    assert.equal(cores[0]!.heads[0]!.roles[0]!.role, 'previous');
    assert.ok(cores[0]!.heads[0]!.roles[0]!.score > 0.99);
    const fit = await engine.request('analysis/spans', { id: 'back', massTarget: 1 - 1e-4, ramp: 1 });
    assert.deepEqual(
      fit.heads.map(({ span }) => span),
      distances,
    );
    const adaptive = setting('adaptive-span', { massTarget: 1 - 1e-4, ramp: 1 });
    const result = await engine.request('analysis/mechanism', {
      id: 'back',
      mechanism: adaptive,
      scope: 'local',
    });
    assert.deepEqual(
      result.heads.map(({ span }) => span),
      distances,
    );
  });

  it('clusters in Q and K are the buckets of routing and of LSH', async () => {
    writePlanted(join(folder, 'clusters'), clusterModel());
    // As many tokens of each cluster, in no order.
    const { uniform } = random(5);
    const [length, size] = [256, 256 / CLUSTERS];
    const ids = Array.from({ length }, (_, t) => (t % CLUSTERS) + CLUSTERS * Math.floor(uniform() * 16));
    for (let t = length - 1; t > 0; t--) {
      const other = Math.floor(uniform() * (t + 1));
      [ids[t], ids[other]] = [ids[other]!, ids[t]!];
    }
    await analyze('clusters', ids.map(id => `w${id}`).join(' '));
    const found = (name: string, params: Setting['params']) =>
      engine.request('analysis/buckets', {
        id: 'clusters',
        core: 0,
        head: 0,
        mechanism: setting(name, params),
      });
    const cluster = ids.map(id => id % CLUSTERS);

    const routed = await found('routing', { window: size });
    assert.equal(routed.count, CLUSTERS);
    assert.deepEqual(partition(routed.queryBucket[0]!), partition(cluster));
    assert.deepEqual(partition(routed.keyBucket[0]!), partition(cluster));
    assert.ok(routed.multiplicity.every(times => times === 1));
    assert.deepEqual([...routed.sizes[0]!], new Array(CLUSTERS).fill(size));
    assert.equal(routed.uncovered, 0);
    assert.ok(routed.recall > 1 - 1e-5, `routing keeps ${routed.recall}`);

    const rounds = 8;
    const hashed = await found('lsh', { bucketSize: 32, rounds, attendAcrossBuckets: false });
    for (const [round, bucket] of hashed.queryBucket.entries()) {
      const keyBucket = hashed.keyBucket[round]!;
      for (let t = 0; t < length; t++) {
        const first = cluster.indexOf(cluster[t]!);
        assert.equal(bucket[t], bucket[first], `round ${round}: one cluster, one bucket`);
        assert.equal(keyBucket[t], keyBucket[first], `round ${round}: one cluster, one bucket of keys`);
      }
    }
    // Two clusters may share a bucket by chance, but not in every round.
    for (let a = 0; a < CLUSTERS; a++) {
      for (let b = 0; b < a; b++) {
        const [of, other] = [cluster.indexOf(a), cluster.indexOf(b)];
        assert.ok(
          hashed.queryBucket.some(bucket => bucket[of] !== bucket[other]),
          `${a} and ${b}`,
        );
      }
    }
  });

  it('an induction pair: the previous-token head and the induction head', async () => {
    writePlanted(join(folder, 'induction'), inductionModel());
    const passage = Array.from({ length: 60 }, (_, t) => t);
    const text = plantedText(121, { 1: passage, 61: passage });
    const { cores, loss } = await analyze('induction', text);
    const best = cores.map(core => core.heads[0]!.roles[0]!);
    assert.deepEqual(
      best.map(({ role }) => role),
      ['previous', 'induction'],
    );
    for (const { score } of best) assert.ok(score > 0.99, String(score));
    const { perToken } = loss!;
    for (let t = 61; t < 120; t++) assert.ok(perToken[t]! < 0.01, `token ${t} is predicted`);
    for (let t = 1; t < 60; t++) assert.ok(perToken[t]! > 3, `token ${t} was not said before`);
  });

  it('a needle 3,000 tokens back is the key that a window loses', async () => {
    writePlanted(join(folder, 'induction'), inductionModel());
    const [distance, words] = [3000, 8];
    const local = setting('local', { window: 256 });
    const text = needleText(distance, words);
    const { mechanisms, loss } = await analyze('induction', text, [local], true);
    const first = needleStart(distance);
    for (let query = first; query < first + words - 1; query++) {
      const [token] = await engine.request('analysis/token', {
        id: 'induction',
        core: 1,
        head: 0,
        tokens: [query],
        top: 1,
        mechanisms: [local],
      });
      assert.deepEqual(token!.looksAt[0]!.token, query - distance);
      const [kept] = token!.kept;
      assert.ok(kept!.mass < 1e-3);
      assert.equal(kept!.costliestLost!.token, query - distance);
      assert.ok(kept!.costliestLost!.mass > 0.999);
      const change = mechanisms[0]!.deltaLossPerToken![query]!;
      assert.ok(loss!.perToken[query]! < 0.01 && change > 3, `forgetting costs ${change}`);
    }
    const changes = [...mechanisms[0]!.deltaLossPerToken!];
    const hurt = changes.flatMap((change, t) => (Math.abs(change) > 0.01 ? [t] : []));
    assert.deepEqual(
      hurt,
      Array.from({ length: words - 1 }, (_, t) => first + t),
      'only they are hurt',
    );
  });

  const searches = [
    // So small blocks that they stand in blocks of blocks.
    { distance: 3000, params: { block: 8, blocks: 4, recent: 2 } },
    // As it is without parameters, of more than 256 blocks.
    { distance: 12_000, params: {} },
  ];
  for (const { distance, params } of searches) {
    it(`a needle ${distance} tokens back is found without a dense pass, and the head that carries it`, async () => {
      writePlanted(join(folder, 'induction'), inductionModel(16_384));
      const words = 8;
      const attention = { setting: setting('block-search', params) };
      const text = needleText(distance, words);
      const { sparse, cores, loss, notes } = await analyze('induction', text, [], false, attention);
      const first = needleStart(distance);
      const links = new Map(sparse!.links.filter(({ core }) => core === 1).map(link => [link.query, link]));
      for (let query = first; query < first + words - 1; query++) {
        assert.equal(links.get(query)?.key, query - distance, `query ${query}`);
        assert.ok(links.get(query)!.mass > 0.999);
        assert.ok(loss!.perToken[query]! < 0.01, 'the model with it predicts as the dense model does');
      }
      assert.ok(notes.some(note => note.startsWith('The search found: head 1.0 looks from token ')));
      assert.ok(sparse!.missed!.high < 0.5);
      assert.ok(sparse!.pairs! < 0.2 * sparse!.densePairs);
      assert.equal(cores[0]!.heads[0]!.roles[0]!.role, 'previous');
    });
  }
});

/** Which group each element is in, groups numbered in the order they appear. */
function partition(groups: ArrayLike<number>): number[] {
  const order = new Map<number, number>();
  return Array.from(groups, group => {
    if (!order.has(group)) order.set(group, order.size);
    return order.get(group)!;
  });
}
