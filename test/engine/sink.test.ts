import assert from 'node:assert/strict';
import type { CoreInput } from '../../engine/attention/core';
import { denseCore, denseRows } from '../../engine/attention/kernels/dense';
import { denseColumn, denseRow } from '../../engine/attention/kernels/lines';
import { besideSink } from '../../engine/attention/kernels/sink';
import { findMechanism } from '../../engine/attention/registry';
import { profileCore } from '../../engine/measure/profile';
import { referenceAttend, referenceWeights } from '../../engine/model/verify/proof';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { close } from '../oracle/close';
import { oracleProbabilities, randomCore } from '../oracle/dense';

const SINK = Float32Array.of(1.5, -2, 0, 6);
const [QUERIES, HEADS] = [150, SINK.length];

const withSink = (causal: boolean, opaque = false): CoreInput => {
  const mask = { causal, window: causal ? { before: 40, after: 0 } : null };
  const data = Float32Array.from({ length: QUERIES * QUERIES }, (_, i) => 300 + Math.sin(i));
  const bias = opaque ? { bias: { kind: 'opaque' as const, heads: 1, data } } : {};
  const input = randomCore(9, {
    heads: HEADS,
    kvHeads: 2,
    queries: QUERIES,
    keys: QUERIES,
    dim: 8,
    rule: { mask, ...bias },
  });
  const sink = opaque ? SINK.map(s => s + 300) : SINK;
  return { ...input, rule: { ...input.rule, sink } };
};

/** Probabilities of the keys by the plain definition: the sink is one more score, and its share belongs to no key. */
function byDefinition(input: CoreInput, head: number): { p: number[][]; sink: number[] } {
  const { p, lse } = oracleProbabilities(
    { ...input, rule: { ...input.rule, sink: undefined } as never },
    head,
  );
  const sink = input.rule.sink![head]!;
  const all = Array.from(lse, value => Math.max(value, sink) + Math.log1p(Math.exp(-Math.abs(value - sink))));
  return {
    p: Array.from(p, (row, i) => Array.from(row, v => v * Math.exp(lse[i]! - all[i]!))),
    sink: all.map(value => Math.exp(sink - value)),
  };
}

describe('a sink beside the keys', () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await createRuntime('cpu');
  });
  after(() => runtime.dispose());
  const context = () => ({ runtime, signal: neverCancelled, own: {} });

  for (const [name, input] of [
    ['causal with a window', withSink(true)],
    ['full', withSink(false)],
    ["a bias of the model's graph far from 0", withSink(true, true)],
  ] as const)
    it(`takes its share of every query: ${name}`, async () => {
      const { output, lse } = await denseCore(input, context());
      close(output, referenceAttend(input), 2e-5);
      for (let head = 0; head < HEADS; head++) {
        const { p, sink } = byDefinition(input, head);
        assert.ok(head !== 3 || sink.some(share => share > 0.05));
        const rows = await denseRows(input, head, 0, QUERIES, context());
        close(rows, p.flat(), 1e-5);
        for (const i of [0, 77, QUERIES - 1]) {
          close(denseRow(input, head, i), p[i]!, 1e-6);
          close(referenceWeights(input, head, i), p[i]!, 1e-6);
        }
        const column = denseColumn(input, lse, head, 3);
        close(
          column,
          p.map(row => row[3]!),
          // A log-sum-exp of 300 has its digits in float32.
          name.startsWith('a bias') ? 1e-4 : 1e-5,
        );
      }
    });

  it('is told as mass of its own; spans are of what the keys get, entropy counts it as a place', async () => {
    const input = withSink(true);
    const info = {
      core: 0,
      kind: 'self',
      layer: 0,
      heads: HEADS,
      kvHeads: 2,
      dim: 8,
      mask: '',
      causal: true,
    } as const;
    const none = new Uint8Array(QUERIES);
    const marks = { ids: new Int32Array(QUERIES).map((_, i) => i), separator: none, punctuation: none };
    const bare = { ...input, rule: { ...input.rule } };
    delete bare.rule.sink;
    const [found, without] = await Promise.all([
      profileCore(input, info, marks, context()),
      profileCore(bare, info, marks, context()),
    ]);
    for (let head = 0; head < HEADS; head++) {
      const { p, sink } = byDefinition(input, head);
      const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
      const log = (v: number) => (v > 0 ? v * Math.log(v) : 0);
      close([found.heads[head]!.to.sink!], [mean(sink)], 1e-5);
      assert.equal(without.heads[head]!.to.sink, undefined);
      close([found.heads[head]!.to.first], [mean(p.map(row => row[0]!))], 1e-5);
      assert.equal(found.heads[head]!.span90, without.heads[head]!.span90);
      const entropies = p.map((row, i) => -row.reduce((sum, v) => sum + log(v), log(sink[i]!)));
      // A query with one key in sight has nothing to choose.
      close(found.entropy.subarray(head * QUERIES + 1, (head + 1) * QUERIES), entropies.slice(1), 1e-4);
    }
  });

  it('takes more where a mechanism leaves fewer keys; mechanisms without pairs say that they have no place for it', async () => {
    const input = withSink(true);
    const run = (name: string, params: Record<string, number>) => {
      const mechanism = findMechanism(name);
      return besideSink(input, mechanism.info.title, plain => mechanism.attend(plain, params, context()));
    };
    const local = await run('local', { window: 8 });
    for (let head = 0; head < HEADS; head++) {
      for (const query of [3, 60]) {
        const row = local.row(head, query);
        const kept = [...row.keys];
        const { p, sink } = byDefinition(input, head);
        const total = kept.reduce((sum, key) => sum + p[query]![key]!, sink[query]!);
        close(
          row.weights,
          kept.map(key => p[query]![key]! / total),
          1e-5,
        );
        const at = (head * QUERIES + query) * input.valueDim;
        const value = (d: number) =>
          kept.reduce((sum, key, t) => {
            const v = (Math.floor((head * 2) / HEADS) * QUERIES + key) * input.valueDim;
            return sum + row.weights[t]! * input.v[v + d]!;
          }, 0);
        close(local.output.subarray(at, at + 2), [value(0), value(1)], 1e-4);
      }
    }
    const fewer = local.row(0, 60).weights.reduce((a, b) => a + b, 0);
    assert.ok(fewer < byDefinition(input, 0).p[60]!.reduce((a, b) => a + b, 0));
    const dense = await run('dense', {});
    close(dense.output, (await denseCore(input, context())).output, 1e-5);
    await assert.rejects(run('entmax', { alpha: 1.5 }), /no place for the attention sink/);
  });
});
