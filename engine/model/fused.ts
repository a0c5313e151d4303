import { RefusedError } from '../errors';
import { isHalf } from './elementTypes';
import { ElementType } from '../runtime/onnxProto';
import type { Graph } from './graph';
import {
  attribute,
  findAttribute,
  floatAttribute,
  intAttribute,
  intsAttribute,
  type GraphNode,
} from './node';

/**
 * Writes ONNX Runtime's fused attention operators (domain com.microsoft) out as products and a softmax, so that their
 * cores are found and cut like all others. After ONNX Runtime's documentation of its contrib operators
 * (docs/ContribOperators.md). Only what happens without past keys and values is written out: the inspector looks at whole texts.
 */
export const FUSED = new Set(['Attention', 'QAttention', 'MultiHeadAttention', 'GroupQueryAttention']);
const STEPWISE = new Set([
  'DecoderMaskedMultiHeadAttention',
  'DecoderMaskedSelfAttention',
  'DecoderAttention',
]);
const OTHERS = new Set([
  'PackedAttention',
  'PackedMultiHeadAttention',
  'SparseAttention',
  'PagedAttention',
  'LongformerAttention',
]);

const DOMAIN = 'com.microsoft';
/** What ONNX Runtime adds where a causal mask hides a key. */
const LOWEST = -3.4028234663852886e38;

export function fusedNodes(graph: Graph): GraphNode[] {
  const nodes = graph.nodes.filter(n => n.domain === DOMAIN);
  for (const n of nodes)
    if (STEPWISE.has(n.op) || OTHERS.has(n.op))
      throw new RefusedError(
        STEPWISE.has(n.op)
          ? `The model uses ${n.op}, which decodes one token at a time; export it without generation optimisations.`
          : `The model uses ${n.op}, which is not supported.`,
      );
  return nodes.filter(n => FUSED.has(n.op));
}

/** `dims`: the shape of every input of the fused nodes for a text of `tokens` tokens. */
export function writeOutFused(
  graph: Graph,
  nodes: GraphNode[],
  dims: (name: string) => readonly number[],
): void {
  for (const node of nodes) {
    const writer = new Writer(graph, node, dims);
    const output =
      node.op === 'MultiHeadAttention'
        ? multiHead(writer)
        : node.op === 'GroupQueryAttention'
          ? groupQuery(writer)
          : packed(writer);
    graph.op('Identity', [output], [], node.outputs[0]!);
  }
  const replaced = new Set(nodes);
  const lost = nodes.flatMap(n => n.outputs.slice(1).filter(o => o !== ''));
  graph.setNodes(graph.nodes.filter(n => !replaced.has(n)));
  for (const name of lost)
    if (graph.consumers(name).length > 0)
      throw new RefusedError(
        `The model reads the side output ${name} of a fused attention, which is not supported.`,
      );
}

/** Attention and QAttention: one projection of the input gives Q, K and V. */
function packed(w: Writer): string {
  const { graph, node } = w;
  const quantised = node.op === 'QAttention';
  const heads = w.int('num_heads');
  const [mask, past] = quantised ? [node.inputs[5], node.inputs[8]] : [node.inputs[3], node.inputs[4]];
  w.noPast(past);
  if (w.int('do_rotary') === 1) w.refuse('rotates positions inside');
  const product = quantised ? w.integerProduct() : graph.op('MatMul', [node.inputs[0]!, node.inputs[1]!]);
  const projected = node.inputs[2] ? graph.op('Add', [product, node.inputs[2]]) : product;
  const width = w.dims(node.inputs[1]!)[1]!;
  const sizes = intsAttribute(node, 'qkv_hidden_sizes') ?? [width / 3, width / 3, width / 3];
  const part = (i: number) => {
    const from = sizes.slice(0, i).reduce((a, b) => a + b, 0);
    return w.heads(w.slice(projected, from, from + sizes[i]!), heads);
  };
  return w.attend({
    q: part(0),
    k: part(1),
    v: part(2),
    dim: sizes[0]! / heads,
    bias: quantised ? '' : (node.inputs[5] ?? ''),
    mask: mask ?? '',
    causal: w.int('unidirectional') === 1,
    window: -1,
    cap: 0,
  });
}

function multiHead(w: Writer): string {
  const { graph, node } = w;
  const heads = w.int('num_heads');
  const [query, key, value, bias, mask, attentionBias, pastKey, pastValue] = node.inputs as (
    string | undefined
  )[];
  w.noPast(pastKey);
  w.noPast(pastValue);
  if (!key || !value || w.dims(query!).length !== 3) return w.refuse('has packed inputs');
  const sources = [query!, key, value];
  const width = w.dims(query!)[2]!;
  const parts = sources.map((source, i) => {
    // Keys and values of cross-attention may come as [batch, heads, tokens, dim].
    if (w.dims(source).length === 4) return source;
    const from = i * width;
    const size = i === 2 ? w.dims(source)[2]! : width;
    const biased = bias ? graph.op('Add', [source, w.slice(bias, from, from + size, 0)]) : source;
    return w.heads(biased, heads);
  });
  return w.attend({
    q: parts[0]!,
    k: parts[1]!,
    v: parts[2]!,
    dim: width / heads,
    bias: attentionBias ?? '',
    mask: mask ?? '',
    causal: w.int('unidirectional') === 1,
    window: -1,
    cap: 0,
  });
}

function groupQuery(w: Writer): string {
  const { graph, node } = w;
  const heads = w.int('num_heads');
  const kvHeads = w.int('kv_num_heads');
  const [query, key, value, pastKey, pastValue, , , cos, sin, positions, attentionBias, sink] =
    node.inputs as (string | undefined)[];
  w.noPast(pastKey);
  w.noPast(pastValue);
  if (sink || w.int('smooth_softmax') === 1) w.refuse('adds a sink to its softmax');
  const width = w.dims(query!)[2]!;
  const dim = key ? width / heads : width / (heads + 2 * kvHeads);
  let [q, k, v] = [query!, key ?? '', value ?? ''];
  if (!key)
    [q, k, v] = [
      w.slice(query!, 0, heads * dim),
      w.slice(query!, heads * dim, (heads + kvHeads) * dim),
      w.slice(query!, (heads + kvHeads) * dim, width),
    ];
  if (w.int('do_rotary') === 1) {
    const at = positions || w.positions(query!);
    q = w.rotate(q, at, cos!, sin!, heads, dim);
    k = w.rotate(k, at, cos!, sin!, kvHeads, dim);
  }
  const group = heads / kvHeads;
  const index = graph.ints(Array.from({ length: heads }, (_, h) => Math.floor(h / group)));
  const repeat = (x: string) =>
    group === 1 ? x : graph.op('Gather', [x, index], [attribute.int('axis', 1)]);
  return w.attend({
    q: w.heads(q, heads),
    k: repeat(w.heads(k, kvHeads)),
    v: repeat(w.heads(v, kvHeads)),
    dim,
    bias: attentionBias ?? '',
    mask: '',
    causal: true,
    window: intAttribute(node, 'local_window_size', -1),
    cap: floatAttribute(node, 'softcap', 0),
  });
}

interface Parts {
  /** [batch, heads, tokens, dim] */
  q: string;
  k: string;
  v: string;
  dim: number;
  /** Added to the scores; '' = none. */
  bias: string;
  /** 1 = visible: [batch, keys] or [batch, queries, keys]; lengths [batch] say nothing for one whole text. */
  mask: string;
  causal: boolean;
  /** Each query sees so many keys, itself included; -1 = all. */
  window: number;
  cap: number;
}

class Writer {
  constructor(
    readonly graph: Graph,
    readonly node: GraphNode,
    private readonly shapes: (name: string) => readonly number[],
  ) {}

  int(name: string): number {
    return intAttribute(this.node, name, 0);
  }

  dims(name: string): readonly number[] {
    return this.shapes(name);
  }

  refuse(what: string): never {
    throw new RefusedError(`The model's ${this.node.op} ${what}, which is not supported.`);
  }

  noPast(name: string | undefined): void {
    if (name && !this.dims(name).includes(0)) this.refuse('needs past keys and values');
  }

  slice(name: string, from: number, to: number, axis = 2): string {
    const { graph } = this;
    return graph.op('Slice', [name, graph.ints([from]), graph.ints([to]), graph.ints([axis])]);
  }

  /** [batch, tokens, heads * dim] -> [batch, heads, tokens, dim] */
  heads(name: string, heads: number): string {
    const { graph } = this;
    const split = graph.op('Reshape', [name, graph.ints([0, 0, heads, -1])]);
    return graph.op('Transpose', [split], [attribute.ints('perm', [0, 2, 1, 3])]);
  }

  /** The quantised projection of QAttention in float. */
  integerProduct(): string {
    const { graph, node } = this;
    const [x, weight, , xScale, weightScale, , xZero, weightZero] = node.inputs as (string | undefined)[];
    const inputs = [x!, weight!, xZero ?? '', weightZero ?? ''];
    while (inputs[inputs.length - 1] === '') inputs.pop();
    const product = graph.op('MatMulInteger', inputs);
    const float = graph.op('Cast', [product], [attribute.int('to', ElementType.float32)]);
    return graph.op('Mul', [float, graph.op('Mul', [xScale!, weightScale!])]);
  }

  /** 0, 1, 2, ... as [1, tokens] for a tensor [batch, tokens, ...]. */
  positions(name: string): string {
    const { graph } = this;
    return graph.op('Reshape', [this.range(name, 1), graph.ints([1, -1])]);
  }

  private range(name: string, axis: number): string {
    const { graph } = this;
    const shape = graph.op('Shape', [name]);
    const count = graph.op('Gather', [shape, graph.ints([axis], [])], [attribute.int('axis', 0)]);
    return graph.op('Range', [graph.ints([0], []), count, graph.ints([1], [])]);
  }

  rotate(name: string, positions: string, cos: string, sin: string, heads: number, dim: number): string {
    const rotated = 2 * this.dims(cos)[1]!;
    const attributes = [
      attribute.int('interleaved', this.int('rotary_interleaved')),
      attribute.int('num_heads', heads),
      attribute.int('rotary_embedding_dim', rotated === dim ? 0 : rotated),
    ];
    return this.graph.op('RotaryEmbedding', [name, positions, cos, sin], attributes, undefined, DOMAIN);
  }

  /** Scores, scale, cap, bias, masks, softmax, weighted sum; gives [batch, tokens, heads * valueDim]. */
  attend({ q, k, v, dim, bias, mask, causal, window, cap }: Parts): string {
    const { graph, node } = this;
    const type = graph.type(q);
    const half = isHalf(type);
    const float = (name: string) =>
      half && name !== '' ? graph.op('Cast', [name], [attribute.int('to', ElementType.float32)]) : name;
    [q, k, v, bias] = [q, k, v, bias].map(float) as [string, string, string, string];
    const given = floatAttribute(node, 'scale', 0);
    const scale = findAttribute(node, 'scale') && given !== 0 ? given : 1 / Math.sqrt(dim);
    const kt = graph.op('Transpose', [k], [attribute.ints('perm', [0, 1, 3, 2])]);
    let scores = graph.op('Mul', [graph.op('MatMul', [q, kt]), graph.floats([scale], [])]);
    if (cap > 0) {
      const c = graph.floats([cap], []);
      scores = graph.op('Mul', [graph.op('Tanh', [graph.op('Div', [scores, c])]), c]);
    }
    if (bias !== '') scores = graph.op('Add', [scores, bias]);
    if (mask !== '') scores = this.masked(scores, mask);
    if (causal) scores = this.causal(scores, q, k, window);
    const p = graph.op('Softmax', [scores], [attribute.int('axis', -1)]);
    const context = graph.op(
      'Transpose',
      [graph.op('MatMul', [p, v])],
      [attribute.ints('perm', [0, 2, 1, 3])],
    );
    const joined = graph.op('Reshape', [context, graph.ints([0, 0, -1])]);
    return half ? graph.op('Cast', [joined], [attribute.int('to', type)]) : joined;
  }

  private masked(scores: string, mask: string): string {
    const { graph, node } = this;
    const rank = this.dims(mask).length;
    if (rank === 1) return scores;
    if (rank > 3) this.refuse('has a mask of four axes');
    // [batch, keys] or [batch, queries, keys] under all heads.
    const axes = rank === 2 ? [1, 2] : [1];
    const float = graph.op('Cast', [mask], [attribute.int('to', ElementType.float32)]);
    const hidden = graph.op('Sub', [graph.floats([1], []), this.unsqueezed(float, axes)]);
    const fill = floatAttribute(node, 'mask_filter_value', -10000);
    return graph.op('Add', [scores, graph.op('Mul', [hidden, graph.floats([fill], [])])]);
  }

  private unsqueezed(name: string, axes: number[]): string {
    const { graph } = this;
    return graph.opset() >= 13
      ? graph.op('Unsqueeze', [name, graph.ints(axes)])
      : graph.op('Unsqueeze', [name], [attribute.ints('axes', axes)]);
  }

  private causal(scores: string, q: string, k: string, window: number): string {
    const { graph } = this;
    const row = graph.op('Reshape', [this.range(q, 2), graph.ints([-1, 1])]);
    const column = graph.op('Reshape', [this.range(k, 2), graph.ints([1, -1])]);
    let hidden = graph.op('Greater', [column, row]);
    if (window > 0) {
      const distance = graph.op('Sub', [row, column]);
      hidden = graph.op('Or', [hidden, graph.op('Greater', [distance, graph.ints([window - 1], [])])]);
    }
    return graph.op('Where', [hidden, graph.floats([LOWEST], []), scores]);
  }
}
