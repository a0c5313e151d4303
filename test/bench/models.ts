import { GraphBuilder, type Value } from '../../engine/runtime/graphBuilder';
import { random } from '../oracle/random';

export type Family = 'gpt2' | 'bert' | 'llama';

export interface ModelShape {
  family: Family;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocabulary: number;
  context: number;
  /** The output has a matrix of its own. Default: the table of embeddings, turned. */
  untied?: boolean;
}

/** Layers of the base models; a small vocabulary, so that layers and not the output embedding are compared. */
export const GPT2_SMALL = shapeOf('gpt2', 12);
export const BERT_BASE = shapeOf('bert', 12);
export const LLAMA_SMALL = shapeOf('llama', 4);

function shapeOf(family: Family, kvHeads: number): ModelShape {
  return { family, layers: 12, heads: 12, kvHeads, headDim: 64, vocabulary: 8192, context: 4096 };
}

/**
 * A model with random weights, written as PyTorch exports its family. `gpt2`: learned positions, norms before, causal, GELU.
 * `bert`: learned positions, norms after, no mask, GELU. `llama`: rotary positions, grouped queries, RMS norms before, causal,
 * SwiGLU. Input `input_ids` [1, N], output `logits`, tied embeddings.
 */
export function benchModel(shape: ModelShape): Uint8Array {
  return new ModelWriter(shape).write();
}

class ModelWriter {
  private readonly g = new GraphBuilder();
  private readonly uniform = random(7).uniform;
  private readonly width: number;

  constructor(private readonly shape: ModelShape) {
    this.width = shape.heads * shape.headDim;
  }

  write(): Uint8Array {
    const { g, width } = this;
    const { family, layers, vocabulary, context } = this.shape;
    const ids = g.input('input_ids', 'int64', [1, 'sequence']);
    const length = g.op('Gather', [g.op('Shape', [ids]), g.int(1, [])]);
    const positions = g.op('Range', [g.int(0, []), length, g.int(1, [])]);
    const embedding = this.weights(vocabulary, width, 0.02);
    let x = g.op('Gather', [embedding, ids]);
    if (family !== 'llama') {
      x = g.op('Add', [x, g.op('Gather', [this.weights(context, width, 0.01), positions])]);
    }
    // [N, N]: row i may see column j <= i.
    const mask =
      family === 'bert'
        ? null
        : g.op('GreaterOrEqual', [
            g.op('Unsqueeze', [positions, g.int([1])]),
            g.op('Unsqueeze', [positions, g.int([0])]),
          ]);
    const rotate = family === 'llama' ? this.rotary(positions) : (value: Value) => value;
    for (let layer = 0; layer < layers; layer++) {
      const sublayer = (value: Value, body: (input: Value) => Value) =>
        family === 'bert'
          ? this.norm(g.op('Add', [value, body(value)]))
          : g.op('Add', [value, body(this.norm(value))]);
      x = sublayer(x, input => this.attention(input, mask, rotate));
      x = sublayer(x, input => (family === 'llama' ? this.gated(input) : this.feedForward(input)));
    }
    const hidden = family === 'bert' ? x : this.norm(x);
    const output = this.shape.untied
      ? this.weights(width, vocabulary, 0.02)
      : g.op('Transpose', [embedding], { perm: [1, 0] });
    const logits = g.op('MatMul', [hidden, output]);
    g.output('logits', logits, 'float32', [1, 'sequence', vocabulary]);
    return g.encode();
  }

  private attention(x: Value, mask: Value | null, rotate: (value: Value) => Value): Value {
    const { g, width } = this;
    const { family, heads, kvHeads, headDim } = this.shape;
    const deviation = 2 / Math.sqrt(width);
    const [q, k, v] =
      family === 'gpt2'
        ? (g.ops('Split', [this.linear(x, width, 3 * width, deviation)], 3, { axis: 2, num_outputs: 3 }) as [
            Value,
            Value,
            Value,
          ])
        : [
            this.linear(x, width, width, deviation),
            this.linear(x, width, kvHeads * headDim, deviation),
            this.linear(x, width, kvHeads * headDim, deviation),
          ];
    const split = (value: Value, count: number) =>
      g.op('Transpose', [g.op('Reshape', [value, g.int([0, 0, count, headDim])])], { perm: [0, 2, 1, 3] });
    const keys = g.op('Transpose', [this.repeat(rotate(split(k, kvHeads)))], { perm: [0, 1, 3, 2] });
    let scores = g.op('Div', [g.op('MatMul', [rotate(split(q, heads)), keys]), g.float(Math.sqrt(headDim))]);
    if (mask) scores = g.op('Where', [mask, scores, g.float(-3.4028234663852886e38)]);
    const context = g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), this.repeat(split(v, kvHeads))]);
    const joined = g.op('Reshape', [
      g.op('Transpose', [context], { perm: [0, 2, 1, 3] }),
      g.int([0, 0, width]),
    ]);
    return this.linear(joined, width, width, 0.5 / Math.sqrt(width));
  }

  /** [1, kvHeads, N, dim] -> [1, heads, N, dim], as `repeat_kv` does it. */
  private repeat(value: Value): Value {
    const { g } = this;
    const { heads, kvHeads, headDim } = this.shape;
    if (heads === kvHeads) return value;
    const group = g.op('Unsqueeze', [value, g.int([2])]);
    const copies = g.op(
      'Concat',
      Array.from({ length: heads / kvHeads }, () => group),
      { axis: 2 },
    );
    return g.op('Reshape', [copies, g.int([0, heads, -1, headDim])]);
  }

  /** Rotary positions, halves convention. */
  private rotary(positions: Value): (value: Value) => Value {
    const { g } = this;
    const half = this.shape.headDim / 2;
    const frequencies = Float32Array.from({ length: half }, (_, c) => 10_000 ** (-c / half));
    const angle = g.op('MatMul', [
      g.op('Unsqueeze', [g.op('Cast', [positions], { to: 1 }), g.int([1])]),
      g.float(frequencies, [1, half]),
    ]);
    const both = g.op('Concat', [angle, angle], { axis: -1 });
    const [cos, sin] = [g.op('Cos', [both]), g.op('Sin', [both])];
    return value => {
      const [a, b] = g.ops('Split', [value], 2, { axis: -1, num_outputs: 2 }) as [Value, Value];
      const turned = g.op('Concat', [g.op('Neg', [b]), a], { axis: -1 });
      return g.op('Add', [g.op('Mul', [value, cos]), g.op('Mul', [turned, sin])]);
    };
  }

  private feedForward(x: Value): Value {
    const { g, width } = this;
    const inner = this.linear(x, width, 4 * width, 1 / Math.sqrt(width));
    const erf = g.op('Add', [g.op('Erf', [g.op('Div', [inner, g.float(Math.SQRT2)])]), g.float(1)]);
    const gelu = g.op('Mul', [g.op('Mul', [inner, erf]), g.float(0.5)]);
    return this.linear(gelu, 4 * width, width, 0.5 / Math.sqrt(4 * width));
  }

  private gated(x: Value): Value {
    const { g, width } = this;
    const inner = 64 * Math.round((8 * width) / 3 / 64);
    const gate = this.linear(x, width, inner, 1 / Math.sqrt(width));
    const silu = g.op('Mul', [gate, g.op('Sigmoid', [gate])]);
    const product = g.op('Mul', [silu, this.linear(x, width, inner, 1 / Math.sqrt(width))]);
    return this.linear(product, inner, width, 0.5 / Math.sqrt(inner));
  }

  private norm(x: Value): Value {
    const { g, width } = this;
    const ones = g.float(new Float32Array(width).fill(1));
    if (this.shape.family !== 'llama') {
      const zeros = g.float(new Float32Array(width));
      return g.op('LayerNormalization', [x, ones, zeros], { axis: -1, epsilon: { float: 1e-5 } });
    }
    const squares = g.op('ReduceMean', [g.op('Pow', [x, g.float(2)]), g.int([-1])], { keepdims: 1 });
    const root = g.op('Sqrt', [g.op('Add', [squares, g.float(1e-6)])]);
    return g.op('Mul', [g.op('Div', [x, root]), ones]);
  }

  private linear(x: Value, rows: number, columns: number, deviation: number): Value {
    const product = this.g.op('MatMul', [x, this.weights(rows, columns, deviation)]);
    if (this.shape.family === 'llama') return product;
    return this.g.op('Add', [product, this.g.float(new Float32Array(columns))]);
  }

  /** Uniform with the wished standard deviation: cheaper to draw than normal, the same to a matrix product. */
  private weights(rows: number, columns: number, deviation: number): Value {
    const scale = deviation * Math.sqrt(12);
    const data = Float32Array.from({ length: rows * columns }, () => (this.uniform() - 0.5) * scale);
    return this.g.constant({ type: 'float32', data, dims: [rows, columns] });
  }
}

/** Token ids as text has them: few are frequent, many are rare. */
export function randomIds(length: number, vocabulary: number): Int32Array {
  const { uniform } = random(length);
  return Int32Array.from({ length }, () => Math.floor(vocabulary ** uniform()) % vocabulary);
}
