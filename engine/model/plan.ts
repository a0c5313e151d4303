import { createHash } from 'node:crypto';
import { RefusedError } from '../errors';
import type { CoreKind, ModelKind } from '../protocol';
import { checkpoint, type Cancellation } from '../runtime/cancellation';
import { ElementType } from '../runtime/onnxProto';
import type { Runtime } from '../runtime/runtime';
import { floats, type Tensor } from '../runtime/tensor';
import {
  bufferLimit,
  chainOf,
  cutHead,
  originsOf,
  isHalf,
  replaceCores,
  scoreName,
  segmentsOf,
  thresholdsOf,
  type CutCore,
  type HeadCut,
  type Segments,
} from './cutGraph';
import { idInputs, makeFeeds, type Ids } from './feeds';
import { contentOf, findCores, type AxisOrder, type FoundCore } from './findCores';
import { fusedNodes, writeOutFused } from './fused';
import { graphOf, type Extract, type Graph } from './graph';
import { inlineBranches } from './inline';
import { layoutOf, type Layout } from './layout';
import { PieceLoader, type Piece } from './pieces';
import { probeRule, scoreTensor, type Chain, type ProbedRule } from './probe';
import { replaceShapes, simplify } from './simplify';
import type { Skeleton } from './skeleton';
import { Survey } from './survey';

/** Everything that is known of a model before its segments are loaded. */
export interface Plan {
  /** The graph before cutting, shapes replaced. */
  graph: Graph;
  /** Fused attention operators were written out, so `graph` is not the file's own bit for bit. */
  writtenOut: boolean;
  /** The graph with stand-ins for the cores. */
  cut: Graph;
  cores: CutCore[];
  rules: ProbedRule[];
  /** For cores with a bias computed by the graph: the chain that does it. */
  chains: (Extract | null)[];
  /** Content tensors that the chains need. */
  sides: string[][];
  places: { kind: CoreKind; layer: number }[];
  kind: ModelKind;
  segments: Segments;
  head: HeadCut | null;
  survey: Survey;
  vocabulary: number;
  /** Longest text, or null. */
  context: number | null;
}

const CONTEXT_KEYS = [
  'n_positions',
  'max_position_embeddings',
  'n_ctx',
  'max_sequence_length',
  'max_seq_len',
  'seq_length',
];

/** Reads, understands and cuts the graph; runs it only on short sample texts. */
export async function planCut(
  skeleton: Skeleton,
  config: Record<string, unknown>,
  runtime: Runtime,
  cancellation: Cancellation,
): Promise<Plan> {
  const graph = graphOf(skeleton.model);
  inlineBranches(graph);
  simplify(graph, skeleton.folder);
  const inputs = idInputs(graph);
  const vocabulary = vocabularyOf(graph, inputs, config);
  const survey = new Survey(runtime, skeleton.folder, vocabulary, inputs, contextOf(graph, inputs, config));
  const writtenOut = await writeOut(graph, survey);
  replaceShapes(graph, await survey.shapes(graph), inputs);
  await checkpoint(cancellation);
  const found = findCores(graph, inputs);
  graph.sort();
  if (found.length === 0)
    throw new RefusedError(
      'No attention was found in the ONNX graph; the model is no transformer, or of an unknown form.',
    );
  const measured = await measureCores(graph, found, survey);
  const cores = inExecutionOrder(graph, measured);
  const { rules, chains } = await probeAll(graph, cores, survey, runtime, skeleton.folder, cancellation);
  const sides = cores.map((core, i) => (rules[i]!.opaque ? core.found.contentSides : []));
  const cut = replaceCores(graph, cores, sides);
  const places = placesOf(cut, cores);
  const head = cutHead(cut);
  const segments = segmentsOf(cut, cores);
  const kind = kindOf(places, rules);
  return {
    graph,
    writtenOut,
    cut,
    cores,
    rules,
    chains,
    sides,
    places,
    kind,
    segments,
    head,
    survey,
    vocabulary,
    context: rules.reduce<number | null>(
      (limit, rule) => (rule.limit === null ? limit : Math.min(limit ?? Infinity, rule.limit)),
      survey.limit,
    ),
  };
}

async function writeOut(graph: Graph, survey: Survey): Promise<boolean> {
  const fused = fusedNodes(graph);
  if (fused.length === 0) return false;
  const fixed = (name: string) => graph.initializers.get(name)?.dims?.map(Number);
  const names = [...new Set(fused.flatMap(n => n.inputs))].filter(name => name !== '' && !fixed(name));
  const [tensors] = await survey.tensors(graph, names, [survey.ids(7, 7, 1)]);
  writeOutFused(graph, fused, name => fixed(name) ?? tensors!.get(name)!.dims);
  return true;
}

// ---------------------------------------------------------------- sizes

/** Rows of the tables that are indexed by the text itself, or by positions. */
function tableRows(graph: Graph, inputs: readonly string[], byContent: boolean): number[] {
  const content = contentOf(graph, inputs);
  return graph.nodes.flatMap(node => {
    if (node.op !== 'Gather') return [];
    const dims = tableDims(graph, node.inputs[0]!);
    return dims?.length === 2 && content.has(node.inputs[1]!) === byContent ? [dims[0]!] : [];
  });
}

/** Shape of a float table, directly or behind its dequantisation. */
function tableDims(graph: Graph, name: string): number[] | undefined {
  const tensor = graph.initializers.get(name);
  if (tensor) return tensor.data_type === ElementType.int64 ? undefined : tensor.dims?.map(Number);
  const made = graph.producer(name);
  return made && ['DequantizeLinear', 'Cast'].includes(made.op)
    ? tableDims(graph, made.inputs[0]!)
    : undefined;
}

function vocabularyOf(graph: Graph, inputs: readonly string[], config: Record<string, unknown>): number {
  const rows = tableRows(graph, inputs, true).filter(n => n > 2);
  if (rows.length > 0) return Math.min(...rows);
  return typeof config['vocab_size'] === 'number' ? config['vocab_size'] : 16;
}

function contextOf(graph: Graph, inputs: readonly string[], config: Record<string, unknown>): number | null {
  const tables = tableRows(graph, inputs, false).filter(n => n >= 8);
  const named = CONTEXT_KEYS.map(key => config[key]).find(v => typeof v === 'number' && v > 0) as
    number | undefined;
  // RoBERTa and its kin start counting after the padding index.
  const offset = /roberta|camembert|longformer|xlm/.test(String(config['model_type']))
    ? Number(config['pad_token_id'] ?? 1) + 1
    : 0;
  if (named !== undefined) return named - offset;
  return tables.length > 0 && !relativeOnly(graph, config) ? Math.min(...tables) : null;
}

/** T5 looks relative distances up in a table of 32 rows, which limits nothing. */
function relativeOnly(_graph: Graph, config: Record<string, unknown>): boolean {
  return /t5/.test(String(config['model_type']));
}

// ---------------------------------------------------------------- layouts

async function measureCores(graph: Graph, found: FoundCore[], survey: Survey): Promise<CutCore[]> {
  const small = survey.limit !== null && survey.limit < 13;
  const [n, m]: [number[], number[]] = small
    ? [
        [4, 6],
        [3, 5],
      ]
    : [
        [9, 13],
        [6, 11],
      ];
  const names = [...new Set(found.flatMap(c => [c.q, c.k, c.v, c.context]))];
  const samples = [0, 1].map(i => survey.ids(n[i]!, m[i]!, 7 + i));
  const [first, second] = (await survey.tensors(graph, names, samples)) as [
    Map<string, Tensor>,
    Map<string, Tensor>,
  ];
  const layout = (what: string, name: string, heads: number, order: AxisOrder) => {
    const dims = [first.get(name)!.dims, second.get(name)!.dims] as const;
    const growth = dims[0].map((d, i) => dims[1][i]! - d).find(d => d !== 0);
    const isTarget = survey.idInputs.length > 1 && growth === m[1]! - m[0]! && dims[0].includes(m[0]!);
    const lengths = (isTarget ? m : n) as [number, number];
    return { input: isTarget ? 1 : 0, layout: layoutOf(what, dims, lengths, heads, order) };
  };
  return found.map((core, i): CutCore => {
    const where = `of attention ${i}`;
    const q = layout(`queries ${where}`, core.q, core.packed?.heads ?? 0, core.axes.q);
    const k = layout(`keys ${where}`, core.k, core.packed?.kvHeads ?? 0, core.axes.k);
    const v = layout(`values ${where}`, core.v, core.packed?.kvHeads ?? 0, core.axes.v);
    const context = layout(`outputs ${where}`, core.context, core.packed?.heads ?? 0, core.axes.context);
    if (k.layout.heads !== v.layout.heads || q.layout.heads % k.layout.heads !== 0)
      throw new RefusedError(`The keys and values ${where} have different numbers of heads.`);
    const group = groupSize(k.layout, first.get(core.k)!, v.layout, first.get(core.v)!);
    return {
      found: core,
      layouts: { q: q.layout, k: k.layout, v: v.layout, context: context.layout },
      scoreLead: core.packed
        ? [1, q.layout.heads]
        : q.layout.perm.slice(0, -2).map(axis => q.layout.raw[axis]!),
      heads: q.layout.heads,
      kvHeads: k.layout.heads / group,
      dim: q.layout.dim,
      valueDim: v.layout.dim,
      queryInput: q.input,
      keyInput: k.input,
      q: `core${i}.q`,
      k: `core${i}.k`,
      v: `core${i}.v`,
      context: `core${i}.context`,
    };
  });
}

/** Keys and values that were repeated for grouped queries: the largest group of neighbours that are equal bit for bit. */
function groupSize(kLayout: Layout, k: Tensor, vLayout: Layout, v: Tensor): number {
  const heads = kLayout.heads;
  const kHeads = headsOf(k, kLayout);
  const vHeads = headsOf(v, vLayout);
  for (let group = heads; group > 1; group--) {
    if (heads % group !== 0) continue;
    const repeated = (list: string[]) => list.every((h, i) => h === list[i - (i % group)]);
    if (repeated(kHeads) && repeated(vHeads)) return group;
  }
  return 1;
}

/** A hash of each head's values, read in the canonical order of axes. */
function headsOf(tensor: Tensor, { split, perm, heads }: Layout): string[] {
  const known = split.reduce((product, d) => (d === -1 ? product : product * d), 1);
  const dims = split.map(d => (d === -1 ? tensor.data.length / known : d));
  const strides = dims.map((_, i) => dims.slice(i + 1).reduce((a, b) => a * b, 1));
  const order = perm.map(axis => ({ size: dims[axis]!, stride: strides[axis]! }));
  const perHead = tensor.data.length / heads;
  return Array.from({ length: heads }, (_, head) => {
    const values = tensor.data.slice(0, perHead);
    for (let i = 0; i < perHead; i++) {
      let rest = head * perHead + i;
      let at = 0;
      for (let axis = order.length - 1; axis >= 0; axis--) {
        const { size, stride } = order[axis]!;
        at += (rest % size) * stride;
        rest = Math.floor(rest / size);
      }
      values[i] = tensor.data[at]!;
    }
    return createHash('sha1').update(viewOf(values)).digest('hex');
  });
}

const viewOf = (data: ArrayBufferView) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

// ---------------------------------------------------------------- rules

async function probeAll(
  graph: Graph,
  cores: CutCore[],
  survey: Survey,
  runtime: Runtime,
  folder: string,
  cancellation: Cancellation,
): Promise<{ rules: ProbedRule[]; chains: (Extract | null)[] }> {
  const loader = new PieceLoader(runtime, folder, 'basic', true);
  const known = new Map<string, ProbedRule>();
  const rules: ProbedRule[] = [];
  const chains: (Extract | null)[] = [];
  try {
    for (const [i, core] of cores.entries()) {
      await checkpoint(cancellation);
      const extract = chainOf(graph, core);
      const content = core.found.contentSides.length > 0;
      const key = `${core.heads}:${createHash('sha1').update(extract.bytes).digest('hex')}`;
      let rule = content ? undefined : known.get(key);
      if (!rule) {
        const piece = await loader.load(extract);
        const chain: Chain = {
          heads: core.heads,
          content,
          half: isHalf(graph.type(core.found.q)),
          thresholds: thresholdsOf(graph, extract),
          evaluate: surveyedChain(graph, core, piece, survey),
        };
        const buffer = bufferLimit(graph, extract);
        const limit = buffer === null ? survey.limit : Math.min(buffer, survey.limit ?? Infinity);
        const probed = await probeRule(chain, `attention ${i}`, limit);
        rule = buffer === null ? probed : { ...probed, limit: Math.min(limit!, probed.limit ?? Infinity) };
        known.set(key, rule);
      }
      rules.push(rule);
      chains.push(rule.opaque ? extract : null);
    }
  } finally {
    await loader.release();
  }
  return { rules, chains };
}

/** Evaluates a chain on sample texts; content tensors are taken from the uncut graph. */
function surveyedChain(graph: Graph, core: CutCore, piece: Piece, survey: Survey): Chain['evaluate'] {
  const contents = new Map<number, Promise<Map<string, Tensor>[]>>();
  const sides = core.found.contentSides;
  return async (length, score) => {
    const ids = survey.ids(length, length, 3);
    if (sides.length > 0 && !contents.has(length)) contents.set(length, survey.tensors(graph, sides, [ids]));
    const content = (await contents.get(length))?.[0];
    return evaluateChain(graph, core, piece, ids, score, name => content!.get(name)!);
  };
}

/** Logits of the chain, [heads, queries, keys]. */
export async function evaluateChain(
  graph: Graph,
  core: CutCore,
  piece: Piece,
  ids: Ids,
  score: number | Float32Array,
  content: (name: string) => Tensor,
): Promise<Float32Array> {
  const feeds = makeFeeds(graph, ids);
  const lengths = [ids.ids.length, ids.target?.length ?? 0];
  const queries = lengths[core.queryInput]!;
  const keys = lengths[core.keyInput]!;
  const { found, layouts } = core;
  const results = await piece.run(name => {
    if (name === scoreName(found)) return scoreTensor(core.scoreLead, queries, keys, score);
    if (name === found.q) {
      const dims = layouts.q.raw.map(d => (d === -1 ? queries : d));
      return zeros(graph.type(name), dims);
    }
    return feeds[name] ?? content(name);
  });
  return floats([...results.values()][0]!);
}

function zeros(type: number, dims: number[]): Tensor {
  const count = dims.reduce((a, b) => a * b, 1);
  if (type === ElementType.float16) return { type: 'float16', dims, data: new Uint16Array(count) };
  return { type: 'float32', dims, data: new Float32Array(count) };
}

// ---------------------------------------------------------------- kinds

/** By the segment after which a core can run, then as in the graph. */
function inExecutionOrder(graph: Graph, cores: CutCore[]): CutCore[] {
  const all = cores.map(c => c.found.contentSides);
  const { coreLevels } = segmentsOf(replaceCores(graph, cores, all), cores);
  return cores
    .map((core, i) => ({ core, level: coreLevels[i] ?? 0 }))
    .sort((a, b) => a.level - b.level)
    .map(({ core }) => core);
}

/** Cross-attention takes its keys from another stack than its queries; what it takes them from is the encoder. */
function placesOf(cut: Graph, cores: CutCore[]): { kind: CoreKind; layer: number }[] {
  const origins = originsOf(cut, cores);
  const differ = origins.map(
    ({ query, key }) => query.size !== key.size || [...query].some(c => !key.has(c)),
  );
  const real = origins.some(({ query, key }) => [...key].some(c => !query.has(c)));
  const counts: Record<CoreKind, number> = { self: 0, encoder: 0, decoder: 0, cross: 0 };
  const encoder = new Set(origins.flatMap(({ key }, i) => (real && differ[i] ? [...key] : [])));
  return origins.map((_, i) => {
    const kind: CoreKind = !real ? 'self' : differ[i] ? 'cross' : encoder.has(i) ? 'encoder' : 'decoder';
    return { kind, layer: counts[kind]++ };
  });
}

function kindOf(places: { kind: CoreKind }[], rules: ProbedRule[]): ModelKind {
  if (places.some(p => p.kind === 'cross')) return 'encoder-decoder';
  return rules.every(r => r.mask.causal) ? 'decoder' : 'encoder';
}
