import assert from 'node:assert/strict';
import { settledByTensors } from '../../engine/attention/ownTensors';
import { findMechanism } from '../../engine/attention/registry';
import { float32 } from '../../engine/runtime/tensor';
import { BucketTally } from '../../engine/service/buckets';
import { SplitRow } from '../../engine/service/splitRow';
import { AUTO } from '../../shared/setting';
import { ErrorCode } from '../../shared/protocol/engine';
import { RequestError } from '../../webview/host/requestError';
import { untaken } from '../../webview/model/buckets';
import { withLearned } from '../../webview/model/parameters';
import { randomInput } from '../oracle/inputs';

describe("the model's own buckets", () => {
  it('lose nothing with the tokens that no cluster takes: these have no mass in the dense map either', () => {
    const input = randomInput({ queries: 3, keys: 3, heads: 1, dim: 2 });
    const none = new Int32Array(3);
    const assignment = {
      rounds: 1,
      count: 1,
      queryBucket: [none],
      keyBucket: [none],
      multiplicity: Int32Array.of(1, 0, 1),
      sizes: [Int32Array.of(2)],
      centers: new Float32Array(),
    };
    const tally = new BucketTally({ input, head: 0, attended: null as never, assignment, settled: {} });
    const split = new SplitRow(3);
    const add = (query: number, row: number[], keys: number[]) => {
      const kept = { keys: Int32Array.from(keys), weights: new Float64Array(keys.length) };
      tally.add(query, kept, split.split(Float32Array.from(row), kept, 0, 3), 0, 3);
    };
    add(0, [0.5, 0, 0.5], [0, 2]);
    add(1, [0, 0, 0], []);
    add(2, [0, 0, 1], [2]);
    const { recall, uncovered } = tally.result();
    assert.equal(recall, 1);
    assert.equal(uncovered, 1);
    assert.equal(untaken(assignment), 1 / 3);
  });

  it('are as many as there are centroids, whatever the rule for texts would say', () => {
    const { info, tensors } = findMechanism('routing');
    const centroids = float32(new Float32Array(2 * 8 * 4), [2, 8, 4]);
    const settled = settledByTensors(info, tensors!, { centroids });
    assert.deepEqual(settled, { clusters: 8 });
    const learned = withLearned({ window: 12, clusters: AUTO }, settled);
    assert.deepEqual(learned, { window: 12, clusters: 8 });
    assert.deepEqual(withLearned({ clusters: 3 }, settled), { clusters: 3 });
  });

  it('are refused for a head of another kind for good: nothing is gained by another try', () => {
    assert.ok(new RequestError('The head has no buckets.', ErrorCode.refused).refused);
    assert.ok(!new RequestError('The engine stopped.', null).refused);
  });

  it('are not asked for again where memory lacks either, though it is another refusal', () => {
    const lacking = new RequestError('It needs 9000 MiB.', ErrorCode.outOfMemory);
    assert.ok(lacking.final && !lacking.refused);
    assert.ok(new RequestError('The head has no buckets.', ErrorCode.refused).final);
    assert.ok(!new RequestError('The engine stopped.', null).final);
  });
});
