import assert from 'node:assert/strict';
import { Engine } from '../../engine/engine';
import { parseTokens } from '../../engine/cli/predict';
import { denseOutput } from '../../engine/attention/kernels/dense';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { floats } from '../../engine/runtime/tensor';
import type { Intervention, Prediction } from '../../shared/protocol/engine';
import { setting } from '../support/settings';

const TEXT = 'The cat sat on the mat. The dog sat on the log. Then the cat sat on the';

describe('predictions', function () {
  this.timeout(120_000);
  const engine = new Engine(() => undefined);
  before(async () => {
    const what = { model: 'bundled', text: TEXT, device: 'cpu', maxTokens: null } as const;
    await engine.request('analysis/start', { id: 'a', ...what, mechanisms: [], propagate: false });
  });
  after(() => engine.dispose());
  const ids = () => engine.analysis('a').tokens.ids;

  /** The likeliest tokens of a row of logits, in float64. */
  function best(logits: Float32Array, row: number, of: number): { id: number; probability: number }[] {
    const width = logits.length / of;
    const own = Array.from(logits.subarray(row * width, (row + 1) * width));
    const top = Math.max(...own);
    const sum = own.reduce((total, x) => total + Math.exp(x - top), 0);
    const all = own.map((x, id) => ({ id, probability: Math.exp(x - top) / sum }));
    return all.sort((a, b) => b.probability - a.probability || a.id - b.id).slice(0, 5);
  }

  function assertAre(found: Prediction['before'], expected: ReturnType<typeof best>): void {
    assert.deepEqual(
      found.map(({ id }) => id),
      expected.map(({ id }) => id),
    );
    found.forEach(({ probability }, t) => assert.ok(Math.abs(probability - expected[t]!.probability) < 1e-5));
  }

  it('are the five likeliest next tokens of the uncut model', async () => {
    const { length } = ids();
    const logits = floats(await engine.analysis('a').model.runUncut(ids()));
    const tokens = [0, 7, length - 1];
    const found = await engine.request('analysis/predictions', { id: 'a', tokens });
    for (const [at, token] of tokens.entries()) {
      const { before, after, came, of } = found[at]!;
      assertAre(before, best(logits, token, length));
      assert.equal(after, null);
      assert.equal(of, 'next');
      if (token === length - 1) assert.equal(came, null);
      else {
        const loss = engine.analysis('a').loss![token]!;
        assert.equal(came!.id, ids()[token + 1]);
        assert.ok(Math.abs(-Math.log(came!.before) - loss) < 1e-4, 'the loss is that of the token that came');
      }
    }
    assert.equal(found[1]!.came!.text, engine.analysis('a').tokens.text[8]);
  });

  it('after a change are those of a run with it', async () => {
    const { length } = ids();
    const analysis = engine.analysis('a');
    const changes: [Intervention, (core: number, heads: number, context: Float32Array) => Float32Array][] = [
      [
        { kind: 'head', core: 3, head: 1 },
        (core, heads, context) => {
          const size = context.length / heads;
          return core === 3 ? context.fill(0, size, 2 * size) : context;
        },
      ],
    ];
    for (const [one, change] of changes) {
      const output = await analysis.model.run(
        ids(),
        async ({ core, heads }, input) =>
          change(core, heads, await denseOutput(input, analysis.context(neverCancelled))),
        { signal: neverCancelled },
      );
      const logits = await output.read(0, length);
      const [found] = await engine.request('analysis/predictions', {
        ...{ id: 'a', tokens: [length - 1], interventions: [one] },
      });
      assertAre(found!.after!, best(logits, length - 1, length));
      assert.notDeepEqual(found!.after, found!.before);
    }
    const choice = setting('local', { window: 2 });
    const whole: Intervention = { kind: 'mechanism', core: null, head: null, choice };
    const [as, plan] = [
      await engine.request('analysis/predictions', { id: 'a', tokens: [5], interventions: [whole] }),
      await engine.request('analysis/predictions', {
        id: 'a',
        tokens: [5],
        heads: analysis.model.info.cores.flatMap(({ core, heads }) =>
          Array.from({ length: heads }, (_, head) => ({ core, head, choice })),
        ),
      }),
    ];
    assertAre(plan[0]!.after!, as[0]!.after!);
  });

  it('are refused where there is nothing to tell', async () => {
    const ask = (more: object) => engine.request('analysis/predictions', { id: 'a', tokens: [0], ...more });
    await assert.rejects(ask({ tokens: [999] }), /There is no token 999/);
    await assert.rejects(ask({ tokens: [0.5] }), /There is no token/);
    await assert.rejects(ask({ count: 0 }), /At most/);
  });

  it('are asked for by token', () => {
    assert.deepEqual(parseTokens('--predict', '3, last,0'), [3, 'last', 0]);
    for (const wrong of ['', '-1', 'x', '1,,2', '1.5'])
      assert.throws(() => parseTokens('--predict', wrong), /--predict takes/);
  });
});
