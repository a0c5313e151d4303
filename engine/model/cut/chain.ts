import { ElementType } from '../../runtime/onnxProto';
import { float32, floats, type Tensor } from '../../runtime/tensor';
import { isHalf } from '../onnx/elementTypes';
import type { Graph } from '../onnx/graph';
import { chainGraph, scoreName, type CutCore } from './cutGraph';
import { makeFeeds, type Ids } from './feeds';
import type { Piece, PieceLoader } from './pieces';
import { ResistingNode, ROWS, rowsOf } from './rowGraph';
import type { Survey } from './survey';

/** Values further than this below their row's largest are hidden, by a mask or for all that a softmax can see. */
export const HIDDEN_BELOW = 5000;
/** Rows whose largest value is not above this see nothing. */
export const NOTHING = -9990;

/** Gives tensors that depend on the text, by name. */
export type Content = (name: string) => Tensor;

/** The numbers of queries and keys of a core for these texts. */
export function sidesOf(core: CutCore, ids: Ids): { queries: number; keys: number } {
  const lengths = [ids.ids.length, ids.target?.length ?? 0];
  return { queries: lengths[core.queryInput]!, keys: lengths[core.keyInput]! };
}

/** Logits of the chain between scores and softmax, [heads, queries, keys]. */
export async function evaluateChain(
  graph: Graph,
  core: CutCore,
  piece: Piece,
  ids: Ids,
  score: number | Float32Array,
  content: Content,
): Promise<Float32Array> {
  const { queries, keys } = sidesOf(core, ids);
  const scores = scoreTensor(core.scoreLead, queries, keys, score);
  const results = await piece.run(chainFeeds(graph, core, ids, content)(scores));
  return floats([...results.values()][0]!);
}

/** What a chain reads for these texts, under scores that are given. */
function chainFeeds(
  graph: Graph,
  core: CutCore,
  ids: Ids,
  content: Content,
): (scores: Tensor) => (name: string) => Tensor {
  const feeds = makeFeeds(graph, ids);
  const { found, layouts } = core;
  const { queries } = sidesOf(core, ids);
  const dims = layouts.q.raw.map(d => (d === -1 ? queries : d));
  return scores => name => {
    if (name === scoreName(found)) return scores;
    if (name === found.q) return (feeds[name] ??= zeros(graph.type(name), dims));
    return feeds[name] ?? content(name);
  };
}

function zeros(type: number, dims: number[]): Tensor {
  const count = dims.reduce((a, b) => a * b, 1);
  if (type === ElementType.float16) return { type: 'float16', dims, data: new Uint16Array(count) };
  if (type === ElementType.float64) return { type: 'float64', dims, data: new Float64Array(count) };
  return { type: 'float32', dims, data: new Float32Array(count) };
}

/** A score tensor [...lead, queries, keys]. */
function scoreTensor(
  lead: readonly number[],
  queries: number,
  keys: number,
  score: number | Float32Array,
): Tensor {
  const dims = [...lead, queries, keys];
  if (typeof score !== 'number') return float32(score, dims);
  return float32(new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(score), dims);
}

/**
 * A row whose keys are all as low as masks, one of them far above the others: that is a last resort (of shared queries and keys, a
 * token itself), which a softmax gives all. The row is raised until it says so; a softmax sees no difference, but beside a sink.
 */
function withLastResorts({ found: { sink } }: CutCore, data: Float32Array, keys: number): Float32Array {
  if (sink !== null) return data;
  for (let from = 0; from < data.length; from += keys) {
    let [most, next] = [-Infinity, -Infinity];
    for (let t = from; t < from + keys && most <= NOTHING; t++) {
      const value = data[t]!;
      if (value > most) [most, next] = [value, most];
      else if (value > next) next = value;
    }
    if (!(most <= NOTHING && most > -Infinity && next < most - HIDDEN_BELOW)) continue;
    for (let t = from; t < from + keys; t++) data[t]! -= most;
  }
  return data;
}

/** Rows of a chain's logits: [planes, rows, keys]; one plane where all heads have the same. */
export interface LogitRows {
  planes: number;
  data: Float32Array;
  /** Where more of the same size may be written when these are done with. */
  room?: Tensor;
}

/** Scores of chosen values: query i has those of row i % rows, [planes, rows, keys]. */
export interface ScorePattern {
  rows: number;
  data: Float32Array;
}

/** A chain that needs all its rows at once is computed whole up to so many elements. */
const WHOLE_LIMIT = 2 ** 26;

/**
 * The chain of one core, computed for some query rows at the text's real length: memory grows with rows x keys, never with
 * the square of the text, except where a node of the chain resists (`resists` names it).
 */
export class ChainRows {
  private wholeFor = new Map<number | ScorePattern, LogitRows>();
  /** What the chain reads for the texts that were asked about last. */
  private fed: { ids: Ids; content: Content; feeds: ReturnType<typeof chainFeeds> } | null = null;

  private constructor(
    private readonly graph: Graph,
    private readonly core: CutCore,
    private readonly lead: readonly number[],
    private readonly rowPiece: Piece | null,
    private readonly wholePiece: () => Promise<Piece>,
    readonly resists: string | null,
    /** Planes of logits: 1 where all heads have the same. */
    readonly outputPlanes: number,
  ) {}

  /** Sees the sizes of the chain's tensors at two lengths, and restricts it to rows. */
  static async load(graph: Graph, core: CutCore, loader: PieceLoader, survey: Survey): Promise<ChainRows> {
    const { graph: own, logits, stops } = chainGraph(graph, core);
    const isStop = (name: string) => stops.has(name);
    const whole = own.extract([logits], isStop);
    const wholePiece = () => loader.load(whole);
    const names = [...new Set(whole.nodes.flatMap(n => n.outputs))].filter(name => name !== '');
    const read = [...names, ...whole.inputs];
    const rest = async (lead: readonly number[]): Promise<ChainRows> => {
      const [first, second] = [await dimsAt(19, 17, lead), await dimsAt(23, 29, lead)];
      const seen = (name: string) => {
        const [a, b] = [first.get(name), second.get(name)];
        return a && b ? ([a, b] as const) : undefined;
      };
      let resists: string | null = null;
      let piece: Piece | null = null;
      try {
        const rank = seen(logits)![0].length;
        piece = await loader.load(rowsOf(own, logits, rank - 2, scoreName(core.found), isStop, seen));
      } catch (error) {
        if (!(error instanceof ResistingNode)) throw error;
        resists = error.op;
      }
      const planes = seen(logits)![0]
        .slice(0, -2)
        .reduce((a, b) => a * b, 1);
      return new ChainRows(graph, core, lead, piece, wholePiece, resists, planes);
    };
    const dimsAt = async (text: number, target: number, lead: readonly number[]) => {
      const limit = survey.limit ?? Infinity;
      const ids = survey.ids(Math.min(text, limit), Math.min(target, limit), 5);
      const { contentSides } = core.found;
      const content =
        contentSides.length > 0 ? (await survey.tensors(graph, contentSides, [ids]))[0]! : undefined;
      const { queries, keys } = sidesOf(core, ids);
      const scores = scoreTensor(lead, queries, keys, 0);
      const everything = await loader.load(own.extract(read, isStop));
      const feeds = chainFeeds(graph, core, ids, name => content!.get(name)!);
      const tensors = await everything.run(feeds(scores));
      return new Map([...tensors].map(([name, tensor]) => [name, tensor.dims]));
    };
    // Most chains do the same to every head, or bring their heads with a bias: one plane of scores is enough.
    const single = core.scoreLead.map(() => 1);
    return rest(single).catch(() => rest(core.scoreLead));
  }

  /** Computed in 16 bits. */
  get half(): boolean {
    return isHalf(this.graph.type(this.core.found.score));
  }

  /** Planes of scores that one evaluation takes. */
  get planes(): number {
    return this.lead.reduce((a, b) => a * b, 1);
  }

  /** Whether rows can be had for these texts. */
  affordable(ids: Ids): boolean {
    const { queries, keys } = sidesOf(this.core, ids);
    return this.rowPiece !== null || this.planes * queries * keys <= WHOLE_LIMIT;
  }

  async evaluate(
    ids: Ids,
    rows: Int32Array,
    scores: number | ScorePattern,
    content: Content,
    room?: Tensor,
  ): Promise<LogitRows> {
    const { keys } = sidesOf(this.core, ids);
    if (!this.rowPiece) return this.fromWhole(ids, rows, scores, content);
    const given = scoreTensor(this.lead, rows.length, keys, this.scoresOf(rows, keys, scores));
    const feed = this.feeds(ids, content)(given);
    const numbers = float32(Float32Array.from(rows), [rows.length]);
    const into = room?.data.length === this.outputPlanes * rows.length * keys ? room : undefined;
    const results = await this.rowPiece.run(name => (name === ROWS ? numbers : feed(name)), { into });
    const logits = [...results.values()][0]!;
    const data = withLastResorts(this.core, floats(logits), keys);
    return { planes: data.length / (rows.length * keys), data, room: logits };
  }

  private scoresOf(rows: Int32Array, keys: number, scores: number | ScorePattern): number | Float32Array {
    if (typeof scores === 'number') return scores;
    const { rows: period, data } = scores;
    if (rows.length === period && rows.every((row, r) => row % period === r)) return data;
    const own = new Float32Array(this.planes * rows.length * keys);
    for (let h = 0; h < this.planes; h++)
      for (let r = 0; r < rows.length; r++) {
        const from = (h * period + (rows[r]! % period)) * keys;
        own.set(data.subarray(from, from + keys), (h * rows.length + r) * keys);
      }
    return own;
  }

  /** The rows out of all, which are computed at once and kept. */
  private async fromWhole(
    ids: Ids,
    rows: Int32Array,
    scores: number | ScorePattern,
    content: Content,
  ): Promise<LogitRows> {
    const { queries, keys } = sidesOf(this.core, ids);
    const feeds = this.feeds(ids, content);
    let logits = this.wholeFor.get(scores);
    if (!logits) {
      const all = Int32Array.from({ length: queries }, (_, i) => i);
      const given = scoreTensor(this.lead, queries, keys, this.scoresOf(all, keys, scores));
      const piece = await this.wholePiece();
      const whole = withLastResorts(
        this.core,
        floats([...(await piece.run(feeds(given))).values()][0]!),
        keys,
      );
      logits = { planes: whole.length / (queries * keys), data: whole };
      this.wholeFor.set(scores, logits);
    }
    const data = new Float32Array(logits.planes * rows.length * keys);
    for (let h = 0; h < logits.planes; h++)
      rows.forEach((row, r) => {
        const from = (h * queries + row) * keys;
        data.set(logits.data.subarray(from, from + keys), (h * rows.length + r) * keys);
      });
    return { planes: logits.planes, data };
  }

  private feeds(ids: Ids, content: Content): ReturnType<typeof chainFeeds> {
    if (this.fed?.ids !== ids || this.fed.content !== content) this.forget();
    this.fed ??= { ids, content, feeds: chainFeeds(this.graph, this.core, ids, content) };
    return this.fed.feeds;
  }

  /** Lets go of what a check kept. */
  forget(): void {
    this.wholeFor.clear();
    this.fed = null;
  }
}
