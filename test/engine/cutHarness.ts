import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Attend, CutModel } from '../../engine/model/cut/cutModel';
import { loadModel } from '../../engine/model/load';
import { referenceAttend } from '../../engine/model/verify/proof';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { ElementType } from '../../engine/runtime/onnxProto';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { floats } from '../../engine/runtime/tensor';
import { ModelWriter } from '../fixtures/onnxModels';

export const WIDTH = 64;
export const HEADS = 4;
export const DIM = WIDTH / HEADS;
export const VOCABULARY = 40;

/** A layer: from hidden states [batch, tokens, WIDTH] to the attention's output of the same shape. */
export type Layer = (m: ModelWriter, x: string, id: string) => string;

/** Two layers around the attention under test, and a vocabulary. */
export function layered(
  layer: Layer,
  opsets: Record<string, number> = { '': 17, 'com.microsoft': 1 },
): ModelWriter {
  const m = new ModelWriter(opsets);
  m.input('input_ids', 'int64', ['batch', 'sequence']);
  m.input('attention_mask', 'int64', ['batch', 'sequence']);
  m.weight('table', [VOCABULARY, WIDTH], 1);
  let x = m.op('Gather', ['table', 'input_ids']);
  for (const id of ['a', 'b']) x = m.op('Add', [x, layer(m, x, id)]);
  m.op('MatMul', [x, m.weight('head', [WIDTH, VOCABULARY])], {}, 'logits');
  m.output('logits');
  return m;
}

export const linear = (m: ModelWriter, x: string, name: string, width = WIDTH): string =>
  m.op('MatMul', [x, m.weight(name, [WIDTH, width])]);

/** The layer computed in 16 bits, its weights as well. */
export const halved =
  (layer: Layer): Layer =>
  (m, x, id) => {
    const to = (name: string, type: number) => m.op('Cast', [name], { to: type }, `${name}:${type}${id}`);
    const narrow = to(x, ElementType.float16);
    const [firstNode, firstWeight] = [m.nodes.length, m.initializers.length];
    const y = layer(m, narrow, id);
    const own = m.nodes.splice(firstNode);
    const floats = m.initializers.slice(firstWeight).filter(t => t.data_type === ElementType.float32);
    const weights = new Map(floats.map(t => [t.name, to(t.name!, ElementType.float16)]));
    for (const node of own) node.input = node.input!.map(name => weights.get(name) ?? name);
    m.nodes.push(...own);
    return to(y, ElementType.float32);
  };

/** Loads written models from a folder of their own. */
export class Bench {
  private constructor(
    readonly runtime: Runtime,
    private readonly folder: string,
  ) {}

  static async open(): Promise<Bench> {
    return new Bench(await createRuntime('cpu'), mkdtempSync(join(tmpdir(), 'cut-')));
  }

  load(
    m: ModelWriter,
    config: Record<string, unknown> = {},
    { attend, ...parts }: { embedding?: string; attention?: unknown; attend?: Attend } = {},
  ): Promise<CutModel> {
    const onnx = join(this.folder, 'model.onnx');
    const bytes = m.encode();
    // A model that is written anew ends those that were loaded of it.
    if (!existsSync(onnx) || !readFileSync(onnx).equals(bytes)) writeFileSync(onnx, bytes);
    return loadModel({ ...parts, onnx, config, name: 'test', ref: onnx }, this.runtime, {
      signal: neverCancelled,
      ...(attend && { attend }),
    });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async close(): Promise<void> {
    await this.runtime.dispose();
    rmSync(this.folder, { recursive: true });
  }
}

/**
 * At a length that the proof at load did not use: own cores give the logits of the uncut model, within `tolerance` of the
 * largest, and the logits are others without attention, so the comparison can fail.
 */
export async function assertReproduces(cut: CutModel, tolerance = 2e-5, tokens = 50): Promise<void> {
  const ids = Int32Array.from({ length: tokens }, (_, i) => (i * i + 3) % VOCABULARY);
  const expected = floats(await cut.runUncut(ids));
  const scale = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const own = await cut.run(ids, async (_, input) => referenceAttend(input), {
    signal: neverCancelled,
  });
  const found = await own.read(0, own.rows);
  assert.equal(found.length, expected.length);
  const worst = found.reduce((a, v, i) => Math.max(a, Math.abs(v - expected[i]!)), 0);
  assert.ok(worst <= tolerance * scale, `${worst} of ${scale}`);
  const without = await cut.run(ids, async (_, i) => new Float32Array(i.heads * i.queries * i.valueDim), {
    signal: neverCancelled,
  });
  const bare = await without.read(0, without.rows);
  assert.ok(bare.some((v, i) => Math.abs(v - expected[i]!) > 1e-2 * scale));
}
