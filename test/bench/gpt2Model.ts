import { GraphBuilder, type Value } from '../../engine/runtime/graphBuilder';
import { random } from '../oracle/random';

export interface Gpt2Shape {
  layers: number;
  heads: number;
  headDim: number;
  vocabulary: number;
  context: number;
}

/** Layers of GPT-2 small; a small vocabulary, so that layers and not the output embedding are compared. */
export const GPT2_SMALL: Gpt2Shape = { layers: 12, heads: 12, headDim: 64, vocabulary: 8192, context: 4096 };

/**
 * A GPT-2 with random weights, written as PyTorch exports it: fused QKV projection, scale after QK, a lower-triangular
 * mask sliced from a buffer, softmax, GELU by erf, tied output embedding. Input `input_ids` [1, N], output `logits`.
 */
export function gpt2Model(shape: Gpt2Shape): Uint8Array {
  const width = shape.heads * shape.headDim;
  const g = new GraphBuilder();
  const { uniform } = random(7);
  // Uniform with the wished standard deviation: cheaper to draw than normal, the same to a matrix product.
  const weights = (rows: number, columns: number, deviation: number) =>
    g.constant({
      type: 'float32',
      data: Float32Array.from(
        { length: rows * columns },
        () => (uniform() - 0.5) * deviation * Math.sqrt(12),
      ),
      dims: [rows, columns],
    });
  const linear = (x: Value, rows: number, columns: number, deviation: number) =>
    g.op('Add', [g.op('MatMul', [x, weights(rows, columns, deviation)]), g.float(new Float32Array(columns))]);
  const norm = (x: Value) =>
    g.op(
      'LayerNormalization',
      [x, g.float(new Float32Array(width).fill(1)), g.float(new Float32Array(width))],
      {
        axis: -1,
        epsilon: { float: 1e-5 },
      },
    );

  const ids = g.input('input_ids', 'int64', [1, 'sequence']);
  const length = g.op('Gather', [g.op('Shape', [ids]), g.int(1, [])]);
  const positions = g.op('Range', [g.int(0, []), length, g.int(1, [])]);
  const embedding = weights(shape.vocabulary, width, 0.02);
  let x = g.op('Add', [
    g.op('Gather', [embedding, ids]),
    g.op('Gather', [weights(shape.context, width, 0.01), positions]),
  ]);
  // [N, N]: row i may see column j <= i.
  const mask = g.op('GreaterOrEqual', [
    g.op('Unsqueeze', [positions, g.int([1])]),
    g.op('Unsqueeze', [positions, g.int([0])]),
  ]);
  const split = g.int([0, 0, shape.heads, shape.headDim]);
  for (let layer = 0; layer < shape.layers; layer++) {
    const qkv = linear(norm(x), width, 3 * width, 2 / Math.sqrt(width));
    const [q, k, v] = g.ops('Split', [qkv], 3, { axis: 2, num_outputs: 3 }) as [Value, Value, Value];
    const head = (value: Value, perm: number[]) =>
      g.op('Transpose', [g.op('Reshape', [value, split])], { perm });
    const scores = g.op('Div', [
      g.op('MatMul', [head(q, [0, 2, 1, 3]), head(k, [0, 2, 3, 1])]),
      g.float(Math.sqrt(shape.headDim)),
    ]);
    const masked = g.op('Where', [mask, scores, g.float(-3.4028234663852886e38)]);
    const context = g.op('MatMul', [g.op('Softmax', [masked], { axis: -1 }), head(v, [0, 2, 1, 3])]);
    const joined = g.op('Reshape', [
      g.op('Transpose', [context], { perm: [0, 2, 1, 3] }),
      g.int([0, 0, width]),
    ]);
    x = g.op('Add', [x, linear(joined, width, width, 0.5 / Math.sqrt(width))]);
    const inner = linear(norm(x), width, 4 * width, 1 / Math.sqrt(width));
    const erf = g.op('Add', [g.op('Erf', [g.op('Div', [inner, g.float(Math.SQRT2)])]), g.float(1)]);
    const gelu = g.op('Mul', [g.op('Mul', [inner, erf]), g.float(0.5)]);
    x = g.op('Add', [x, linear(gelu, 4 * width, width, 0.5 / Math.sqrt(4 * width))]);
  }
  const logits = g.op('MatMul', [norm(x), g.op('Transpose', [embedding], { perm: [1, 0] })]);
  g.output('logits', logits, 'float32', [1, 'sequence', shape.vocabulary]);
  return g.encode();
}

/** Token ids as text has them: few are frequent, many are rare. */
export function randomIds(length: number, vocabulary: number): Int32Array {
  const { uniform } = random(length);
  return Int32Array.from({ length }, () => Math.floor(vocabulary ** uniform()) % vocabulary);
}
