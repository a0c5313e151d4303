import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RefusedError } from '../../engine/errors';
import { joinModels } from '../../engine/model/rewrite/joinModels';
import { loadModel } from '../../engine/model/load';
import { referenceAttend } from '../../engine/model/verify/proof';
import { readSkeleton } from '../../engine/model/onnx/skeleton';
import { resolveModel } from '../../engine/model/source/source';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { ElementType } from '../../engine/runtime/onnxProto';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { float32, floats, int64, type Tensor } from '../../engine/runtime/tensor';
import { ModelWriter } from '../fixtures/onnxModels';
import { DIM, HEADS, linear, VOCABULARY, WIDTH } from './cutHarness';

function split(m: ModelWriter, x: string, name: string): string {
  const heads = m.op('Reshape', [linear(m, x, name), m.ints(`split${name}`, [0, 0, HEADS, DIM])]);
  return m.op('Transpose', [heads], { perm: [0, 2, 1, 3] });
}

function attention(m: ModelWriter, x: string, memory: string, id: string, mask: string | null): string {
  const keys = m.op('Transpose', [split(m, memory, `k${id}`)], { perm: [0, 1, 3, 2] });
  let scores = m.op('Mul', [
    m.op('MatMul', [split(m, x, `q${id}`), keys]),
    m.floats(`scale${id}`, [0.25], []),
  ]);
  if (mask) scores = m.op('Where', [mask, scores, m.floats(`low${id}`, [-3.4028234663852886e38], [])]);
  const context = m.op('MatMul', [m.op('Softmax', [scores], { axis: -1 }), split(m, memory, `v${id}`)]);
  const back = m.op('Transpose', [context], { perm: [0, 2, 1, 3] });
  return m.op('Add', [x, m.op('Reshape', [back, m.ints(`join${id}`, [0, 0, WIDTH])])]);
}

/** Keys with a 1 in a mask [batch, keys], for every head and query. */
const visible = (m: ModelWriter, mask: string, id: string) =>
  m.op('Cast', [m.op('Unsqueeze', [mask, m.ints(`un${id}`, [1, 2])])], { to: ElementType.bool });

function causal(m: ModelWriter, x: string): string {
  const count = m.op('Gather', [m.op('Shape', [x]), m.ints('one', [1], [])], { axis: 0 });
  const range = m.op('Range', [m.ints('zero', [0], []), count, m.ints('step', [1], [])]);
  const row = m.op('Reshape', [range, m.ints('row', [-1, 1])]);
  return m.op('LessOrEqual', [m.op('Reshape', [range, m.ints('column', [1, -1])]), row]);
}

/** As exporters write the two halves: tensors of both are called alike. */
function halves(opset = 17): { encoder: ModelWriter; decoder: ModelWriter } {
  const encoder = new ModelWriter({ '': opset });
  encoder.input('input_ids', 'int64', ['batch', 'sequence']);
  encoder.input('attention_mask', 'int64', ['batch', 'sequence']);
  encoder.weight('table', [VOCABULARY, WIDTH], 1);
  const text = encoder.op('Gather', ['table', 'input_ids']);
  const mask = visible(encoder, 'attention_mask', 'e');
  const hidden = attention(encoder, text, text, 'a', mask);
  encoder.op('Mul', [hidden, encoder.floats('two', [2], [])], {}, 'last_hidden_state');
  encoder.output('last_hidden_state');

  const decoder = new ModelWriter({ '': opset });
  decoder.input('encoder_attention_mask', 'int64', ['batch', 'encoder_sequence']);
  decoder.input('input_ids', 'int64', ['batch', 'sequence']);
  decoder.input('encoder_hidden_states', 'float32', ['batch', 'encoder_sequence', WIDTH]);
  decoder.weight('table', [VOCABULARY, WIDTH], 0.7);
  const target = decoder.op('Gather', ['table', 'input_ids']);
  const own = attention(decoder, target, target, 'a', causal(decoder, target));
  const crossed = visible(decoder, 'encoder_attention_mask', 'd');
  const both = attention(decoder, own, 'encoder_hidden_states', 'b', crossed);
  decoder.op('MatMul', [both, decoder.weight('head', [WIDTH, VOCABULARY])], {}, 'logits');
  decoder.output('logits');
  return { encoder, decoder };
}

describe('an encoder-decoder in two files', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  const folder = mkdtempSync(join(tmpdir(), 'halves-'));
  before(async () => {
    runtime = await createRuntime('cpu');
  });
  after(async () => {
    await runtime.dispose();
    rmSync(folder, { recursive: true });
  });

  function write(name: string, { encoder, decoder }: ReturnType<typeof halves>): string {
    mkdirSync(join(folder, name, 'onnx'), { recursive: true });
    writeFileSync(join(folder, name, 'config.json'), '{}');
    writeFileSync(join(folder, name, 'onnx', 'encoder_model.onnx'), encoder.encode());
    writeFileSync(join(folder, name, 'onnx', 'decoder_model.onnx'), decoder.encode());
    return join(folder, name);
  }

  const load = async (path: string) =>
    loadModel(await resolveModel(path), runtime, { signal: neverCancelled });

  it('is cut as one model with a text and a target', async () => {
    const path = write('whole', halves());
    const model = await load(path);
    assert.equal(model.info.kind, 'encoder-decoder');
    assert.equal(model.takesTarget, true);
    assert.equal(model.info.verified.bitEqual, true);
    assert.deepEqual(model.info.cores.map(c => [c.kind, c.mask]).sort(), [
      ['cross', 'full'],
      ['decoder', 'causal'],
      ['encoder', 'full'],
    ]);

    const ids = Int32Array.from({ length: 21 }, (_, i) => (5 * i) % VOCABULARY);
    const targetIds = Int32Array.from({ length: 13 }, (_, i) => (3 * i + 1) % VOCABULARY);
    const output = await model.run(ids, async (_, input) => referenceAttend(input), {
      signal: neverCancelled,
      targetIds,
    });
    const found = await output.read(0, 13);
    const expected = await oneAfterTheOther(ids, targetIds);
    assert.equal(found.length, expected.length);
    assert.ok(found.every((v, i) => Math.abs(v - expected[i]!) < 1e-4));
    await model.dispose();
  });

  it('keeps what the files leave at its default', () => {
    const path = join(write('defaults', halves()), 'onnx');
    const [encoder, decoder] = ['encoder_model.onnx', 'decoder_model.onnx'].map(f =>
      readSkeleton(join(path, f)),
    );
    const { model } = joinModels(encoder!, decoder!);
    assert.ok(model.graph!.node.every(n => n.domain === ''));
    assert.ok(model.graph!.initializer.every(t => Array.isArray(t.dims)));
  });

  it('is found from the file of its decoder; the file of its encoder stands for itself', async () => {
    const path = write('halves', halves());
    const files = await resolveModel(join(path, 'onnx', 'decoder_model.onnx'));
    assert.equal(files.encoder, join(path, 'onnx', 'encoder_model.onnx'));
    const encoder = await load(join(path, 'onnx', 'encoder_model.onnx'));
    assert.deepEqual([encoder.info.kind, encoder.info.cores.length], ['encoder', 1]);
    await encoder.dispose();
  });

  it('is refused without its encoder', async () => {
    const path = join(write('alone', halves()), 'onnx', 'decoder_model.onnx');
    rmSync(join(path, '..', 'encoder_model.onnx'));
    await assert.rejects(load(path), (e: Error) => {
      assert.ok(e instanceof RefusedError);
      return /decoder of an encoder-decoder only: its encoder_model\.onnx must lie beside it/.test(e.message);
    });
  });

  it('is refused when the halves do not fit', async () => {
    const { encoder } = halves();
    await assert.rejects(load(write('twice', { encoder, decoder: halves().encoder })), (e: Error) => {
      assert.ok(e instanceof RefusedError);
      return /do not belong together/.test(e.message);
    });
    const path = write('opsets', { encoder, decoder: halves(18).decoder });
    await assert.rejects(load(path), /different versions of the ONNX operators/);
  });

  /** The two files run by ONNX Runtime itself, as the exporters mean them to be. */
  async function oneAfterTheOther(ids: Int32Array, target: Int32Array): Promise<Float32Array> {
    const feed = (list: Int32Array): Tensor => int64([...list], [1, list.length]);
    const ones = int64(new Array(ids.length).fill(1), [1, ids.length]);
    const encoder = await runtime.load(halves().encoder.encode());
    const hidden = (await encoder.run({ input_ids: feed(ids), attention_mask: ones }))['last_hidden_state']!;
    const decoder = await runtime.load(halves().decoder.encode());
    const feeds = {
      input_ids: feed(target),
      encoder_hidden_states: float32(floats(hidden), hidden.dims),
      encoder_attention_mask: ones,
    };
    const logits = floats((await decoder.run(feeds))['logits']!);
    await encoder.release();
    await decoder.release();
    return logits;
  }
});
