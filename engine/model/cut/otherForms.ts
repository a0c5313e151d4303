import { RefusedError, refused } from '../../errors';
import type { Graph } from '../onnx/graph';
import { constantValues, RANDOM, type GraphNode } from '../onnx/node';
import { contentOf, isProduct, type FoundCore } from './findCores';

/** Forms of attention that are no core of softmax(QK^T)V, by name. @throws RefusedError */
export function refuseOthers(graph: Graph, ids: readonly string[], found: readonly FoundCore[]): void {
  const difference = differenceOfMaps(graph) ?? differenceOfContexts(graph, found);
  if (difference) throw refused('differential', difference);
  if (found.length > 0) return;
  if (kernelProduct(graph, ids)) throw refused('noSoftmaxProducts');
  if (kernelProduct(graph, ids, OF_SCORES))
    throw new RefusedError(
      'No attention with a softmax was found in the ONNX graph, but scores of tokens against each other that go to the values through another function (linear, kernel or sigmoid attention): they are no map of probabilities that could be proved.',
    );
  throw refused('noAttention');
}

/** What a model computes must follow from the text alone. @throws RefusedError where it is drawn at random. */
export function refuseRandom(graph: Graph): void {
  for (const node of graph.nodes) {
    if (isTrainedWith(graph, node)) throw refused('trainingMode', node.outputs[0]!);
    if (RANDOM.has(node.op) && node.domain === '') throw refused('drawsRandom', node.op, node.outputs[0]!);
  }
}

function isTrainedWith(graph: Graph, node: GraphNode): boolean {
  if (node.op !== 'Dropout' || node.domain !== '') return false;
  const [, ratio, training] = node.inputs.map(name => constantValues(graph.initializers.get(name))?.[0]);
  return training === 1 && ratio !== 0;
}

/** Steps that leave a map a map: rounding, a factor, another order or choice of heads. */
const OF_MAPS = new Set([
  'Cast',
  'Identity',
  'Dropout',
  'Mul',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
  'Transpose',
  'Slice',
  'Split',
  'Gather',
]);
/** Steps between two products of the same kernel attention. */
const OF_FEATURES = new Set([...OF_MAPS, 'Add', 'Div', 'CumSum', 'ReduceSum', 'Reciprocal']);
/** Steps from scores to what stands in the place of probabilities. */
const OF_SCORES = new Set([
  ...OF_FEATURES,
  ...['Sub', 'Relu', 'Sigmoid', 'Tanh', 'Exp', 'Pow', 'Elu', 'Softplus', 'Where', 'Clip', 'Max', 'Min'],
]);

/** The first tensor that is a map less another map and is multiplied with values. */
function differenceOfMaps(graph: Graph): string | null {
  const isMap = (name: string) => comesFrom(graph, name, OF_MAPS, node => node.op === 'Softmax');
  for (const node of graph.nodes) {
    if (node.op !== 'Sub' || !node.inputs.every(isMap)) continue;
    if (leadsTo(graph, node.outputs[0]!, OF_MAPS, isProduct)) return node.outputs[0]!;
  }
  return null;
}

/** The first tensor that is what one map reads less what another reads of the same values. */
function differenceOfContexts(graph: Graph, found: readonly FoundCore[]): string | null {
  const coreOf = (name: string) =>
    found.filter(({ context }) => comesFrom(graph, name, OF_MAPS, node => node.outputs.includes(context)));
  for (const node of graph.nodes) {
    if (node.op !== 'Sub') continue;
    const [[first], [second]] = node.inputs.map(coreOf) as [FoundCore[], FoundCore[]];
    if (first && second && first !== second && first.v === second.v) return node.outputs[0]!;
  }
  return null;
}

/** A product of tensors of the text, one of which is such a product itself, without a softmax between: Q(K^T V). */
function kernelProduct(
  graph: Graph,
  ids: readonly string[],
  through: ReadonlySet<string> = OF_FEATURES,
): boolean {
  const content = contentOf(graph, ids);
  const constants = graph.constants();
  const active = (name: string) => content.has(name) && !constants.has(name);
  const ofText = (node: GraphNode) => isProduct(node) && node.inputs.filter(active).length >= 2;
  return graph.nodes.some(
    node => ofText(node) && node.inputs.some(name => comesFrom(graph, name, through, ofText)),
  );
}

function comesFrom(
  graph: Graph,
  name: string,
  through: ReadonlySet<string>,
  wanted: (node: GraphNode) => boolean,
): boolean {
  const seen = new Set<string>();
  const queue = [name];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const node = graph.producer(next);
    if (!node || seen.has(next)) continue;
    seen.add(next);
    if (wanted(node)) return true;
    if (through.has(node.op)) queue.push(...node.inputs);
  }
  return false;
}

function leadsTo(
  graph: Graph,
  name: string,
  through: ReadonlySet<string>,
  wanted: (node: GraphNode) => boolean,
): boolean {
  const seen = new Set<string>();
  const queue = [name];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    for (const node of graph.consumers(next)) {
      if (wanted(node)) return true;
      if (through.has(node.op)) queue.push(...node.outputs);
    }
  }
  return false;
}
