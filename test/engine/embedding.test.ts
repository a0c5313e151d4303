import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import type { ModelOutput } from '../../engine/model/cut/cutModel';
import { readPooling } from '../../engine/model/source/config';
import { embeddingChange } from '../../engine/measure/embedding';
import { neverCancelled } from '../../engine/runtime/cancellation';
import type { MechanismResult } from '../../shared/protocol/engine';
import { tokenizerOf } from '../fixtures/plantedModels';
import { setting } from '../support/settings';
import { aroundHeads, scaled, softmax, transposed } from './attentionLayers';
import { layered, VOCABULARY, WIDTH } from './cutHarness';

/** Two layers that see both ways, without a head. */
async function writeEncoder(folder: string): Promise<void> {
  const m = layered(
    aroundHeads((m, { q, k, v }, id) =>
      m.op('MatMul', [softmax(m, scaled(m, m.op('MatMul', [q, transposed(m, k)]), id)), v]),
    ),
  );
  const last = m.nodes.find(node => node.output![0] === 'logits')!;
  last.op_type = 'Mul';
  last.input = [last.input![0]!, m.floats('gain', new Float32Array(WIDTH).fill(2))];
  last.output = ['last_hidden_state'];
  m.outputs[0]!.name = 'last_hidden_state';
  await writeFile(join(folder, 'model.onnx'), m.encode());
  const words = Array.from({ length: VOCABULARY }, (_, at) => `w${at}`);
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizerOf(words)));
}

/** As sentence-transformers write it: a flag for each way. */
const FLAGS = {
  pooling_mode_cls_token: false,
  pooling_mode_mean_tokens: false,
  pooling_mode_max_tokens: false,
};

const output = (rows: number[][]): ModelOutput => ({
  kind: 'hidden',
  rows: rows.length,
  width: rows[0]!.length,
  read: (from, to) => Promise.resolve(Float32Array.from(rows.slice(from, to).flat())),
  holds: [],
  only: () => assert.fail('all rows count'),
});

describe('the embedding of a text under a change', function () {
  this.timeout(120_000);
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'embedding-'));
    await mkdir(join(folder, '1_Pooling'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const say = (pooling: object) => writeFile(join(folder, '1_Pooling/config.json'), JSON.stringify(pooling));

  it('is pooled as the model says', async () => {
    assert.deepEqual(await readPooling(folder), {});
    for (const [said, way] of [
      [{ ...FLAGS, pooling_mode_mean_tokens: true }, 'mean'],
      [{ ...FLAGS, pooling_mode_cls_token: true }, 'first'],
      [{ ...FLAGS, pooling_mode_lasttoken: true }, 'last'],
      [{ pooling_mode: 'cls' }, 'first'],
      [{ ...FLAGS, pooling_mode_max_tokens: true }, 'other'],
      [{ ...FLAGS, pooling_mode_mean_tokens: true, pooling_mode_cls_token: true }, 'other'],
      [{}, 'other'],
    ] as const) {
      await say(said);
      assert.deepEqual(await readPooling(folder), { pooling: way }, JSON.stringify(said));
    }
  });

  it('turns and grows as its rows do', async () => {
    const dense = output([
      [1, 0],
      [3, 0],
    ]);
    const changed = output([
      [0, 2],
      [4, 2],
    ]);
    const change = (pooling: 'mean' | 'first' | 'last') =>
      embeddingChange(dense, changed, pooling, neverCancelled);
    const close = (value: number, wanted: number) => assert.ok(Math.abs(value - wanted) < 1e-12);
    const mean = await change('mean');
    close(mean.cosine, Math.SQRT1_2);
    close(mean.length, Math.SQRT2);
    assert.deepEqual(await change('first'), { pooling: 'first', cosine: 0, length: 2 });
    close((await change('last')).cosine, 4 / Math.sqrt(20));
  });

  it('is told of mechanisms, plans and what is taken away, by the pooling of the model itself', async () => {
    const engine = new Engine();
    try {
      const text = Array.from({ length: 30 }, (_, at) => `w${(at * at + 3) % VOCABULARY}`).join(' ');
      const local = setting('local', { window: 3 });
      const run = async (): Promise<MechanismResult> => {
        const summary = await engine.request('analysis/start', {
          id: 'a',
          model: folder,
          text,
          device: 'cpu',
          maxTokens: null,
          mechanisms: [local],
          propagate: true,
        });
        assert.equal(summary.loss, null);
        return summary.mechanisms.find(({ scope }) => scope === 'propagated')!;
      };
      await writeEncoder(folder);
      // Without a word of its own a model that sees both ways has the mean.
      const mean = await run();
      assert.equal(mean.embedding!.pooling, 'mean');
      assert.ok(mean.embedding!.cosine < 1 - 1e-6 && mean.embedding!.cosine > 0);
      assert.ok(mean.embedding!.length > 0);

      await say({ ...FLAGS, pooling_mode_cls_token: true });
      const first = (await run()).embedding!;
      assert.equal(first.pooling, 'first');
      // The output's first row is a row of the output: its turn is there, too.
      const { deltaOutputPerToken } = await engine.request('analysis/mechanism', {
        id: 'a',
        mechanism: local,
        scope: 'propagated',
      });
      assert.ok(Math.abs(1 - first.cosine - deltaOutputPerToken![0]!) < 1e-6);

      const taken = await engine.request('analysis/intervene', {
        id: 'a',
        interventions: [{ kind: 'mechanism', core: null, head: null, choice: local }],
      });
      assert.ok(Math.abs(taken.effect.embedding!.cosine - first.cosine) < 1e-6);
      const plan = await engine.request('analysis/plan', {
        id: 'a',
        budget: 0.5,
        mechanisms: ['local'],
        maxRuns: 3,
      });
      assert.equal(plan.effect.embedding!.pooling, 'first');
      assert.ok(plan.uniform.every(({ effect }) => effect.embedding!.cosine <= 1));

      await say({ ...FLAGS, pooling_mode_max_tokens: true });
      assert.equal((await run()).embedding, undefined);
    } finally {
      await engine.dispose();
    }
  });
});
