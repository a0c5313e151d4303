import assert from 'node:assert/strict';
import { referenceAttend } from '../../engine/model/verify/proof';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { ElementType } from '../../engine/runtime/onnxProto';
import { floats, int64 } from '../../engine/runtime/tensor';
import type { ModelWriter } from '../fixtures/onnxModels';
import { assertReproduces, Bench, DIM, HEADS, layered, WIDTH, type Layer } from './cutHarness';

type Kind = 'stored' | 'computed' | 'float32';

/** Weights that bfloat16 holds exactly, kept as such or in float32. */
function weight(m: ModelWriter, name: string, narrow: boolean): string {
  const bits = Uint16Array.from({ length: WIDTH * WIDTH }, (_, i) => {
    const value = Math.sin(i * 12.9898 + name.charCodeAt(0) * 78.233 + name.charCodeAt(1)) / 2;
    return new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16;
  });
  if (narrow) return m.raw(name, ElementType.bfloat16, new Uint8Array(bits.buffer), [WIDTH, WIDTH]);
  const wide = Uint32Array.from(bits, b => b * 2 ** 16);
  return m.raw(name, ElementType.float32, new Uint8Array(wide.buffer), [WIDTH, WIDTH]);
}

const layer =
  (kind: Kind): Layer =>
  (m, x, id) => {
    const to = (name: string, type: number) => m.op('Cast', [name], { to: type });
    const computed = kind === 'computed';
    const source = computed ? to(x, ElementType.bfloat16) : x;
    const [q, k, v] = ['q', 'k', 'v'].map(n => {
      const stored = weight(m, n + id, kind !== 'float32');
      const used = kind === 'stored' ? to(stored, ElementType.float32) : stored;
      const product = m.op('MatMul', [source, used]);
      const split = m.op('Reshape', [product, m.ints(`split${n}${id}`, [0, 0, HEADS, DIM])]);
      return m.op('Transpose', [split], { perm: [0, 2, 1, 3] });
    }) as [string, string, string];
    // 0.25 in bfloat16, and in float32.
    const scale = computed
      ? m.raw(`scale${id}`, ElementType.bfloat16, Uint8Array.of(0x80, 0x3e), [])
      : m.floats(`scale${id}`, [0.25], []);
    const turned = m.op('Transpose', [k], { perm: [0, 1, 3, 2] });
    const scores = m.op('Mul', [m.op('MatMul', [q, turned]), scale]);
    const context = m.op('MatMul', [m.op('Softmax', [scores], { axis: -1 }), v]);
    const back = m.op('Transpose', [context], { perm: [0, 2, 1, 3] });
    const joined = m.op('Reshape', [back, m.ints(`join${id}`, [0, 0, WIDTH])]);
    return computed ? to(joined, ElementType.float32) : joined;
  };

describe('bfloat16', function () {
  this.timeout(60_000);
  let bench: Bench;
  before(async () => {
    bench = await Bench.open();
  });
  after(() => bench.close());

  it('weights that the graph casts: proved against the file itself', async () => {
    const cut = await bench.load(layered(layer('stored')));
    assert.equal(cut.info.verified.bitEqual, true);
    assert.doesNotMatch(cut.info.verified.reference, /bfloat16/);
    await assertReproduces(cut);
    await cut.dispose();
  });

  it('arithmetic: computed in float32, and said so', async () => {
    const cut = await bench.load(layered(layer('computed')));
    assert.match(cut.info.verified.reference, /bfloat16 arithmetic/);
    const ids = Int32Array.from({ length: 37 }, (_, i) => (7 * i) % 40);
    const output = await cut.run(ids, async (_, input) => referenceAttend(input), {
      signal: neverCancelled,
    });
    const found = await output.read(0, 37);
    const session = await bench.runtime.load(layered(layer('float32')).encode());
    const results = await session.run({
      input_ids: int64([...ids], [1, 37]),
      attention_mask: int64(new Array(37).fill(1), [1, 37]),
    });
    const expected = floats(results['logits']!);
    const scale = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    assert.ok(found.every((v, i) => Math.abs(v - expected[i]!) <= 2e-5 * scale));
    await session.release();
    await cut.dispose();
  });
});
