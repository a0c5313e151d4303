import assert from 'node:assert/strict';
import { Engine } from '../../engine/engine';
import { ablateHeads, dealt } from '../../engine/service/ablation';
import { changedRun } from '../../engine/service/changedRun';
import { denseOutput } from '../../engine/attention/kernels/dense';
import { CancelledError } from '../../engine/errors';
import type { Ablation, HeadAblation } from '../../shared/protocol/engine';

const TEXT = 'The cat sat on the mat. The dog sat on the log.\n\nThen the cat sat on the dog.\n'.repeat(3);

describe('ablation of every head', function () {
  this.timeout(120_000);
  const told: HeadAblation[] = [];
  const engine = new Engine((name, params) => {
    if (name === 'analysis/ablated') told.push((params as { head: HeadAblation }).head);
  });
  let found: Ablation;

  before(async () => {
    const what = { model: 'bundled', text: TEXT, device: 'cpu', maxTokens: null } as const;
    await engine.request('analysis/start', { id: 'a', ...what, mechanisms: [], propagate: false });
    found = await engine.request('analysis/ablate', { id: 'a' });
  });
  after(() => engine.dispose());

  it('tells of every head, in order, as it is done', () => {
    const { cores } = engine.analysis('a').model.info;
    const all = cores.flatMap(({ core, heads }) =>
      Array.from({ length: heads }, (_, head) => `${core}.${head}`),
    );
    assert.deepEqual(
      found.heads.map(({ core, head }) => `${core}.${head}`),
      all,
    );
    assert.deepEqual(told, found.heads);
    assert.equal(found.measure, 'loss');
  });

  it('is what taking each head away by itself in a whole run gives', async () => {
    for (const at of [0, 9, 21, found.heads.length - 1]) {
      const { core, head, zero } = found.heads[at]!;
      const interventions = [{ kind: 'head', core, head } as const];
      const { effect } = await engine.request('analysis/intervene', { id: 'a', interventions });
      assert.ok(
        Math.abs(effect.delta - zero.delta) < 1e-5,
        `${core}.${head}: ${effect.delta}, ${zero.delta}`,
      );
      assert.ok(zero.low <= zero.delta && zero.delta <= zero.high);
    }
  });

  it('to the mean is what a whole run gives whose head says the same everywhere', async () => {
    const analysis = engine.analysis('a');
    const { signal } = new AbortController();
    for (const at of [2, 12, 40]) {
      const one = found.heads[at]!;
      const effect = await changedRun(
        analysis,
        async ({ core }, input) => {
          const output = await denseOutput(input, analysis.context(signal));
          if (core !== one.core) return output;
          const { queries, valueDim } = input;
          const index = (query: number, c: number) => (one.head * queries + query) * valueDim + c;
          for (let c = 0; c < valueDim; c++) {
            let total = 0;
            for (let query = 0; query < queries; query++) total += output[index(query, c)]!;
            for (let query = 0; query < queries; query++) output[index(query, c)] = total / queries;
          }
          return output;
        },
        signal,
      );
      assert.ok(Math.abs(effect.delta - one.mean.delta) < 1e-5, `${effect.delta} against ${one.mean.delta}`);
    }
  });

  it('by resampling is what a whole run gives whose head says at each token what it says at another', async () => {
    const analysis = engine.analysis('a');
    const { signal } = new AbortController();
    // One core: the others are of no account here.
    const from = dealt(analysis.tokens.ids.length);
    assert.deepEqual(
      [...from].sort((a, b) => a - b),
      [...from.keys()],
    );
    const known: HeadAblation[] = [];
    const abort = new AbortController();
    const onHead = (head: HeadAblation) => {
      if (known.push(head) === 6) abort.abort();
    };
    await assert.rejects(ablateHeads(analysis, abort.signal, { onHead, resample: true }), CancelledError);
    for (const { core, head, resample } of [known[1]!, known[4]!]) {
      const effect = await changedRun(
        analysis,
        async (info, input) => {
          const output = await denseOutput(input, analysis.context(signal));
          if (info.core !== core) return output;
          const { queries, valueDim } = input;
          const changed = output.slice();
          for (let query = 0; query < queries; query++)
            for (let c = 0; c < valueDim; c++)
              changed[(head * queries + query) * valueDim + c] =
                output[(head * queries + from[query]!) * valueDim + c]!;
          return changed;
        },
        signal,
      );
      assert.ok(Math.abs(effect.delta - resample!.delta) < 1e-5, `${effect.delta}, ${resample!.delta}`);
    }
  });

  it('stops when it is cancelled', async () => {
    const abort = new AbortController();
    let heads = 0;
    const onHead = () => {
      if (++heads === 3) abort.abort();
    };
    await assert.rejects(ablateHeads(engine.analysis('a'), abort.signal, { onHead }), CancelledError);
    assert.equal(heads, 3);
  });
});
