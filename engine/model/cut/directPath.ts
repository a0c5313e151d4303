import { RefusedError } from '../../errors';
import { ElementType } from '../../runtime/onnxProto';
import { float32, floats, type Tensor } from '../../runtime/tensor';
import { CUT_DOMAIN, type CutCore } from './cutGraph';
import { isFloat, isSum, loadWrite, writeOf, type Written } from './headWrites';
import type { Graph } from '../onnx/graph';
import { attribute, type GraphNode } from '../onnx/node';
import type { Piece, PieceLoader } from './pieces';

/**
 * The direct path from what the heads of a decoder write to its logits (Elhage et al., A Mathematical Framework for Transformer
 * Circuits, 2021): each attention adds to the residual stream, whose last sum goes through the final norm and the unembedding.
 */
export interface DirectPath {
  /** The stream behind the last layer, given the contexts of all cores. */
  stream(contexts: readonly Float32Array[]): Promise<Stream>;
  /** What a core's context [heads, tokens, valueDim] adds to the stream, biases included: [tokens, width]. */
  written(core: number, context: Float32Array): Promise<Float32Array>;
  /** Logits [rows, vocabulary] of rows like those of a stream. */
  logits(rows: Float32Array, like: Stream): Promise<Float32Array>;
}

/** The residual stream of a text, [tokens, width]. */
export interface Stream {
  rows: Float32Array;
  width: number;
  /** As the model has it. */
  dims: readonly number[];
}

/** @throws RefusedError where what heads write is not simply added to what the unembedding reads. */
export async function directPath(
  cut: Graph,
  cores: readonly CutCore[],
  feedsOf: (tokens: number) => Readonly<Record<string, Tensor>>,
  tokens: number,
  loader: PieceLoader,
): Promise<DirectPath> {
  const graph = wholeHead(cut);
  const constants = graph.constants();
  const sum = lastSum(graph, constants);
  const writes = cores.map(({ context }) => writeOf(graph, context, constants));
  if (sum === null || writes.some(write => write === null || !isAddedTo(graph, write.sum, sum, constants)))
    throw new RefusedError(
      'This model has no direct path from its heads to its logits: what they write goes through a norm or a projection that rounds to few bits before it is added, or is not added at all.',
    );
  const last = asFloat32(graph, sum);
  const feeds = feedsOf(tokens);
  const contexts = new Map(cores.map(({ context }, core) => [context, core]));
  const toLogits = await loader.load(graph.extract([graph.output], name => name === last));
  const written: Written[] = [];
  for (const [core, write] of writes.entries())
    written.push(await loadWrite(graph, cores[core]!, write!, { feeds, rows: tokens, loader }));
  const shaped = (core: number, context: Float32Array) =>
    float32(context, [cores[core]!.heads, tokens, cores[core]!.valueDim]);
  const run = async (piece: Piece, given: (name: string) => Tensor | undefined, fed = feeds) =>
    [...(await piece.run(name => given(name) ?? fed[name])).values()][0]!;
  return {
    async stream(all) {
      // Of all weights of the model: loaded where it is needed.
      const toStream = await loader.load(graph.extract([last], name => contexts.has(name)));
      const tensor = await run(toStream, name => {
        const core = contexts.get(name);
        return core === undefined ? undefined : shaped(core, all[core]!);
      });
      return { rows: floats(tensor), width: tensor.dims.at(-1)!, dims: tensor.dims };
    },
    written: (core, context) => written[core]!(context),
    async logits(rows, { width, dims }) {
      const count = rows.length / width;
      const given = float32(rows, [...dims.slice(0, -2), count, width]);
      // What shapes rows behind the sum goes by the text's length: it is given one of as many tokens.
      const logits = await run(toLogits, name => (name === last ? given : undefined), feedsOf(count));
      return floats(logits);
    },
  };
}

/** The graph with its head where it was, instead of the place where blocks of rows come in. */
function wholeHead(cut: Graph): Graph {
  const graph = cut.clone();
  graph.setNodes(
    graph.nodes.map(node =>
      node.domain === CUT_DOMAIN && node.op === 'HeadRows' ? { ...node, op: 'Identity', domain: '' } : node,
    ),
  );
  return graph;
}

/** The sum that all of the output comes from, and nothing behind it. */
function lastSum(graph: Graph, constants: ReadonlySet<string>): string | null {
  const order = new Map(graph.nodes.map((node, at) => [node, at]));
  const open = new Set([graph.output]);
  for (;;) {
    const [first] = open;
    if (first === undefined) return null;
    const made = graph.producer(first);
    if (open.size === 1 && made && isSum(made, constants)) return first;
    let latest: GraphNode | null = null;
    for (const name of open) {
      const node = graph.producer(name);
      if (!node || node.domain === CUT_DOMAIN) return null;
      if (!latest || order.get(node)! > order.get(latest)!) latest = node;
    }
    for (const name of latest!.outputs) open.delete(name);
    for (const name of latest!.inputs)
      if (name !== '' && !constants.has(name) && isFloat(graph, name)) open.add(name);
  }
}

/** Makes a tensor of another width pass through float32, as whose rows it is read and given; its name there. */
function asFloat32(graph: Graph, name: string): string {
  const type = graph.type(name);
  if (type === ElementType.float32) return name;
  const [own, wide] = [`${name}:own`, `${name}:float32`];
  const made = graph.producer(name)!;
  const outputs = made.outputs.map(output => (output === name ? own : output));
  graph.setNodes(graph.nodes.map(node => (node === made ? { ...made, outputs } : node)));
  graph.op('Cast', [own], [attribute.int('to', ElementType.float32)], wide);
  graph.op('Cast', [wide], [attribute.int('to', type)], name);
  graph.sort();
  return wide;
}

/** Whether a sum reaches a later one by sums alone; exporters put casts between them. */
function isAddedTo(graph: Graph, from: string, to: string, constants: ReadonlySet<string>): boolean {
  const seen = new Set([from]);
  for (const name of seen) {
    if (name === to) return true;
    for (const node of graph.consumers(name))
      if (isSum(node, constants) || /^(Cast|Identity)$/.test(node.op)) seen.add(node.outputs[0]!);
  }
  return false;
}
