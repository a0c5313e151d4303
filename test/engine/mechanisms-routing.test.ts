import assert from 'node:assert/strict';
import { dense } from '../../engine/attention/mechanisms/dense';
import { local } from '../../engine/attention/mechanisms/local';
import { routing } from '../../engine/attention/mechanisms/routing';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { float32 } from '../../engine/runtime/tensor';
import { assertClose, assertRows, run } from '../oracle/check';
import { denseLse } from '../oracle/edges';
import { gaussians, randomInput, type Shape } from '../oracle/inputs';
import { routingHead } from '../oracle/routing';

describe('routing', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  const shapes: Record<string, Shape> = {
    causal: { queries: 48, causal: true },
    bidirectional: { queries: 37 },
    'one token': { queries: 1, causal: true },
    'grouped queries': { queries: 30, heads: 4, kvHeads: 2, causal: true },
    'more keys than queries': { queries: 13, keys: 40, causal: true },
    'opaque bias with holes': { queries: 26, bias: 'holes' },
    alibi: { queries: 26, bias: 'alibi', causal: true },
    'model window': { queries: 40, causal: true, window: { before: 6, after: 0 } },
  };
  for (const [name, shape] of Object.entries(shapes)) {
    for (const [clusters, window, sharedQK] of [
      [4, 8, false],
      [3, 17, false],
      [5, 6, true],
      [70, 9, false],
    ] as const) {
      if (sharedQK && (shape.bias || shape.keys)) continue;
      it(`${name}, ${clusters} clusters of ${window}${sharedQK ? ', shared QK' : ''}`, async () => {
        const input = randomInput(shape);
        const { heads, dim } = input;
        const data = gaussians(heads * clusters * dim, 9);
        const own = { centroids: float32(data, [heads, clusters, dim]) };
        const attended = await run(routing, input, { window, sharedQK }, runtime, own);
        const oracles = Array.from({ length: heads }, (_, h) => {
          const rows = Array.from({ length: clusters }, (__, c) =>
            data.subarray((h * clusters + c) * dim, (h * clusters + c + 1) * dim),
          );
          return routingHead(input, h, rows, window, sharedQK);
        });
        for (const side of ['query', 'key'] as const) {
          const found = attended.extra[`${side}_members`]!;
          assert.deepEqual(
            Array.from(found.data, Number),
            oracles.flatMap(o => o[`${side}Members`].flat()),
            `${side} members`,
          );
          assert.deepEqual(found.dims.slice(0, 2), [heads, clusters]);
        }
        assertClose(
          attended.output,
          oracles.flatMap(o => o.output.flat()),
          'output',
        );
        assert.deepEqual(
          [...attended.pairs],
          oracles.map(o => o.pairs),
          'pairs',
        );
        assertRows(
          input,
          attended,
          oracles.map(o => o.weights.map(row => Float64Array.from(row))),
          'rows',
        );
        if (sharedQK) return;
        oracles.forEach((o, h) =>
          o.recall.forEach((recall, i) => {
            const lse = attended.lse![h * input.queries + i]!;
            const kept = lse === -Infinity ? 0 : Math.exp(lse - denseLse(input, h, i));
            assert.ok(Math.abs(kept - recall) < 2e-5, `recall of ${i}: ${kept}, not ${recall}`);
          }),
        );
      });
    }
  }

  it('clusters that take everything are dense attention', async () => {
    for (const causal of [true, false]) {
      const input = randomInput({ queries: 40, causal });
      const attended = await run(routing, input, { window: 40, clusters: 3 }, runtime);
      const expected = await run(dense, input, {}, runtime);
      // 1e-5 in the mean over clusters makes the output smaller by 1/3 of that.
      assertClose(attended.output, expected.output, 'output');
      assertClose(attended.lse!, expected.lse!, 'log-sum-exp', 1e-5);
    }
  });

  it('finds planted clusters, the same every time', async () => {
    const input = randomInput({ queries: 60, heads: 1, dim: 4 });
    const noise = gaussians(2 * 60 * 4, 4);
    for (let i = 0; i < 60; i++) {
      for (let c = 0; c < 4; c++) {
        const centre = (i * 7) % 3 === c ? 5 : 0;
        input.q[i * 4 + c] = centre + 0.2 * noise[i * 4 + c]!;
        input.k[i * 4 + c] = centre + 0.2 * noise[(60 + i) * 4 + c]!;
      }
    }
    const first = await run(routing, input, { clusters: 3, window: 20 }, runtime);
    const members = Array.from(first.extra['query_members']!.data, Number);
    for (let c = 0; c < 3; c++) {
      const own = members.slice(c * 20, (c + 1) * 20);
      assert.equal(new Set(own.map(i => (i * 7) % 3)).size, 1, `cluster ${c} is one planted cluster`);
    }
    assert.deepEqual(Array.from(first.extra['key_members']!.data, Number), members);
    const second = await run(routing, input, { clusters: 3, window: 20 }, runtime);
    assert.deepEqual(second.own, first.own);
  });

  it('says that its choice of pairs looks at the whole text', () => {
    assert.equal(routing.info.causalSelection, false);
  });

  it('local heads beside: those that a window serves better, each as the local mechanism has it', async () => {
    const input = randomInput({ queries: 60, heads: 4, kvHeads: 2, causal: true, bias: 'holes' });
    // Heads 1 and 2 look near by their bias; 2 the more so.
    const { data } = input.rule.bias as { data: Float32Array };
    for (const head of [1, 2]) {
      for (let i = 0; i < 60; i++) {
        for (let j = 0; j <= i; j++) data[(head * 60 + i) * 60 + j]! -= head * 2 * (i - j);
      }
    }
    const params = { window: 10, clusters: 6, localWindow: 3 };
    const plain = await run(routing, input, params, runtime);
    const near = await run(local, input, { window: 3 }, runtime);
    for (const [localHeads, expected] of [
      [1, [2]],
      [4, [1, 2]],
    ] as const) {
      const mixed = await run(routing, input, { ...params, localHeads }, runtime, {
        centroids: plain.own['centroids']!,
      });
      assert.deepEqual([...mixed.extra['local_heads']!.data], expected);
      for (let head = 0; head < 4; head++) {
        const like = expected.some(h => h === head) ? near : plain;
        const part = <T>(values: { subarray(from: number, to: number): T }, width: number) =>
          values.subarray(head * 60 * width, (head + 1) * 60 * width);
        assert.deepEqual(part(mixed.output, input.valueDim), part(like.output, input.valueDim));
        assert.deepEqual(part(mixed.lse!, 1), part(like.lse!, 1));
        assert.equal(mixed.pairs[head], like.pairs[head]);
        const [mixedRow, likeRow] = [mixed.row(head, 41), like.row(head, 41)];
        assert.deepEqual([mixedRow.keys, mixedRow.weights], [likeRow.keys, likeRow.weights]);
      }
      assertRows(input, mixed, null, 'rows');
      assert.deepEqual(mixed.extra['query_members'], plain.extra['query_members']);
    }
    assert.match(routing.refuses!(input, { sharedQK: true, localHeads: 1 })!, /tied/);
    assert.equal((await run(routing, input, params, runtime)).extra['local_heads'], undefined);
  });
});
