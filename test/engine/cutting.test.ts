import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CoreInput } from '../../engine/attention/core';
import { RefusedError } from '../../engine/errors';
import { readSafetensors } from '../../engine/export/safetensors';
import type { Attend, CutModel } from '../../engine/model/cut/cutModel';
import type { Extract } from '../../engine/model/onnx/graph';
import { loadModel } from '../../engine/model/load';
import { PieceLoader, type Piece } from '../../engine/model/cut/pieces';
import { planCut } from '../../engine/model/cut/cutPlan';
import { referenceAttend, referenceWeights } from '../../engine/model/verify/proof';
import { SegmentRunner } from '../../engine/model/cut/segmentRunner';
import { readSkeleton } from '../../engine/model/onnx/skeleton';
import type { CoreInfo } from '../../shared/protocol/engine';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { floats, type Tensor } from '../../engine/runtime/tensor';

const models = join(import.meta.dirname, '..', '..', '..', 'shared', 'fixtures', 'models');
const fixtures = existsSync(models) ? readdirSync(models).sort() : [];

/** What each family's cores must turn out to be, in words; the rest is causal for decoders and full for encoders. */
const masks: Record<string, string[]> = {
  bloom: ['causal, ALiBi'],
  gemma2: ['causal', 'causal, soft cap 50', 'causal, window 16', 'causal, window 16, soft cap 50'],
  gpt2: ['causal'],
  gpt_neox: ['causal'],
  llama: ['causal'],
  qwen2: ['causal'],
  modernbert: ['full', 'full, window 8 before, 8 after'],
  albert: ['full'],
  bert: ['full'],
  distilbert: ['full'],
  bart: ['full', 'causal'],
  t5: ['full', 'full, relative bias', 'causal, relative bias'],
};

describe('cutting real exports at their attention', function () {
  this.timeout(120_000);
  let runtime: Runtime;
  before(async function () {
    if (fixtures.length === 0) {
      console.log(`      SKIPPED: no model fixtures at ${models}`);
      this.skip();
    }
    runtime = await createRuntime('cpu');
  });
  after(() => runtime?.dispose());

  for (const name of fixtures)
    it(`${name}: proved; probabilities and logits are the framework's`, async () => {
      const family = name.split('-')[0]!;
      const expected = await readSafetensors(join(models, name, 'expected.safetensors'));
      const ids = idsOf(expected);
      const model = await load(name);
      try {
        const { info } = model;
        assert.equal(info.verified.bitEqual, true);
        // T5 amplifies the rounding of Q, K, V and contexts to float32.
        const bound = family === 't5' ? 1e-4 : 2e-5;
        assert.ok(info.verified.maxRelDiff <= bound, `relative difference ${info.verified.maxRelDiff}`);
        assert.equal(/float64/.test(info.verified.reference), family === 't5');
        assert.equal(info.languageModelHead, true);
        assert.equal(info.vocabulary, 512);
        assert.equal(info.cores.length, /bart|t5/.test(name) ? 6 : 3);
        assert.equal(info.kind, kindOf(family));
        for (const core of info.cores) assert.ok(masks[family]!.includes(core.mask), core.mask);
        assert.deepEqual(
          [...new Set(info.cores.map(c => c.kvHeads))],
          [/llama|qwen2|gemma2/.test(name) ? 2 : 4],
        );

        const compared = new Set<string>();
        const output = await model.run(ids, comparing(expected, compared), { signal: neverCancelled });
        const attentions = Object.keys(expected).filter(key => key.includes('attentions'));
        assert.deepEqual([...compared].sort(), attentions.sort());

        const logits = await output.read(0, output.rows);
        const uncut = floats(await model.runUncut(ids));
        const tolerance = info.verified.reference.includes('quantised') ? 1e-2 : 1e-4;
        assert.ok(largest(logits, uncut) <= tolerance, `uncut ${largest(logits, uncut)}`);
        // The int8 model is not the float model that made the expected logits.
        if (!name.includes('int8')) assert.ok(largest(logits, floats(expected['logits']!)) <= 1e-4);
        assert.deepEqual(await output.read(5, 9), logits.slice(5 * output.width, 9 * output.width));
      } finally {
        await model.dispose();
      }
    });

  it('reads the head in blocks of rows', async () => {
    const model = await load('gpt2-sdpa-dynamo');
    const output = await model.run(
      Int32Array.from({ length: 40 }, (_, i) => i),
      dense,
      {
        signal: neverCancelled,
      },
    );
    const whole = await output.read(0, 40);
    const parts = [await output.read(0, 13), await output.read(13, 14), await output.read(14, 40)];
    const joined = Float32Array.from(parts.flatMap(p => [...p]));
    assert.equal(output.width, 512);
    assert.ok(largest(joined, whole) < 1e-5);
    await model.dispose();
  });

  for (const name of ['bart-sdpa-op23', 'bert-eager-script', 'gemma2-sdpa-dynamo', 'gpt2-fused-script'])
    it(`${name}: every segment runs in blocks of rows`, async () => {
      const { segments, inRows, head } = await plan(name);
      const ofHead = head ? segments.pieces.length - 1 : -1;
      segments.pieces.forEach((piece, at) => {
        if (piece && at !== ofHead) assert.ok(inRows[at]?.rows, `segment ${at}`);
      });
    });

  it('shares one session between the equal layers of ALBERT', async () => {
    const albert = await pieces('albert-sdpa-dynamo');
    assert.equal(albert.length, 5);
    assert.equal(new Set(albert.map(p => Buffer.from(p.bytes).toString('hex'))).size, 4);
  });

  it('loads no part of the graph twice in a row to look at its shapes', async () => {
    const loaded: string[] = [];
    const counting = Object.create(runtime, {
      load: {
        value: (...args: Parameters<Runtime['load']>) => {
          loaded.push(Buffer.from(args[0]).toString('base64'));
          return runtime.load(...args);
        },
      },
    }) as Runtime;
    await plan('llama-eager-script', counting);
    const again = loaded.filter((bytes, at) => bytes === loaded[at - 1]);
    assert.ok(loaded.length > 2);
    assert.deepEqual(again, []);
  });

  for (const name of [
    'gpt2-eager-script',
    'bert-sdpa-dynamo',
    't5-eager-script',
    'gemma2-eager-script',
    'bart-sdpa-op23',
  ])
    it(`${name}: no tokens x tokens matrix is left in the segments`, async function () {
      if (fixtures.length === 0) this.skip();
      const shapes = await interiorShapes(name, 61);
      assert.ok(shapes.length > 50);
      assert.deepEqual(
        shapes.filter(dims => dims.filter(d => d === 61).length > 1),
        [],
      );
    });

  it('refuses a model whose cut does not reproduce it, naming the first core', async () => {
    const wrong: Attend = async (info, input) => {
      const context = referenceAttend(input);
      // The second core gives its heads in the wrong order.
      return info.core === 1 ? reversedHeads(context, input) : context;
    };
    await assert.rejects(load('gpt2-eager-script', wrong), (error: Error) => {
      assert.ok(error instanceof RefusedError);
      assert.match(error.message, /first in the self attention of layer 1/);
      return true;
    });
  });

  it('refuses texts beyond the context', async () => {
    const model = await load('gpt2-sdpa-op23');
    assert.equal(model.info.context, 256);
    await assert.rejects(
      model.run(new Int32Array(257), dense, { signal: neverCancelled }),
      /257 tokens; the model takes at most 256/,
    );
    await model.dispose();
  });

  it('stops when cancelled', async () => {
    const model = await load('gpt2-sdpa-op23');
    const cancelled = new AbortController();
    const attend: Attend = async (info, input) => {
      if (info.core === 1) cancelled.abort();
      assert.ok(info.core < 2, 'ran on after the cancellation');
      return referenceAttend(input);
    };
    await assert.rejects(model.run(new Int32Array(8), attend, { signal: cancelled.signal }), {
      name: 'CancelledError',
    });
    await model.dispose();
  });

  function load(name: string, attend?: Attend): Promise<CutModel> {
    const folder = join(models, name);
    const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<string, unknown>;
    const files = { onnx: join(folder, 'onnx', 'model.onnx'), config, name, ref: folder };
    return loadModel(files, runtime, { signal: neverCancelled, ...(attend ? { attend } : {}) });
  }

  const plan = (name: string, how = runtime) =>
    planCut(readSkeleton(join(models, name, 'onnx', 'model.onnx')), {}, how, neverCancelled);

  const pieces = async (name: string): Promise<Extract[]> =>
    (await plan(name)).segments.pieces.filter(p => p !== null);

  /** Shapes of every tensor computed inside the segments of a model, at this length. */
  async function interiorShapes(name: string, tokens: number): Promise<(readonly number[])[]> {
    const made = await plan(name);
    const shapes: (readonly number[])[] = [];
    class Watching extends PieceLoader {
      override async load(piece: Extract): Promise<Piece> {
        const all = [...new Set([...piece.outputs, ...piece.nodes.flatMap(n => n.outputs)])].filter(
          n => n !== '',
        );
        const stops = new Set(piece.inputs);
        const loaded = await super.load(made.cut.extract(all, n => stops.has(n)));
        return {
          ...loaded,
          run: async feeds => {
            const results = await loaded.run(feeds);
            for (const tensor of results.values()) shapes.push(tensor.dims);
            return results;
          },
        };
      }
    }
    const loader = new Watching(runtime, join(models, name, 'onnx'), 'disabled', true);
    const { cores } = made;
    const runner = await SegmentRunner.load(made, loader, neverCancelled);
    const ids = made.survey.ids(tokens, tokens, 1);
    const core = async (i: number) => new Float32Array(cores[i]!.heads * tokens * cores[i]!.valueDim);
    const output = await runner.run(ids, { core, signal: neverCancelled });
    await output.read(0, 3);
    await runner.release();
    return shapes;
  }
});

const dense: Attend = async (_, input) => referenceAttend(input);

function kindOf(family: string): string {
  if (family === 'bart' || family === 't5') return 'encoder-decoder';
  return family.includes('bert') ? 'encoder' : 'decoder';
}

function idsOf(expected: Record<string, Tensor>): Int32Array {
  return Int32Array.from(expected['ids']!.data as BigInt64Array, Number);
}

/** Dense cores that compare their probabilities with the expected ones, where there are any. */
function comparing(expected: Record<string, Tensor>, compared: Set<string>): Attend {
  return async (info, input) => {
    const key = attentionsKey(info);
    const tensor = expected[key];
    if (tensor) {
      compared.add(key);
      assert.deepEqual(tensor.dims, [input.heads, input.queries, input.keys]);
      const data = floats(tensor);
      for (let h = 0; h < input.heads; h++)
        for (let i = 0; i < input.queries; i++) {
          const from = (h * input.queries + i) * input.keys;
          const own = Float32Array.from(referenceWeights(input, h, i));
          const d = largest(own, data.subarray(from, from + input.keys));
          assert.ok(d <= 1e-4, `${key} head ${h} query ${i}: ${d}`);
        }
    }
    return referenceAttend(input);
  };
}

function attentionsKey({ kind, layer }: CoreInfo): string {
  return kind === 'self' ? `attentions.${layer}` : `${kind}_attentions.${layer}`;
}

function reversedHeads(context: Float32Array, { heads }: CoreInput): Float32Array {
  const size = context.length / heads;
  const result = new Float32Array(context.length);
  for (let h = 0; h < heads; h++)
    result.set(context.subarray(h * size, (h + 1) * size), (heads - 1 - h) * size);
  return result;
}

function largest(found: Float32Array, expected: Float32Array): number {
  assert.equal(found.length, expected.length);
  let worst = 0;
  for (let i = 0; i < found.length; i++) {
    const d = Math.abs(found[i]! - expected[i]!);
    if (!(d <= worst)) worst = Number.isNaN(d) ? Infinity : d;
  }
  return worst;
}
