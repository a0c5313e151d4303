import { float32, floats, type Tensor } from '../../runtime/tensor';
import { ElementType } from '../../runtime/onnxProto';
import type { Graph } from '../onnx/graph';
import { attribute, type GraphNode } from '../onnx/node';
import { givenContext, type CutCore } from './cutGraph';
import { contentOf } from './findCores';
import { OF_MAPS } from './otherForms';
import type { PieceLoader } from './pieces';
import type { Survey } from './survey';

/**
 * Differential attention (Ye et al. 2024) with both maps as heads of one softmax, as DiffLlama has it: what one head of a pair
 * reads, times lambda, is subtracted from what the other reads. What is here only names it: the heads are computed as others.
 */
export interface Subtraction {
  /** Of each head that of its pair; null = the text decides. */
  lambda: number[] | null;
  /** What its output counts in the difference: 1 of the first of a pair, -lambda of the second. */
  factor: number[] | null;
}

/** Tokens on which the steps behind a core are looked at. */
const TOKENS = 9;
const TOLERANCE = 1e-3;

/** Whether the model subtracts outputs of a core's heads from each other's; null = it does not. */
export async function subtractionOf(
  graph: Graph,
  core: CutCore,
  loader: PieceLoader,
  survey: Survey,
): Promise<Subtraction | null> {
  for (const node of differences(graph, core.found.context)) {
    const found = await pairsOf(graph, core, node, loader, survey);
    if (found) return found;
  }
  return null;
}

/** Sums and differences of two choices of what a core gives. */
function differences(graph: Graph, context: string): GraphNode[] {
  const reached = new Set([context]);
  const found = new Set<GraphNode>();
  for (const name of reached)
    for (const node of graph.consumers(name)) {
      if (OF_MAPS.has(node.op) || node.op === 'Neg') for (const output of node.outputs) reached.add(output);
      else if (node.op === 'Sub' || node.op === 'Add') found.add(node);
    }
  return [...found].filter(
    ({ inputs }) => inputs[0] !== inputs[1] && inputs.every(name => reached.has(name)),
  );
}

/** Which heads meet in this node, told by the outputs that change with each of them; null where it does not pair them all. */
async function pairsOf(
  graph: Graph,
  core: CutCore,
  node: GraphNode,
  loader: PieceLoader,
  survey: Survey,
): Promise<Subtraction | null> {
  const own = givenContext(graph, core);
  const sides = node.inputs.map(name =>
    own.op('Cast', [name], [attribute.int('to', ElementType.float32)], `${name}:side`),
  );
  own.sort();
  const content = contentOf(graph, survey.idInputs);
  const after = own.reachable([core.context]);
  const ofText = (name: string) => content.has(name) && !after.has(name);
  const extract = own.extract(sides, name => name === core.context || ofText(name));
  const sample = survey.ids(TOKENS, TOKENS, 1);
  const read = extract.inputs.filter(ofText);
  const [told] = read.length > 0 ? await survey.tensors(graph, read, [sample]) : [];
  const feeds = survey.feeds(graph, sample);
  const piece = await loader.load(extract);
  const { heads, valueDim } = core;
  const size = TOKENS * valueDim;
  const at = async (head: number) => {
    const data = new Float32Array(heads * size).fill(1, head * size, (head + 1) * size);
    const given: Record<string, Tensor> = {
      ...feeds,
      [core.context]: float32(data, [heads, TOKENS, valueDim]),
    };
    const results = await piece.run(name => told?.get(name) ?? given[name]);
    return sides.map(side => floats(results.get(side)!)) as [Float32Array, Float32Array];
  };
  const ofHead: (Seen | null)[] = [];
  for (let head = 0; head < heads; head++) ofHead.push(seenIn(await at(head), size));
  const lambda = new Array<number>(heads).fill(NaN);
  const factor = new Array<number>(heads).fill(NaN);
  const paired = new Set<number>();
  for (const [head, first] of ofHead.entries()) {
    if (first?.side !== 0) continue;
    const other = ofHead.findIndex(second => second?.side === 1 && second.from === first.from);
    if (other < 0) return null;
    // What is added counts as a difference where its factor is negative.
    const sign = node.op === 'Sub' ? -1 : 1;
    const ratios = ofHead[other]!.values.map((value, i) => (sign * value) / first.values[i]!);
    if (node.op === 'Add' && !ratios.every(ratio => ratio < 0)) return null;
    paired.add(head).add(other);
    const [ratio] = ratios as [number];
    if (!ratios.every(each => Math.abs(each - ratio) <= TOLERANCE * Math.abs(ratio))) continue;
    [factor[head], factor[other]] = [1, ratio];
    lambda[head] = lambda[other] = -ratio;
  }
  if (paired.size !== heads) return null;
  return lambda.some(Number.isNaN) ? { lambda: null, factor: null } : { lambda, factor };
}

/** Where a head is seen on one side of a difference: at all of one head's numbers, and nowhere else. */
interface Seen {
  side: 0 | 1;
  /** The places, as a word. */
  from: string;
  values: number[];
}

function seenIn([first, second]: readonly [Float32Array, Float32Array], size: number): Seen | null {
  const places = (data: Float32Array) => Array.from(data.keys()).filter(i => data[i] !== 0);
  const [one, two] = [places(first), places(second)];
  if (first.length !== second.length || one.length + two.length !== size) return null;
  if (one.length !== 0 && two.length !== 0) return null;
  const [side, where, data] = one.length > 0 ? ([0, one, first] as const) : ([1, two, second] as const);
  return { side, from: where.join(), values: where.map(i => data[i]!) };
}
