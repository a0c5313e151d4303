import assert from 'node:assert/strict';
import { Engine } from '../../engine/engine';

describe('the progress of an analysis', function () {
  this.timeout(60_000);

  it('names the layers as the views do: counted from 0', async () => {
    const messages: string[] = [];
    const engine = new Engine((_name, said) => messages.push((said as { message?: string }).message ?? ''));
    const text = 'The keeper kept the lamp, and the lamp kept the keeper.';
    const { model } = await engine.analyze({
      ...{
        id: 'a',
        model: 'bundled',
        text,
        device: 'cpu',
        maxTokens: null,
        mechanisms: [],
        propagate: false,
      },
    });
    const layers = messages.flatMap(message => /Layer (\d+), \d+ heads/.exec(message)?.[1] ?? []);
    const all = Array.from({ length: model.layers }, (_, layer) => String(layer));
    assert.deepEqual([...new Set(layers)], all);
    await engine.dispose();
  });
});
