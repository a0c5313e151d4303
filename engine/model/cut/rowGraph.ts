import { ElementType } from '../../runtime/onnxProto';
import { isHalf } from '../onnx/elementTypes';
import type { Extract, Graph } from '../onnx/graph';
import { attribute, constantValues, intAttribute, intsAttribute, reads, type GraphNode } from '../onnx/node';

/** Why a graph cannot be restricted to some rows: the operator that resists. */
export class ResistingNode extends Error {
  constructor(readonly op: string) {
    super(`${op} cannot be restricted to rows`);
  }
}

/** Sizes of a tensor for texts of two lengths; undefined where it was not seen. */
export type SeenDims = (name: string) => readonly [readonly number[], readonly number[]] | undefined;

/** The input that takes the row numbers (as floats: ports have no declared type). */
export const ROWS = 'cut:rows';

const ELEMENTWISE = new Set(
  (
    'Add Sub Mul Div Pow Mod Min Max Mean Sum Where And Or Xor Not Equal Less LessOrEqual Greater GreaterOrEqual ' +
    'Abs Neg Sign Floor Ceil Round Sqrt Exp Log Reciprocal Tanh Sigmoid Relu Erf Clip Cast CastLike IsNaN IsInf ' +
    'Identity Dropout Sin Cos Softplus LeakyRelu Elu HardSigmoid BitShift BitwiseAnd BitwiseOr BitwiseXor BitwiseNot PRelu'
  ).split(' '),
);

/**
 * The part of a graph that computes some rows of `output` along `axis`, without computing the others: a Gather of the rows
 * is moved up node by node until it meets what is small (linear in the text) or given from outside. `given`: a tensor that
 * comes already restricted. Throws ResistingNode where a node needs all rows.
 */
export function rowsOf(
  graph: Graph,
  output: string,
  axis: number,
  given: string,
  stops: (name: string) => boolean,
  seen: SeenDims,
): Extract {
  const restricted = new Restriction(graph.clone(), given, stops, seen);
  return restricted.extract(output, axis);
}

class Restriction {
  private readonly done = new Map<string, string>();
  private readonly small = new Map<string, boolean>();
  private readonly all: string;

  constructor(
    private readonly graph: Graph,
    private readonly given: string,
    private readonly stops: (name: string) => boolean,
    private readonly seen: SeenDims,
  ) {
    this.all = graph.op('Cast', [ROWS], [attribute.int('to', ElementType.int64)]);
  }

  extract(output: string, axis: number): Extract {
    const rows = this.rows(output, axis, this.all);
    this.graph.sort();
    return this.graph.extract([rows], name => this.stops(name) || name === this.given || name === ROWS);
  }

  // -------------------------------------------------------------- what is known of tensors

  private dims(name: string): readonly [readonly number[], readonly number[]] {
    const fixed = this.graph.initializers.get(name)?.dims?.map(Number);
    const found = fixed ? ([fixed, fixed] as const) : this.seen(name);
    if (!found) throw new ResistingNode(this.graph.producer(name)?.op ?? name);
    return found;
  }

  private rank(name: string): number {
    return this.dims(name)[0].length;
  }

  private isOne(name: string, axis: number): boolean {
    const [a, b] = this.dims(name);
    return a[axis] === 1 && b[axis] === 1;
  }

  /** Neither the tensor nor what it is computed from grows with the square of the text. */
  private isSmall(name: string): boolean {
    const known = this.small.get(name);
    if (known !== undefined) return known;
    this.small.set(name, true);
    const node = this.stops(name) ? undefined : this.graph.producer(name);
    const result =
      name !== this.given &&
      (node === undefined || (growing(this.dims(name)) <= 1 && reads(node).every(i => this.isSmall(i))));
    this.small.set(name, result);
    return result;
  }

  /** A tensor needed whole. */
  private whole(name: string): string {
    if (name !== '' && !this.isSmall(name)) throw new ResistingNode(this.graph.producer(name)?.op ?? name);
    return name;
  }

  // -------------------------------------------------------------- the way up

  /** The tensor with the entries `index` of an axis only. */
  private rows(name: string, axis: number, index: string): string {
    const key = `${name}\u0001${axis}\u0001${index}`;
    let found = this.done.get(key);
    if (found === undefined) this.done.set(key, (found = this.make(name, axis, index)));
    return found;
  }

  private make(name: string, axis: number, index: string): string {
    if (name === this.given) {
      if (axis !== this.rank(name) - 2 || index !== this.all) throw new ResistingNode('the scores');
      return name;
    }
    const node = this.stops(name) ? undefined : this.graph.producer(name);
    if (!node) return this.gathered(name, axis, index);
    if (this.isSmall(name)) return this.smallRows(node, name, axis, index);
    if (node.domain !== '' || node.captures.length > 0 || node.outputs[0] !== name)
      throw new ResistingNode(node.op);
    if (ELEMENTWISE.has(node.op)) return this.elementwise(node, name, axis, index);
    const rule = this.rules[node.op];
    if (!rule) throw new ResistingNode(node.op);
    return rule(node, axis, index);
  }

  /**
   * Of what is linear in the text the rows are taken where it is. ONNX Runtime drops roundings to 16 bits between nodes that it
   * computes in 32, and a Gather between them would keep them: there the rows are taken before.
   */
  private smallRows(node: GraphNode, name: string, axis: number, index: string): string {
    if (!isHalf(this.graph.type(name)) || !ELEMENTWISE.has(node.op)) return this.gathered(name, axis, index);
    return this.elementwise(node, name, axis, index);
  }

  private gathered(name: string, axis: number, index: string): string {
    return this.graph.op('Gather', [name, index], [attribute.int('axis', axis)]);
  }

  private again(node: GraphNode, inputs: string[], attributes = node.attributes): string {
    return this.graph.op(node.op, inputs, attributes);
  }

  private elementwise(node: GraphNode, name: string, axis: number, index: string): string {
    const rank = this.rank(name);
    return this.again(
      node,
      node.inputs.map(input => this.broadcast(input, axis - rank, index)),
    );
  }

  /** An operand that is broadcast; `fromEnd`: the axis counted from the end, negative. */
  private broadcast(input: string, fromEnd: number, index: string): string {
    if (input === '') return '';
    const axis = this.rank(input) + fromEnd;
    return axis < 0 || this.isOne(input, axis) ? this.whole(input) : this.rows(input, axis, index);
  }

  /** A list of sizes in which one entry becomes the number of rows. */
  private resized(shape: string, at: number, index: string): string {
    const { graph } = this;
    const length = this.dims(this.whole(shape))[0][0] ?? 0;
    const entries = Array.from({ length }, (_, i) => i);
    const others = graph.op('Mul', [shape, graph.ints(entries.map(i => (i === at ? 0 : 1)))]);
    const count = graph.op('Shape', [index]);
    const own = graph.op('Mul', [count, graph.ints(entries.map(i => (i === at ? 1 : 0)))]);
    return graph.op('Add', [others, own]);
  }

  /** A small list of whole numbers that is an input or an attribute. */
  private list(node: GraphNode, input: number, name: string): number[] | null {
    const given = node.inputs[input];
    if (!given) return intsAttribute(node, name);
    const values = constantValues(this.graph.initializers.get(given));
    if (!values) throw new ResistingNode(node.op);
    return values;
  }

  private readonly rules: Record<string, (node: GraphNode, axis: number, index: string) => string> = {
    Transpose: (node, axis, index) => {
      const rank = this.rank(node.outputs[0]!);
      const perm = intsAttribute(node, 'perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
      return this.again(node, [this.rows(node.inputs[0]!, perm[axis]!, index)]);
    },
    Unsqueeze: (node, axis, index) => {
      const rank = this.rank(node.outputs[0]!);
      const axes = this.list(node, 1, 'axes')!.map(a => (a < 0 ? a + rank : a));
      const source = axis - axes.filter(a => a < axis).length;
      return this.again(node, [this.rows(node.inputs[0]!, source, index), ...node.inputs.slice(1)]);
    },
    Squeeze: (node, axis, index) => {
      const rank = this.rank(node.inputs[0]!);
      const axes = this.list(node, 1, 'axes')?.map(a => (a < 0 ? a + rank : a));
      if (!axes) throw new ResistingNode('Squeeze');
      const kept = Array.from({ length: rank }, (_, i) => i).filter(i => !axes.includes(i));
      return this.again(node, [this.rows(node.inputs[0]!, kept[axis]!, index), ...node.inputs.slice(1)]);
    },
    Reshape: (node, axis, index) => {
      const source = sameAxis(this.dims(node.inputs[0]!), this.dims(node.outputs[0]!), axis);
      if (source === null) throw new ResistingNode('Reshape');
      const shape = this.resized(node.inputs[1]!, axis, index);
      return this.again(node, [this.rows(node.inputs[0]!, source, index), shape]);
    },
    Expand: (node, axis, index) => {
      const [input, shape] = node.inputs as [string, string];
      const rank = this.rank(node.outputs[0]!);
      const at = axis - rank + (this.dims(shape)[0][0] ?? 0);
      const sizes = at < 0 ? this.whole(shape) : this.resized(shape, at, index);
      return this.again(node, [this.broadcast(input, axis - rank, index), sizes]);
    },
    ConstantOfShape: (node, axis, index) => this.again(node, [this.resized(node.inputs[0]!, axis, index)]),
    Tile: (node, axis, index) => {
      const [input, repeats] = node.inputs as [string, string];
      if (this.isOne(input, axis))
        return this.again(node, [this.whole(input), this.resized(repeats, axis, index)]);
      if (this.dims(input)[1][axis] !== this.dims(node.outputs[0]!)[1][axis]) throw new ResistingNode('Tile');
      return this.again(node, [this.rows(input, axis, index), this.whole(repeats)]);
    },
    Concat: (node, axis, index) => {
      const rank = this.rank(node.outputs[0]!);
      const along = (intAttribute(node, 'axis', 0) + rank) % rank;
      if (along === axis) throw new ResistingNode('Concat');
      return this.again(
        node,
        node.inputs.map(input => this.rows(input, axis, index)),
      );
    },
    Gather: (node, axis, index) => {
      const [data, indices] = node.inputs as [string, string];
      const along = (intAttribute(node, 'axis', 0) + this.rank(data)) % this.rank(data);
      const width = this.rank(indices);
      if (axis < along) return this.again(node, [this.rows(data, axis, index), this.whole(indices)]);
      return axis < along + width
        ? this.again(node, [this.whole(data), this.rows(indices, axis - along, index)])
        : this.again(node, [this.rows(data, axis - width + 1, index), this.whole(indices)]);
    },
    GatherElements: (node, axis, index) => {
      const [data, indices] = node.inputs as [string, string];
      const along = (intAttribute(node, 'axis', 0) + this.rank(data)) % this.rank(data);
      const source = along === axis ? this.whole(data) : this.rows(data, axis, index);
      return this.again(node, [source, this.rows(indices, axis, index)]);
    },
    GatherND: (node, axis, index) => {
      const [data, indices] = node.inputs as [string, string];
      if (intAttribute(node, 'batch_dims', 0) !== 0) throw new ResistingNode('GatherND');
      const lead = this.rank(indices) - 1;
      if (axis < lead) return this.again(node, [this.whole(data), this.rows(indices, axis, index)]);
      const width = this.dims(indices)[0][lead]!;
      return this.again(node, [this.rows(data, axis - lead + width, index), this.whole(indices)]);
    },
    Slice: (node, axis, index) => this.slice(node, axis, index),
    Trilu: (node, axis, index) => this.triangle(node, axis, index),
    MatMul: (node, axis, index) => {
      const [left, right] = node.inputs as [string, string];
      const fromEnd = axis - this.rank(node.outputs[0]!);
      if (fromEnd === -2)
        return this.again(node, [this.rows(left, this.rank(left) - 2, index), this.whole(right)]);
      if (fromEnd === -1)
        return this.again(node, [this.whole(left), this.rows(right, this.rank(right) - 1, index)]);
      return this.again(
        node,
        node.inputs.map(input => this.broadcast(input, fromEnd, index)),
      );
    },
    CumSum: (node, axis, index) => {
      const along = constantValues(this.graph.initializers.get(node.inputs[1]!))?.[0];
      const rank = this.rank(node.outputs[0]!);
      if (along === undefined || (along + rank) % rank === axis) throw new ResistingNode('CumSum');
      return this.again(node, [this.rows(node.inputs[0]!, axis, index), node.inputs[1]!]);
    },
  };

  /** A slice along the rows' own axis moves the rows; what else is cut off stays. */
  private slice(node: GraphNode, axis: number, index: string): string {
    const { graph } = this;
    const [data, starts, ends, , steps] = node.inputs as string[];
    const rank = this.rank(data!);
    const all = Array.from({ length: rank }, (_, i) => i);
    const axes = (this.list(node, 3, 'axes') ?? all).map(a => (a < 0 ? a + rank : a));
    const at = axes.indexOf(axis);
    for (const list of [starts, ends, steps]) if (list) this.whole(list);
    if (at < 0) return this.again(node, [this.rows(data!, axis, index), ...node.inputs.slice(1)]);
    const pick = (list: string, which: number[]) =>
      graph.op('Gather', [list, graph.ints(which)], [attribute.int('axis', 0)]);
    const [small, large] = this.dims(data!);
    let start = pick(starts!, [at]);
    const known = constantValues(graph.initializers.get(starts!))?.[at];
    if (known === undefined || known < 0) {
      // Counted from the end.
      if (small[axis] !== large[axis]) throw new ResistingNode('Slice');
      const isNegative = graph.op(
        'Cast',
        [graph.op('Less', [start, graph.ints([0])])],
        [attribute.int('to', ElementType.int64)],
      );
      start = graph.op('Add', [start, graph.op('Mul', [isNegative, graph.ints([large[axis]!])])]);
    }
    const stride = steps ? graph.op('Mul', [index, pick(steps, [at])]) : index;
    const moved = known === 0 && !steps ? index : graph.op('Add', [stride, start]);
    const rows = this.rows(data!, axis, moved);
    const rest = axes.map((_, i) => i).filter(i => i !== at);
    if (rest.length === 0) return rows;
    const kept = [rows, pick(starts!, rest), pick(ends!, rest), graph.ints(rest.map(i => axes[i]!))];
    return graph.op('Slice', steps ? [...kept, pick(steps, rest)] : kept);
  }

  /** The one value that a matrix is filled with, which need not be spread out, and its shape. */
  private filled(name: string): { value: string; shape: string } | null {
    const node = this.stops(name) ? undefined : this.graph.producer(name);
    if (node?.op !== 'Expand' || this.rank(name) !== 2) return null;
    const [value, shape] = node.inputs as [string, string];
    const isOne = this.dims(value).every(dims => dims.every(size => size === 1));
    return isOne && this.rank(value) <= 2 && this.dims(shape)[0][0] === 2
      ? { value: this.whole(value), shape: this.whole(shape) }
      : null;
  }

  /** A triangle of a matrix: columns are compared with the rows' own numbers. */
  private triangle(node: GraphNode, axis: number, index: string): string {
    const { graph } = this;
    const [data, k] = node.inputs as [string, string | undefined];
    const rank = this.rank(data);
    if (axis < rank - 2) return this.again(node, [this.rows(data, axis, index), ...node.inputs.slice(1)]);
    const byRow = axis === rank - 2;
    const other = byRow ? rank - 1 : rank - 2;
    const filled = this.filled(data);
    const rows = filled ? filled.value : this.rows(data, axis, index);
    const sizes = filled ? filled.shape : graph.op('Shape', [rows]);
    const size = graph.op('Gather', [sizes, graph.ints([other], [])]);
    const range = graph.op('Range', [graph.ints([0], []), size, graph.ints([1], [])]);
    const upright = (name: string) => graph.op('Unsqueeze', [name, graph.ints([1])]);
    const across = (name: string) => graph.op('Unsqueeze', [name, graph.ints([0])]);
    // The diagonal is moved before the two are spread out, so that only the comparison is quadratic.
    const moved = k ? graph.op('Add', [byRow ? index : range, this.whole(k)]) : byRow ? index : range;
    const [row, column] = byRow ? [upright(moved), across(range)] : [upright(moved), across(index)];
    const upper = intAttribute(node, 'upper', 1) === 1;
    const kept = graph.op(upper ? 'GreaterOrEqual' : 'LessOrEqual', [column, row]);
    const type = graph.type(data);
    if (type === ElementType.bool) return graph.op('And', [rows, kept]);
    const zero = graph.op('Cast', [graph.floats([0], [])], [attribute.int('to', type)]);
    return graph.op('Where', [kept, rows, zero]);
  }
}

function growing([a, b]: readonly [readonly number[], readonly number[]]): number {
  return a.filter((size, i) => size !== b[i]).length;
}

/** The axis of a reshaped tensor's input that the reshaping leaves whole. */
function sameAxis(
  from: readonly [readonly number[], readonly number[]],
  to: readonly [readonly number[], readonly number[]],
  axis: number,
): number | null {
  const before = (dims: readonly number[], end: number) => dims.slice(0, end).reduce((a, b) => a * b, 1);
  for (let source = 0; source < from[0].length; source++)
    if (
      [0, 1].every(
        n => from[n]![source] === to[n]![axis] && before(from[n]!, source) === before(to[n]!, axis),
      )
    )
      return source;
  return null;
}
