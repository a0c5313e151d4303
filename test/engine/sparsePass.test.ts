import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { RefusedError } from '../../engine/errors';
import type {
  AnalysisSummary,
  ChosenAttention,
  HeadProfile,
  SampledHead,
} from '../../shared/protocol/engine';
import { plainPercent } from '../../shared/numbers';
import { setting } from '../support/settings';

describe('an analysis without a dense pass', function () {
  this.timeout(180_000);
  const text = readFileSync(join(import.meta.dirname, '..', 'fixtures', 'sample.txt'), 'utf8');
  const engine = new Engine();
  let dense: AnalysisSummary;
  const analyze = (id: string, attention: ChosenAttention | null, maxTokens = 400) =>
    engine.analyze({
      id,
      model: 'bundled',
      text,
      device: 'cpu',
      maxTokens,
      mechanisms: [],
      propagate: false,
      attention,
    });
  const heads = ({ cores }: AnalysisSummary) => cores.flatMap(core => core.heads);
  before(async () => {
    dense = await analyze('dense', null);
  });
  after(() => engine.dispose());

  it('with dense cores: the same loss, and intervals that hold what the dense pass measures', async () => {
    const sparse = await analyze('sampled', { setting: setting('dense') });
    assert.ok(Math.abs(sparse.loss!.mean - dense.loss!.mean) < 1e-5);
    assert.deepEqual(dense.sparse, undefined);
    assert.ok(sparse.sparse!.missed!.mean < 1e-5);
    const truth = heads(dense);
    const within = (
      of: (sampled: SampledHead) => { low: number; high: number },
      value: (head: HeadProfile) => number,
    ) =>
      heads(sparse).filter((head, h) => {
        const { low, high } = of(head.sampled!);
        return low <= value(truth[h]!) && value(truth[h]!) <= high;
      }).length;
    // 48 heads share one sample, so they are right and wrong together.
    assert.ok(
      within(
        ({ entropy }) => entropy,
        ({ entropy }) => entropy,
      ) >= 40,
    );
    assert.ok(
      within(
        ({ span95 }) => span95,
        ({ span95 }) => span95,
      ) >= 40,
    );
    for (const [h, { roles }] of heads(sparse).entries()) {
      const [role] = truth[h]!.roles;
      if (role && role.score > 0.9) assert.equal(roles[0]?.role, role.role, `head ${h}`);
    }
  });

  it('with a window: what it leaves out of the run is within the interval', async () => {
    const local = setting('local', { window: 32 });
    const { sparse, notes } = await analyze('local', { setting: local });
    assert.equal(sparse!.queries, 192);
    // Layer 0 has the dense model's own queries and keys.
    const compared = await engine.request('analysis/mechanism', {
      id: 'dense',
      mechanism: local,
      scope: 'local',
    });
    const total = (of: 'pairs' | 'densePairs') => compared.heads.reduce((all, head) => all + head[of], 0);
    assert.deepEqual([sparse!.pairs, sparse!.densePairs], [total('pairs'), total('densePairs')]);
    const share = plainPercent(total('pairs') / total('densePairs'));
    assert.ok(notes.some(note => note.startsWith(`It looked at ${share} of the pairs and left out `)));
    const first = engine.analysis('local').cores[0]!;
    let held = 0;
    for (const { head, sampled } of first.result.heads) {
      const missed = 1 - compared.heads.find(one => one.core === 0 && one.head === head)!.recall!;
      if (sampled!.missed!.low <= missed && missed <= sampled!.missed!.high) held++;
      assert.ok(Math.abs(sampled!.missed!.mean - missed) < 0.1);
    }
    assert.ok(held >= 7, `${held} of 8`);
    const propagated = await engine.request('analysis/mechanism', {
      id: 'dense',
      mechanism: local,
      scope: 'propagated',
    });
    const loss = engine.analysis('local').loss!;
    const mean = loss.reduce((a, b) => a + b, 0) / loss.length;
    assert.ok(
      Math.abs(mean - dense.loss!.mean - propagated.deltaLoss!) < 1e-4,
      'the loss is that of the model with it',
    );
  });

  it('of a text that is short, all queries are read', async () => {
    const [whole, { sparse, cores, notes }] = [
      await analyze('w', null, 150),
      await analyze('s', { setting: setting('dense') }, 150),
    ];
    assert.equal(sparse!.queries, 150);
    assert.ok(Math.abs(cores[3]!.heads[2]!.entropy - whole.cores[3]!.heads[2]!.entropy) < 1e-4);
    assert.ok(notes.some(note => note.includes('no dense pass')));
  });

  it('with a mechanism for each head', async () => {
    const assigned = [{ core: 2, head: 1, choice: setting('local', { window: 16 }) }];
    const { loss, cores } = await analyze('plan', { heads: assigned });
    const { effect } = await engine.request('analysis/assign', { id: 'dense', heads: assigned });
    assert.ok(Math.abs(loss!.mean - dense.loss!.mean - effect.delta) < 1e-4);
    assert.ok(cores[2]!.heads[1]!.sampled!.missed!.mean > 0.05);
    assert.ok(cores[2]!.heads[0]!.sampled!.missed!.mean < 1e-4);
    const [all, some] = cores[2]!.heads.map(({ sampled }) => sampled!.pairs! / sampled!.densePairs);
    assert.ok(all === 1 && some! < 0.1);
  });

  it('with the mechanisms of a plan that was saved', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'plan-'));
    const file = join(folder, 'plan.json');
    const [params, one] = [{ window: 16 }, { core: 2, head: 1 }];
    try {
      writeFileSync(file, JSON.stringify({ heads: [{ ...one, mechanism: 'local', params }] }));
      const read = await analyze('file', { plan: file }, 200);
      const heads = [{ ...one, choice: setting('local', params) }];
      const given = await analyze('given', { heads }, 200);
      assert.equal(read.loss!.mean, given.loss!.mean);
      assert.deepEqual([read.sparse!.plan, read.sparse!.setting], [file, null]);
      assert.ok(read.notes.some(note => note.includes('A mechanism for each head ran in every core')));
      writeFileSync(file, '{"heads": [{"core": -1}]}');
      const refused = analyze('broken', { plan: file }, 200);
      await assert.rejects(refused, { message: `${file} is not the JSON file of a plan.` });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('says how many pairs it saw of a model that was made with entmax, and nothing of a mass that it cannot know', async () => {
    const { sparse, cores, notes } = await engine.analyze({
      ...{ id: 'native', model: 'zoo/entmax', text, device: 'cpu', maxTokens: 100 },
      ...{ mechanisms: [], propagate: false, attention: { setting: setting('local', { window: 16 }) } },
    });
    assert.ok(sparse!.pairs! < sparse!.densePairs);
    assert.equal(sparse!.missed, null);
    for (const { sampled } of cores.flatMap(core => core.heads)) assert.equal(sampled!.missed, null);
    assert.ok(
      notes.some(note => /^It looked at 29.* is not told/.test(note)),
      notes.join(' '),
    );
  });

  it('says whether what ran is the model’s own', async () => {
    const noteOf = async (model: string, ran: ReturnType<typeof setting>) => {
      const { notes } = await engine.analyze({
        ...{ id: 'standing', model, text, device: 'cpu', maxTokens: 60 },
        ...{ mechanisms: [], propagate: false, attention: { setting: ran } },
      });
      return notes.find(note => note.startsWith('There was no dense pass'))!;
    };
    assert.match(await noteOf('bundled', setting('dense')), /It is native/);
    assert.match(await noteOf('bundled', setting('local', { window: 16 })), /It is a what-if/);
    assert.match(await noteOf('zoo/strided', setting('strided', { stride: 32 })), /It is native/);
    assert.match(await noteOf('zoo/strided', setting('dense')), /It is a what-if/);
  });

  it('is asked for tiles and tokens, not for what compares with dense attention', async () => {
    await analyze('asked', { setting: setting('local', { window: 32 }) });
    const row = await engine.request('analysis/row', {
      id: 'asked',
      core: 0,
      head: 3,
      token: 300,
      direction: 'from',
    });
    assert.ok(Math.abs(row.reduce((a, b) => a + b, 0) - 1) < 1e-4);
    const refused = engine.request('analysis/mechanism', {
      id: 'asked',
      mechanism: setting('lsh'),
      scope: 'local',
    });
    await assert.rejects(
      refused,
      (error: unknown) => error instanceof RefusedError && /without a dense pass/.test(error.message),
    );
  });
});
