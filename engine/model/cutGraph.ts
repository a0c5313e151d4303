import { ElementType } from '../runtime/onnxProto';
import type { FoundCore } from './findCores';
import {
  attribute,
  constantValues,
  intAttribute,
  reads,
  type Extract,
  type Graph,
  type GraphNode,
} from './graph';
import { fromCanonical, toCanonical, type Layout } from './layout';

/** A found core with its layouts and the canonical tensors at the cut. */
export interface CutCore {
  found: FoundCore;
  layouts: { q: Layout; k: Layout; v: Layout; context: Layout };
  /** Shape of the scores before the two token axes. */
  scoreLead: number[];
  heads: number;
  kvHeads: number;
  dim: number;
  valueDim: number;
  /** Which of the model's id inputs gives the number of queries and of keys. */
  queryInput: number;
  keyInput: number;
  /** Canonical tensors: [heads, queries, dim], [kvHeads, keys, dim], [kvHeads, keys, valueDim], [heads, queries, valueDim]. */
  q: string;
  k: string;
  v: string;
  context: string;
}

/** Operators that stand for what is run outside the segments. */
const CUT_DOMAIN = 'cut';
const CORE = 'AttentionCore';
const HEAD = 'HeadRows';

/** The head of the model in a piece of its own, to be run on blocks of rows. */
export interface HeadCut {
  /** [rows, hidden], made by the last segment. */
  hidden: string;
  /** The head's own input. */
  rows: string;
  hiddenSize: number;
}

/** Replaces every core by a stand-in between canonical tensors. `sides`: content tensors that each core needs. */
export function replaceCores(graph: Graph, cores: readonly CutCore[], sides: readonly string[][]): Graph {
  const cut = graph.clone();
  const interior = new Set(cores.flatMap(c => c.found.interior));
  cut.setNodes(cut.nodes.filter(n => !interior.has(n)));
  cores.forEach((core, i) => {
    const { found, layouts } = core;
    toFloat(cut, found.q, layouts.q, graph.type(found.q), core.q);
    unrepeated(cut, found.k, layouts.k, graph.type(found.k), core.kvHeads, core.k);
    unrepeated(cut, found.v, layouts.v, graph.type(found.v), core.kvHeads, core.v);
    cut.add({
      op: CORE,
      domain: CUT_DOMAIN,
      inputs: [core.q, core.k, core.v, ...sides[i]!],
      outputs: [core.context],
      attributes: [],
      captures: [],
    });
    fromFloat(cut, core.context, layouts.context, graph.type(found.context), found.context);
  });
  cut.sort();
  return cut;
}

/**
 * The core as a model of its own, made of the graph's own nodes between the same canonical tensors: what ONNX Runtime
 * would have computed, bit for bit.
 */
export function referenceCore(graph: Graph, core: CutCore): Extract {
  const own = graph.clone();
  const { found, layouts } = core;
  const raw = { q: `${core.q}:raw`, k: `${core.k}:raw`, v: `${core.v}:raw` };
  const interior = new Set(found.interior);
  const inner = found.interior.map((node): GraphNode => {
    if (node.op === 'Attention') return { ...node, inputs: [raw.q, raw.k, raw.v, ...node.inputs.slice(3)] };
    // Products of any form take their operands in this order.
    if (node.outputs[0] === found.score) return { ...node, inputs: [raw.q, raw.k] };
    if (node.outputs[0] === found.context) return { ...node, inputs: [node.inputs[0]!, raw.v] };
    return node;
  });
  own.setNodes([...own.nodes.filter(n => !interior.has(n)), ...inner]);
  fromFloat(own, core.q, layouts.q, graph.type(found.q), raw.q);
  fromFloat(own, repeated(own, core.k, layouts.k, core.kvHeads), layouts.k, graph.type(found.k), raw.k);
  fromFloat(own, repeated(own, core.v, layouts.v, core.kvHeads), layouts.v, graph.type(found.v), raw.v);
  const out = `${core.context}:reference`;
  toFloat(own, found.context, layouts.context, graph.type(found.context), out);
  own.sort();
  const sides = new Set(found.contentSides);
  return own.extract([out], name => sides.has(name));
}

/** Adds the uncut core's output in canonical form; returns its name. */
export function canonicalContext(graph: Graph, { context, found, layouts }: CutCore): string {
  toFloat(graph, found.context, layouts.context, graph.type(found.context), `${context}:uncut`);
  return `${context}:uncut`;
}

export const isHalf = (type: number): boolean =>
  type === ElementType.float16 || type === ElementType.bfloat16;

/** The float32 input of a chain that stands for its scores. */
export const scoreName = (found: FoundCore): string => `${found.score}:given`;

/** The chain between scores and softmax as a model from float32 to float32: what the probe evaluates. */
export function chainOf(graph: Graph, { found }: CutCore): Extract {
  const own = graph.clone();
  const stops = new Set([scoreName(found), found.q, ...found.contentSides]);
  own.setNodes(own.nodes.filter(n => !n.outputs.includes(found.score)).map(n => unrounded(own, n)));
  const type = graph.type(found.q);
  const half = isHalf(type);
  own.op(
    half ? 'Cast' : 'Identity',
    [scoreName(found)],
    half ? [attribute.int('to', type)] : [],
    found.score,
  );
  const logits = half
    ? own.op('Cast', [found.logits], [attribute.int('to', ElementType.float32)])
    : found.logits;
  own.sort();
  return own.extract([logits], name => stops.has(name));
}

/** Statically quantised models round scores to 8 bits and back: no part of the rule. */
function unrounded(graph: Graph, node: GraphNode): GraphNode {
  const quantised = node.op === 'DequantizeLinear' ? graph.producer(node.inputs[0]!) : undefined;
  if (quantised?.op !== 'QuantizeLinear') return node;
  return { ...node, op: 'Identity', inputs: [quantised.inputs[0]!], attributes: [] };
}

/** A mask kept as a square buffer holds up to its size only. */
export function bufferLimit(graph: Graph, chain: Extract): number | null {
  const sizes = chain.initializers.flatMap(name => {
    const dims = graph.initializers.get(name)?.dims?.map(Number) ?? [];
    const size = dims[dims.length - 1] ?? 0;
    return dims.length >= 2 && size >= 8 && dims[dims.length - 2] === size ? [size] : [];
  });
  return sizes.length > 0 ? Math.min(...sizes) : null;
}

const COMPARING = new Set([
  'Less',
  'LessOrEqual',
  'Greater',
  'GreaterOrEqual',
  'Add',
  'Sub',
  'Min',
  'Max',
  'Neg',
  'Cast',
  'Unsqueeze',
  'Trilu',
]);

/** Added to hide a key; no distances. */
const MASK_VALUES = new Set([1e4, 1e5, 1e6, 65504]);

/** Single whole numbers that the chain's masks may compare distances with. */
export function thresholdsOf(graph: Graph, chain: Extract): number[] {
  const used = new Set(chain.initializers);
  const found = new Set<number>();
  for (const node of chain.nodes) {
    if (!COMPARING.has(node.op)) continue;
    // The axes of Unsqueeze are no threshold.
    for (const name of node.op === 'Unsqueeze' ? node.inputs.slice(0, 1) : node.inputs) {
      if (!used.has(name)) continue;
      const values = constantValues(graph.initializers.get(name));
      const value = Math.abs(values?.[0] ?? 0);
      const distance = Number.isInteger(value) && value >= 2 && value <= 1e6 && !MASK_VALUES.has(value);
      if (values?.length === 1 && distance) found.add(value);
    }
  }
  return [...found];
}

/** `type`: element type of the raw tensor; half-way through rewriting the graph cannot tell. */
function toFloat(graph: Graph, name: string, layout: Layout, type: number, output: string): void {
  if (type === ElementType.float32) return toCanonical(graph, name, layout, output);
  toCanonical(graph, name, layout, `${output}:${type}`);
  graph.op('Cast', [`${output}:${type}`], [attribute.int('to', ElementType.float32)], output);
}

function fromFloat(graph: Graph, name: string, layout: Layout, type: number, output: string): void {
  const at = type === ElementType.float32 ? name : graph.op('Cast', [name], [attribute.int('to', type)]);
  fromCanonical(graph, at, layout, output);
}

/** Keys or values with each group's first head only. */
function unrepeated(
  graph: Graph,
  name: string,
  layout: Layout,
  type: number,
  kvHeads: number,
  output: string,
): void {
  if (kvHeads === layout.heads) return toFloat(graph, name, layout, type, output);
  toFloat(graph, name, layout, type, `${output}:repeated`);
  const group = layout.heads / kvHeads;
  const firsts = Array.from({ length: kvHeads }, (_, i) => i * group);
  graph.op('Gather', [`${output}:repeated`, graph.ints(firsts)], [attribute.int('axis', 0)], output);
}

function repeated(graph: Graph, name: string, layout: Layout, kvHeads: number): string {
  if (kvHeads === layout.heads) return name;
  const group = layout.heads / kvHeads;
  const index = Array.from({ length: layout.heads }, (_, i) => Math.floor(i / group));
  return graph.op('Gather', [name, graph.ints(index)], [attribute.int('axis', 0)]);
}

// ---------------------------------------------------------------- the head

const ROWWISE = new Set(['Add', 'Sub', 'Mul', 'Div', 'Tanh', 'Cast', 'Identity']);

/**
 * Cuts before the last projection (weights times hidden rows, then at most elementwise steps with constants), so that
 * logits can be computed for blocks of rows. Null when the end of the graph is of another form.
 */
export function cutHead(graph: Graph): HeadCut | null {
  const constants = graph.constants();
  const after: GraphNode[] = [];
  let name = graph.output;
  for (let steps = 0; steps < 12; steps++) {
    const node = graph.producer(name);
    if (!node || (name !== graph.output && graph.consumers(name).length !== 1)) return null;
    const weight = projection(node, constants);
    if (weight) return splitAt(graph, node, weight, after);
    const [first, second] = node.inputs;
    const reshape =
      node.op === 'Reshape' || node.op === 'Flatten' || node.op === 'Squeeze' || node.op === 'Unsqueeze';
    if (reshape) name = first!;
    else if (ROWWISE.has(node.op) && (!second || constants.has(second))) name = first!;
    else if (ROWWISE.has(node.op) && second && constants.has(first!)) name = second;
    else return null;
    after.push(node);
  }
  return null;
}

function projection(node: GraphNode, constants: Set<string>): string | null {
  if (node.op === 'MatMul' && constants.has(node.inputs[1]!)) return node.inputs[1]!;
  if (node.op === 'Gemm' && constants.has(node.inputs[1]!) && intAttribute(node, 'transA', 0) === 0)
    return node.inputs[1]!;
  if (node.op === 'MatMulNBits') return node.inputs[1]!;
  return null;
}

function splitAt(graph: Graph, node: GraphNode, weight: string, after: GraphNode[]): HeadCut | null {
  const hiddenSize = inputSize(graph, node, weight);
  if (hiddenSize === null || graph.type(node.inputs[0]!) !== ElementType.float32) return null;
  const hidden = 'cut:head:hidden';
  const rows = 'cut:head:rows';
  // The shapes around the projection only move the batch axis; rows come as [rows, hidden].
  const skipped = new Set(after.filter(n => ['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze'].includes(n.op)));
  const bypass = new Map([...skipped].map(n => [n.outputs[0]!, n.inputs[0]!]));
  const resolve = (name: string): string => (bypass.has(name) ? resolve(bypass.get(name)!) : name);
  if (skipped.has(graph.producer(graph.output)!)) graph.output = resolve(graph.output);
  graph.op('Reshape', [node.inputs[0]!, graph.ints([-1, hiddenSize])], [], hidden);
  graph.add({
    op: HEAD,
    domain: CUT_DOMAIN,
    inputs: [hidden],
    outputs: [rows],
    attributes: [],
    captures: [],
  });
  const moved = { ...node, inputs: [rows, ...node.inputs.slice(1)] };
  graph.setNodes(
    graph.nodes
      .filter(n => !skipped.has(n))
      .map(n => {
        if (n === node) return moved;
        return after.includes(n) ? { ...n, inputs: n.inputs.map(resolve) } : n;
      }),
  );
  return { hidden, rows, hiddenSize };
}

function inputSize(graph: Graph, node: GraphNode, weight: string): number | null {
  if (node.op === 'MatMulNBits') return intAttribute(node, 'K', 0) || null;
  let transposed = node.op === 'Gemm' && intAttribute(node, 'transB', 0) === 1;
  let name = weight;
  // Weights may be dequantised, cast or transposed on their way.
  while (!graph.initializers.has(name)) {
    const made = graph.producer(name);
    if (!made || !['Transpose', 'DequantizeLinear', 'Cast', 'Identity'].includes(made.op)) return null;
    if (made.op === 'Transpose') transposed = !transposed;
    name = made.inputs[0]!;
  }
  const dims = graph.initializers.get(name)!.dims?.map(Number);
  if (!dims || dims.length !== 2) return null;
  return dims[transposed ? 1 : 0]!;
}

// ---------------------------------------------------------------- segments

export interface Segments {
  /** One piece per level; null where nothing is to be done. */
  pieces: (Extract | null)[];
  /** For each core of the list: the level after which it can run; null = the output does not depend on it. */
  coreLevels: (number | null)[];
}

/** Cuts the rewritten graph into pieces: piece L is everything that needs L cores (or the head) in a row before it. */
export function segmentsOf(graph: Graph, cores: readonly CutCore[]): Segments {
  const level = levelsOf(graph);
  const free = freeTensors(graph);
  const standIns = liveStandIns(graph);
  const madeOutside = new Set(standIns.flatMap(n => n.outputs));
  const last = level(graph.output);
  const wanted: Set<string>[] = Array.from({ length: last + 1 }, () => new Set());
  const want = (name: string) => {
    if (!graph.isInput(name) && !madeOutside.has(name)) wanted[level(name)]!.add(name);
  };
  want(graph.output);
  for (const node of standIns) node.inputs.forEach(want);
  const pieces: (Extract | null)[] = [];
  for (let at = last; at >= 0; at--) {
    if (wanted[at]!.size === 0) {
      pieces[at] = null;
      continue;
    }
    const piece = graph.extract(
      [...wanted[at]!],
      name => madeOutside.has(name) || (level(name) < at && !free.has(name)),
    );
    piece.inputs.forEach(want);
    pieces[at] = piece;
  }
  const live = new Map(standIns.map(n => [n.outputs[0]!, n]));
  const coreLevels = cores.map(core => {
    const node = live.get(core.context);
    return node ? Math.max(...node.inputs.map(level)) : null;
  });
  return { pieces, coreLevels };
}

function levelsOf(graph: Graph): (name: string) => number {
  const levels = new Map<string, number>();
  for (const node of graph.nodes) {
    let at = 0;
    for (const input of reads(node)) at = Math.max(at, levels.get(input) ?? 0);
    if (node.domain === CUT_DOMAIN) at++;
    for (const o of node.outputs) levels.set(o, at);
  }
  return name => levels.get(name) ?? 0;
}

/** Constants, and whole-number arithmetic on lengths: cheaper to repeat in each segment than to pass on. */
function freeTensors(graph: Graph): Set<string> {
  const constants = graph.constants();
  const free = new Set(constants);
  const cheap = new Set<number>([ElementType.int64, ElementType.int32, ElementType.bool]);
  for (const node of graph.nodes) {
    if (node.domain === CUT_DOMAIN) continue;
    const ofInput = node.op === 'Shape' && graph.isInput(node.inputs[0]!);
    if (!ofInput && !reads(node).every(i => free.has(i))) continue;
    for (const o of node.outputs) if (constants.has(o) || cheap.has(graph.type(o))) free.add(o);
  }
  return free;
}

function liveStandIns(graph: Graph): GraphNode[] {
  const live = new Set<GraphNode>();
  const stack = [graph.output];
  while (stack.length > 0) {
    const node = graph.producer(stack.pop()!);
    if (!node || live.has(node)) continue;
    live.add(node);
    stack.push(...reads(node));
  }
  return graph.nodes.filter(n => n.domain === CUT_DOMAIN && live.has(n));
}

/** The cores that each core's queries and keys come from; tells cross-attention and the stacks apart. */
export function originsOf(
  graph: Graph,
  cores: readonly CutCore[],
): { query: Set<number>; key: Set<number> }[] {
  const index = new Map(cores.map((c, i) => [c.context, i]));
  const memo = new Map<string, Set<number>>();
  for (const node of graph.nodes) {
    const set = new Set<number>();
    for (const input of reads(node)) for (const c of memo.get(input) ?? []) set.add(c);
    for (const o of node.outputs) {
      const core = index.get(o);
      memo.set(o, core === undefined ? set : new Set([...set, core]));
    }
  }
  const of = (name: string) => memo.get(name) ?? new Set<number>();
  return cores.map(c => ({ query: of(c.q), key: of(c.k) }));
}
