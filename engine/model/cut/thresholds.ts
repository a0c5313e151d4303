import { floats, float32 } from '../../runtime/tensor';
import { contentOf, isProduct, productBefore } from './findCores';
import type { PieceLoader } from './pieces';
import type { Survey } from './survey';
import type { Graph } from '../onnx/graph';
import { constantValues, type GraphNode } from '../onnx/node';
import { foldCore } from '../rewrite/declared';
import { mean } from '../../statistics';

/**
 * Sparsemax and entmax in plain operators (a threshold that follows from the scores is taken off them, and what is above 0 is
 * the probability, perhaps to some power) become calls of `entmax`, as if attention.json had declared them; they
 * are proved as any other. Returns how many there were.
 */
export async function foldThresholds(
  graph: Graph,
  ids: readonly string[],
  survey: Survey,
  loader: PieceLoader,
): Promise<number> {
  let folded = 0;
  for (const { qk, pv } of thresholded(graph, ids)) {
    const found = await fitted(graph, qk, pv, survey, loader);
    if (!found) continue;
    const [q, k] = qk.inputs as [string, string];
    const ends = { q, k, v: pv.inputs[1]!, context: pv.outputs[0]! };
    foldCore(graph, { mechanism: 'entmax', ...ends, turnedKeys: true, ...found }, `entmax${folded}`, () => {
      throw new Error(`internal: the attention at ${pv.outputs[0]} cannot be folded`);
    });
    folded++;
  }
  if (folded > 0) {
    graph.sort();
    graph.prune();
  }
  return folded;
}

// ---------------------------------------------------------------- by the form of the graph

/** Probabilities that are scores above a threshold of their own. */
export interface Thresholded {
  qk: GraphNode;
  pv: GraphNode;
}

export function thresholded(graph: Graph, ids: readonly string[]): Thresholded[] {
  const content = contentOf(graph, ids);
  const constants = graph.constants();
  const active = (name: string) => content.has(name) && !constants.has(name);
  return graph.nodes.flatMap(pv => {
    if (pv.op !== 'MatMul' || !pv.inputs.every(active)) return [];
    const scores = scoresAbove(graph, pv.inputs[0]!);
    const qk = scores === null ? null : productBefore(graph, scores, active, constants);
    return qk && qk !== pv && isProduct(qk) && qk.op === 'MatMul' ? [{ qk, pv }] : [];
  });
}

/** Steps from what is above 0 to the probabilities: a power, and the sum divided out. */
const MOST_STEPS = 8;

/** The scores that a threshold of their own is taken off, behind these probabilities; null = there is none. */
function scoresAbove(graph: Graph, probabilities: string): string | null {
  let name = probabilities;
  for (let step = 0; step < MOST_STEPS; step++) {
    const node = graph.producer(name);
    if (!node) return null;
    if (isAboveZero(graph, node)) {
      const difference = graph.producer(node.inputs.find(input => graph.producer(input))!);
      if (difference?.op !== 'Sub') return null;
      const [scores, threshold] = difference.inputs as [string, string];
      return graph.reachable([scores]).has(threshold) ? scores : null;
    }
    if (!['Cast', 'Identity', 'Dropout', 'Pow', 'Div', 'Mul'].includes(node.op)) return null;
    name = node.inputs[0]!;
  }
  return null;
}

function isAboveZero(graph: Graph, node: GraphNode): boolean {
  if (node.op === 'Relu') return true;
  const isZero = (name: string | undefined) =>
    name !== undefined && constantValues(graph.initializers.get(name))?.every(value => value === 0) === true;
  if (node.op === 'Max') return node.inputs.length === 2 && node.inputs.some(isZero);
  return node.op === 'Clip' && isZero(node.inputs[1]);
}

// ---------------------------------------------------------------- by the values

/** Rows of one key and two lesser ones, which are further and further away. (Of two keys alone the alphas 2 and 3 are the same.) */
const TOKENS = 48;
const FIRST_GAP = 0.05;
const GROWTH = 1.2;
/** Below all that a threshold leaves. */
const HIDDEN = -1e5;
const SPREAD = 1e-3;

/** Alpha of each head and the scale of the scores, from the probabilities of two keys; null = it is no entmax. */
async function fitted(graph: Graph, qk: GraphNode, pv: GraphNode, survey: Survey, loader: PieceLoader) {
  const score = qk.outputs[0]!;
  const weights = pv.inputs[0]!;
  const ids = survey.ids(TOKENS, TOKENS, 1);
  const [seen] = await survey.tensors(graph, [score, qk.inputs[0]!], [ids]);
  const { dims } = seen!.get(score)!;
  if (dims.at(-1) !== TOKENS || dims.at(-2) !== TOKENS) return null;
  const heads = dims.slice(0, -2).reduce((a, b) => a * b, 1);
  const piece = await loader.load(graph.extract([weights], name => name === score));
  const given = survey.feeds(graph, ids);
  const at = async (of: (row: number, key: number) => number) => {
    const plane = Float32Array.from({ length: TOKENS ** 2 }, (_, t) =>
      of(Math.floor(t / TOKENS), t % TOKENS),
    );
    const data = new Float32Array(heads * TOKENS ** 2);
    for (let head = 0; head < heads; head++) data.set(plane, head * TOKENS ** 2);
    const results = await piece.run(name => (name === score ? float32(data, dims) : given[name]));
    const found = floats([...results.values()][0]!);
    return (head: number, row: number, key: number) => found[(head * TOKENS + row) * TOKENS + key]!;
  };
  const gap = (row: number) => FIRST_GAP * GROWTH ** row;
  const even = await at(() => 0);
  const apart = await at((row, key) => (key === 0 ? 0 : key < 3 ? -gap(row) : HIDDEN));
  const fits = Array.from({ length: heads }, (_, head) => {
    const points = Array.from({ length: TOKENS - 2 }, (_, i) => i + 2).flatMap(row => {
      const [first, second] = [apart(head, row, 0), apart(head, row, 1)];
      const telling = second > 0.01 && first - second > 0.02 && Math.abs(first + 2 * second - 1) < 1e-3;
      return telling ? [{ first, second, gap: gap(row) }] : [];
    });
    return points.length < 3 ? null : alphaOf(points);
  });
  if (fits.some(fit => fit === null)) return null;
  const scales = fits.map(fit => fit!.scale);
  const usual = seen!.get(qk.inputs[0]!)!.dims.at(-1)! ** -0.5;
  const scale = Math.abs(scales[0]! / usual - 1) < SPREAD ? usual : scales[0]!;
  if (scales.some(one => Math.abs(one / scale - 1) > SPREAD)) return null;
  const alphas = fits.map(fit => rounded(fit!.alpha));
  const alike = alphas.every(alpha => alpha === alphas[0]);
  return {
    causal: !(even(0, 0, 1) > 0),
    scale,
    params: { ...(alike && { alpha: alphas[0]! }) },
    tensors: { ...(!alike && { alpha: alphas }) },
  };
}

/** The probabilities of the one key and of each of the others. */
interface Row {
  first: number;
  second: number;
  gap: number;
}

/** Of keys with probabilities p and r whose scores are d apart, (p^(a-1) - r^(a-1)) / ((a-1) d) is the scale, for the right a. */
function alphaOf(points: readonly Row[]): { alpha: number; scale: number } | null {
  const scales = (alpha: number) =>
    points.map(
      ({ first, second, gap }) => (first ** (alpha - 1) - second ** (alpha - 1)) / ((alpha - 1) * gap),
    );
  const spread = (alpha: number) => {
    const all = scales(alpha);
    const middle = mean(all);
    return Math.sqrt(mean(all.map(one => (one / middle - 1) ** 2)));
  };
  const coarse = Array.from({ length: 60 }, (_, i) => 1.02 + 0.05 * i);
  const best = coarse.reduce((a, b) => (spread(b) < spread(a) ? b : a));
  let [low, high] = [best - 0.05, best + 0.05];
  const golden = (Math.sqrt(5) - 1) / 2;
  for (let step = 0; step < 40; step++) {
    const [left, right] = [high - golden * (high - low), low + golden * (high - low)];
    if (spread(left) < spread(right)) high = right;
    else low = left;
  }
  const alpha = rounded((low + high) / 2);
  return spread(alpha) < SPREAD ? { alpha, scale: mean(scales(alpha)) } : null;
}

/** 1.5 and 2 are meant where they are all but met. */
const rounded = (alpha: number): number => {
  const near = Math.round(alpha * 100) / 100;
  return Math.abs(alpha - near) < 3e-4 ? near : alpha;
};
