import { ElementType } from '../../runtime/onnxProto';
import { NATIVE_DOMAIN } from '../onnx/inlineFunctions';
import type { FoundCore } from './findCores';
import type { Extract, Graph } from '../onnx/graph';
import { attribute, constantValues, type GraphNode } from '../onnx/node';
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

/** Domain of the operators that stand for what is run outside the segments. */
export const CUT_DOMAIN = 'cut';

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
      op: 'AttentionCore',
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
 * would have computed, bit for bit; not `rounded`: without the roundings to 8 bits of a statically quantised model.
 */
export function referenceCore(graph: Graph, core: CutCore, rounded = true): Extract {
  const own = graph.clone();
  const { found, layouts } = core;
  const raw = { q: `${core.q}:raw`, k: `${core.k}:raw`, v: `${core.v}:raw` };
  const interior = new Set(found.interior);
  const inner = found.interior.map((given): GraphNode => {
    const node = rounded ? given : unrounded(graph, given);
    if (node.op === 'Attention' || node.domain === NATIVE_DOMAIN)
      return { ...node, inputs: [raw.q, raw.k, raw.v, ...node.inputs.slice(3)] };
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

/** The graph in which the core's output is given, in canonical form. */
export function givenContext(graph: Graph, { context, found, layouts }: CutCore): Graph {
  const own = graph.clone();
  own.setNodes(own.nodes.filter(node => !node.outputs.includes(found.context)));
  fromFloat(own, context, layouts.context, graph.type(found.context), found.context);
  return own;
}

/** The float32 input of a chain that stands for its scores. */
export const scoreName = (found: FoundCore): string => `${found.score}:given`;

/** The graph in which a float32 input stands for a core's scores; `logits` is what the softmax gets, in float32. */
export function chainGraph(
  graph: Graph,
  { found }: CutCore,
): { graph: Graph; logits: string; stops: ReadonlySet<string> } {
  const own = graph.clone();
  const stops = new Set([scoreName(found), found.q, ...found.contentSides]);
  own.setNodes(own.nodes.filter(n => !n.outputs.includes(found.score)).map(n => unrounded(own, n)));
  const type = graph.type(found.score);
  const other = type !== ElementType.float32;
  own.op(
    other ? 'Cast' : 'Identity',
    [scoreName(found)],
    other ? [attribute.int('to', type)] : [],
    found.score,
  );
  const logits = other
    ? own.op('Cast', [found.logits], [attribute.int('to', ElementType.float32)])
    : found.logits;
  own.sort();
  return { graph: own, logits, stops };
}

/** The chain between scores and softmax as a model from float32 to float32: what the probe evaluates. */
export function chainOf(graph: Graph, core: CutCore): Extract {
  const { graph: own, logits, stops } = chainGraph(graph, core);
  return own.extract([logits], name => stops.has(name));
}

/** Statically quantised models round scores to 8 bits and back: no part of the rule. */
function unrounded(graph: Graph, node: GraphNode): GraphNode {
  const quantised = node.op === 'DequantizeLinear' ? graph.producer(node.inputs[0]!) : undefined;
  if (quantised?.op !== 'QuantizeLinear') return node;
  return { ...node, op: 'Identity', inputs: [quantised.inputs[0]!], attributes: [] };
}

/** A mask kept as a square buffer holds up to its size only. What is looked up by number (a table of blocks) may hold for more. */
export function bufferLimit(graph: Graph, chain: Extract): number | null {
  const isTable = (name: string): boolean =>
    chain.nodes.some(
      ({ op, inputs, outputs }) =>
        inputs[0] === name &&
        (/^Gather/.test(op) || (/^(Transpose|Flatten|Reshape)$/.test(op) && isTable(outputs[0]!))),
    );
  const weights = new Set(chain.nodes.filter(n => /MatMul|Gemm/.test(n.op)).flatMap(n => n.inputs));
  const sizes = chain.initializers.flatMap(name => {
    if (weights.has(name) || isTable(name)) return [];
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

/** Sizes of constants that may be what a rule compares with: single numbers, and lists with one per head. */
const FEW = 64;

/** Every number among a chain's small constants: a rule may change at its multiples. */
export function numbersOf(graph: Graph, chain: Extract): number[] {
  const numbers = chain.initializers.flatMap(name => {
    const tensor = graph.initializers.get(name);
    const size = (tensor?.dims ?? []).reduce<number>((product, d) => product * Number(d), 1);
    return size <= FEW ? (constantValues(tensor) ?? []).map(Math.abs) : [];
  });
  return [...new Set(numbers)].filter(n => n >= 2 && n <= 1e6 && !MASK_VALUES.has(n));
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
