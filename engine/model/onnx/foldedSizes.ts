import { number, plain } from '../../../shared/numbers';
import { RefusedError, told } from '../../errors';
import { ElementType } from '../../runtime/onnxProto';
import type { Graph } from './graph';
import { constantValues, intAttribute, intsAttribute, reads, type GraphNode } from './node';

/** What is known of a tensor that is computed from constants alone, before it is computed. */
interface Known {
  dims: number[];
  /** Of small tensors of whole numbers: shapes are computed from them. */
  values: number[] | null;
}

const MIB = 2 ** 20;
/** Longer lists are no shapes. */
const VALUES = 64;

/**
 * Refuses a graph whose constants grow beyond the bytes that may be taken: ONNX Runtime computes them when it loads the file,
 * used or not, and a few bytes make any size (ConstantOfShape, Range, Expand, a tensor joined to itself over and over).
 * What only changes the form of weights is not counted.
 */
export function refuseGrowth(graph: Graph, limit: number): void {
  const sizes = new FoldedSizes(graph);
  for (const node of graph.nodes) sizes.add(node);
  if (sizes.grownBytes > limit)
    throw new RefusedError(
      told`The model is refused: constants that it computes would take about ${plain(number(Math.ceil(sizes.grownBytes / MIB)))} MiB of memory; the limit is ${Math.floor(limit / MIB)} MiB.`,
    );
}

class FoldedSizes {
  grownBytes = 0;
  private readonly known = new Map<string, Known>();
  private readonly grown = new Set<string>();

  constructor(private readonly graph: Graph) {}

  add(node: GraphNode): void {
    const [output] = node.outputs;
    const made = node.domain === '' && output ? this.made(node) : null;
    if (!made) return;
    const values = made.values && made.values.length <= VALUES ? made.values : null;
    this.known.set(output!, { dims: made.dims, values });
    const inputs = [...new Set(reads(node))];
    const given = inputs.reduce((sum, name) => sum + count(this.of(name)?.dims ?? []), 0);
    const size = count(made.dims);
    if (size <= given && !inputs.some(name => this.grown.has(name))) return;
    this.grown.add(output!);
    this.grownBytes += size * (BYTES[this.graph.type(output!)] ?? 4);
  }

  private of(name: string | undefined): Known | null {
    if (!name) return null;
    const known = this.known.get(name);
    if (known) return known;
    const tensor = this.graph.initializers.get(name);
    if (!tensor) return null;
    const dims = (tensor.dims ?? []).map(Number);
    const found = { dims, values: count(dims) <= VALUES ? constantValues(tensor) : null };
    this.known.set(name, found);
    return found;
  }

  /** Null where it hangs on the text, or on an operator that makes nothing larger. */
  private made(node: GraphNode): Known | null {
    const inputs = node.inputs.map(name => this.of(name));
    const [first = null, second = null, third = null] = inputs;
    const values = second?.values ?? null;
    switch (node.op) {
      case 'Shape':
        return first ? list(first.dims) : null;
      case 'ConstantOfShape':
        return first?.values ? shaped(first.values) : null;
      case 'Range':
        return first?.values && values && third?.values
          ? range(first.values[0]!, values[0]!, third.values[0]!)
          : null;
      case 'Expand':
        return first && values ? shaped(broadcast([first.dims, values])) : null;
      case 'Tile':
        return first && values ? shaped(first.dims.map((d, i) => d * (values[i] ?? 1))) : null;
      case 'Pad': {
        const pads = values ?? intsAttribute(node, 'pads');
        return first && pads ? shaped(padded(first.dims, pads)) : null;
      }
      case 'OneHot':
        return first && values ? shaped([...first.dims, values[0]!]) : null;
      case 'Concat':
        return inputs.every(known => known !== null) ? joined(inputs, intAttribute(node, 'axis', 0)) : null;
      case 'Reshape':
        return first && values ? { dims: reshaped(first.dims, values), values: first.values } : null;
      case 'Unsqueeze':
      case 'Squeeze':
      case 'Flatten':
        return first && { dims: spread(node, first.dims, values), values: first.values };
      case 'Gather':
        return first && second ? gathered(first, second, intAttribute(node, 'axis', 0)) : null;
      case 'MatMul':
        return first && second ? shaped(product(first.dims, second.dims)) : null;
      case 'Transpose': {
        const perm = intsAttribute(node, 'perm') ?? first?.dims.map((_, i) => i).reverse();
        return first && { dims: perm!.map(i => first.dims[i] ?? 1), values: null };
      }
    }
    if (ELEMENTWISE.has(node.op) && inputs.length > 0 && inputs.every(known => known !== null))
      return { dims: broadcast(inputs.map(known => known.dims)), values: computed(node.op, inputs) };
    return null;
  }
}

const BYTES: Record<number, number> = {
  [ElementType.bool]: 1,
  [ElementType.int8]: 1,
  [ElementType.uint8]: 1,
  [ElementType.float16]: 2,
  [ElementType.bfloat16]: 2,
  [ElementType.int64]: 8,
  [ElementType.uint64]: 8,
  [ElementType.float64]: 8,
};

const ELEMENTWISE = new Set(
  (
    'Identity Cast Neg Abs Sqrt Exp Log Erf Tanh Sigmoid Relu Not Floor Ceil Round Sign Sin Cos Reciprocal Softmax Trilu CumSum ' +
    'Add Sub Mul Div Pow Mod Min Max Mean Sum Where Equal Less LessOrEqual Greater GreaterOrEqual And Or Xor'
  ).split(' '),
);

const count = (dims: readonly number[]): number => dims.reduce((size, d) => size * Math.max(0, d), 1);
const shaped = (dims: number[]): Known => ({ dims, values: null });
const list = (values: number[]): Known => ({ dims: [values.length], values });

function range(start: number, end: number, step: number): Known | null {
  const size = Math.max(0, Math.ceil((end - start) / step));
  if (!Number.isFinite(size)) return null;
  return size <= VALUES ? list(Array.from({ length: size }, (_, i) => start + i * step)) : shaped([size]);
}

function broadcast(all: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...all.map(dims => dims.length));
  return Array.from({ length: rank }, (_, i) =>
    all.reduce((size, dims) => {
      const d = dims[dims.length - rank + i] ?? 1;
      return d === 1 ? size : size === 1 ? d : Math.max(size, d);
    }, 1),
  );
}

const padded = (dims: readonly number[], pads: readonly number[]): number[] =>
  dims.map((d, i) => d + (pads[i] ?? 0) + (pads[i + pads.length / 2] ?? 0));

function joined(parts: readonly Known[], axis: number): Known {
  const dims = [...(parts[0]?.dims ?? [])];
  const at = axis < 0 ? axis + dims.length : axis;
  dims[at] = parts.reduce((sum, part) => sum + (part.dims[at] ?? 1), 0);
  const isList = parts.every(part => part.values !== null && part.dims.length === 1);
  return { dims, values: isList ? parts.flatMap(part => part.values!) : null };
}

function reshaped(dims: readonly number[], wanted: readonly number[]): number[] {
  const known = wanted.map((d, i) => (d === 0 ? (dims[i] ?? 0) : d));
  const others = count(known.filter(d => d !== -1));
  return known.map(d => (d === -1 ? Math.floor(count(dims) / (others || 1)) : d));
}

/** With axes of one element more or less; a flattened tensor keeps its axes here. */
function spread(node: GraphNode, dims: readonly number[], given: readonly number[] | null): number[] {
  const axes = given ?? intsAttribute(node, 'axes') ?? [];
  if (node.op === 'Flatten') return [...dims];
  if (node.op === 'Squeeze') {
    const gone = new Set(axes.map(axis => (axis < 0 ? axis + dims.length : axis)));
    return dims.filter((d, i) => (axes.length > 0 ? !gone.has(i) : d !== 1));
  }
  const rank = dims.length + axes.length;
  const added = new Set(axes.map(axis => (axis < 0 ? axis + rank : axis)));
  const left = [...dims];
  return Array.from({ length: rank }, (_, i) => (added.has(i) ? 1 : (left.shift() ?? 1)));
}

function gathered(from: Known, at: Known, axis: number): Known {
  const start = axis < 0 ? axis + from.dims.length : axis;
  const dims = [...from.dims.slice(0, start), ...at.dims, ...from.dims.slice(start + 1)];
  const { values } = from;
  const isList = values && at.values && from.dims.length === 1;
  return {
    dims,
    values: isList ? at.values!.map(i => values[i < 0 ? i + values.length : i] ?? 0) : null,
  };
}

function product(a: readonly number[], b: readonly number[]): number[] {
  const batch = broadcast([a.slice(0, -2), b.slice(0, -2)]);
  return [...batch, ...(a.length > 1 ? [a.at(-2)!] : []), ...(b.length > 1 ? [b.at(-1)!] : [])];
}

const ARITHMETIC: Record<string, (a: number, b: number) => number> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => Math.trunc(a / b),
  Max: Math.max,
  Min: Math.min,
};

/** Of small lists: what shapes are computed by. */
function computed(op: string, inputs: readonly Known[]): number[] | null {
  const [a, b] = inputs.map(known => known.values);
  if (op === 'Identity') return a ?? null;
  if (op === 'Cast') return a?.map(Math.trunc) ?? null;
  const compute = ARITHMETIC[op];
  if (!compute || !a || !b || inputs.length > 2) return null;
  const size = Math.max(a.length, b.length);
  if ([a, b].some(values => values.length !== 1 && values.length !== size)) return null;
  return Array.from({ length: size }, (_, i) =>
    compute(a[a.length === 1 ? 0 : i]!, b[b.length === 1 ? 0 : i]!),
  );
}
