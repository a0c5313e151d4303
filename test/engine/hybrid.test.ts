import assert from 'node:assert/strict';
import { formatModel } from '../../engine/cli/tables';
import { verifyJson } from '../../engine/export/verifyJson';
import { otherLayersLine } from '../../shared/otherLayers';
import type { ModelWriter } from '../fixtures/onnxModels';
import { aroundHeads, scaled, softmax, transposed } from './attentionLayers';
import { assertReproduces, Bench, layered, WIDTH, type Layer } from './cutHarness';

const attention = aroundHeads((m, { q, k, v }, id) =>
  m.op('MatMul', [softmax(m, scaled(m, m.op('MatMul', [q, transposed(m, k)]), id)), v]),
);

/** A short filter along the tokens for each channel, as in LFM2, then attention. */
const hybrid: Layer = (m: ModelWriter, x, id) => {
  const across = m.op('Transpose', [x], { perm: [0, 2, 1] });
  const attributes = { group: WIDTH, kernel_shape: [3], pads: [2, 0] };
  const moved = m.op('Conv', [across, m.weight(`filter${id}`, [WIDTH, 1, 3])], attributes);
  return attention(m, m.op('Transpose', [moved], { perm: [0, 2, 1] }), id);
};

describe('layers of hybrid models that are not attention', function () {
  this.timeout(60_000);
  let bench: Bench;
  before(async () => {
    bench = await Bench.open();
  });
  after(() => bench.close());

  it('are named with their numbers where the configuration lists them', async () => {
    const layer_types = ['conv', 'full_attention', 'conv', 'full_attention'];
    const cut = await bench.load(layered(hybrid), { layer_types });
    await assertReproduces(cut);
    const others = [{ what: 'convolution', count: 2, layers: [0, 2], of: 4 }];
    assert.deepEqual(cut.info.otherLayers, others);
    assert.deepEqual(verifyJson(cut.info).otherLayers, others);
    assert.equal(
      otherLayersLine(cut.info),
      'convolution in layers 0 and 2 of 4: not attention, and not shown',
    );
    assert.match(formatModel(cut.info), /\nbeside {4}convolution in layers 0 and 2 of 4: not attention/);
    await cut.dispose();
  });

  it('are counted in the graph where no list tells, or one that does not agree with the attentions found', async () => {
    for (const config of [
      {},
      { layer_types: ['conv', 'full_attention', 'full_attention', 'full_attention'] },
    ]) {
      const cut = await bench.load(layered(hybrid), config);
      assert.deepEqual(cut.info.otherLayers, [{ what: 'convolution', count: 2 }]);
      assert.equal(otherLayersLine(cut.info), '2 × convolution: not attention, and not shown');
      await cut.dispose();
    }
  });

  it('several kinds, and patterns that repeat (RecurrentGemma)', async () => {
    const kinds = ['linear_attention', 'mamba', 'full_attention', 'sliding_attention'];
    const of = async (config: Record<string, unknown>) => {
      const cut = await bench.load(layered(attention), config);
      const found = cut.info.otherLayers;
      await cut.dispose();
      return found;
    };
    assert.deepEqual(await of({ text_config: { layer_types: kinds } }), [
      { what: 'linear attention', count: 1, layers: [0], of: 4 },
      { what: 'state space', count: 1, layers: [1], of: 4 },
    ]);
    const pattern = { block_types: ['recurrent', 'recurrent', 'attention'], num_hidden_layers: 6 };
    assert.deepEqual(await of(pattern), [{ what: 'recurrence', count: 4, layers: [0, 1, 3, 4], of: 6 }]);
    assert.equal(await of({}), undefined);
  });
});
