import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import type { AnalysisSummary, Intervention, InterventionResult } from '../../shared/protocol/engine';
import { writeEncoderDecoder } from '../fixtures/encoderDecoder';
import { setting } from '../support/settings';

const TEXT = 'The cat sat on the mat. The dog sat on the log.\n\nThen the cat sat on the dog.\n'.repeat(3);

const close = (a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number, what: string) => {
  assert.equal(a.length, b.length, what);
  for (let t = 0; t < a.length; t++)
    assert.ok(Math.abs(a[t]! - b[t]!) <= tolerance, `${what} at ${t}: ${a[t]} against ${b[t]}`);
};

describe('interventions', function () {
  this.timeout(120_000);
  const engine = new Engine();
  let summary: AnalysisSummary;
  const intervene = (...interventions: Intervention[]): Promise<InterventionResult> =>
    engine.request('analysis/intervene', { id: 'a', interventions });
  const everywhere = { core: null, head: null } as const;

  before(async () => {
    summary = await engine.request('analysis/start', {
      id: 'a',
      model: 'bundled',
      text: TEXT,
      device: 'cpu',
      maxTokens: null,
      mechanisms: [setting('local', { window: 6 })],
      propagate: true,
    });
  });
  after(() => engine.dispose());

  it('that are none change nothing, to the last bit', async () => {
    const { effect, notes } = await intervene();
    assert.equal(effect.measure, 'loss');
    assert.equal(effect.delta, 0);
    assert.equal(effect.perToken.length, summary.tokens.ids.length - 1);
    assert.ok(effect.perToken.every(change => change === 0));
    assert.deepEqual(notes, []);
  });

  it('a mechanism in all heads costs what the analysis says it costs', async () => {
    const choice = setting('local', { window: 6 });
    const { effect } = await intervene({ kind: 'mechanism', ...everywhere, choice });
    const known = summary.mechanisms[0]!;
    assert.equal(known.scope, 'propagated');
    close(effect.perToken, known.deltaLossPerToken!, 1e-5, 'per token');
  });

  it('a mechanism in one head is an assignment', async () => {
    const choice = setting('local', { window: 3 });
    const one = await intervene({ kind: 'mechanism', core: 1, head: 2, choice });
    const { effect } = await engine.request('analysis/assign', {
      id: 'a',
      heads: [{ core: 1, head: 2, choice }],
    });
    close(one.effect.perToken, effect.perToken, 1e-5, 'per token');
    assert.notEqual(one.effect.delta, 0);
  });

  it('edges that leave each query the keys of a window are that window', async () => {
    const count = summary.tokens.ids.length;
    const spans = Array.from({ length: count }, (_, i): Intervention[] =>
      i < 6 ? [] : [{ kind: 'span', ...everywhere, from: 0, to: i - 5, queries: { from: i, to: i + 1 } }],
    ).flat();
    const { effect } = await intervene(...spans);
    close(effect.perToken, summary.mechanisms[0]!.deltaLossPerToken!, 1e-5, 'per token');
  });

  it('knocking out the heads one by one is knocking out the core', async () => {
    const heads = summary.cores[0]!.heads.map(({ head }): Intervention => ({ kind: 'head', core: 0, head }));
    const out = await intervene(...heads);
    // All keys hidden leaves no context either: the same zeros by another way.
    const all = { from: 0, to: summary.tokens.ids.length };
    const blind = await intervene({ kind: 'span', core: 0, head: null, ...all, queries: null });
    close(out.effect.perToken, blind.effect.perToken, 1e-6, 'per token');
    assert.ok(Math.abs(out.effect.delta) > 0.01, `the first layer matters (${out.effect.delta})`);
    assert.deepEqual(out.notes, []);
    assert.match(blind.notes.join(), /rows of attention are left without any key/);
  });

  it('on tokens change nothing before their first query', async () => {
    const { effect } = await intervene({ kind: 'span', ...everywhere, from: 20, to: 24, queries: null });
    assert.ok(effect.perToken.subarray(0, 20).every(change => Math.abs(change) < 1e-5));
    assert.ok(effect.perToken.subarray(20).some(change => Math.abs(change) > 1e-3));
    const edge = await intervene({ kind: 'edge', ...everywhere, query: 30, key: 22 });
    assert.ok(edge.effect.perToken.subarray(0, 30).every(change => Math.abs(change) < 1e-5));
    assert.ok(Math.abs(edge.effect.perToken[30]!) > 0);
  });

  it('name the heaviest key that a token lost', async () => {
    const row = (core: number, head: number, token: number) =>
      engine.request('analysis/row', { id: 'a', core, head, token, direction: 'from' });
    const head = { core: 1, head: 0 };
    const dense = await row(1, 0, 40);
    const lost = dense.subarray(0, 36).reduce((best, mass, key) => (mass > dense[best]! ? key : best), 0);
    const choice = setting('local', { window: 5 });
    const ask = (
      interventions: Intervention[],
      heads = [] as { core: number; head: number; choice: typeof choice }[],
    ) => engine.request('analysis/worst', { id: 'a', heads, interventions, queries: [40, 2] });
    const [found, early] = await ask([], [{ ...head, choice }]);
    assert.deepEqual({ ...found!.lost, mass: 0 }, { ...head, key: lost, mass: 0, distance: 40 - lost });
    assert.ok(Math.abs(found!.lost!.mass - dense[lost]!) < 1e-6);
    assert.deepEqual(early, { query: 2, lost: null }, 'a window of 5 takes nothing from the third token');

    const [blocked] = await ask([{ kind: 'edge', core: 1, head: 0, query: 40, key: 7 }]);
    assert.equal(blocked!.lost?.key, 7);
    const [silenced] = await ask([{ kind: 'head', core: 1, head: 0 }]);
    assert.equal(silenced!.lost?.mass, Math.max(...dense));
    const [everywhereLost] = await ask([{ kind: 'mechanism', core: null, head: null, choice }]);
    assert.ok(everywhereLost!.lost!.mass >= found!.lost!.mass && everywhereLost!.lost!.key < 36);
  });

  it('of what is not there are refused in one sentence', async () => {
    const refused = (one: Intervention, message: RegExp) =>
      assert.rejects(intervene(one), (error: Error) => {
        assert.equal(error.name, 'RefusedError');
        assert.match(error.message, message);
        return true;
      });
    await refused({ kind: 'head', core: 99, head: 0 }, /^The model has no attention core 99\.$/);
    await refused({ kind: 'head', core: 0, head: 99 }, /^Core 0 has no head 99\.$/);
    await refused({ kind: 'span', ...everywhere, from: 5, to: 5, queries: null }, /^There is no span/);
    await refused(
      { kind: 'edge', ...everywhere, query: 1, key: 5000 },
      /^There is no token 5000: the text has \d+ tokens/,
    );
    const target = { kind: 'span', ...everywhere, from: 0, to: 1, queries: null, side: 'target' } as const;
    await refused(target, /^No attention of this model has keys of that text\.$/);
    const performer = {
      kind: 'mechanism',
      core: 0,
      head: null,
      choice: setting('performer'),
    } as const;
    await assert.rejects(
      intervene(performer, { kind: 'edge', core: 0, head: 1, query: 5, key: 2 }),
      /^RefusedError: Performer computes no single pairs/,
    );
  });
});

describe('an encoder-decoder with a given target text', function () {
  this.timeout(120_000);
  const engine = new Engine((name, params) => {
    if (name === 'analysis/began') began.push(params);
  });
  const began: unknown[] = [];
  let folder: string;
  let summary: AnalysisSummary;
  const start = (target: string | null) =>
    engine.request('analysis/start', {
      id: 'pair',
      model: folder,
      text: 'the cat sat on the mat',
      target,
      device: 'cpu',
      maxTokens: null,
      mechanisms: [],
      propagate: false,
    });
  const intervene = (...interventions: Intervention[]) =>
    engine.request('analysis/intervene', { id: 'pair', interventions });

  before(async () => {
    folder = await writeEncoderDecoder(mkdtempSync(join(tmpdir(), 'pair-')));
    summary = await start('then it left');
  });
  after(async () => {
    await engine.dispose();
    rmSync(folder, { recursive: true });
  });

  it('reads it, and predicts its tokens', () => {
    assert.equal(summary.model.kind, 'encoder-decoder');
    assert.deepEqual(
      summary.cores.map(({ info }) => info.kind),
      ['encoder', 'decoder', 'cross'],
    );
    assert.equal(summary.target?.source, 'given');
    assert.deepEqual(summary.target.tokens.text, ['[CLS]', 'then', 'it', 'left', '[SEP]']);
    assert.deepEqual((began[0] as AnalysisSummary).target, summary.target, 'known when the run begins');
    assert.equal(summary.loss?.perToken.length, 4);
    assert.deepEqual(summary.notes, []);
  });

  it('is another text than the one that the model writes', async () => {
    const written = await start(null);
    assert.equal(written.target?.source, 'generated');
    assert.notDeepEqual(written.target.tokens.ids, summary.target!.tokens.ids);
    assert.deepEqual(written.cores[0]!.heads[0]!.entropy, summary.cores[0]!.heads[0]!.entropy);
    await start('then it left');
  });

  it('has the cross attention of a target word, and of a source word, in the mean over all heads', async () => {
    const ask = async (side: 'text' | 'target', token: number, core: number | null) => {
      const head = core === null ? null : 0;
      const question = { id: 'pair', core, head, side, tokens: [token], top: 20, mechanisms: null };
      return (await engine.request('analysis/token', question))[0]!;
    };
    const total = (links: { mass: number }[]) => links.reduce((sum, { mass }) => sum + mass, 0);
    const word = await ask('target', 3, null);
    assert.equal(word.looksAtSide, 'target');
    close([total(word.looksAt), total(word.across!.looksAt)], [1, 1], 1e-5, 'a row within, a row across');
    assert.deepEqual(word.across!.lookedAtBy, []);
    const source = await ask('text', 3, null);
    assert.equal(source.lookedAtBySide, 'text');
    assert.ok(source.across!.lookedAtBy.length > 0);
    // Of one head there is one row.
    const cross = await ask('target', 3, 2);
    assert.equal(cross.across, undefined);
    assert.equal(cross.looksAtSide, 'text');
  });

  it('loses a span of the source text in the cross attention', async () => {
    const cross = { core: 2, head: null } as const;
    const { effect } = await intervene({ kind: 'span', ...cross, from: 2, to: 4, queries: null });
    assert.equal(effect.perToken.length, 4, 'of the target text');
    assert.ok(effect.perToken.every(change => change !== 0));
    // Only what is predicted from the last two target tokens is changed when only they are blinded.
    const late = await intervene({ kind: 'span', ...cross, from: 2, to: 4, queries: { from: 2, to: 5 } });
    close(late.effect.perToken.subarray(0, 2), [0, 0], 1e-5, 'the others');
    close(
      late.effect.perToken.subarray(2),
      effect.perToken.subarray(2),
      1e-5,
      'cross attention mixes no queries',
    );
  });

  it('has spans of either text, in the cores whose keys they are', async () => {
    const span = { kind: 'span', core: null, head: null, queries: null } as const;
    const text = await intervene({ ...span, from: 2, to: 4 });
    const cores = await intervene({ ...span, core: 0, from: 2, to: 4 }, { ...span, core: 2, from: 2, to: 4 });
    close(text.effect.perToken, cores.effect.perToken, 1e-7, 'encoder and cross attention');
    const target = await intervene({ ...span, from: 1, to: 2, side: 'target' });
    const decoder = await intervene({ ...span, core: 1, from: 1, to: 2 });
    close(target.effect.perToken, decoder.effect.perToken, 1e-7, 'decoder');
    await assert.rejects(
      intervene({ ...span, from: 6, to: 9 }),
      /There is no span of tokens 6 to 8: the text has 8/,
    );
    await assert.rejects(
      intervene({ ...span, from: 6, to: 7, side: 'target' }),
      /There is no token 6: the text has 5/,
    );
  });

  it('names the lost key of the source text, without a distance', async () => {
    const interventions: Intervention[] = [{ kind: 'span', core: 2, head: 1, from: 2, to: 4, queries: null }];
    const found = await engine.request('analysis/worst', {
      id: 'pair',
      heads: [],
      interventions,
      queries: [3],
    });
    const { lost } = found[0]!;
    assert.ok(lost && [2, 3].includes(lost.key) && lost.core === 2 && lost.head === 1);
    assert.equal(lost.distance, null);
  });
});
