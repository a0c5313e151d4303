import assert from 'node:assert/strict';
import { findMechanism } from '../../engine/attention/registry';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import type { MechanismParams } from '../../shared/protocol/engine';
import { assertClose, run } from '../oracle/check';
import { randomInput } from '../oracle/inputs';

/** More queries than are listed at once, in dimensions that fill no vector. */
const input = randomInput({ queries: 1100, heads: 2, kvHeads: 1, dim: 6, valueDim: 5, causal: true });

const settings: [string, MechanismParams][] = [
  ['block-topk', { block: 16, blocks: 8 }],
  ['quest', { page: 20, pages: 6 }],
  ['lsh', { bucketSize: 40, rounds: 3 }],
  ['sparsefinder', { rule: 'quantize', bucketSize: 40, rank: 3, window: 9 }],
  ['vertical-slash', { vertical: 30, slash: 40, forcedVertical: 2, forcedSlash: 3 }],
  ['top-k', { k: 50 }],
];

describe('lists of single keys', () => {
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  for (const [name, params] of settings) {
    it(`${name} is the same in lists and in tiles`, async () => {
      const mechanism = findMechanism(name);
      const lists = await run(mechanism, input, params, runtime);
      // Devices other than the processor keep the tiles.
      const elsewhere: Runtime = {
        report: { ...runtime.report, device: 'webgpu' },
        load: (...of) => runtime.load(...of),
        graph: (...of) => runtime.graph(...of),
        hold: tensors => runtime.hold(tensors),
        dispose: () => runtime.dispose(),
      };
      const tiles = await run(mechanism, input, params, elsewhere);
      assert.deepEqual(lists.pairs, tiles.pairs);
      assertClose(lists.output, tiles.output, 'output', 1e-5);
      // What sees nothing has no logarithm.
      const finite = (lse: Float32Array | null) => lse!.map(value => Math.max(value, -100));
      assertClose(finite(lists.lse), finite(tiles.lse), 'log-sum-exp', 1e-5);
    });
  }
});
