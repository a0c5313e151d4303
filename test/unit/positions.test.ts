import assert from 'node:assert/strict';
import { conventionsOf } from '../../engine/model/onnx/inputs';
import { assumedPositions, countPositions, positionsOf } from '../../engine/model/onnx/positions';
import { graphOf } from '../../engine/model/onnx/readGraph';
import { makeFeeds } from '../../engine/model/cut/feeds';
import { namedContext } from '../../engine/model/cut/sizes';
import { decodeModel } from '../../engine/runtime/onnxProto';
import { ModelWriter } from '../fixtures/onnxModels';

const ids = Int32Array.of(0, 5, 1, 7);

describe('inputs of positions', () => {
  it('are counted as the family does', () => {
    const count = (config: Record<string, unknown>) => countPositions(ids, positionsOf(config));
    assert.deepEqual(count({ model_type: 'roberta', pad_token_id: 1 }), [2, 3, 1, 4]);
    assert.deepEqual(count({ model_type: 'xlm-roberta' }), [2, 3, 1, 4]);
    assert.deepEqual(count({ model_type: 'esm', pad_token_id: 7 }), [8, 9, 10, 7]);
    assert.deepEqual(count({ model_type: 'nystromformer' }), [2, 3, 4, 5]);
    for (const family of ['bert', 'gpt2', 'llama', 'xlm', 'modernbert'])
      assert.deepEqual(count({ model_type: family, pad_token_id: 1 }), [0, 1, 2, 3]);
  });

  it('reach the graph', () => {
    const m = new ModelWriter();
    m.input('input_ids', 'int64', ['batch', 'sequence']);
    m.input('position_ids', 'int64', ['batch', 'sequence']);
    m.op('Cast', [m.op('Add', ['input_ids', 'position_ids'])], { to: 1 }, 'logits');
    m.output('logits');
    const graph = graphOf(decodeModel(m.encode()));
    graph.conventions = conventionsOf(graph.inputs, { model_type: 'camembert', pad_token_id: 1 });
    const feeds = makeFeeds(graph.clone(), { ids, target: null });
    assert.deepEqual(Array.from(feeds['position_ids']!.data, Number), [2, 3, 1, 4]);
  });

  it('of an unknown family are an assumption that is told', () => {
    const inputs = 'position_ids';
    assert.match(assumedPositions(inputs, positionsOf({}))!, /position_ids.*counted from 0/);
    assert.match(assumedPositions(inputs, positionsOf({ model_type: 'my-own' }))!, /not known/);
    assert.equal(assumedPositions(inputs, positionsOf({ model_type: 'roberta' })), null);
    assert.equal(assumedPositions(null, positionsOf({})), null);
  });

  it('leave the rows before the first out of the context', () => {
    assert.equal(namedContext({ model_type: 'roberta', max_position_embeddings: 514, pad_token_id: 1 }), 512);
    for (const odd of [2.5, -1, 0, 1e300, Infinity, '512', null])
      assert.equal(namedContext({ max_position_embeddings: odd }), null, String(odd));
    assert.equal(
      namedContext({ model_type: 'roberta', max_position_embeddings: 514, pad_token_id: 1e9 }),
      null,
    );
    assert.equal(namedContext({ model_type: 'xlm', max_position_embeddings: 512, pad_token_id: 2 }), 512);
  });
});
