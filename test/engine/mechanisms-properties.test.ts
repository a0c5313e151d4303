import assert from 'node:assert/strict';
import { visibleKeys, type CoreInput } from '../../engine/attention/core';
import { holds } from '../../engine/attention/mask';
import type { Mechanism } from '../../engine/attention/mechanism';
import { readParams } from '../../engine/attention/parameters';
import { mechanisms } from '../../engine/attention/registry';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { assertClose, assertMatches, assertNoFuture, assertRows, run } from '../oracle/check';
import { maskedAttention } from '../oracle/edges';
import { randomInput, type Shape } from '../oracle/inputs';

/** What holds for every mechanism of the registry, whatever its rule. */
const shapes: Record<string, Shape> = {
  'one token': { queries: 1 },
  'five tokens, fewer than any default': { queries: 5 },
  'grouped queries': { queries: 29, heads: 4, kvHeads: 2 },
  'more keys than queries': { queries: 11, keys: 40 },
  'one query, many keys': { queries: 1, keys: 33 },
  'wide values': { queries: 24, dim: 4, valueDim: 12 },
  'narrow values': { queries: 24, dim: 12, valueDim: 1 },
  'attention in chunks': { queries: 45, chunk: 13 },
  'attention in chunks, more keys than queries': { queries: 30, keys: 45, chunk: 13 },
  'a bias with holes and a query that sees nothing': { queries: 30, bias: 'holes' },
};

function served(mechanism: Mechanism, input: CoreInput, params: Record<string, unknown>): boolean {
  return !mechanism.refuses?.(input, readParams(mechanism.info, params));
}

describe('every mechanism', function () {
  this.timeout(120_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  for (const mechanism of mechanisms) {
    const { name, causalSelection } = mechanism.info;
    describe(name, () => {
      for (const [what, shape] of Object.entries(shapes)) {
        it(`${what}: rows times values are the output, hidden queries keep nothing`, async () => {
          let runs = 0;
          for (const causal of [true, false]) {
            for (const params of [{}, ...mechanism.examples]) {
              const input = randomInput({ ...shape, causal });
              if (!served(mechanism, input, params)) continue;
              runs++;
              const attended = await run(mechanism, input, params, runtime);
              assert.ok(attended.output.every(Number.isFinite), 'numbers');
              assertRows(input, attended, null, name, name === 'performer' ? 1e-4 : undefined);
              for (let h = 0; h < input.heads; h++) checkHead(input, attended, h);
            }
          }
          if (runs === 0) assert.ok(shape.bias ?? shape.chunk, 'is refused for a bias or chunks only');
        });
      }

      it('says what its parameters came to, and given these is the same', async () => {
        // Spans are fitted to each head: they stand in the heads' results.
        const open = mechanism.info.parameters.filter(p => p.defaultRule && name !== 'adaptive-span');
        for (const shape of [
          { queries: 150, causal: true },
          { queries: 150 },
          { queries: 30, keys: 80, causal: true },
        ]) {
          const input = randomInput(shape);
          if (!served(mechanism, input, {})) continue;
          const settled = mechanism.settle?.(input, readParams(mechanism.info, {})) ?? {};
          assert.deepEqual(Object.keys(settled).sort(), open.map(p => p.name).sort());
          if (open.length === 0) continue;
          const [auto, given] = [{}, settled].map(params => run(mechanism, input, params, runtime));
          assert.deepEqual((await given!).output, (await auto!).output);
        }
      });

      if (causalSelection) {
        it('does not look ahead', async () => {
          const input = randomInput({ queries: 40, causal: true });
          for (const params of mechanism.examples) {
            if (!served(mechanism, input, params))
              return assert.fail('a causal mechanism serves causal cores');
            // Own tensors are fitted beforehand: what is fitted to a text may know all of it.
            const { own } = await run(mechanism, input, params, runtime);
            for (const token of [1, 17, 39]) {
              await assertNoFuture(
                input,
                changed => run(mechanism, changed, params, runtime, own),
                token,
                `${name} ${JSON.stringify(params)}`,
              );
            }
          }
        });
      } else {
        it('says that its choice looks at the whole text, or cannot be causal', () => {
          const causal = randomInput({ queries: 40, causal: true });
          assert.ok(mechanism.info.causalSelection === false || !served(mechanism, causal, {}));
        });
      }
    });
  }

  function checkHead(input: CoreInput, attended: Awaited<ReturnType<typeof run>>, head: number): void {
    const { queries, keys, rule } = input;
    if (rule.mask.chunk !== undefined)
      for (let i = 0; i < queries; i++) {
        const { from, to } = visibleKeys(input, i);
        const row = attended.row(head, i);
        row.keys.forEach((key, t) => assert.ok((key >= from && key < to) || row.weights[t] === 0));
      }
    assert.ok(attended.pairs[head]! >= 0 && Number.isFinite(attended.pairs[head]));
    if (rule.bias?.kind !== 'opaque') return;
    for (let i = 0; i < queries; i++) {
      const row = rule.bias.data.subarray((head * queries + i) * keys, (head * queries + i + 1) * keys);
      if (row.some(x => x > -Infinity)) continue;
      // Shaped keeps the token itself, which is no attention.
      if (!attended.lse) continue;
      assert.equal(attended.lse[head * queries + i], -Infinity, `query ${i} is uncovered`);
      assert.equal(attended.row(head, i).keys.length, 0);
    }
  }

  const [tokens, heads, dim] = [37, 2, 8];
  for (const mechanism of mechanisms) {
    const { name } = mechanism.info;
    const settings = mechanism.whole(tokens);
    it(`${name} with everything it can keep is dense`, async () => {
      // Only what keeps no set of pairs may do without such a setting.
      if (settings.length === 0) return assert.equal(mechanism.settings, undefined);
      let runs = 0;
      for (const causal of [true, false]) {
        for (const params of settings) {
          const input = randomInput({ queries: tokens, heads, dim, causal });
          if (!served(mechanism, input, params)) continue;
          runs++;
          const attended = await run(mechanism, input, params, runtime);
          const expected = maskedAttention(input, () => 1);
          // A mean over clusters is divided by their number + 1e-5.
          const tolerance = name === 'routing' ? 1e-4 : 2e-5;
          const edges = attended.lse && !attended.reweighted && !['entmax'].includes(name);
          if (edges) assertMatches(input, attended, expected, name, tolerance);
          else assertClose(attended.output, expected.output, name, tolerance);
        }
      }
      assert.ok(runs > 0);
    });
  }

  for (const mechanism of mechanisms.filter(each => each.rule)) {
    it(`${mechanism.info.name} keeps the pairs of its rule`, async () => {
      for (const causal of [true, false]) {
        for (const shape of [{ queries: 37 }, { queries: 11, keys: 40 }]) {
          const input = randomInput({ ...shape, causal });
          for (const given of [{}, ...mechanism.examples]) {
            const params = readParams(mechanism.info, given);
            if (!served(mechanism, input, given)) continue;
            const { row } = await run(mechanism, input, given, runtime);
            const rule = mechanism.rule!(input, params);
            for (let query = 0; query < input.queries; query++) {
              const { from, to } = visibleKeys(input, query);
              const position = query + input.keys - input.queries;
              const said = [...Array(input.keys).keys()].filter(
                key => key >= from && key < to && holds(rule, position, key),
              );
              assert.deepEqual([...row(0, query).keys], said, `${JSON.stringify(given)}, query ${query}`);
            }
          }
        }
      }
    });
  }
});
