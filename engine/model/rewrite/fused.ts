import { RefusedError, told } from '../../errors';
import { isHalf } from '../onnx/elementTypes';
import { ElementType } from '../../runtime/onnxProto';
import type { Graph } from '../onnx/graph';
import {
  attribute,
  findAttribute,
  floatAttribute,
  intAttribute,
  intsAttribute,
  type GraphNode,
} from '../onnx/node';

/**
 * Writes ONNX Runtime's fused attention operators (domain com.microsoft) out as products and a softmax, so that their
 * cores are found and cut like all others. After ONNX Runtime's documentation of its contrib operators
 * (docs/ContribOperators.md). Only what happens without past keys and values is written out: the inspector looks at whole texts.
 */
const FUSED: Record<string, (writer: Writer) => string> = {
  Attention: packed,
  QAttention: packed,
  MultiHeadAttention: multiHead,
  GroupQueryAttention: groupQuery,
  PackedAttention: w => w.withoutBatch(packed(w)),
  PackedMultiHeadAttention: w => w.withoutBatch(multiHead(w)),
  DecoderMaskedMultiHeadAttention: multiHead,
  // One text has no padding: its tokens are all there are.
  RemovePadding: w => w.withoutBatch(w.input(0)),
  RestorePadding: w => w.withBatch(w.input(0)),
};
const NOT_ON_CPU = new Set([
  'PackedAttention',
  'PackedMultiHeadAttention',
  'DecoderMaskedMultiHeadAttention',
  'RemovePadding',
  'RestorePadding',
]);
const REFUSED = new Set([
  'DecoderMaskedSelfAttention',
  'DecoderAttention',
  'SparseAttention',
  'PagedAttention',
  'LongformerAttention',
  'QOrderedAttention',
  'QOrderedLongformerAttention',
]);

const DOMAIN = 'com.microsoft';
/** What ONNX Runtime adds where a causal mask hides a key. */
const LOWEST = -3.4028234663852886e38;

export function fusedNodes(graph: Graph): GraphNode[] {
  const nodes = graph.nodes.filter(n => n.domain === DOMAIN);
  for (const n of nodes)
    if (REFUSED.has(n.op)) throw new RefusedError(told`The model uses ${n.op}, which is not supported.`);
  return nodes.filter(n => Object.hasOwn(FUSED, n.op));
}

/**
 * `dims`: the shape of every input of the fused nodes for a short text. Returns what of them ONNX Runtime does not run on
 * the CPU, or not for a whole text.
 */
export function writeOutFused(
  graph: Graph,
  nodes: GraphNode[],
  dims: (name: string) => readonly number[],
): string[] {
  const lacking = new Set<string>();
  for (const node of nodes) {
    const writer = new Writer(graph, node, dims);
    if (NOT_ON_CPU.has(node.op)) writer.lacks(node.op);
    const output = FUSED[node.op]!(writer);
    graph.op('Identity', [output], [], node.outputs[0]!);
    for (const what of writer.lacking) lacking.add(what);
  }
  const replaced = new Set(nodes);
  graph.setNodes(graph.nodes.filter(n => !replaced.has(n)));
  return [...lacking];
}

/** Refuses what is still read of the fused nodes, once all of them are written out. */
export function refuseSideOutputs(graph: Graph, nodes: readonly GraphNode[]): void {
  for (const name of nodes.flatMap(n => n.outputs.slice(1)))
    if (name !== '' && graph.consumers(name).length > 0)
      throw new RefusedError(
        told`The model reads the side output ${name} of a fused attention, which is not supported.`,
      );
}

/** Attention, QAttention and PackedAttention: one projection of the input gives Q, K and V. */
function packed(w: Writer): string {
  const { graph, node } = w;
  const quantised = node.op === 'QAttention';
  const withoutPadding = node.op === 'PackedAttention';
  const heads = w.int('num_heads');
  const [mask, past] = withoutPadding
    ? []
    : quantised
      ? [node.inputs[5], node.inputs[8]]
      : [node.inputs[3], node.inputs[4]];
  w.noPast(past);
  const input = withoutPadding ? w.withBatch(node.inputs[0]!) : node.inputs[0]!;
  const product = quantised ? w.integerProduct() : graph.op('MatMul', [input, node.inputs[1]!]);
  const projected = node.inputs[2] ? graph.op('Add', [product, node.inputs[2]]) : product;
  const width = w.dims(node.inputs[1]!)[1]!;
  const sizes = intsAttribute(node, 'qkv_hidden_sizes') ?? [width / 3, width / 3, width / 3];
  const part = (i: number) => {
    const from = sizes.slice(0, i).reduce((a, b) => a + b, 0);
    return w.heads(w.slice(projected, from, from + sizes[i]!), heads);
  };
  const dim = sizes[0]! / heads;
  const rotates = w.int('do_rotary') === 1;
  if (rotates) w.lacks('Attention with rotary positions');
  const turned = (x: string) => (rotates ? w.rotateHalves(x, w.int('rotary_embedding_dim') || dim) : x);
  return w.attend({
    q: turned(part(0)),
    k: turned(part(1)),
    v: part(2),
    dim,
    bias: quantised ? '' : (node.inputs[5] ?? ''),
    mask: mask ?? '',
    causal: w.int('unidirectional') === 1,
    window: -1,
    cap: 0,
  });
}

/** MultiHeadAttention, its form without padding, and its form for one token at a time, which is causal over a whole text. */
function multiHead(w: Writer): string {
  const { graph, node } = w;
  const heads = w.int('num_heads');
  const stepwise = node.op === 'DecoderMaskedMultiHeadAttention';
  const withoutPadding = node.op === 'PackedMultiHeadAttention';
  const inputs = node.inputs as (string | undefined)[];
  const [query, key, value] = inputs;
  const [bias, mask, attentionBias, pastKey, pastValue] = stepwise
    ? [inputs[10], inputs[3], inputs[4], inputs[5], inputs[6]]
    : withoutPadding
      ? [inputs[3], '', inputs[6]]
      : inputs.slice(3, 8);
  w.noPast(pastKey);
  w.noPast(pastValue);
  const parts = multiHeadParts(w, query!, key, value, withoutPadding, heads);
  const width = parts.dim * heads;
  const biased = parts.sources.map((part, i) => {
    if (!bias || part.given) return part.name;
    const from = i * width;
    const size = i === 2 ? w.fixed(bias)! - 2 * width : width;
    const perHead = graph.op('Reshape', [w.slice(bias, from, from + size, 0), graph.ints([heads, 1, -1])]);
    return graph.op('Add', [part.name, perHead]);
  });
  return w.attend({
    q: biased[0]!,
    k: biased[1]!,
    v: biased[2]!,
    dim: parts.dim,
    bias: attentionBias ?? '',
    mask: mask ?? '',
    causal: stepwise || w.int('unidirectional') === 1,
    window: -1,
    cap: 0,
  });
}

/** Q, K and V as [batch, heads, tokens, dim]; `given`: already split into heads, and not to be biased. */
function multiHeadParts(
  w: Writer,
  query: string,
  key: string | undefined,
  value: string | undefined,
  withoutPadding: boolean,
  heads: number,
): { sources: { name: string; given: boolean }[]; dim: number } {
  const { graph } = w;
  const dims = (name: string) => (withoutPadding ? [1, ...w.dims(name)] : w.dims(name));
  const whole = (name: string) => (withoutPadding ? w.withBatch(name) : name);
  // [batch, tokens, heads, 2 or 3, dim]
  const part = (name: string, i: number) => {
    const taken = graph.op('Gather', [whole(name), graph.ints([i], [])], [attribute.int('axis', 3)]);
    return { name: graph.op('Transpose', [taken], [attribute.ints('perm', [0, 2, 1, 3])]), given: false };
  };
  if (!key) {
    if (dims(query).length !== 5) return w.refuse('has packed inputs of an unknown form');
    w.lacks(`${w.node.op} with packed queries, keys and values`);
    return { sources: [0, 1, 2].map(i => part(query, i)), dim: dims(query)[4]! };
  }
  const dim = dims(query)[2]! / heads;
  const q = { name: w.heads(whole(query), heads), given: false };
  if (!value) {
    if (dims(key).length !== 5) return w.refuse('has packed inputs of an unknown form');
    w.lacks(`${w.node.op} with packed keys and values`);
    return { sources: [q, part(key, 0), part(key, 1)], dim };
  }
  // Keys and values of cross-attention may come as [batch, heads, tokens, dim].
  const others = [key, value].map(name =>
    dims(name).length === 4 ? { name, given: true } : { name: w.heads(whole(name), heads), given: false },
  );
  return { sources: [q, ...others], dim };
}

function groupQuery(w: Writer): string {
  const { graph, node } = w;
  const heads = w.int('num_heads');
  const kvHeads = w.int('kv_num_heads');
  const inputs = node.inputs as (string | undefined)[];
  const [query, key, value, pastKey, pastValue, , , cos, sin, positions, attentionBias, sink] = inputs;
  const [keyScale, valueScale, queryNorm, keyNorm] = inputs.slice(12);
  // A cache of the window's size holds nothing before the text, and then the window is all there is to it.
  if (w.int('sliding_window_cache') === 1) w.lacks('GroupQueryAttention with a cache of its window');
  else {
    w.noPast(pastKey);
    w.noPast(pastValue);
  }
  if (keyScale || valueScale) w.refuse('quantises its keys and values');
  const width = w.dims(query!)[2]!;
  const dim = key ? width / heads : width / (heads + 2 * kvHeads);
  let [q, k, v] = [query!, key ?? '', value ?? ''];
  if (!key)
    [q, k, v] = [
      w.slice(query!, 0, heads * dim),
      w.slice(query!, heads * dim, (heads + kvHeads) * dim),
      w.slice(query!, (heads + kvHeads) * dim, width),
    ];
  if (queryNorm || keyNorm) {
    w.lacks('GroupQueryAttention with normalised queries and keys');
    if (queryNorm) q = w.normalised(q, queryNorm, heads);
    if (keyNorm) k = w.normalised(k, keyNorm, kvHeads);
  }
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
    causal: intAttribute(node, 'causal', 1) === 1,
    window: intAttribute(node, 'local_window_size', -1),
    cap: floatAttribute(node, 'softcap', 0),
    // A smooth softmax has a sink whose score is 0.
    sink: sink || (w.int('smooth_softmax') === 1 ? graph.floats([0], [1]) : ''),
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
  /** [heads] or [1]: a score beside those of the keys; '' = none. */
  sink?: string;
}

class Writer {
  /** What of the node ONNX Runtime does not run on the CPU. */
  readonly lacking: string[] = [];

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
    throw new RefusedError(told`The model's ${this.node.op} ${what}, which is not supported.`);
  }

  lacks(what: string): void {
    this.lacking.push(what);
  }

  input(index: number): string {
    return this.node.inputs[index]!;
  }

  /** Length of a constant vector. */
  fixed(name: string): number | undefined {
    return this.dims(name)[0];
  }

  /** [tokens, ...] -> [1, tokens, ...] */
  withBatch(name: string): string {
    return this.unsqueezed(name, [0]);
  }

  /** [1, tokens, width] -> [tokens, width] */
  withoutBatch(name: string): string {
    return this.graph.op('Gather', [name, this.graph.ints([0], [])], [attribute.int('axis', 0)]);
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

  /** Each head's rows over their root mean square, times a weight: [batch, tokens, heads * dim]. */
  normalised(name: string, weight: string, heads: number): string {
    const { graph, node } = this;
    const type = graph.type(name);
    const float = (x: string) =>
      isHalf(type) ? graph.op('Cast', [x], [attribute.int('to', ElementType.float32)]) : x;
    const split = graph.op('Reshape', [float(name), graph.ints([0, 0, heads, -1])]);
    const squares = graph.op('Mul', [split, split]);
    const mean = graph.op('Div', [this.sumOfLast(squares), graph.floats([this.dims(weight)[0]!], [])]);
    const epsilon = graph.floats([floatAttribute(node, 'qk_norm_epsilon', 1e-6)], []);
    const root = graph.op('Sqrt', [graph.op('Add', [mean, epsilon])]);
    const scaled = graph.op('Mul', [graph.op('Div', [split, root]), float(weight)]);
    const joined = graph.op('Reshape', [scaled, graph.ints([0, 0, -1])]);
    return isHalf(type) ? graph.op('Cast', [joined], [attribute.int('to', type)]) : joined;
  }

  private sumOfLast(name: string): string {
    const { graph } = this;
    return graph.opset() >= 13
      ? graph.op('ReduceSum', [name, graph.ints([-1])])
      : graph.op('ReduceSum', [name], [attribute.ints('axes', [-1])]);
  }

  /**
   * Rotary positions of base 10,000 on the first `rotated` features of [batch, heads, tokens, dim], halves against each other
   * (as in GPT-NeoX): what Attention does where it rotates itself.
   */
  rotateHalves(name: string, rotated: number): string {
    const { graph } = this;
    const half = rotated / 2;
    const to = attribute.int('to', ElementType.float32);
    const positions = graph.op(
      'Cast',
      [graph.op('Reshape', [this.range(name, 2), graph.ints([-1, 1])])],
      [to],
    );
    const frequencies = Float32Array.from({ length: half }, (_, i) => 10_000 ** (-i / half));
    const angle = graph.op('Mul', [positions, graph.floats(frequencies, [1, half])]);
    const [cos, sin] = ['Cos', 'Sin'].map(op => graph.op(op, [angle])) as [string, string];
    const left = this.slice(name, 0, half, 3);
    const right = this.slice(name, half, rotated, 3);
    const times = (x: string, y: string) => graph.op('Mul', [x, y]);
    const parts = [
      graph.op('Sub', [times(left, cos), times(right, sin)]),
      graph.op('Add', [times(right, cos), times(left, sin)]),
      this.slice(name, rotated, 2 ** 30, 3),
    ];
    return graph.op('Concat', parts, [attribute.int('axis', 3)]);
  }

  /** Scores, scale, cap, bias, masks, softmax, weighted sum; gives [batch, tokens, heads * valueDim]. */
  attend({ q, k, v, dim, bias, mask, causal, window, cap, sink = '' }: Parts): string {
    const { graph, node } = this;
    const type = graph.type(q);
    const half = isHalf(type);
    const float = (name: string) =>
      half && name !== '' ? graph.op('Cast', [name], [attribute.int('to', ElementType.float32)]) : name;
    [q, k, v, bias, sink] = [q, k, v, bias, sink].map(float) as [string, string, string, string, string];
    const given = floatAttribute(node, 'scale', 0);
    const scale = findAttribute(node, 'scale') && given !== 0 ? given : 1 / Math.sqrt(dim);
    const kt = graph.op('Transpose', [k], [attribute.ints('perm', [0, 1, 3, 2])]);
    let scores = graph.op('Mul', [graph.op('MatMul', [q, kt]), graph.floats([scale], [])]);
    if (cap > 0) {
      const c = graph.floats([cap], []);
      scores = graph.op('Mul', [graph.op('Tanh', [graph.op('Div', [scores, c])]), c]);
    }
    if (bias !== '') scores = graph.op('Add', [scores, bias]);
    if (mask !== '') scores = this.masked(scores, mask, q, k);
    if (causal) scores = this.causal(scores, q, k, window);
    const p = sink === '' ? this.softmax(scores) : this.softmaxBeside(scores, sink);
    const context = graph.op(
      'Transpose',
      [graph.op('MatMul', [p, v])],
      [attribute.ints('perm', [0, 2, 1, 3])],
    );
    const joined = graph.op('Reshape', [context, graph.ints([0, 0, -1])]);
    return half ? graph.op('Cast', [joined], [attribute.int('to', type)]) : joined;
  }

  private softmax(scores: string): string {
    return this.graph.op('Softmax', [scores], [attribute.int('axis', -1)]);
  }

  /** The softmax over scores and one more column, which is cut off again. */
  private softmaxBeside(scores: string, sink: string): string {
    const { graph } = this;
    const lead = this.slice(graph.op('Shape', [scores]), 0, 3, 0);
    const dims = graph.op('Concat', [lead, graph.ints([1])], [attribute.int('axis', 0)]);
    const column = graph.op('Expand', [graph.op('Reshape', [sink, graph.ints([1, -1, 1, 1])]), dims]);
    const all = this.softmax(graph.op('Concat', [scores, column], [attribute.int('axis', 3)]));
    return this.slice(all, 0, -1, 3);
  }

  private masked(scores: string, mask: string, q: string, k: string): string {
    const { graph, node } = this;
    const rank = this.dims(mask).length;
    if (rank === 1) return scores;
    const float = graph.op('Cast', [mask], [attribute.int('to', ElementType.float32)]);
    // [batch, keys] or [batch, queries, keys] under all heads, or [batch, 1, longest, longest].
    const full = rank === 4 ? this.cornerOf(float, q, k) : this.unsqueezed(float, rank === 2 ? [1, 2] : [1]);
    const hidden = graph.op('Sub', [graph.floats([1], []), full]);
    const fill = floatAttribute(node, 'mask_filter_value', -10000);
    return graph.op('Add', [scores, graph.op('Mul', [hidden, graph.floats([fill], [])])]);
  }

  /** The first rows and columns of a mask that is kept for the longest text. */
  private cornerOf(mask: string, q: string, k: string): string {
    const { graph } = this;
    this.lacks(`${this.node.op} with a mask of four axes`);
    const count = (name: string) =>
      graph.op('Gather', [graph.op('Shape', [name]), graph.ints([2])], [attribute.int('axis', 0)]);
    const rows = graph.op('Slice', [mask, graph.ints([0]), count(q), graph.ints([2])]);
    return graph.op('Slice', [rows, graph.ints([0]), count(k), graph.ints([3])]);
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
