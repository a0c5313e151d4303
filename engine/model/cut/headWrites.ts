/** What becomes of the output of heads until it is added to the residual stream: the output projection, where it is one. */
import { ElementType } from '../../runtime/onnxProto';
import { float32, widened, type Tensor } from '../../runtime/tensor';
import type { CutCore } from './cutGraph';
import type { Graph } from '../onnx/graph';
import type { GraphNode } from '../onnx/node';
import type { PieceLoader } from './pieces';

/** What a core's context [heads, rows, valueDim] adds to the residual stream, biases included: [rows, width]. */
export type Written = (context: Float32Array) => Promise<Float32Array>;

/** The name of what is added, and the sum that it is added by. */
export interface Write {
  name: string;
  sum: string;
}

const AFFINE = /^(Transpose|Reshape|Squeeze|Unsqueeze|Flatten|Identity|Cast|MatMul|Gemm|MatMulNBits|Add)$/;

/** null where there is more than a linear map between the context and the sum that it goes into. */
export function writeOf(graph: Graph, context: string, constants: ReadonlySet<string>): Write | null {
  let name = context;
  for (;;) {
    const users = graph.consumers(name).filter(node => isFloat(graph, node.outputs[0]!));
    const [node] = users;
    if (!node || users.length > 1) return null;
    if (isSum(node, constants)) return { name, sum: node.outputs[0]! };
    const others = node.inputs.filter(input => input !== name && input !== '' && isFloat(graph, input));
    if (!AFFINE.test(node.op) || others.some(input => !constants.has(input))) return null;
    name = node.outputs[0]!;
  }
}

/** Loads the piece from a core's context to what is added. `rows`: queries of the core in the run that the feeds are of. */
export async function loadWrite(
  graph: Graph,
  { context, heads, valueDim }: CutCore,
  write: Write,
  { feeds, rows, loader }: { feeds: Readonly<Record<string, Tensor>>; rows: number; loader: PieceLoader },
): Promise<Written> {
  const piece = await loader.load(graph.extract([write.name], name => name === context));
  return async given => {
    const tensor = float32(given, [heads, rows, valueDim]);
    const [added] = (await piece.run(name => (name === context ? tensor : feeds[name]))).values();
    return widened(added!);
  };
}

export const isSum = ({ op, inputs }: GraphNode, constants: ReadonlySet<string>) =>
  op === 'Add' && inputs.every(input => !constants.has(input));

export function isFloat(graph: Graph, name: string): boolean {
  const type = graph.type(name);
  return type === ElementType.float32 || type === ElementType.float16 || type === ElementType.float64;
}
