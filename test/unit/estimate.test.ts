import assert from 'node:assert/strict';
import { estimateRun, estimateWords } from '../../engine/service/estimate';
import { createRuntime } from '../../engine/runtime/ort';
import type { ModelInfo } from '../../shared/protocol/engine';

describe('the estimate before a long run', () => {
  const core = { heads: 12, kvHeads: 12, dim: 64, causal: true };
  const model = {
    parameters: 1e8,
    causal: true,
    cores: Array.from({ length: 12 }, () => core),
  } as unknown as ModelInfo;

  it('grows with the square of the text, and offers a search where that is quicker', async () => {
    const runtime = await createRuntime('cpu');
    const at = (tokens: number) => estimateRun(model, tokens, 2 ** 30, runtime);
    const [short, long] = [await at(8192), await at(131_072)];
    assert.ok(long.seconds > 100 * short.seconds);
    assert.ok(long.sparseSeconds! < 0.2 * long.seconds);
    const encoder = await estimateRun({ ...model, causal: false }, 131_072, 2 ** 30, runtime);
    assert.equal(encoder.sparseSeconds, null);
    await runtime.dispose();
  });

  it('is told in words', () => {
    assert.equal(
      estimateWords({ bytes: 3 * 2 ** 30, seconds: 7200, sparseSeconds: 600 }, '--attention block-search'),
      'about 2.0 h and 3072 MiB beside the model; without a dense pass (--attention block-search) about 10 min',
    );
    assert.equal(
      estimateWords({ bytes: 1, seconds: 0.1, sparseSeconds: null }, ''),
      'about 1 s and 1 MiB beside the model',
    );
  });
});
