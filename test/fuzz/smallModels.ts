/**
 * Models of one layer and a few thousand weights, each with attention in another form: whole cases take a tenth of the time
 * that exported models take, so that many can be tried.
 */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ElementType } from '../../engine/runtime/onnxProto';
import { encoderDecoder } from '../fixtures/encoderDecoder';
import { ModelWriter } from '../fixtures/onnxModels';
import * as definitions from '../fixtures/tokenizers';

const ZOO = join(__dirname, '../fixtures/zoo');
const [WIDTH, HEADS, DIM, VOCABULARY] = [32, 2, 16, 300];
const MS = 'com.microsoft';

/** From hidden states [batch, tokens, WIDTH] to the attention's output of the same shape. */
type Layer = (m: ModelWriter, x: string) => string;

/** Writes a folder in the Hugging Face layout for each form. */
export function writeSmallModels(root: string): void {
  const tokenizers = Object.values(definitions);
  const forms = [
    ...Object.entries(layers).map(([name, layer]) => [name, around(layer).encode()] as const),
    ['encoder-decoder', encoderDecoder(VOCABULARY).encode()] as const,
  ];
  for (const [i, [name, bytes]] of forms.entries()) {
    mkdirSync(join(root, name, 'onnx'), { recursive: true });
    writeFileSync(join(root, name, 'onnx', 'model.onnx'), bytes);
    describe(join(root, name), tokenizers[i % tokenizers.length]!);
  }
  for (const name of ['entmax', 'routing', 'lsh', 'switch']) {
    cpSync(join(ZOO, name), join(root, `zoo-${name}`), { recursive: true });
    describe(join(root, `zoo-${name}`), definitions.wordLevel);
  }
}

function describe(folder: string, tokenizer: object): void {
  const config = {
    model_type: 'small',
    vocab_size: VOCABULARY,
    num_attention_heads: HEADS,
    num_hidden_layers: 1,
    hidden_size: WIDTH,
    max_position_embeddings: 512,
    decoder_start_token_id: 2,
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
}

function around(layer: Layer): ModelWriter {
  const m = new ModelWriter({ '': 23, [MS]: 1 }, 10);
  m.input('input_ids', 'int64', ['batch', 'sequence']);
  m.input('attention_mask', 'int64', ['batch', 'sequence']);
  m.weight('table', [VOCABULARY, WIDTH], 1);
  const x = m.op('Gather', ['table', 'input_ids']);
  const y = m.op('Add', [x, layer(m, x)]);
  const normal = m.op('LayerNormalization', [y, m.weight('gain', [WIDTH]), m.weight('shift', [WIDTH])]);
  m.op('MatMul', [normal, m.weight('head', [WIDTH, VOCABULARY])], {}, 'logits');
  m.output('logits');
  return m;
}

const linear = (m: ModelWriter, x: string, name: string, width = WIDTH) =>
  m.op('MatMul', [x, m.weight(name, [WIDTH, width])]);

function heads(m: ModelWriter, x: string, name: string): string {
  const split = m.op('Reshape', [linear(m, x, name), m.ints(`split:${name}`, [0, 0, HEADS, DIM])]);
  return m.op('Transpose', [split], { perm: [0, 2, 1, 3] });
}

function joined(m: ModelWriter, context: string): string {
  const back = m.op('Transpose', [context], { perm: [0, 2, 1, 3] });
  return linear(m, m.op('Reshape', [back, m.ints('join', [0, 0, WIDTH])]), 'o');
}

/** 0, 1, 2, ... one for each token, in the given shape. */
function positions(m: ModelWriter, x: string, name: string, dims: number[]): string {
  const count = m.op('Gather', [m.op('Shape', [x]), m.ints(`axis:${name}`, [1], [])], { axis: 0 });
  const range = m.op('Range', [m.ints(`from:${name}`, [0], []), count, m.ints(`by:${name}`, [1], [])]);
  return m.op('Reshape', [range, m.ints(`dims:${name}`, dims)]);
}

function eager(m: ModelWriter, x: string, shown: (scores: string) => string): string {
  const keys = m.op('Transpose', [heads(m, x, 'k')], { perm: [0, 1, 3, 2] });
  const scores = m.op('Mul', [m.op('MatMul', [heads(m, x, 'q'), keys]), m.floats('scale', [0.5], [])]);
  const weights = m.op('Softmax', [shown(scores)], { axis: -1 });
  return joined(m, m.op('MatMul', [weights, heads(m, x, 'v')]));
}

const causal = (m: ModelWriter, x: string) =>
  m.op('LessOrEqual', [positions(m, x, 'column', [1, -1]), positions(m, x, 'row', [-1, 1])]);

const layers: Record<string, Layer> = {
  causal: (m, x) =>
    eager(m, x, scores => m.op('Where', [causal(m, x), scores, m.floats('low', [-1e30], [])])),
  padded: (m, x) =>
    eager(m, x, scores => {
      const mask = m.op('Unsqueeze', ['attention_mask', m.ints('axes', [1, 2])]);
      const hidden = m.op('Sub', [
        m.floats('one', [1], []),
        m.op('Cast', [mask], { to: ElementType.float32 }),
      ]);
      return m.op('Add', [scores, m.op('Mul', [hidden, m.floats('low', [-1e30], [])])]);
    }),
  /** A learned bias for each distance, as T5 has it. */
  relative: (m, x) =>
    eager(m, x, scores => {
      const distance = m.op('Sub', [positions(m, x, 'column', [1, -1]), positions(m, x, 'row', [-1, 1])]);
      const bucket = m.op('Clip', [distance, m.ints('least', [-4], []), m.ints('most', [4], [])]);
      const index = m.op('Add', [bucket, m.ints('middle', [4], [])]);
      const bias = m.op('Gather', [m.weight('bias', [9, HEADS]), index]);
      return m.op('Add', [scores, m.op('Transpose', [bias], { perm: [2, 0, 1] })]);
    }),
  standard: (m, x) => {
    const [q, k, v] = ['q', 'k', 'v'].map(name => heads(m, x, name)) as [string, string, string];
    return joined(m, m.op('Attention', [q, k, v], { is_causal: 1 }));
  },
  packed: (m, x) => {
    const [w, b] = [m.weight('w', [WIDTH, 3 * WIDTH]), m.weight('b', [3 * WIDTH])];
    const mask = m.op('Cast', ['attention_mask'], { to: ElementType.int32 });
    return m.op('Attention', [x, w, b, mask], { num_heads: HEADS }, undefined, MS);
  },
  multiHead: (m, x) => {
    const [q, k, v] = ['q', 'k', 'v'].map(name => linear(m, x, name)) as [string, string, string];
    return m.op(
      'MultiHeadAttention',
      [q, k, v, m.weight('b', [3 * WIDTH])],
      { num_heads: HEADS },
      undefined,
      MS,
    );
  },
  groupQuery: (m, x) => {
    const ones = m.op('Cast', ['attention_mask'], { to: ElementType.int32 });
    const sum = m.op('ReduceSum', [ones, m.ints('axis', [1])], { keepdims: 0 });
    const one = m.raw('one32', ElementType.int32, new Uint8Array(Int32Array.of(1).buffer), [1]);
    const count = m.op('Gather', [m.op('Shape', [x]), m.ints('at', [1], [])], { axis: 0 });
    const total = m.op('Cast', [count], { to: ElementType.int32 });
    const table = (of: (angle: number) => number) =>
      Float32Array.from({ length: 64 * (DIM / 2) }, (_, i) => of(Math.floor(i / 8) / 10 ** (i % 8)));
    const inputs = [linear(m, x, 'q'), linear(m, x, 'k', DIM), linear(m, x, 'v', DIM), '', ''];
    inputs.push(m.op('Sub', [sum, one]), total);
    inputs.push(
      m.floats('cos', table(Math.cos), [64, DIM / 2]),
      m.floats('sin', table(Math.sin), [64, DIM / 2]),
    );
    const settings = { num_heads: HEADS, kv_num_heads: 1, do_rotary: 1 };
    return m.ops('GroupQueryAttention', inputs, ['context', 'keys', 'values'], settings, MS)[0]!;
  },
  quantised: (m, x) => {
    const [bytes, scale, zero] = m.ops('DynamicQuantizeLinear', [x], ['x:8', 'x:scale', 'x:zero']) as [
      string,
      string,
      string,
    ];
    const values = Uint8Array.from({ length: WIDTH * WIDTH }, (_, i) => (i * 7919) % 251);
    const weight = m.raw('w:8', ElementType.int8, values, [WIDTH, WIDTH]);
    const wide = m.op('Cast', [m.op('MatMulInteger', [bytes, weight, zero])], { to: ElementType.float32 });
    const product = m.op('Mul', [wide, m.op('Mul', [scale, m.floats('w:scale', [0.01], [])])]);
    return eager(m, product, scores => m.op('Where', [causal(m, x), scores, m.floats('low', [-1e30], [])]));
  },
};
