import { RefusedError, told } from '../../errors';
import { isRunError } from '../../runtime/complaint';
import { float32, floats, type Tensor } from '../../runtime/tensor';
import type { Graph } from '../onnx/graph';
import type { GraphNode } from '../onnx/node';
import { ChainRows } from './chain';
import type { CutCore } from './cutGraph';
import type { FoundCore } from './findCores';
import { patternOf } from './patterns';
import type { PieceLoader } from './pieces';
import type { ProbedRule } from './probe';
import type { Survey } from './survey';

/** What is needed to look at a core's graph. */
export interface Place {
  graph: Graph;
  core: CutCore;
  rule: ProbedRule;
  loader: PieceLoader;
  survey: Survey;
}

/** A mechanism that was found in a graph of plain operators: with it the core's rule, or only its name. */
export interface Recognised {
  native: FoundCore['native'];
  rule: ProbedRule;
}

/**
 * The mechanism that a core was made with, recognised from what its graph does to scores and probabilities. What is
 * recognised replaces the graph, and is proved with the whole model; null = nothing but a softmax.
 */
export async function recognise(place: Place): Promise<Recognised | null> {
  const { core, rule } = place;
  if (core.found.shaping) return shapedOf(place);
  const mayFall = rule.bias?.kind === 'relative' && fallsAway(rule.bias.table, rule.mask.window !== null);
  if (!(rule.opaque || mayFall)) return null;
  if (core.found.contentSides.length > 0) return rule.softCap === null ? namedOf(place) : null;
  if (core.queryInput !== core.keyInput) return null;
  const chain = await ChainRows.load(place.graph, core, place.loader, place.survey);
  const span = rule.softCap === null ? await spanOf(place, chain) : null;
  return span ?? (rule.opaque ? maskedOf(place, chain) : null);
}

// ---------------------------------------------------------------- identity plus attention

/** Tokens at which the steps after a softmax are looked at. */
const SHAPING_TOKENS = 9;

/** alpha I + beta P - gamma C, C the mean over what is visible (He & Hofmann 2024). @throws RefusedError for other steps. */
async function shapedOf({ graph, core, rule, loader, survey }: Place): Promise<Recognised> {
  const { softmax, weights } = core.found.shaping!;
  const n = SHAPING_TOKENS;
  const { causal } = rule.mask;
  const feeds = survey.ids(n, n, 1);
  const piece = await loader.load(graph.extract([weights], name => name === softmax));
  const given = survey.feeds(graph, feeds);
  const at = async (value: number) => {
    const dims = [...core.scoreLead, n, n];
    const p = float32(new Float32Array(core.heads * n * n).fill(value), dims);
    const results = await piece.run(name => (name === softmax ? p : given[name]));
    const found = floats([...results.values()][0]!);
    return (head: number, i: number, j: number) =>
      found[found.length === n * n ? i * n + j : (head * n + i) * n + j]!;
  };
  const [without, withOnes] = [await at(0), await at(1)];
  const gains = Array.from({ length: core.heads }, (_, head) => {
    const beta = withOnes(head, 0, 0) - without(head, 0, 0);
    // Of the second query: off the diagonal there is only the mean taken away.
    const visible = causal ? 2 : n;
    const gamma = -without(head, 1, 0) * visible;
    const alpha = without(head, 1, 1) + gamma / visible;
    return { alpha, beta, gamma };
  });
  for (const [head, { alpha, beta, gamma }] of gains.entries())
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) {
        const seen = !causal || j <= i;
        const base = (i === j ? alpha : 0) - (seen ? gamma / (causal ? i + 1 : n) : 0);
        const off = Math.abs(without(head, i, j) - base) + Math.abs(withOnes(head, i, j) - base - beta);
        if (!(off < 1e-5 * (1 + Math.abs(alpha) + Math.abs(beta) + Math.abs(gamma))))
          throw new RefusedError(
            told`What the model does to the probabilities of the attention at ${softmax} is not understood (identity plus attention less the mean is).`,
          );
      }
  const perHead = (key: 'alpha' | 'beta' | 'gamma') =>
    float32(
      Float32Array.from(gains, gain => gain[key]),
      [core.heads],
    );
  return {
    rule,
    native: {
      spec: { name: 'shaped', params: {}, tensors: ['alpha', 'beta', 'gamma'] },
      tensors: {},
      values: { alpha: perHead('alpha'), beta: perHead('beta'), gamma: perHead('gamma') },
      scores: 'rule',
    },
  };
}

// ---------------------------------------------------------------- soft masks by distance

/** Longest text whose last query is looked at. */
const SPAN_TOKENS = 4096;
const TOKENS_LEAST = 16;
const SPAN_TOLERANCE = 1e-4;
/** Logits below this are masks. */
const MASKED = -9999;

/**
 * What the model adds to the scores of some queries, at the greatest length of at most so many tokens that its tables allow;
 * null = none is.
 */
async function rowsAt(
  chain: ChainRows,
  survey: Survey,
  longest: number,
  rowsOf: (length: number) => Int32Array,
) {
  const none = (): Tensor => {
    throw new Error('internal: a rule of positions reads the text');
  };
  for (let keys = Math.min(longest, survey.limit ?? longest); keys >= TOKENS_LEAST; keys >>= 1) {
    const ids = survey.ids(keys, keys, 3);
    if (!chain.affordable(ids)) continue;
    const rows = rowsOf(keys);
    try {
      return { keys, rows, logits: await chain.evaluate(ids, rows, 0, none) };
    } catch (error) {
      // A table of the model may be shorter than its configuration says, or than anything says.
      if (!isRunError(error)) throw error;
    }
  }
  return null;
}

/** A softmax times clamp((ramp + span - distance) / ramp, 0, 1) in each head (Sukhbaatar et al. 2019). */
async function spanOf({ core, rule, survey }: Place, chain: ChainRows): Promise<Recognised | null> {
  const found = await rowsAt(chain, survey, SPAN_TOKENS, length => Int32Array.of(length - 1));
  if (!found) return null;
  const {
    keys: length,
    logits: { planes, data },
  } = found;
  const leaks = data.some(value => value >= MASKED && value < Math.log(SPAN_TOLERANCE));
  const masks = Array.from({ length: core.heads }, (_, head) => {
    const row = data.subarray((planes === 1 ? 0 : head) * length, (planes === 1 ? 1 : head + 1) * length);
    return Float64Array.from({ length }, (_, d) =>
      row[length - 1 - d]! < MASKED ? 0 : Math.exp(row[length - 1 - d]!),
    );
  });
  const ramp = rampOf(masks);
  if (ramp === null) return null;
  const spans = masks.map(mask => spanUnder(mask, ramp));
  const fits = masks.every((mask, head) =>
    mask.every(
      (m, d) => Math.abs(m - Math.max(0, Math.min(1, (ramp + spans[head]! - d) / ramp))) < SPAN_TOLERANCE,
    ),
  );
  if (!fits) return null;
  // A small number beside the mask keeps its logarithm finite, and leaves every key a little: the model's own graph has it.
  if (leaks)
    return {
      native: null,
      rule: { ...rule, made: { name: 'adaptive-span', params: { ramp, span: spans.map(rounded) } } },
    };
  return {
    rule: {
      ...rule,
      mask: { causal: rule.mask.causal, window: null },
      bias: null,
      opaque: false,
      description: `${rule.mask.causal ? 'causal' : 'full'}, adaptive-span`,
    },
    native: {
      spec: { name: 'adaptive-span', params: { ramp }, tensors: ['span'] },
      tensors: {},
      values: { span: float32(Float32Array.from(spans), [core.heads]) },
      scores: 'own',
    },
  };
}

/** The logarithm of a mask: 0 where all is kept, far below (or hidden) where nothing is. */
const fallsAway = (table: Float32Array, windowed: boolean) =>
  table.every(v => v < 1e-6) && (windowed || table.some(v => v < Math.log(SPAN_TOLERANCE)));

/** As float32 logarithms tell a span. */
const rounded = (span: number) => Math.round(span * 1e4) / 1e4;

const onRamp = (m: number) => m > SPAN_TOLERANCE && m < 1 - SPAN_TOLERANCE;

/** Tokens in which the masks fall from 1 to 0: the inverse of the step between two neighbours on the slope; null = none. */
function rampOf(masks: readonly Float64Array[]): number | null {
  for (const mask of masks)
    for (let d = 0; d + 1 < mask.length; d++) {
      if (!onRamp(mask[d]!)) continue;
      let end = d;
      while (end + 1 < mask.length && onRamp(mask[end + 1]!)) end++;
      if (end === d || !(mask[d]! > mask[end]!)) continue;
      const ramp = (end - d) / (mask[d]! - mask[end]!);
      return Math.abs(ramp - Math.round(ramp)) < 1e-2 ? Math.round(ramp) : ramp;
    }
  return null;
}

function spanUnder(mask: Float64Array, ramp: number): number {
  const at = mask.findIndex(onRamp);
  if (at >= 0) return Math.max(0, at - ramp + ramp * mask[at]!);
  const cut = mask.findIndex(m => m === 0);
  return cut < 0 ? mask.length : Math.max(0, cut - ramp);
}

// ---------------------------------------------------------------- masks of positions

/** So long a text, and so many of its last rows and others before them, are looked at. */
const MASK_TOKENS = 512;
const LAST_ROWS = 64;
const OTHER_ROWS = 64;

/** A mask that keeps the pairs of one of our mechanisms: the graph makes it, and it gets its name. */
async function maskedOf({ rule, survey }: Place, chain: ChainRows): Promise<Recognised | null> {
  const seen = await rowsAt(chain, survey, MASK_TOKENS, length => {
    const from = Math.max(0, length - LAST_ROWS);
    const others = Math.min(OTHER_ROWS, from);
    const before = Array.from({ length: others }, (_, at) => Math.floor((at * from) / others));
    return Int32Array.from([...before, ...Array.from({ length: length - from }, (_, at) => from + at)]);
  });
  const made = seen && patternOf({ ...seen, causal: rule.mask.causal });
  return made ? { native: null, rule: { ...rule, made: { ...made, whole: true } } } : null;
}

// ---------------------------------------------------------------- by the form of the graph

/** Mechanisms whose masks or terms the model's own graph computes for each text: recognised by what they are made of. */
async function namedOf({ graph, core, rule, survey }: Place): Promise<Recognised | null> {
  const { found } = core;
  for (const side of found.contentSides) {
    const buckets = await bucketsOf(graph, side, survey);
    if (buckets) return { native: null, rule: { ...rule, made: buckets } };
  }
  if (!relativeTerm(graph, found)) return null;
  return { native: null, rule: { ...rule, made: { name: 'transformer-xl', params: {} } } };
}

/**
 * A mask of tokens that choose the same of some constant directions: the largest product with them (or the least distance),
 * the signs of the products, or, the other way round, the tokens nearest to each.
 */
async function bucketsOf(graph: Graph, side: string, survey: Survey): Promise<ProbedRule['made'] | null> {
  for (const choice of producers(graph, side, BETWEEN_BUCKETS).filter(node => CHOICES.has(node.op))) {
    const compared = choice.inputs[0]!;
    const way = producers(graph, compared, OF_DIRECTIONS);
    const product = way.find(node => isOfDirections(graph, node));
    if (!product) continue;
    const [tensors] = await survey.tensors(graph, [compared], [survey.ids(9, 9, 1)]);
    const { dims } = tensors!.get(compared)!;
    const directions = dims.at(-1)!;
    if (SIGNS.has(choice.op)) return { name: 'lsh', params: { buckets: 2 ** directions } };
    // The tokens nearest to each direction stand along the last axis.
    if (choice.op === 'TopK') return { name: 'routing', params: { clusters: dims.at(-2)! } };
    if (way.some(node => node.op === 'Neg')) return { name: 'lsh', params: { buckets: directions } };
    return { name: 'routing', params: { clusters: directions } };
  }
  return null;
}

/** A product of the text with a learned matrix, or its difference from learned points. */
function isOfDirections(graph: Graph, node: GraphNode): boolean {
  if (!['MatMul', 'Einsum', 'Gemm', 'Sub'].includes(node.op)) return false;
  const constants = graph.constants();
  const learned = node.inputs.filter(name => constants.has(name));
  const size = (name: string) =>
    (graph.initializers.get(name)?.dims ?? []).map(Number).reduce((a, b) => a * b, 1);
  return learned.length === 1 && (node.op !== 'Sub' || size(learned[0]!) > 1);
}

const SIGNS = new Set(['Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'Sign']);
const CHOICES = new Set(['ArgMax', 'ArgMin', 'TopK', ...SIGNS]);
const OF_DIRECTIONS = new Set([
  ...[
    'Concat',
    'Neg',
    'Transpose',
    'Reshape',
    'Unsqueeze',
    'Squeeze',
    'ReduceSum',
    'ReduceL2',
    'Pow',
    'Mul',
    'Sqrt',
  ],
]);
const BETWEEN_BUCKETS = new Set([
  ...['Equal', 'And', 'Or', 'Not', 'Where', 'Unsqueeze', 'Squeeze', 'Reshape', 'Transpose', 'Cast', 'Expand'],
  ...['ReduceMax', 'ReduceMin', 'ReduceSum', 'Mul', 'MatMul', 'Greater', 'Less', 'ScatterElements', 'OneHot'],
]);
const MOVING = new Set([
  'Pad',
  'Concat',
  'Reshape',
  'Slice',
  'Gather',
  'GatherElements',
  'Transpose',
  'Mul',
  'Div',
]);

/**
 * Transformer-XL's scores (q + u) k + (q + v) r: queries with learned numbers added, times something that is no key, beside
 * keys that the same queries meet with other numbers added; or q k with u k as a term of its own beside it.
 */
function relativeTerm(graph: Graph, { q, k, contentSides }: FoundCore): boolean {
  const constants = graph.constants();
  const added = (name: string): string | null => {
    const node = graph.producer(sourceOf(graph, name));
    if (node?.op !== 'Add') return null;
    const of = node.inputs.filter(input => !constants.has(input));
    return of.length === 1 ? sourceOf(graph, of[0]!) : null;
  };
  const [query, key] = [sourceOf(graph, q), sourceOf(graph, k)];
  const products = contentSides.flatMap(side =>
    producers(graph, side, MOVING).filter(node => ['MatMul', 'Einsum'].includes(node.op)),
  );
  const ofKeys = products.some(
    ({ inputs }) =>
      inputs.some(name => constants.has(name)) && inputs.some(name => sourceOf(graph, name) === key),
  );
  return products.some(({ inputs: [left, right] }) => {
    if (sourceOf(graph, right!) === key) return false;
    const own = sourceOf(graph, left!);
    if (ofKeys) return own === query || added(left!) === query;
    return own !== query && added(left!) !== null && added(left!) === added(q);
  });
}

/** Where a tensor comes from before its axes were ordered anew or a constant scaled it. */
function sourceOf(graph: Graph, name: string): string {
  const node = graph.producer(name);
  if (!node) return name;
  if (['Mul', 'Div'].includes(node.op)) {
    const constants = graph.constants();
    const of = node.inputs.filter(input => !constants.has(input));
    return of.length === 1 && of[0] === node.inputs[0] ? sourceOf(graph, of[0]!) : name;
  }
  return ORDERING.has(node.op) ? sourceOf(graph, node.inputs[0]!) : name;
}
const ORDERING = new Set(['Transpose', 'Reshape', 'Squeeze', 'Unsqueeze', 'Cast', 'Identity']);

/** The nodes behind a tensor, through operators of these kinds up to the first of others. */
function producers(graph: Graph, name: string, through: ReadonlySet<string>): GraphNode[] {
  const found = new Set<GraphNode>();
  const queue = [name];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const node = graph.producer(next);
    if (!node || found.has(node)) continue;
    found.add(node);
    if (through.has(node.op)) queue.push(...node.inputs.filter(i => i !== ''));
  }
  return [...found];
}
