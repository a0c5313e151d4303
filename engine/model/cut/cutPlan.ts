import { createHash } from 'node:crypto';
import { RefusedError, told } from '../../errors';
import type { CoreKind, ModelKind } from '../../../shared/protocol/engine';
import { checkpoint } from '../../runtime/cancellation';
import { ElementType } from '../../runtime/onnxProto';
import type { Runtime } from '../../runtime/runtime';
import { watch } from '../../runtime/watch';
import { asFloats, type Tensor } from '../../runtime/tensor';
import { refuseUneven } from './afterSoftmax';
import { widenBfloat16 } from '../rewrite/bfloat16';
import { bufferLimit, chainOf, numbersOf, replaceCores, thresholdsOf, type CutCore } from './cutGraph';
import type { NativeSpec } from '../../attention/native';
import { isHalf } from '../onnx/elementTypes';
import { cutHead, type HeadCut } from './head';
import { originsOf, segmentsOf, type Segments } from './segments';
import { routersOf } from './routers';
import { findCores } from './findCores';
import { rowPiece, type RowPiece } from './rowPiece';
import { tokenAxes, type TokenAxes } from './tokenAxes';
import { refuseOthers, refuseRandom } from './otherForms';
import { fusedNodes, refuseSideOutputs, writeOutFused } from '../rewrite/fused';
import { fusedProducts, writeOutProducts } from '../rewrite/fusedProducts';
import type { Graph } from '../onnx/graph';
import { conventionsOf, idInputs, roleOf } from '../onnx/inputs';
import { assumedPositions } from '../onnx/positions';
import { refuseGrowth } from '../onnx/foldedSizes';
import { graphOf } from '../onnx/readGraph';
import { inlineBranches } from '../rewrite/inline';
import { measureCores } from './measureCores';
import { attribute, type GraphNode } from '../onnx/node';
import { PieceLoader, type Piece } from './pieces';
import { foldDeclared } from '../rewrite/declared';
import { recognise } from './recognise';
import { subtractionOf, type Subtraction } from './subtraction';
import { probeRule, type Chain, type ProbedRule } from './probe';
import { evaluateChain } from './chain';
import { dropEmptyPasts } from '../rewrite/pasts';
import { foldThresholds } from './thresholds';
import { writeOutSoftmax } from '../rewrite/softmax';
import { replaceShapes, simplify } from '../rewrite/simplify';
import type { Skeleton } from '../onnx/skeleton';
import { contextOfTables, namedContext, positionTables, vocabularyOf } from './sizes';
import { Survey } from './survey';

/** Everything that is known of a model before its segments are loaded. */
export interface Plan {
  /** The graph before cutting, shapes replaced. */
  graph: Graph;
  /** The output's name in the file. */
  output: string;
  /** Fused operators were written out, so `graph` is not the file's own bit for bit. */
  writtenOut: boolean;
  /** Operators of the file that ONNX Runtime does not run on the CPU: the model is then compared with `graph`. */
  lacking: string[];
  /** The graph with stand-ins for the cores. */
  cut: Graph;
  cores: CutCore[];
  rules: ProbedRule[];
  /** [heads] of each core whose softmax has a sink beside the keys. */
  sinks: (Float32Array | null)[];
  /** Of each core, how its heads' outputs are subtracted from each other's; null where they are not. */
  subtractions: (Subtraction | null)[];
  /** Cores of the same key do the same to their scores. */
  chainKeys: string[];
  /** Per core, the small constants of its chain, and those of them that positions are compared with. */
  constants: number[][];
  thresholds: number[][];
  /** Content tensors that the chains need. */
  sides: string[][];
  places: { kind: CoreKind; layer: number }[];
  kind: ModelKind;
  segments: Segments;
  /** Tensors of the cut graph: what routers of experts decide. */
  routers: string[];
  /** Per segment, how it runs on some rows of the text after the other; null where it needs them all. */
  inRows: (RowPiece | null)[];
  /** How the tensors of the cut graph grow with the text. */
  axes: TokenAxes;
  head: HeadCut | null;
  survey: Survey;
  vocabulary: number;
  /** Longest text, or null. */
  context: number | null;
  /** What had to be assumed of the inputs, as a sentence; null = nothing. */
  assumed: string | null;
}

/** Reads, understands and cuts the graph; runs it only on short sample texts. */
export async function planCut(
  skeleton: Skeleton,
  config: Record<string, unknown>,
  runtime: Runtime,
  signal: AbortSignal,
  declaration?: unknown,
): Promise<Plan> {
  const graph = graphOf(skeleton.model);
  if (declaration !== undefined) foldDeclared(graph, declaration);
  inlineBranches(graph);
  refuseGrowth(graph, watch.allowedBytes);
  simplify(graph, skeleton.folder);
  refuseRandom(graph);
  const output = graph.output;
  const bfloat16 = widenBfloat16(graph);
  if (graph.outputType !== ElementType.float32) toFloatOutput(graph);
  const inputs = idInputs(graph);
  graph.conventions = conventionsOf(graph.inputs, config);
  const vocabulary = vocabularyOf(graph, inputs, config);
  const survey = new Survey(runtime, skeleton.folder, vocabulary, inputs, namedContext(config));
  survey.limit ??= await contextOfTables(positionTables(graph, inputs), (index, length) =>
    survey.largest(graph, index, length),
  );
  dropEmptyPasts(graph);
  const softmaxes = writeOutSoftmax(graph);
  const written = await writeOut(graph, survey);
  replaceShapes(graph, await survey.shapes(graph), inputs);
  await checkpoint(signal);
  const shorter = new PieceLoader(runtime, skeleton.folder, 'basic', true);
  await foldThresholds(graph, inputs, survey, shorter).finally(() => shorter.release());
  const found = findCores(graph, inputs);
  graph.sort();
  refuseOthers(graph, inputs, found);
  const measured = await measureCores(graph, found, survey);
  const { cores, rules, subtractions, chainKeys, constants, thresholds, buffers } = await probeAll(
    graph,
    inExecutionOrder(graph, measured),
    survey,
    runtime,
    skeleton.folder,
    signal,
  );
  const sides = cores.map((core, i) =>
    rules[i]!.opaque || core.found.native ? core.found.contentSides : [],
  );
  const cut = replaceCores(graph, cores, sides);
  const places = placesOf(cut, cores);
  const head = cutHead(cut);
  const routers = routersOf(cut);
  const segments = segmentsOf(cut, cores, head?.lookup, routers);
  const kind = kindOf(places, rules);
  // The piece of the head is run on rows anyway.
  const pieces = segments.pieces.map((piece, at) =>
    head && at === segments.pieces.length - 1 ? null : piece,
  );
  const axes = await tokenAxes(
    cut,
    pieces.filter(piece => piece !== null),
    cores,
    survey,
  ).catch((error: unknown): TokenAxes => {
    // A model that is odd in this way runs in whole texts.
    if (error instanceof RefusedError) return new Map();
    throw error;
  });
  const inRows = pieces.map(piece => piece && rowPiece(cut, piece, axes));
  return {
    graph,
    output,
    writtenOut: written !== null || softmaxes > 0,
    lacking: [...(bfloat16 ? ['bfloat16 arithmetic'] : []), ...(written?.lacking ?? [])],
    cut,
    cores,
    rules,
    sinks: await sinksOf(graph, cores, survey),
    subtractions,
    chainKeys,
    constants,
    thresholds,
    sides,
    places,
    kind,
    segments,
    routers,
    inRows,
    axes,
    head,
    survey,
    vocabulary,
    context: buffers.length > 0 ? Math.min(...buffers, survey.limit ?? Infinity) : survey.limit,
    assumed: assumedPositions(positionInput(graph), graph.conventions.positions),
  };
}

/** The input that takes positions, if the model reads one. */
function positionInput(graph: Graph): string | null {
  const ids = idInputs(graph);
  const read = graph.inputs.filter(i => graph.consumers(i.name).length > 0);
  return read.find(i => roleOf(i, ids, graph.conventions)?.kind === 'positions')?.name ?? null;
}

/** Null when there is nothing to write out. */
async function writeOut(graph: Graph, survey: Survey): Promise<{ lacking: string[] } | null> {
  const fused = fusedNodes(graph);
  const products = fusedProducts(graph);
  if (fused.length + products.length === 0) return null;
  const nodes = new Set([...fused, ...products]);
  const order = graph.nodes.filter(n => nodes.has(n));
  // Where ONNX Runtime cannot run an operator here, the next one's shapes are seen only when it is written out.
  let groups: GraphNode[][] = [order];
  const lacking: string[] = [];
  for (let at = 0; at < groups.length; at++) {
    const group = groups[at]!;
    let dims: (name: string) => readonly number[];
    try {
      dims = await shapesOf(graph, group, survey);
    } catch (error) {
      if (group.length === 1) throw error;
      groups = order.map(n => [n]);
      at = -1;
      continue;
    }
    lacking.push(
      ...writeOutFused(
        graph,
        group.filter(n => fused.includes(n)),
        dims,
      ),
    );
    writeOutProducts(
      graph,
      group.filter(n => products.includes(n)),
      dims,
    );
  }
  graph.prune();
  refuseSideOutputs(graph, fused);
  return { lacking: [...new Set(lacking)] };
}

/** Shapes of what the nodes read, for a short text. */
async function shapesOf(
  graph: Graph,
  nodes: readonly GraphNode[],
  survey: Survey,
): Promise<(name: string) => readonly number[]> {
  const fixed = (name: string) => graph.initializers.get(name)?.dims?.map(Number);
  const read = [...new Set(nodes.flatMap(n => n.inputs))].filter(name => name !== '' && !fixed(name));
  // Where padding was taken out (RemovePadding's side outputs) is not computed any more, and nobody needs to know.
  const names = read.filter(name => {
    const made = graph.producer(name);
    return graph.isInput(name) || (made && (made.op !== 'RemovePadding' || made.outputs[0] === name));
  });
  if (names.length === 0) return name => fixed(name)!;
  const [tensors] = await survey.tensors(graph, names, [survey.ids(7, 7, 1)]);
  return name => fixed(name) ?? tensors!.get(name)!.dims;
}

/** Logits of 16 or 64 bits are given out in 32. */
function toFloatOutput(graph: Graph): void {
  const to = attribute.int('to', ElementType.float32);
  graph.output = graph.op('Cast', [graph.output], [to], `${graph.output}:float32`);
}

// ---------------------------------------------------------------- rules

async function probeAll(
  graph: Graph,
  found: readonly CutCore[],
  survey: Survey,
  runtime: Runtime,
  folder: string,
  signal: AbortSignal,
): Promise<
  Pick<Plan, 'cores' | 'rules' | 'subtractions' | 'chainKeys' | 'constants' | 'thresholds'> & {
    buffers: number[];
  }
> {
  const loader = new PieceLoader(runtime, folder, 'basic', true);
  const known = new Map<string, ProbedRule>();
  const cores: CutCore[] = [];
  const rules: ProbedRule[] = [];
  const subtractions: Plan['subtractions'] = [];
  const chainKeys: string[] = [];
  /** Longest texts by masks that are kept as tables. */
  const buffers: number[] = [];
  const constants: number[][] = [];
  const thresholds: number[][] = [];
  try {
    for (const [i, core] of found.entries()) {
      await checkpoint(signal);
      subtractions.push(await subtractionOf(graph, core, loader, survey));
      if (core.found.native) {
        cores.push(core);
        rules.push(nativeRule(core, core.found.native.spec));
        chainKeys.push(`native:${i}`);
        constants.push([]);
        thresholds.push([]);
        continue;
      }
      const extract = chainOf(graph, core);
      const content = core.found.contentSides.length > 0;
      const hash = createHash('sha1').update(extract.bytes).digest('hex');
      const sides = `${core.heads}:${core.queryInput}:${core.keyInput}`;
      const key = content ? `${i}:${sides}:${hash}` : `${sides}:${hash}`;
      let rule = known.get(key);
      if (!rule) {
        const piece = await loader.load(extract);
        const chain: Chain = {
          heads: core.heads,
          content,
          half: isHalf(graph.type(core.found.score)),
          thresholds: thresholdsOf(graph, extract),
          evaluate: surveyedChain(graph, core, piece, survey),
        };
        const buffer = bufferLimit(graph, extract);
        const limit = buffer === null ? survey.limit : Math.min(buffer, survey.limit ?? Infinity);
        rule = inLine(core, await probeRule(chain, `attention ${i}`, limit));
        if (buffer !== null) buffers.push(buffer);
        known.set(key, rule);
      }
      const place = { graph, core, rule, loader, survey };
      await refuseUneven(place);
      const made = await recognise(place);
      cores.push(made?.native ? { ...core, found: { ...core.found, native: made.native } } : core);
      rules.push(made?.rule ?? rule);
      chainKeys.push(made?.native?.scores === 'own' ? `native:${i}` : key);
      constants.push(numbersOf(graph, extract));
      thresholds.push(thresholdsOf(graph, extract));
    }
  } finally {
    await loader.release();
  }
  return { cores, rules, subtractions, chainKeys, constants, thresholds, buffers };
}

/** The scores that a mechanism begins with, as its node says them. */
const nativeRule = ({ heads, dim }: CutCore, { name, params }: NativeSpec): ProbedRule => ({
  scale: new Float32Array(heads).fill(params['scale'] ?? dim ** -0.5),
  softCap: null,
  mask: { causal: params['causal'] === 1, window: null },
  bias: null,
  opaque: false,
  description: `${params['causal'] === 1 ? 'causal' : 'full'}, ${name}`,
});

/** The sinks of cores that have one, one number for each head. */
async function sinksOf(
  graph: Graph,
  cores: readonly CutCore[],
  survey: Survey,
): Promise<(Float32Array | null)[]> {
  const names = [...new Set(cores.flatMap(c => c.found.sink ?? []))];
  if (names.length === 0) return cores.map(() => null);
  const [tensors] = await survey.tensors(graph, names, [survey.ids(6, 6, 1)]);
  return cores.map(({ heads, found: { sink } }, i) => {
    if (sink === null) return null;
    const values = asFloats(tensors!.get(sink)!) ?? new Float32Array(0);
    const each = values.length / heads;
    const perHead = Float32Array.from({ length: heads }, (_, h) => values[h * each]!);
    if (!Number.isInteger(each) || values.some((v, at) => v !== perHead[Math.floor(at / each)]))
      throw new RefusedError(
        told`The sink of attention ${i} is not one number for each head, which is not supported.`,
      );
    return perHead;
  });
}

/**
 * A rule by position speaks of queries and keys that end together. Where these are of two texts, which do not, the graph
 * itself says what a position is (`Attention` counts from the first query).
 */
function inLine(core: CutCore, rule: ProbedRule): ProbedRule {
  const { mask, bias } = rule;
  if (
    core.queryInput === core.keyInput ||
    (!mask.causal && !mask.window && mask.chunk === undefined && !bias)
  )
    return rule;
  const full = { causal: false, window: null };
  const description = `full, bias computed by the model's graph`;
  return { ...rule, mask: full, bias: null, opaque: true, description };
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
