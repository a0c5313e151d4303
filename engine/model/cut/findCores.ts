import { RefusedError, told } from '../../errors';
import { refusesNative, type NativeSpec } from '../../attention/native';
import { isNative, NATIVE_DOMAIN } from '../onnx/inlineFunctions';
import type { Tensor } from '../../runtime/tensor';
import { mechanismOf, OF_BODY } from '../rewrite/declared';
import type { Graph } from '../onnx/graph';
import { attribute, findAttribute, floatAttribute, intAttribute, reads, type GraphNode } from '../onnx/node';

/**
 * An attention core as it stands in the graph: from Q, K, V to the context, all tensor names.
 * `score` is the raw product QK^T, `logits` what goes into the softmax; between them stands the chain of scale, cap, bias and masks.
 */
export interface FoundCore {
  q: string;
  k: string;
  v: string;
  context: string;
  score: string;
  logits: string;
  /** A column beside the logits that takes a share of the mass and gives it to no key; null = none. */
  sink: string | null;
  /** The mechanism that the model is made with here; null = a softmax of the logits. */
  native: NativeCore | null;
  /** The probabilities are changed between softmax and product by more than a factor: tensors before and after. */
  shaping: { softmax: string; weights: string } | null;
  /** How the axes of Q, K, V and context are ordered. */
  axes: { q: AxisOrder; k: AxisOrder; v: AxisOrder; context: AxisOrder };
  /** Q, K, V and context of an Attention node may come packed, [1, tokens, heads * dim]. */
  packed: { heads: number; kvHeads: number } | null;
  /** The nodes that the core replaces. */
  interior: GraphNode[];
  /** Inputs of the chain that depend on the text itself: terms or masks that no rule of positions can replace. */
  contentSides: string[];
}

export interface NativeCore {
  spec: NativeSpec;
  /** The graph's tensors by the mechanism's names for them. */
  tensors: Record<string, string>;
  /** What was read off the graph, by the same names. */
  values: Record<string, Tensor>;
  /** Whether the core's scores follow the rule of the graph's chain, or the mechanism stands for that as well. */
  scores: 'rule' | 'own';
}

/**
 * `rows`: heads..., tokens, features. `columns`: heads..., features, tokens (the right operand of QK^T). A list: for each of
 * heads..., tokens, features the axis that holds it.
 */
export type AxisOrder = 'rows' | 'columns' | number[];

const AFTER_SOFTMAX = new Set([
  'Cast',
  'Where',
  'IsNaN',
  'Identity',
  'Dropout',
  'Mul',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
  'Transpose',
  'QuantizeLinear',
  'DequantizeLinear',
]);
/** Identity and mean beside the probabilities. */
const SHAPED = new Set([...AFTER_SOFTMAX, 'Add', 'Sub']);
const SLICED = new Set([...AFTER_SOFTMAX, 'Slice']);
const NOT_BEFORE_SOFTMAX = new Set([
  'LayerNormalization',
  'SimplifiedLayerNormalization',
  'SkipLayerNormalization',
  'SkipSimplifiedLayerNormalization',
  'RMSNormalization',
  'EmbedLayerNormalization',
  'BatchNormalization',
  'Gemm',
  'MatMulInteger',
  'ConvInteger',
  'MatMulNBits',
  'MatMulIntegerToFloat',
  'DynamicQuantizeMatMul',
  'DynamicQuantizeLinear',
  'Conv',
  'Softmax',
  'Attention',
]);
const INDEX_OPS = new Set(['Gather', 'GatherElements', 'GatherND', 'Slice', 'Concat', 'Pad']);
const MAX_STEPS_AFTER_SOFTMAX = 12;

export const isProduct = (n: GraphNode) => n.op === 'MatMul' || n.op === 'FusedMatMul' || n.op === 'Einsum';

/** All attention cores, in the graph's order. `ids` are the inputs that carry the text. */
export function findCores(graph: Graph, ids: readonly string[]): FoundCore[] {
  const content = contentOf(graph, ids);
  const constants = graph.constants();
  const active = (name: string) => content.has(name) && !constants.has(name);
  const cores: FoundCore[] = [];
  for (const node of [...graph.nodes]) {
    if (node.domain === NATIVE_DOMAIN) cores.push(nativeNode(graph, node, content));
    if (node.op === 'Attention' && node.domain === '') cores.push(attentionNode(graph, node, content));
    if (node.op !== 'Softmax' || !onLastAxis(graph, node)) continue;
    const columns = columnsOf(graph, node);
    const direct = productAfter(graph, node, active, columns ? SLICED : AFTER_SOFTMAX);
    const pv = direct ?? productAfter(graph, node, active, SHAPED);
    const qk = pv && productBefore(graph, node.inputs[0]!, active, constants);
    if (pv && qk) cores.push(softmaxCore(graph, node, qk, pv, columns, content, direct === null));
  }
  return cores;
}

/** Tensors that depend on the values (not just the number) of the token ids. */
export function contentOf(graph: Graph, ids: readonly string[]): Set<string> {
  return graph.reachable(ids, n => n.op !== 'Shape' && n.op !== 'Size');
}

function onLastAxis(graph: Graph, softmax: GraphNode): boolean {
  const axis = intAttribute(softmax, 'axis', graph.opset() >= 13 ? -1 : 1);
  return axis === -1 || axis >= 2;
}

// ---------------------------------------------------------------- softmax form

interface ProbabilityProduct {
  node: GraphNode;
  /** The left operand: the probabilities. */
  p: string;
}

/** What is laid side by side before the softmax: scores, and columns that are cut off again (sinks). */
function columnsOf(graph: Graph, softmax: GraphNode): GraphNode | null {
  let made = graph.producer(softmax.inputs[0]!);
  // The row's largest score may be subtracted before.
  while (made && (made.op === 'Sub' || made.op === 'Cast')) made = graph.producer(made.inputs[0]!);
  return made?.op === 'Concat' ? made : null;
}

/** The scores and the sink of a softmax over both; null where the columns are no such pair. */
function sinkBeside(
  columns: GraphNode,
  inside: ReadonlySet<string>,
  content: ReadonlySet<string>,
): { logits: string; sink: string } | null {
  const scores = columns.inputs.filter(name => inside.has(name));
  const others = columns.inputs.filter(name => !inside.has(name));
  if (scores.length !== 1 || others.length !== 1 || content.has(others[0]!)) return null;
  return { logits: scores[0]!, sink: others[0]! };
}

function productAfter(
  graph: Graph,
  softmax: GraphNode,
  active: (name: string) => boolean,
  through: ReadonlySet<string> = AFTER_SOFTMAX,
): ProbabilityProduct | null {
  let front = [softmax.outputs[0]!];
  const seen = new Set(front);
  for (let step = 0; step < MAX_STEPS_AFTER_SOFTMAX && front.length > 0; step++) {
    const next: string[] = [];
    for (const name of front)
      for (const node of graph.consumers(name)) {
        if (isProduct(node) && node.inputs[0] === name && active(node.inputs[1]!)) return { node, p: name };
        if (!through.has(node.op)) continue;
        for (const o of node.outputs)
          if (o !== '' && !seen.has(o)) {
            seen.add(o);
            next.push(o);
          }
      }
    front = next;
  }
  return null;
}

/** The product of two tensors of the text that these scores are nearest to. */
export function productBefore(
  graph: Graph,
  scores: string,
  active: (name: string) => boolean,
  constants: Set<string>,
): GraphNode | null {
  const best = new Map<string, [indexOps: number, steps: number]>();
  const queue: { name: string; indexOps: number; steps: number }[] = [
    { name: scores, indexOps: 0, steps: 0 },
  ];
  let chosen: { node: GraphNode; indexOps: number; steps: number } | null = null;
  for (let at = 0; at < queue.length; at++) {
    const { name, indexOps, steps } = queue[at]!;
    const node = graph.producer(name);
    if (!node || NOT_BEFORE_SOFTMAX.has(node.op)) continue;
    if (isProduct(node)) {
      if (node.inputs.some(i => constants.has(i))) continue;
      const better =
        !chosen || indexOps < chosen.indexOps || (indexOps === chosen.indexOps && steps < chosen.steps);
      if (node.inputs.length === 2 && node.inputs.every(active) && better) chosen = { node, indexOps, steps };
      continue;
    }
    const cost: [number, number] = [indexOps + (INDEX_OPS.has(node.op) ? 1 : 0), steps + 1];
    for (const input of reads(node)) {
      if (!active(input)) continue;
      const known = best.get(input);
      if (known && (known[0] < cost[0] || (known[0] === cost[0] && known[1] <= cost[1]))) continue;
      best.set(input, cost);
      queue.push({ name: input, indexOps: cost[0], steps: cost[1] });
    }
  }
  return chosen?.node ?? null;
}

function softmaxCore(
  graph: Graph,
  softmax: GraphNode,
  qk: GraphNode,
  pv: ProbabilityProduct,
  columns: GraphNode | null,
  content: Set<string>,
  shaped: boolean,
): FoundCore {
  const score = qk.outputs[0]!;
  const interior = between(graph, qk, pv.node);
  const inside = new Set(interior.flatMap(n => n.outputs));
  inside.delete(pv.node.outputs[0]!);
  for (const name of inside)
    if (name === graph.output || graph.consumers(name).some(n => !interior.includes(n)))
      throw new RefusedError(
        told`The scores or probabilities of the attention at ${softmax.outputs[0]} are used elsewhere in the model (${name}); it cannot be cut there.`,
      );
  const beside = columns && interior.includes(columns) ? sinkBeside(columns, inside, content) : null;
  if (columns && interior.includes(columns) && !beside)
    throw new RefusedError(
      told`The attention at ${softmax.outputs[0]} shares its mass with columns that depend on the text, which is not supported.`,
    );
  const ends = new Set([pv.node.inputs[1]!, qk.inputs[0]!, qk.inputs[1]!]);
  const sides = new Set(
    interior.flatMap(n => (n === qk || n === pv.node ? [] : reads(n))).filter(name => !inside.has(name)),
  );
  for (const end of ends) sides.delete(end);
  const axes = productAxes(qk, pv.node);
  if (!axes)
    throw new RefusedError(
      told`The attention at ${softmax.outputs[0]} uses a product that is not supported.`,
    );
  return {
    q: qk.inputs[0]!,
    k: qk.inputs[1]!,
    v: pv.node.inputs[1]!,
    context: pv.node.outputs[0]!,
    score,
    logits: beside?.logits ?? softmax.inputs[0]!,
    sink: beside?.sink ?? null,
    native: null,
    shaping: shaped ? { softmax: softmax.outputs[0]!, weights: pv.node.inputs[0]! } : null,
    axes,
    packed: null,
    interior,
    contentSides: [...sides].filter(name => content.has(name)),
  };
}

/** Where the axes of Q, K, V and context lie in these two products; null = products of another kind. */
function productAxes(qk: GraphNode, pv: GraphNode): FoundCore['axes'] | null {
  const plain = (n: GraphNode) =>
    n.op !== 'Einsum' &&
    floatAttribute(n, 'alpha', 1) === 1 &&
    ['transA', 'transBatchA', 'transBatchB'].every(name => intAttribute(n, name, 0) === 0);
  const scores = qk.op === 'Einsum' ? scoreEinsum(equationOf(qk)) : plain(qk) ? productOf(qk) : null;
  const sums = pv.op === 'Einsum' ? contextEinsum(equationOf(pv)) : plain(pv) ? contextOf(pv) : null;
  return scores && sums && { ...scores, ...sums };
}

const productOf = (qk: GraphNode): { q: AxisOrder; k: AxisOrder } => ({
  q: 'rows',
  k: intAttribute(qk, 'transB', 0) === 1 ? 'rows' : 'columns',
});

const contextOf = (pv: GraphNode): { v: AxisOrder; context: AxisOrder } | null =>
  intAttribute(pv, 'transB', 0) === 1 ? null : { v: 'rows', context: 'rows' };

type Equation = [left: string, right: string, output: string];

function equationOf(node: GraphNode): Equation | null {
  const text = Buffer.from(findAttribute(node, 'equation')?.s ?? [])
    .toString()
    .replaceAll(' ', '');
  const match = /^([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)$/.exec(text);
  return match && [match[1]!, match[2]!, match[3]!];
}

/** ..i d.., ..j d.. -> heads i j */
function scoreEinsum(equation: Equation | null): { q: AxisOrder; k: AxisOrder } | null {
  if (!equation) return null;
  const [left, right, output] = equation;
  const heads = output.slice(0, -2);
  const [i, j] = [output.at(-2)!, output.at(-1)!];
  const d = [...left].filter(c => right.includes(c) && !output.includes(c));
  if (d.length !== 1 || left.includes(j) || right.includes(i)) return null;
  return orders({ q: [left, heads + i + d[0]!], k: [right, heads + j + d[0]!] });
}

/** heads i j, ..j d.. -> ..i d.. */
function contextEinsum(equation: Equation | null): { v: AxisOrder; context: AxisOrder } | null {
  if (!equation) return null;
  const [left, right, output] = equation;
  const heads = left.slice(0, -2);
  const [i, j] = [left.at(-2)!, left.at(-1)!];
  const d = [...right].filter(c => output.includes(c) && !left.includes(c));
  if (d.length !== 1 || output.includes(j) || right.includes(i)) return null;
  return orders({ v: [right, heads + j + d[0]!], context: [output, heads + i + d[0]!] });
}

function orders<K extends string>(
  terms: Record<K, [term: string, wanted: string]>,
): Record<K, AxisOrder> | null {
  const found = {} as Record<K, AxisOrder>;
  for (const key of Object.keys(terms) as K[]) {
    const [term, wanted] = terms[key];
    const axes = [...wanted].map(c => term.indexOf(c));
    if (axes.includes(-1) || axes.length !== term.length) return null;
    found[key] = axes;
  }
  return found;
}

/** The nodes on all ways from `qk` to `pv`, both included. */
function between(graph: Graph, qk: GraphNode, pv: GraphNode): GraphNode[] {
  const position = new Map(graph.nodes.map((n, i) => [n, i] as const));
  const start = position.get(qk)!;
  const candidates = graph.nodes.slice(start, position.get(pv)! + 1);
  const forward = new Set([qk]);
  const after = new Set(qk.outputs);
  for (const node of candidates)
    if (reads(node).some(i => after.has(i))) {
      forward.add(node);
      for (const o of node.outputs) after.add(o);
    }
  const interior: GraphNode[] = [];
  const wanted = new Set<string>([pv.inputs[0]!]);
  for (const node of candidates.reverse()) {
    if (!forward.has(node)) continue;
    if (node !== pv && !node.outputs.some(o => wanted.has(o))) continue;
    interior.push(node);
    if (node !== pv) for (const i of reads(node)) wanted.add(i);
  }
  return interior.reverse();
}

// ---------------------------------------------------------------- mechanisms by name

/** A call of a function that carries a mechanism (docs/native.md). */
function nativeNode(graph: Graph, node: GraphNode, content: ReadonlySet<string>): FoundCore {
  const called = graph.functions.find(f => isNative(f) && f.name === node.op);
  if (!called) throw new RefusedError(told`The model calls ${node.op}, which it does not define.`);
  const given = called.input.slice(3).map((formal, i) => [formal, node.inputs[i + 3]!] as const);
  const tensors = Object.fromEntries(given.filter(([formal]) => !formal.startsWith(OF_BODY)));
  const params = Object.fromEntries(node.attributes.map(a => [a.name!, a.f || Number(a.i ?? 0)]));
  const spec = { name: mechanismOf(node.op), params, tensors: Object.keys(tensors) };
  const reason = refusesNative(spec);
  if (reason) throw new RefusedError(reason);
  const [q, k, v] = node.inputs as [string, string, string];
  const context = node.outputs[0]!;
  return {
    q,
    k,
    v,
    context,
    score: context,
    logits: context,
    sink: null,
    native: { spec, tensors, values: {}, scores: 'own' },
    shaping: null,
    axes: { q: 'rows', k: params['turnedKeys'] === 1 ? 'columns' : 'rows', v: 'rows', context: 'rows' },
    packed: null,
    interior: [node],
    contentSides: node.inputs.slice(3).filter(name => content.has(name)),
  };
}

// ---------------------------------------------------------------- ai.onnx Attention

/** One Attention node (opset 23 and later) is a core; its chain is written out beside it in float32, to be probed like any other. */
function attentionNode(graph: Graph, node: GraphNode, content: Set<string>): FoundCore {
  const [q, k, v, mask, pastKey, pastValue, keyCounts] = node.inputs;
  if (pastKey || pastValue || node.outputs.slice(1).some(o => graph.consumers(o).length > 0))
    throw new RefusedError(
      told`The Attention node that makes ${node.outputs[0]} works with a cache or gives out its scores, which is not supported.`,
    );
  const heads = intAttribute(node, 'q_num_heads', 0);
  const score = `cut:score:${node.outputs[0]}`;
  const scaled = findAttribute(node, 'scale')
    ? graph.op('Mul', [score, graph.floats([floatAttribute(node, 'scale', 1)], [])])
    : scaledByDim(graph, score, q!, heads);
  const cap = floatAttribute(node, 'softcap', 0);
  let logits = scaled;
  if (cap !== 0) {
    const c = graph.floats([cap], []);
    logits = graph.op('Mul', [graph.op('Tanh', [graph.op('Div', [logits, c])]), c]);
  }
  const hidden = graph.floats([-Infinity], []);
  if (mask) {
    logits =
      graph.type(mask) === 9
        ? graph.op('Where', [mask, logits, hidden])
        : graph.op('Add', [logits, graph.op('Cast', [mask], [attribute.int('to', 1)])]);
  }
  if (keyCounts) {
    // The keys behind the first so many are room in a cache.
    const column = graph.op('CumSum', [onesLike(graph, score), graph.ints([-1], [])]);
    const count = graph.op('Cast', [keyCounts], [attribute.int('to', 1)]);
    const each = graph.op('Reshape', [count, graph.ints([-1, 1, 1, 1])]);
    logits = graph.op('Where', [graph.op('LessOrEqual', [column, each]), logits, hidden]);
  }
  if (intAttribute(node, 'is_causal', 0) === 1) {
    const lower = graph.op('Trilu', [onesLike(graph, score)], [attribute.int('upper', 0)]);
    const visible = graph.op('Greater', [lower, graph.floats([0], [])]);
    logits = graph.op('Where', [visible, logits, hidden]);
  }
  return {
    q: q!,
    k: k!,
    v: v!,
    context: node.outputs[0]!,
    score,
    logits,
    sink: null,
    native: null,
    shaping: null,
    axes: { q: 'rows', k: 'rows', v: 'rows', context: 'rows' },
    packed: heads > 0 ? { heads, kvHeads: intAttribute(node, 'kv_num_heads', heads) } : null,
    interior: [node],
    contentSides: mask && content.has(mask) ? [mask] : [],
  };
}

const onesLike = (graph: Graph, name: string): string =>
  graph.op('Add', [graph.op('Mul', [name, graph.floats([0], [])]), graph.floats([1], [])]);

/** score / sqrt(dim), the dimension taken from Q at run time. */
function scaledByDim(graph: Graph, score: string, q: string, heads: number): string {
  const dim = graph.op('Gather', [graph.op('Shape', [q]), graph.ints([-1])], [attribute.int('axis', 0)]);
  const perHead = heads > 0 ? graph.op('Div', [dim, graph.ints([heads])]) : dim;
  const root = graph.op('Sqrt', [graph.op('Cast', [perHead], [attribute.int('to', 1)])]);
  return graph.op('Div', [score, root]);
}
