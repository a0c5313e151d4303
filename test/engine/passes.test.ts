import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Engine } from '../../engine/engine';
import { CancelledError } from '../../engine/errors';
import { neverCancelled } from '../../engine/runtime/cancellation';
import type { CutModel } from '../../engine/model/cut/cutModel';
import { headMasks } from '../../engine/service/plan/headMasks';
import type {
  AnalysisSummary,
  HeadAssignment,
  Setting,
  TileParams,
  TokenAttention,
} from '../../shared/protocol/engine';
import { setting } from '../support/settings';

const text = readFileSync('test/fixtures/sample.txt', 'utf8');

/** How often a model ran, and how many cores were come to in these runs. */
class Counter {
  runs = 0;
  cores = 0;

  constructor(model: CutModel) {
    const run = model.run.bind(model);
    model.run = (ids, attend, options) => {
      this.runs++;
      const counting: typeof attend = (info, input) => {
        this.cores++;
        return attend(info, input);
      };
      return run(ids, counting, options);
    };
  }

  async during<T>(work: () => Promise<T>): Promise<{ result: T; runs: number; cores: number }> {
    const { runs, cores } = this;
    const result = await work();
    return { result, runs: this.runs - runs, cores: this.cores - cores };
  }
}

/** Analyses of which no tensors are kept, as of long texts: whatever needs them must run the model. */
describe('a pass over the cores', function () {
  this.timeout(120_000);
  const local: Setting = setting('local', { window: 16 });
  const fitted = setting('adaptive-span', { massTarget: 0.8 });
  const lsh: Setting = setting('lsh', { bucketSize: 16 });
  const engine = new Engine();
  const kept = new Engine();
  let counter: Counter;
  let CORES: number;
  let summary: AnalysisSummary;

  const params = (id: string, maxTokens: number, mechanisms: Setting[] = []) => ({
    ...{ id, model: 'bundled', text, device: 'cpu' as const, maxTokens, mechanisms, propagate: false },
  });
  const hover = (tokens: number[], mechanisms: Setting[] = [local]) => ({
    ...{ id: 'a', core: null, head: null, tokens, top: 3, mechanisms },
  });
  /** The analysis anew, with nothing kept for requests. */
  const fresh = () => engine.analyze(params('a', 112), neverCancelled, { forget: true });

  before(async () => {
    summary = await kept.analyze(params('a', 112, [local, lsh]));
    await fresh();
    counter = new Counter(engine.analysis('a').model);
    CORES = engine.analysis('a').cores.length;
    await engine.analyze(params('long', 1024), neverCancelled, { forget: true });
  });
  beforeEach(fresh);
  after(async () => {
    await engine.dispose();
    await kept.dispose();
  });

  describe('requests', () => {
    it('a hover over all heads is one run, and says the same as with tensors kept', async () => {
      const { result, ...count } = await counter.during(() =>
        engine.request('analysis/token', hover([40, 41])),
      );
      assert.deepEqual(count, { runs: 1, cores: CORES });
      assertSame(result, await kept.request('analysis/token', hover([40, 41])));
    });

    it('a word of several tokens is one run and one core each, and asks nothing again', async () => {
      const first = await counter.during(() => engine.request('analysis/token', hover([7, 8, 9])));
      assert.deepEqual([first.runs, first.result.map(one => one.token)], [1, [7, 8, 9]]);
      const again = await counter.during(() => engine.request('analysis/token', hover([10])));
      assert.equal(again.runs, 0);
    });

    it('all that are asked for at once share one run', async () => {
      const head = { id: 'a', core: 2, head: 1 };
      const { runs, cores } = await counter.during(() =>
        Promise.all([
          ...[3, 50, 99].map(token => engine.request('analysis/token', hover([token]))),
          engine.request('analysis/row', { ...head, token: 9, direction: 'from' }),
          engine.request('analysis/outsideSpan', { ...head, span: 20, ramp: 4 }),
          engine.request('analysis/buckets', { ...head, mechanism: lsh }),
          engine.request('analysis/tile', tile()),
        ]),
      );
      assert.deepEqual({ runs, cores }, { runs: 1, cores: CORES });
    });

    it('stop their run when nobody waits any more, and start none', async () => {
      const { runs, cores } = await counter.during(async () => {
        const cancelled = new AbortController();
        const hovers = [3, 300, 600, 900].map(token =>
          engine.request('analysis/token', { ...hover([token]), id: 'long' }, cancelled.signal),
        );
        const outcomes = Promise.allSettled(hovers);
        await pause(20);
        cancelled.abort();
        for (const outcome of await outcomes) {
          assert.ok(outcome.status === 'rejected' && outcome.reason instanceof CancelledError);
        }
        // Whatever goes on regardless is counted.
        await pause(400);
      });
      assert.equal(runs, 1);
      assert.ok(cores <= 2, `${cores} cores`);
    });

    it('cancelled in the same turn, they never run', async () => {
      const { runs } = await counter.during(async () => {
        const cancelled = new AbortController();
        const asked = engine.request('analysis/token', hover([5]), cancelled.signal);
        cancelled.abort();
        await assert.rejects(asked, CancelledError);
        await assert.rejects(engine.request('analysis/token', hover([5]), cancelled.signal), CancelledError);
        await pause(20);
      });
      assert.equal(runs, 0);
    });

    it('one that is cancelled leaves the others their run', async () => {
      const cancelled = new AbortController();
      const { result, runs } = await counter.during(async () => {
        const one = engine.request('analysis/token', { ...hover([5]), id: 'long' }, cancelled.signal);
        const other = engine.request('analysis/token', { ...hover([6]), id: 'long' });
        const gone = assert.rejects(one, CancelledError);
        await pause(20);
        cancelled.abort();
        await gone;
        return other;
      });
      assert.equal(runs, 1);
      assert.equal(result[0]!.token, 6);
    });

    it('one that comes late joins while its cores lie ahead, else shares the next run', async () => {
      const analysis = engine.analysis('a');
      const seen: string[] = [];
      let late: Promise<void>[] = [];
      const join = (name: string, cores: number[]) =>
        analysis.visit(cores, core => void seen.push(`${name}${core}`), neverCancelled);
      const { runs } = await counter.during(async () => {
        await analysis.visit(
          [0, 3],
          core => {
            seen.push(`a${core}`);
            // Core 0 is kept by now; core 1 is not.
            if (core === 0) late = [join('b', [3]), join('c', [1, 2])];
            if (core === 3) late.push(join('d', [4]));
          },
          neverCancelled,
        );
        await Promise.all(late);
        const next = [join('e', [1, 5]), join('f', [5])];
        await Promise.all(next);
      });
      assert.deepEqual(seen, ['a0', 'c1', 'c2', 'a3', 'b3', 'd4', 'e1', 'e5', 'f5']);
      assert.equal(runs, 2);
    });

    it('one whose visit fails fails alone', async () => {
      const analysis = engine.analysis('a');
      const broken = () => {
        throw new Error('mine');
      };
      const [one, other] = await Promise.allSettled([
        analysis.visit([0, 1], broken, neverCancelled),
        analysis.tensors(1, neverCancelled),
      ]);
      assert.match(String(one.status === 'rejected' && one.reason), /mine/);
      assert.equal(other.status, 'fulfilled');
    });
  });

  describe('a band of tiles', () => {
    it('is computed once for all who wait, and one who cancels takes it from nobody', async () => {
      const cancelled = new AbortController();
      const first = engine.request('analysis/tile', tile(), cancelled.signal);
      const second = engine.request('analysis/tile', tile());
      const gone = assert.rejects(first, CancelledError);
      cancelled.abort();
      await gone;
      assert.ok((await second).mass.length > 0);
      assert.equal((await counter.during(() => engine.request('analysis/tile', tile()))).runs, 0);
    });

    it('is made anew after all have cancelled', async () => {
      const cancelled = new AbortController();
      const asked = [1, 2].map(() => engine.request('analysis/tile', tile(), cancelled.signal));
      const gone = Promise.allSettled(asked);
      cancelled.abort();
      const again = engine.request('analysis/tile', tile());
      for (const { status } of await gone) assert.equal(status, 'rejected');
      assert.ok((await again).mass.length > 0);
    });
  });

  describe('jobs', () => {
    const one = async (job: () => Promise<unknown>, runs = 1) => {
      assert.equal((await counter.during(job)).runs, runs);
    };

    it('a comparison in detail, of mechanisms that were not run too', () =>
      one(() => engine.request('analysis/compare', { id: 'a', mechanisms: [local, fitted] })));

    it('a mechanism, and all mechanisms at one budget', async () => {
      await one(() => engine.request('analysis/mechanism', { id: 'a', mechanism: fitted, scope: 'local' }));
      const atBudget = (mechanisms: string[]) =>
        engine.request('analysis/atBudget', { id: 'a', budget: 0.3, mechanisms });
      await one(() => atBudget(['local']));
      // Settings that are close are told apart by running the model on with each, beside the dense model.
      const close = await counter.during(() => atBudget(['local', 'strided']));
      assert.ok(close.runs > 2 && close.runs <= 5, `${close.runs} runs`);
      // Where the text decides what is spent it is measured and asked for again, all heads in one run each time.
      const { runs } = await counter.during(() => atBudget(['local', 'lsh', 'routing']));
      assert.ok(runs >= 1 && runs <= 14, `${runs} runs`);
    });

    it('costs by formula need no tensors', () =>
      one(
        () => engine.request('cost/formulas', { id: 'a', core: 5, mechanisms: [local], lengths: [64] }),
        0,
      ));

    it('lost keys, under a mechanism for each head', () => {
      const heads = assigned();
      return one(() => engine.request('analysis/worst', { id: 'a', heads, queries: [50, 90] }));
    });

    it('an assignment: local comparison, then the changed run', () =>
      one(() => engine.request('analysis/assign', { id: 'a', heads: assigned() }), 2));

    it('an intervention: one pass that fits its mechanisms, then the changed run', async () => {
      const interventions = [{ kind: 'mechanism' as const, core: null, head: null, choice: fitted }];
      await one(() => engine.request('analysis/intervene', { id: 'a', interventions }), 2);
      const heads = assigned().map(head => ({ kind: 'mechanism' as const, ...head }));
      await one(() => engine.request('analysis/intervene', { id: 'a', interventions: heads }), 2);
    });

    it('a report, with what its changed runs lost', async () => {
      const propagated = await engine.request('analysis/mechanism', {
        ...{ id: 'a', mechanism: local, scope: 'propagated' },
      });
      const mechanisms = [...summary.mechanisms, propagated];
      const intervention = await engine.request('analysis/intervene', {
        ...{ id: 'a', interventions: [{ kind: 'head', core: 1, head: 2 }] },
      });
      const shown = { ...summary, mechanisms };
      await one(() =>
        engine.request('analysis/report', {
          ...{ id: 'a', document: 'a', text, summary: shown, plan: null, intervention },
        }),
      );
    });

    it('masks of a plan', () => one(() => headMasks(engine.analysis('a'), assigned(), neverCancelled)));

    it('lenses', async () => {
      const head = { id: 'a', core: 3, head: 0, params: {} };
      await one(() => engine.request('analysis/lens', { ...head, lens: 'simplified' }));
      await one(() => engine.request('analysis/lens', { ...head, lens: 'switch' }));
      await one(
        () => engine.request('analysis/lens', { ...head, lens: 'switch', params: { experts: 4 } }),
        0,
      );
    });

    it('a plan compares all heads with all settings in few runs, and finds what it finds with tensors kept', async () => {
      const options = { budget: 0.3, mechanisms: ['local', 'adaptive-span'], maxRuns: 5 };
      for (const one of [engine, kept]) {
        const hooks = one === engine ? { forget: true } : {};
        await one.analyze({ ...params('b', 80), text: text.slice(600) }, neverCancelled, hooks);
      }
      const { result, runs } = await counter.during(() => engine.plan(['a', 'b'], options));
      const wanted = await kept.plan(['a', 'b'], options);
      assert.deepEqual(
        result.plan.heads.map(({ choice }) => choice),
        wanted.plan.heads.map(({ choice }) => choice),
      );
      // Per text: its dense run, the runs tried, and a pass over the cores for each time settings were added.
      const passes = runs / 2 - 1 - result.plan.tried.length;
      assert.ok(Number.isInteger(passes) && passes <= 5, `${passes} passes for each text`);
    });
  });

  function tile(): TileParams {
    return { id: 'a', core: 1, head: 0, level: 0, row: 0, column: 0, reduce: 'max' };
  }

  function assigned(): HeadAssignment[] {
    const { cores } = engine.analysis('a').model.info;
    return cores.flatMap(({ core, heads }) =>
      Array.from({ length: heads }, (_, head) => ({ core, head, choice: head % 2 === 0 ? fitted : local })),
    );
  }

  function assertSame(found: TokenAttention[], wanted: TokenAttention[]): void {
    const rounded = (one: TokenAttention[]) =>
      JSON.stringify(one, (_, value: unknown) => (typeof value === 'number' ? value.toFixed(4) : value));
    assert.equal(rounded(found), rounded(wanted));
  }
});

describe('the memory of several analyses', function () {
  this.timeout(120_000);

  it('stays within one budget: the oldest let go of their tensors, and answer as before', async () => {
    const engine = new Engine();
    try {
      const start = (id: string) =>
        engine.analyze({
          ...{ id, model: 'bundled', text, device: 'cpu', maxTokens: 2000, mechanisms: [], propagate: false },
        });
      const retained = (ids: string[]) => ids.map(id => engine.analysis(id).retainedBytes);
      await start('a');
      const [one] = retained(['a']);
      const row = () =>
        engine
          .request('analysis/row', { id: 'a', core: 1, head: 0, token: 99, direction: 'from' })
          .then(dense => Array.from(dense, mass => mass.toFixed(5)));
      const before = await row();
      // Two fit in half of the limit, and more than one is never kept for what is older. An analysis itself fits.
      const limitMiB = (5.6 * one!) / 2 ** 20;
      engine['analyses'].memoryLimitMiB = limitMiB;
      for (const id of ['b', 'c']) {
        await start(id);
        const all = retained(['a', 'b', ...(id === 'c' ? ['c'] : [])]);
        assert.ok(all.reduce((sum, bytes) => sum + bytes) <= (limitMiB * 2 ** 20) / 2, all.join());
        assert.equal(all.at(-1), one);
      }
      assert.deepEqual(retained(['a', 'b', 'c']), [0, one, one]);
      assert.deepEqual(await row(), before);
    } finally {
      await engine.dispose();
    }
  });
});
