import { checkpoint } from '../../runtime/cancellation';
import { asFloats, float32, floats, type Tensor } from '../../runtime/tensor';
import type { ModelOutput } from './cutModel';
import type { CutCore } from './cutGraph';
import type { HeadCut } from './head';
import type { Segments } from './segments';
import { makeFeeds, type Ids } from './feeds';
import type { Graph } from '../onnx/graph';
import { residualOf, type HiddenRows } from './hidden';
import type { RouterRows } from './routers';
import { PieceInRows } from './inRows';
import type { HowToRun, Piece, PieceLoader } from './pieces';
import type { RowPiece } from './rowPiece';
import type { TokenAxes } from './tokenAxes';
import { Standing, type TokenState } from './tokenState';

/** What a core gets at run time: canonical tensors, and the content tensors that its bias needs. */
export interface CoreFeeds {
  q: Tensor;
  k: Tensor;
  v: Tensor;
  tensor(name: string): Tensor;
}

/** Gives the context of core `index`, [heads, queries, valueDim]. */
export type RunCore = (index: number, feeds: CoreFeeds) => Promise<Float32Array>;

/** The rest of a run, from behind one core on, with another context in its place. */
export type GoOn = (context: Float32Array, core: RunCore) => Promise<ModelOutput>;

/** Where a run stands before a core: what it hands on of a token, and the rest of the run with that of another run. */
export interface BeforeCore {
  stateOf(token: number): TokenState;
  goOn(token: number, state: TokenState, core: RunCore): Promise<ModelOutput>;
}

/** What runs in the cores' places, and who is told. */
interface Walk extends HowToRun {
  core: RunCore;
  signal: AbortSignal;
  onSegment?: (fraction: number) => void;
  onHidden?: (hidden: HiddenRows) => void;
  onRouter?: (router: RouterRows) => void;
  /** Called before each core. */
  onBefore?: (index: number, before: BeforeCore) => Promise<void>;
  /** Called behind each core. */
  onContext?: (index: number, context: Float32Array, goOn: GoOn) => Promise<void>;
}

/** Where a run stands: the tensors that are still read, and the first core to run behind segment `level`; null = the segment comes first. */
interface Place {
  store: Map<string, Tensor>;
  level: number;
  core: number | null;
}

/** A graph without its cores, and what stood in their places. */
interface CutParts {
  cut: Graph;
  cores: readonly CutCore[];
  /** Of each core: the content tensors that its bias needs. */
  sides: readonly string[][];
  segments: Segments;
  routers: readonly string[];
  head: HeadCut | null;
  axes: TokenAxes;
}

/** The segments of a model as loaded sessions, with the cores' places left open. */
export class SegmentRunner {
  private constructor(
    private readonly plan: CutParts,
    private readonly pieces: (Piece | null)[],
    private readonly loader: PieceLoader,
  ) {}

  static async load(
    plan: CutParts,
    loader: PieceLoader,
    signal: AbortSignal,
    inRows: readonly (RowPiece | null)[] = [],
  ): Promise<SegmentRunner> {
    const { segments, head } = plan;
    const pieces: (Piece | null)[] = [];
    try {
      for (const [level, piece] of segments.pieces.entries()) {
        await checkpoint(signal);
        const tied = head?.tied && level === segments.pieces.length - 1;
        const plan = inRows[level];
        if (piece && plan) pieces.push(await PieceInRows.load(piece, plan, loader));
        else pieces.push(piece && (await loader.load(piece, tied ? false : undefined)));
      }
    } catch (error) {
      await loader.release();
      throw error;
    }
    return new SegmentRunner(plan, pieces, loader);
  }

  /** Runs segments and cores in turn; the output is read from the last hidden rows where the head could be cut off. */
  async run(ids: Ids, walk: Walk): Promise<ModelOutput> {
    const { pieces, plan } = this;
    const { segments, head, cut } = plan;
    const store = new Map<string, Tensor>(Object.entries(makeFeeds(cut, ids)));
    if (segments.lookup) {
      const row = float32(new Float32Array(head!.hiddenSize), [1, head!.hiddenSize]);
      const looked = await pieces.at(-1)!.run(name => (name === head!.rows ? row : store.get(name)));
      store.set(segments.lookup.output, looked.get(segments.lookup.output)!);
    }
    return this.walk({ store, level: 0, core: null }, walk);
  }

  private async walk(from: Place, walk: Walk): Promise<ModelOutput> {
    const { pieces, plan } = this;
    const { segments, head, routers, cores, cut: graph, axes } = plan;
    const { store } = from;
    const { core, signal, rowsAtOnce, onSegment, onHidden, onRouter, onBefore, onContext } = walk;
    const lastUse = this.lastUses();
    let behind: number | null = from.core === null || from.core === 0 ? null : from.core - 1;
    const end = head ? pieces.length - 1 : pieces.length;
    const get = (name: string): Tensor => {
      const tensor = store.get(name);
      if (!tensor) throw new Error(`internal: ${name} was not computed`);
      return tensor;
    };
    for (let level = from.level; level < end; level++) {
      await checkpoint(signal);
      onSegment?.(level / pieces.length);
      const next = level === from.level ? from.core : null;
      const piece = next === null ? pieces[level] : null;
      if (piece)
        for (const [name, tensor] of await piece.run(get, { signal, rowsAtOnce })) {
          if (onRouter && routers.includes(name)) tellRouter(behind, tensor, onRouter);
          if (lastUse.has(name) || !routers.includes(name)) store.set(name, tensor);
        }
      for (const [index, cut] of cores.entries()) {
        if (segments.coreLevels[index] !== level || index < (next ?? 0)) continue;
        await checkpoint(signal);
        if (onBefore) {
          const standing = new Standing(this.made(store), axes);
          await onBefore(index, {
            stateOf: token => standing.stateOf(token),
            goOn: async (token, state, rest) => {
              const changed = new Map([...store, ...standing.with(token, state)]);
              return this.walk({ store: changed, level, core: index }, { core: rest, signal, rowsAtOnce });
            },
          });
        }
        const q = get(cut.q);
        if (onHidden) {
          const carried = (name: string) => (lastUse.get(name) ?? 0) > level;
          tellHidden(index, residualOf(graph, cut.q, store, carried)?.tensor, onHidden);
        }
        const context = await core(index, { q, k: get(cut.k), v: get(cut.v), tensor: get });
        const shaped = (data: Float32Array) => float32(data, [cut.heads, q.dims[1]!, cut.valueDim]);
        await onContext?.(index, context, (other, rest) => {
          const place = { store: new Map(store).set(cut.context, shaped(other)), level, core: index + 1 };
          return this.walk(place, { core: rest, signal, rowsAtOnce });
        });
        store.set(cut.context, shaped(context));
        behind = index;
      }
      for (const [name, use] of lastUse) if (use <= level) store.delete(name);
    }
    if (head) {
      tellHidden('output', get(head.hidden), onHidden);
      return this.rowsOf(get(head.hidden), pieces[end]!, store);
    }
    const output = get(graph.output);
    tellHidden('output', output, onHidden);
    const width = output.dims[output.dims.length - 1]!;
    return outputOf(floats(output), width);
  }

  /** What the model has computed, not what it was given. */
  private made(store: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
    return new Map([...store].filter(([name]) => !this.plan.cut.isInput(name)));
  }

  private async rowsOf(hidden: Tensor, piece: Piece, store: Map<string, Tensor>): Promise<ModelOutput> {
    const { cut, head, segments } = this.plan;
    const [rows, size] = hidden.dims as [number, number];
    // What the piece looks up beside its product: as little as possible.
    const one = Int32Array.of(0);
    const short = makeFeeds(cut, { ids: one, target: one });
    const lookup = new Set(segments.lookup?.inputs);
    const logitsOf = async (data: Float32Array): Promise<Float32Array> => {
      const block = float32(data, [data.length / size, size]);
      const results = await piece.run(name =>
        name === head!.rows ? block : lookup.has(name) ? short[name] : store.get(name),
      );
      return floats(results.get(cut.output)!);
    };
    const data = floats(hidden);
    const width = (await logitsOf(data.subarray(0, size))).length;
    return hiddenOutput(data, rows, width, logitsOf);
  }

  /** Level after which each tensor is not read any more. */
  private lastUses(): Map<string, number> {
    const { cores, segments, sides, head } = this.plan;
    const uses = new Map<string, number>();
    this.pieces.forEach((piece, level) => piece?.inputs.forEach(name => uses.set(name, level)));
    cores.forEach((core, i) => {
      const level = segments.coreLevels[i] ?? 0;
      for (const name of [core.q, core.k, core.v, ...sides[i]!])
        uses.set(name, Math.max(level, uses.get(name) ?? 0));
    });
    if (head) uses.set(head.hidden, this.pieces.length);
    return uses;
  }

  get sessions(): number {
    return this.loader.size;
  }

  async release(): Promise<void> {
    await this.loader.release();
  }
}

function outputOf(data: Float32Array, width: number): ModelOutput {
  return {
    kind: 'logits',
    rows: data.length / width,
    width,
    read: async (first, to) => data.slice(first * width, to * width),
    holds: [data],
    only: rows => outputOf(rowsAt(data, width, rows), width),
  };
}

/** The output of hidden rows, computed when it is read. */
function hiddenOutput(
  data: Float32Array,
  rows: number,
  width: number,
  logitsOf: (rows: Float32Array) => Promise<Float32Array>,
): ModelOutput {
  const size = data.length / rows;
  return {
    kind: 'logits',
    rows,
    width,
    read: (from, to) => logitsOf(data.subarray(from * size, to * size)),
    holds: [data],
    only: chosen => hiddenOutput(rowsAt(data, size, chosen), chosen.length, width, logitsOf),
  };
}

function rowsAt(data: Float32Array, width: number, rows: Int32Array): Float32Array {
  const found = new Float32Array(rows.length * width);
  rows.forEach((row, at) => found.set(data.subarray(row * width, (row + 1) * width), at * width));
  return found;
}

function tellHidden(
  at: HiddenRows['at'],
  tensor: Tensor | undefined,
  onHidden?: (hidden: HiddenRows) => void,
): void {
  const data = tensor && onHidden ? asFloats(tensor) : null;
  if (!data) return;
  const width = tensor!.dims.at(-1)!;
  onHidden!({ at, rows: data.length / width, width, data });
}

function tellRouter(behind: number | null, tensor: Tensor, onRouter: (router: RouterRows) => void): void {
  const data = asFloats(tensor);
  if (data) onRouter({ behind, experts: tensor.dims.at(-1)!, data });
}
