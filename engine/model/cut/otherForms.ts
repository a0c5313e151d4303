import { RefusedError, refused, told } from '../../errors';
import type { Graph } from '../onnx/graph';
import { constantValues, RANDOM, type GraphNode } from '../onnx/node';
import { contentOf, isProduct, type FoundCore } from './findCores';
import { thresholded } from './thresholds';

/** Forms of attention that are no core of softmax(QK^T)V, by name. @throws RefusedError */
export function refuseOthers(graph: Graph, ids: readonly string[], found: readonly FoundCore[]): void {
  const difference = differenceOfMaps(graph) ?? differenceOfContexts(graph, found);
  if (difference) throw refused('differential', difference);
  if (found.length > 0) return;
  const mixed = mixtureOfMaps(graph, ids);
  if (mixed) throw refused('mixture', mixed);
  if (kernelProduct(graph, ids)) throw refused('noSoftmaxProducts');
  const turned = softmaxOverOther(graph, ids);
  if (turned) throw refused('otherAxis', turned);
  const [above] = thresholded(graph, ids);
  if (above)
    throw new RefusedError(
      told`The model takes a threshold (sparsemax or entmax) off scores that are more than a product and a causal mask, at ${above.pv.inputs[0]}: beside a bias by distance, a cap or a mask of tokens it is not supported.`,
    );
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
export const OF_MAPS = new Set([
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

/** Steps that put maps together: heads that are mixed, or maps that are added up. */
const OF_MIXTURES = new Set([...OF_MAPS, 'Add', 'Sub', 'ReduceSum', 'ReduceMean']);

/** The first tensor that is made of several maps of the text, or of one with its heads mixed, and is multiplied with values. */
function mixtureOfMaps(graph: Graph, ids: readonly string[]): string | null {
  const active = activeOf(graph, ids);
  const isSoftmax = (node: GraphNode) => node.op === 'Softmax' && active(node.outputs[0]!);
  const ofText = ofTextIn(active);
  for (const node of graph.nodes) {
    const maps = node.inputs.filter(name => comesFrom(graph, name, OF_MAPS, isSoftmax));
    const adds = node.op === 'Add' && maps.length === 2;
    const mixes = (isProduct(node) || node.op === 'Conv') && maps.length === 1 && !ofText(node);
    if ((adds || mixes) && leadsTo(graph, node.outputs[0]!, OF_MIXTURES, ofText)) return node.outputs[0]!;
  }
  return null;
}

/** The first softmax between two products of tensors of the text that runs over another axis than the last. */
function softmaxOverOther(graph: Graph, ids: readonly string[]): string | null {
  const ofText = ofTextIn(activeOf(graph, ids));
  const found = graph.nodes.find(
    ({ op, inputs, outputs }) =>
      op === 'Softmax' &&
      comesFrom(graph, inputs[0]!, OF_SCORES, ofText) &&
      leadsTo(graph, outputs[0]!, OF_MAPS, ofText),
  );
  return found ? found.outputs[0]! : null;
}

const activeOf = (graph: Graph, ids: readonly string[]) => {
  const content = contentOf(graph, ids);
  const constants = graph.constants();
  return (name: string) => content.has(name) && !constants.has(name);
};

/** Products of two tensors of the text. */
const ofTextIn = (active: (name: string) => boolean) => (node: GraphNode) =>
  isProduct(node) && node.inputs.filter(active).length >= 2;

/**
 * A product of tensors of the text, one of which is such a product itself, without a softmax between: Q(K^T V); also where that
 * is written as each key's features times its values, summed over the keys before each query.
 */
function kernelProduct(
  graph: Graph,
  ids: readonly string[],
  through: ReadonlySet<string> = OF_FEATURES,
): boolean {
  const active = activeOf(graph, ids);
  const ofText = ofTextIn(active);
  const isOuter = ({ op, inputs }: GraphNode) =>
    op === 'Mul' && inputs.every(name => active(name) && graph.producer(name)?.op === 'Unsqueeze');
  const isSum = (node: GraphNode) =>
    node.op === 'CumSum' && comesFrom(graph, node.inputs[0]!, OF_MAPS, isOuter);
  return graph.nodes.some(
    node =>
      ofText(node) && node.inputs.some(name => comesFrom(graph, name, through, n => ofText(n) || isSum(n))),
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
