import assert from 'node:assert/strict';
import type { BlockedPairs, CoreInput } from '../../engine/attention/core';
import { denseColumn } from '../../engine/attention/kernels/lines';
import { readParams } from '../../engine/attention/parameters';
import { mechanisms } from '../../engine/attention/registry';
import { denseCore } from '../../engine/attention/kernels/dense';
import { someHeads } from '../../engine/attention/kernels/subset';
import { createRuntime } from '../../engine/runtime/ort';
import { neverCancelled } from '../../engine/runtime/cancellation';
import type { Runtime } from '../../engine/runtime/runtime';
import { assertClose, run } from '../oracle/check';
import { maskedAttention, sparseTransformer, value } from '../oracle/edges';
import { randomInput, type Shape } from '../oracle/inputs';

const shapes: Record<string, Shape> = {
  causal: { queries: 53, causal: true },
  bidirectional: { queries: 53 },
  'several blocks': { queries: 203, causal: true },
  'grouped queries': { queries: 29, heads: 4, kvHeads: 2, causal: true },
  'cross attention': { queries: 11, keys: 40 },
  'more queries than keys': { queries: 40, keys: 11 },
  'soft cap and alibi': { queries: 33, causal: true, softCap: 2, bias: 'alibi' },
  'relative bias': { queries: 33, bias: 'relative' },
  'opaque bias': { queries: 33, causal: true, bias: 'opaque' },
  'opaque bias with holes': { queries: 33, bias: 'holes' },
  'model window': { queries: 50, causal: true, window: { before: 9, after: 0 } },
};

/** All kinds at once: overlapping spans, some queries, one edge, one head, a row that keeps nothing. */
function blockedPairs({ queries, keys }: CoreInput): BlockedPairs[] {
  return [
    { head: null, queries: null, keys: { from: 2, to: 5 } },
    { head: 1, queries: null, keys: { from: 4, to: 9 } },
    { head: 0, queries: { from: queries - 6, to: queries - 1 }, keys: { from: 0, to: keys - 2 } },
    { head: null, queries: { from: queries - 1, to: queries }, keys: { from: keys - 3, to: keys - 2 } },
    { head: 1, queries: { from: 7, to: 8 }, keys: { from: 0, to: keys } },
  ];
}

const without = (input: CoreInput, blocked: BlockedPairs[]): CoreInput => ({
  ...input,
  rule: { ...input.rule, blocked },
});

const isOpen = (blocked: BlockedPairs[]) => (head: number, _position: number, key: number, query: number) =>
  blocked.some(
    one =>
      (one.head === null || one.head === head) &&
      (one.queries === null || (query >= one.queries.from && query < one.queries.to)) &&
      key >= one.keys.from &&
      key < one.keys.to,
  )
    ? 0
    : 1;

describe('blocked pairs', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  const context = () => ({ runtime, signal: neverCancelled });
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  for (const [name, shape] of Object.entries(shapes)) {
    const input = randomInput(shape);
    const blocked = blockedPairs(input);
    const changed = without(input, blocked);
    const oracle = maskedAttention(input, isOpen(blocked));

    describe(name, () => {
      it('are gone from the dense core, and the rows renormalised', async () => {
        const { output, lse } = await denseCore(changed, context());
        assertClose(output, oracle.output, 'output');
        for (let head = 0; head < input.heads; head++) {
          const column = denseColumn(changed, lse, head, 6);
          assertClose(
            column,
            oracle.weights[head]!.map(row => row[6]!),
            'column',
          );
        }
      });

      it('stay the blocked pairs of a head that is run alone', async () => {
        for (let head = input.heads - 1; head >= 0; head--) {
          const { output } = await denseCore(someHeads(changed, [head]), context());
          const size = input.queries * input.valueDim;
          assertClose(output, oracle.output.subarray(head * size, (head + 1) * size), `head ${head}`);
        }
      });

      for (const [mechanism, params, mask] of [
        ['dense', {}, () => 1],
        ['local', { window: 6 }, (_h: number, p: number, j: number) => (Math.abs(p - j) < 6 ? 1 : 0)],
        ['strided', { stride: 4 }, sparseTransformer.strided(4)],
        ['fixed', { block: 8, summary: 2 }, sparseTransformer.fixed(8, 2)],
      ] as const) {
        it(`are gone from ${mechanism}, which keeps its other pairs`, async () => {
          const open = isOpen(blocked);
          const expected = maskedAttention(input, (h, p, j, i) => open(h, p, j, i) * mask(h, p, j));
          const found = mechanisms.find(one => one.info.name === mechanism)!;
          assertClose((await run(found, changed, params, runtime)).output, expected.output, mechanism);
        });
      }
    });
  }

  it('are gone from the rows of every mechanism that computes pairs, whose outputs are those rows', async () => {
    const input = randomInput({ queries: 48, causal: true });
    const blocked = blockedPairs(input);
    const changed = without(input, blocked);
    const open = isOpen(blocked);
    const served: string[] = [];
    for (const mechanism of mechanisms) {
      const context = { runtime, signal: neverCancelled, own: {} };
      const params = readParams(mechanism.info, {});
      const reason = mechanism.refuses?.(changed, params);
      if (reason) {
        assert.match(reason, /^[^.]+\.$/, mechanism.info.name);
        continue;
      }
      const own = (await mechanism.prepare?.(input, params, context)) ?? {};
      const attended = await mechanism.attend(changed, params, { ...context, own });
      served.push(mechanism.info.name);
      for (let head = 0; head < input.heads; head++) {
        for (let i = 0; i < input.queries; i++) {
          const { keys, weights } = attended.row(head, i);
          const sum = new Float64Array(input.valueDim);
          keys.forEach((key, t) => {
            if (!open(head, 0, key, i))
              assert.ok(weights[t] === 0, `${mechanism.info.name}: ${i} sees ${key}`);
            for (let c = 0; c < sum.length; c++) sum[c]! += weights[t]! * value(input, head, key, c);
          });
          const at = (head * input.queries + i) * input.valueDim;
          assertClose(attended.output.subarray(at, at + sum.length), sum, `${mechanism.info.name}, row ${i}`);
        }
      }
    }
    for (const name of ['dense', 'lsh', 'routing', 'longformer', 'entmax'])
      assert.ok(served.includes(name), name);
  });

  it('that are none change nothing; all but self leave self; all leave zero', async () => {
    const input = randomInput({ queries: 140, causal: true, heads: 1 });
    const { output } = await denseCore(input, context());
    assertClose((await denseCore(without(input, []), context())).output, output, 'none', 1e-6);

    const others = Array.from({ length: 140 }, (_, i): BlockedPairs[] => [
      { head: null, queries: { from: i, to: i + 1 }, keys: { from: 0, to: i } },
    ]).flat();
    const self = await denseCore(without(input, others), context());
    assertClose(self.output, input.v, 'self only', 1e-6);

    const nothing = without(input, [{ head: 0, queries: null, keys: { from: 0, to: 140 } }]);
    const zero = await denseCore(nothing, context());
    assert.ok(zero.output.every(x => x === 0));
    assert.ok(zero.lse.every(x => x === -Infinity));
  });

  it('leave a row its digits when the bias that is left lies far below the blocked one', async () => {
    const input = randomInput({ queries: 20, bias: 'opaque', heads: 1 });
    const { bias } = input.rule;
    if (bias?.kind !== 'opaque') throw new Error('not opaque');
    for (let t = 0; t < bias.data.length; t++) if (t % 20 >= 5) bias.data[t]! -= 1e6;
    const blocked = [{ head: null, queries: null, keys: { from: 0, to: 5 } }];
    const { output } = await denseCore(without(input, blocked), context());
    const data = bias.data.map((x, t) => (t % 20 < 5 ? -Infinity : x));
    const holes = { ...input, rule: { ...input.rule, bias: { ...bias, data } } };
    assertClose(output, maskedAttention(holes, () => 1).output, 'far bias');
  });
});
