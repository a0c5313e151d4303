import { attribute, constantValues, intAttribute, intsAttribute, type GraphNode } from '../onnx/node';
import type { Graph } from '../onnx/graph';

/**
 * A softmax that is written out as Softmax, so that the attention around it is found: exp(x) over its sum, exp of a
 * log-softmax, and a softmax times a mask over the sum of both (adaptive span), which is the softmax of x + log(mask).
 * Returns what was rewritten: the graph is then no longer the file's bit for bit.
 */
export function writeOutSoftmax(graph: Graph): number {
  let found = 0;
  for (const node of [...graph.nodes]) {
    const scores = scoresOf(graph, node);
    if (scores === null) continue;
    const rest = graph.nodes.filter(n => n !== node);
    graph.setNodes(rest);
    const masked = (scores.masks ?? []).reduce(
      (x, mask) => graph.op('Add', [x, graph.op('Log', [mask])]),
      scores.x,
    );
    if (scores.beside) besideSink(graph, masked, scores.beside, node.outputs[0]!);
    else if (scores.bounded) {
      const weights = graph.op('Softmax', [masked], [attribute.int('axis', -1)]);
      graph.op('Mul', [weights, graph.op('Div', scores.bounded)], [], node.outputs[0]!);
    } else graph.op('Softmax', [masked], [attribute.int('axis', -1)], node.outputs[0]!);
    found++;
  }
  if (found > 0) {
    graph.sort();
    graph.prune();
  }
  return found;
}

interface Scores {
  x: string;
  /** Factors beside the exponential: masks, soft ones too. */
  masks?: string[];
  /** A number that the sum has besides (softmax off by one), and that sum. */
  beside?: { value: number; sum: string };
  /**
   * The sum of what is masked, and what the file divides by: that with a small number, which counts where a mask leaves next to nothing.
   * The graph keeps their ratio, so that it can be seen whether it does.
   */
  bounded?: [sum: string, divisor: string];
}

/** exp(x) / (c + sum of exp(x)): a sink of log c, which the softmax has as a column that is cut off again. */
function besideSink(
  graph: Graph,
  x: string,
  { value, sum }: NonNullable<Scores['beside']>,
  output: string,
): void {
  const column = graph.op('Expand', [graph.floats([Math.log(value)], []), graph.op('Shape', [sum])]);
  const all = graph.op('Concat', [x, column], [attribute.int('axis', -1)]);
  const weights = graph.op('Softmax', [all], [attribute.int('axis', -1)]);
  graph.op('Slice', [weights, graph.ints([0]), graph.ints([-1]), graph.ints([-1])], [], output);
}

/** What `node` is the softmax of over the last axis; null = of nothing. */
function scoresOf(graph: Graph, node: GraphNode): Scores | null {
  if (node.domain !== '') return null;
  if (node.op === 'Exp') return logSoftmaxOf(graph, node);
  const quotient = quotientOf(graph, node);
  if (!quotient) return null;
  const { numerator, denominator } = quotient;
  const sum = withoutEpsilon(graph, denominator);
  if (summed(graph, sum) === numerator) {
    const found = exponentOf(graph, numerator);
    const mayBeSmall = found?.masks?.length && sum !== denominator;
    return mayBeSmall ? { ...found, bounded: [sum, denominator] } : found;
  }
  const made = graph.producer(numerator);
  if (made?.op !== 'Exp') return null;
  const more = withNumber(graph, denominator);
  if (more && summed(graph, more.sum) === numerator) return { x: made.inputs[0]!, beside: more };
  return shiftedOffByOne(graph, made, denominator);
}

/** The exponent of what is one exponential (or softmax) times masks; null = of anything else. */
function exponentOf(graph: Graph, numerator: string): Scores | null {
  const factors = factorsOf(graph, numerator);
  const isSoft = (name: string) => ['Exp', 'Softmax'].includes(graph.producer(name)?.op ?? '');
  const [soft, ...others] = factors.filter(isSoft);
  if (soft === undefined || others.length > 0) return null;
  const masks = factors.filter(name => name !== soft);
  const { op, inputs } = graph.producer(soft)!;
  if (op === 'Softmax' && masks.length === 0) return null;
  return { x: op === 'Exp' ? withoutLargest(graph, inputs[0]!) : inputs[0]!, masks };
}

function factorsOf(graph: Graph, name: string): string[] {
  const made = graph.producer(name);
  return made?.op === 'Mul' ? made.inputs.flatMap(input => factorsOf(graph, input)) : [name];
}

/** exp(x - m) / (exp(-m) + sum of exp(x - m)): softmax off by one, with m taken off to keep exp finite. */
function shiftedOffByOne(graph: Graph, exponential: GraphNode, denominator: string): Scores | null {
  const shifted = graph.producer(exponential.inputs[0]!);
  const all = graph.producer(denominator);
  if (shifted?.op !== 'Sub' || all?.op !== 'Add') return null;
  const [x, shift] = shifted.inputs as [string, string];
  const isZero = (name: string) =>
    constantValues(graph.initializers.get(name))?.every(value => value === 0) === true;
  const isOne = (name: string) => {
    const made = graph.producer(name);
    const less = made?.op === 'Exp' ? graph.producer(made.inputs[0]!) : undefined;
    if (less?.op === 'Neg') return less.inputs[0] === shift;
    return less?.op === 'Sub' && isZero(less.inputs[0]!) && less.inputs[1] === shift;
  };
  const sum = all.inputs.find(name => summed(graph, name) === exponential.outputs[0]);
  const other = all.inputs.find(name => name !== sum);
  return sum !== undefined && other !== undefined && isOne(other) ? { x, beside: { value: 1, sum } } : null;
}

/** sum + c, for a number c of some size. */
function withNumber(graph: Graph, name: string): { value: number; sum: string } | null {
  const made = graph.producer(name);
  if (made?.op !== 'Add') return null;
  const [a, b] = made.inputs as [string, string];
  for (const [sum, number] of [
    [a, b],
    [b, a],
  ] as const) {
    const values = constantValues(graph.initializers.get(number));
    if (values?.length === 1 && values[0]! > 1e-5) return { value: values[0]!, sum };
  }
  return null;
}

/** a / b, or a * (1 / b). */
function quotientOf(graph: Graph, node: GraphNode): { numerator: string; denominator: string } | null {
  const [a, b] = node.inputs;
  if (node.op === 'Div') return { numerator: a!, denominator: b! };
  if (node.op !== 'Mul') return null;
  const made = graph.producer(b!);
  return made?.op === 'Reciprocal' ? { numerator: a!, denominator: made.inputs[0]! } : null;
}

/** exp of LogSoftmax, or of x - log-sum-exp(x). */
function logSoftmaxOf(graph: Graph, node: GraphNode): Scores | null {
  const made = graph.producer(node.inputs[0]!);
  if (made?.op === 'LogSoftmax' && [-1, 2, 3].includes(intAttribute(made, 'axis', -1)))
    return { x: made.inputs[0]! };
  if (made?.op !== 'Sub') return null;
  const sum = graph.producer(made.inputs[1]!);
  const isSum = sum?.op === 'ReduceLogSumExp' && overLast(graph, sum) && sum.inputs[0] === made.inputs[0];
  return isSum ? { x: made.inputs[0]! } : null;
}

/** What a sum over the last axis is of. */
function summed(graph: Graph, name: string): string | null {
  const made = graph.producer(name);
  // Of numbers that are not negative both are the same.
  const isSum = made?.op === 'ReduceSum' || made?.op === 'ReduceL1';
  return isSum && overLast(graph, made) ? made.inputs[0]! : null;
}

/** A small constant that keeps the sum from being 0. */
function withoutEpsilon(graph: Graph, name: string): string {
  const made = graph.producer(name);
  if (made?.op === 'Expand') return withoutEpsilon(graph, made.inputs[0]!);
  if (made?.op !== 'Add' && made?.op !== 'Max' && made?.op !== 'Clip') return name;
  const small = (other: string) =>
    constantValues(graph.initializers.get(other))?.every(v => v >= 0 && v <= 1e-5) === true;
  const [a, b] = made.inputs as [string, string];
  return small(b) ? a : small(a) ? b : name;
}

/** Without the row's largest score, which is taken off to keep exp finite. */
function withoutLargest(graph: Graph, name: string): string {
  const made = graph.producer(name);
  if (made?.op !== 'Sub') return name;
  const most = graph.producer(made.inputs[1]!);
  const isLargest = most?.op === 'ReduceMax' && overLast(graph, most) && most.inputs[0] === made.inputs[0];
  return isLargest ? made.inputs[0]! : name;
}

function overLast(graph: Graph, node: GraphNode): boolean {
  const axes = intsAttribute(node, 'axes') ?? constantValues(graph.initializers.get(node.inputs[1] ?? ''));
  const last = axes?.length === 1 && (axes[0] === -1 || axes[0]! >= 2);
  return last && intAttribute(node, 'keepdims', 1) === 1;
}
