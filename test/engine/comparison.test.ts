import assert from 'node:assert/strict';
import { densePairs } from '../../engine/attention/core';
import type { Attended } from '../../engine/attention/mechanism';
import { compareCore, summarizeComparison } from '../../engine/measure/comparison';
import type { CoreInfo } from '../../shared/protocol/engine';
import { float32 } from '../../engine/runtime/tensor';
import { close } from '../oracle/close';
import { oracleOutput, oracleProbabilities, randomCore } from '../oracle/dense';

describe('comparison', () => {
  const input = randomCore(3, { heads: 2, queries: 40 });
  const info = { core: 5 } as CoreInfo;
  const oracles = [0, 1].map(head => oracleProbabilities(input, head));
  const lse = Float32Array.from(oracles.flatMap(({ lse }) => Array.from(lse)));
  const output = Float32Array.from(
    oracles.flatMap(({ p }, head) => Array.from(oracleOutput(input, head, p))),
  );
  const attended = (change: Partial<Attended>): Attended => ({
    output,
    lse,
    pairs: new Float64Array(2).fill(densePairs(input)),
    row: () => assert.fail(),
    extra: {},
    ...change,
  });

  it('dense against itself keeps everything', () => {
    const heads = compareCore(info, input, { output, lse }, attended({}));
    assert.equal(heads.length, 2);
    for (const head of heads) {
      assert.equal(head.core, 5);
      assert.deepEqual([head.recall, head.recallP5, head.outputError, head.uncovered], [1, 1, 0, 0]);
    }
    assert.equal(summarizeComparison(heads).sparsity, 0);
  });

  it('recall is the mass that is kept, uncovered queries keep none', () => {
    // Head 0 keeps only self; head 1 keeps everything but loses query 7.
    const kept = lse.slice();
    for (let i = 0; i < 40; i++) kept[i] = lse[i]! + Math.log(oracles[0]!.p[i]![i]!);
    kept[40 + 7] = -Infinity;
    const half = output.map(value => value / 2);
    const pairs = Float64Array.of(40, densePairs(input));
    const extra = { span: float32(Float32Array.of(0, 12.5), [2]) };
    const heads = compareCore(
      info,
      input,
      { output, lse },
      attended({ lse: kept, output: half, pairs, extra }),
    );
    const self = Array.from({ length: 40 }, (_, i) => oracles[0]!.p[i]![i]!);
    close([heads[0]!.recall!, heads[1]!.recall!], [self.reduce((a, b) => a + b) / 40, 39 / 40], 1e-5);
    close([heads[0]!.recallP5!], [self.sort((a, b) => a - b)[1]!], 1e-5);
    close([heads[0]!.outputError, heads[1]!.outputError], [0.5, 0.5], 1e-6);
    assert.deepEqual([heads[0]!.uncovered, heads[1]!.uncovered], [0, 1]);
    assert.deepEqual([heads[0]!.span, heads[1]!.span], [0, 12.5]);
    const all = summarizeComparison(heads);
    close([all.recall!, all.outputError], [(heads[0]!.recall! + heads[1]!.recall!) / 2, 0.5], 1e-6);
    close([all.sparsity], [1 - (40 + densePairs(input)) / (2 * densePairs(input))], 1e-9);
  });

  it('a compressed memory tells what it lost', () => {
    const extra = { attention_reconstruction: float32(Float32Array.of(0.25, 0.5), [2]) };
    const heads = compareCore(info, input, { output, lse }, attended({ extra }));
    assert.deepEqual(
      heads.map(({ reconstruction }) => reconstruction),
      [0.25, 0.5],
    );
    assert.ok(!('reconstruction' in compareCore(info, input, { output, lse }, attended({}))[0]!));
  });

  it('a mechanism without a set of pairs has no recall', () => {
    const heads = compareCore(info, input, { output, lse }, attended({ lse: null }));
    assert.deepEqual([heads[0]!.recall, summarizeComparison(heads).recall], [null, null]);
  });
});
