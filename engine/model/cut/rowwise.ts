/** Which operators compute each row of their result from the same row of what they read: then a text may be run in blocks of rows. */
import type { Graph } from '../onnx/graph';
import { constantValues, findAttribute, intAttribute, intsAttribute, type GraphNode } from '../onnx/node';
import type { TokenAxes, TokenAxis } from './tokenAxes';

/** What the rows of a node's result are made of. */
export interface RowReads {
  /** Inputs whose rows (or, without a token axis, whose values) are read. */
  values: string[];
  /** Inputs that only say a shape: for a block of rows they say the block's. */
  shapes: string[];
}

const ELEMENTWISE = new Set(
  `Add Sub Mul Div Pow Mod Min Max Mean Sum Neg Abs Sign Exp Log Sqrt Reciprocal Floor Ceil Round Erf Tanh Sigmoid Relu LeakyRelu
   Elu Selu Celu HardSigmoid HardSwish Mish Softplus Softsign Gelu FastGelu BiasGelu QuickGelu Swish Clip Cast CastLike Identity
   Dropout Where Equal Less LessOrEqual Greater GreaterOrEqual And Or Xor Not IsNaN IsInf Sin Cos PRelu ThresholdedRelu
   QuantizeLinear DequantizeLinear`.split(/\s+/),
);
const NORMS = new Set([
  'LayerNormalization',
  'SimplifiedLayerNormalization',
  'RMSNormalization',
  'SkipLayerNormalization',
  'SkipSimplifiedLayerNormalization',
]);
const PRODUCTS = new Set(['MatMul', 'MatMulInteger', 'MatMulNBits']);
/** Say no more than a shape: the elements stay in their order. */
const RESHAPES = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten']);

/** Null when rows are mixed, or the operator is not known. */
export function rowReads(node: GraphNode, graph: Graph, axes: TokenAxes): RowReads | null {
  const { inputs, outputs } = node;
  if (node.captures.length > 0) return null;
  const made = outputs.filter(name => name !== '').map(name => axes.get(name));
  const result = made[0];
  if (!result || result.axis === null || made.some(one => !one || one.axis === null)) return null;
  const read = inputs.filter(name => name !== '');
  const of = (name: string | undefined): TokenAxis | null => {
    const found = name === undefined || name === '' ? undefined : axes.get(name);
    return found && found.axis !== null ? found : null;
  };
  const all: RowReads = { values: read, shapes: [] };
  const asShape: RowReads = { values: read.slice(0, 1), shapes: read.slice(1) };
  const fromEnd = ({ dims, axis }: TokenAxis) => dims.length - axis!;
  const first = of(inputs[0]);
  const numbers = (name: string | undefined) =>
    name === undefined ? null : constantValues(graph.initializers.get(name));
  const grows = (at: number) => of(inputs[at]) !== null;
  const other = (axis: number, { axis: token, dims }: TokenAxis) =>
    (axis < 0 ? axis + dims.length : axis) !== token;

  if (ELEMENTWISE.has(node.op)) {
    const aligned = read.every(name => !of(name) || fromEnd(of(name)!) === fromEnd(result));
    return aligned ? all : null;
  }
  if (PRODUCTS.has(node.op)) {
    const second = of(inputs[1]);
    if (read.slice(2).some(of)) return null;
    if (first && second) return fromEnd(first) > 2 && fromEnd(first) === fromEnd(second) ? all : null;
    if (first) return fromEnd(first) > 1 && fromEnd(first) === fromEnd(result) ? all : null;
    return second && node.op !== 'MatMulNBits' && fromEnd(second) !== 2 && fromEnd(second) === fromEnd(result)
      ? all
      : null;
  }
  if (NORMS.has(node.op)) {
    const skip = node.op.startsWith('Skip');
    const axis = skip ? -1 : intAttribute(node, 'axis', -1);
    const start = axis < 0 ? axis + result.dims.length : axis;
    const aligned = read.every(name => !of(name) || fromEnd(of(name)!) === fromEnd(result));
    return first && aligned && made.every(one => one!.axis! < start) ? all : null;
  }
  if (RESHAPES.has(node.op)) return first && before(first) === before(result) ? asShape : null;
  switch (node.op) {
    case 'Gemm':
      return first?.axis === 0 && !grows(1) && intAttribute(node, 'transA', 0) === 0 && result.axis === 0
        && (!of(inputs[2]) || fromEnd(of(inputs[2])!) === 2) ? all : null; // prettier-ignore
    case 'Softmax':
    case 'LogSoftmax':
      return first && graph.opset() >= 13 && other(intAttribute(node, 'axis', -1), first) ? all : null;
    case 'ReduceMean':
    case 'ReduceSum':
    case 'ReduceMax':
    case 'ReduceMin':
    case 'ReduceL2':
    case 'ReduceSumSquare': {
      const over = intsAttribute(node, 'axes') ?? numbers(inputs[1]);
      return first && over && over.length > 0 && over.every(axis => other(axis, first)) ? all : null;
    }
    case 'ArgMax':
    case 'TopK': {
      const axis = intAttribute(node, 'axis', node.op === 'TopK' ? -1 : 0);
      return first && !grows(1) && other(axis, first) ? all : null;
    }
    case 'Transpose': {
      const perm = intsAttribute(node, 'perm') ?? result.dims.map((_, i) => i).reverse();
      return first && perm[result.axis] === first.axis ? all : null;
    }
    case 'Gather': {
      const axis = intAttribute(node, 'axis', 0);
      if (first) return !grows(1) && other(axis, first) ? all : null;
      const at = axis < 0 ? axis + (axes.get(inputs[0]!)?.dims.length ?? rankOf(graph, inputs[0]!)) : axis;
      return grows(1) && result.axis === at + of(inputs[1])!.axis! ? all : null;
    }
    case 'GatherElements':
      return first && of(inputs[1])?.axis === first.axis && other(intAttribute(node, 'axis', 0), first)
        ? all
        : null;
    case 'Slice': {
      const over = intsAttribute(node, 'axes') ?? numbers(inputs[3]);
      const told = inputs.slice(1).every(name => name === '' || numbers(name));
      return first && told && over?.every(axis => other(axis, first)) ? all : null;
    }
    case 'Split':
      return first && !grows(1) && other(intAttribute(node, 'axis', 0), first) ? all : null;
    case 'Concat':
      return read.every(name => of(name)?.axis === result.axis) &&
        other(intAttribute(node, 'axis', 0), result)
        ? all
        : null;
    case 'Tile': {
      const times = numbers(inputs[1]);
      return first && times?.[first.axis!] === 1 ? all : null;
    }
    case 'Pad': {
      const pads = intsAttribute(node, 'pads') ?? numbers(inputs[1]);
      const still = (at: number) => pads?.[at] === 0;
      return first && (inputs[3] ?? '') === '' && still(first.axis!) && still(first.axis! + first.dims.length)
        ? all
        : null;
    }
    case 'Expand':
      return !first || fromEnd(first) === fromEnd(result) ? asShape : null;
    case 'ConstantOfShape':
      return { values: [], shapes: read };
    case 'Einsum':
      return einsumKeepsRows(node, read, of, result) ? all : null;
    default:
      return null;
  }
}

/** Elements before one row: what a reshaping must keep for rows to stay rows. */
function before({ dims, axis }: TokenAxis): number {
  return dims.slice(0, axis!).reduce((product, d) => product * d, 1);
}

function rankOf(graph: Graph, name: string): number {
  return graph.initializers.get(name)?.dims?.length ?? 0;
}

/** The letter of the tokens is not summed over, and stands for them wherever it stands. */
function einsumKeepsRows(
  node: GraphNode,
  read: readonly string[],
  of: (name: string) => TokenAxis | null,
  result: TokenAxis,
): boolean {
  const equation = Buffer.from(findAttribute(node, 'equation')?.s ?? '')
    .toString()
    .replace(/\s/g, '');
  const [left, right] = equation.split('->');
  if (!right || equation.includes('.')) return false;
  const letter = right[result.axis!];
  const terms = left!.split(',');
  return read.every((name, i) => terms[i]!.indexOf(letter!) === (of(name)?.axis ?? -1));
}
