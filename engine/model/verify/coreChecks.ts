import { floats, type Tensor } from '../../runtime/tensor';
import { referenceCore } from '../cut/cutGraph';
import type { Plan } from '../cut/cutPlan';
import { makeFeeds, type Ids } from '../cut/feeds';
import type { Piece, PieceLoader } from '../cut/pieces';
import type { CoreFeeds, RunCore } from '../cut/segmentRunner';
import { compare } from './proof';

/** How far own cores lie from the model's own nodes on the same queries, keys and values. */
export interface CoreDifference {
  /** Largest difference of a head's output, as a share of the head's largest. */
  largest: number;
  /** The core where it was found. */
  core: number;
}

/** What own and ONNX Runtime's order of summation differ by, as a share of a value. */
const NUDGE = 2 ** -21;

/**
 * Each core against the graph's own nodes on the very same inputs. The rounding of the rest of a model, which jumps where it
 * is quantised, does not enter: a core that is right agrees to the last digits of float32, whatever the whole output does.
 */
export class CoreChecks {
  private readonly pieces = new Map<number, Promise<Piece>>();

  /** `rounded`: with the roundings of a statically quantised model within its cores, else without. */
  constructor(
    private readonly plan: Plan,
    private readonly loader: PieceLoader,
    private readonly rounded = false,
  ) {}

  /** The context of core `index` as the model's own nodes compute it. */
  async context(index: number, feeds: CoreFeeds, given: Record<string, Tensor>): Promise<Float32Array> {
    const { graph, cores } = this.plan;
    let piece = this.pieces.get(index);
    if (!piece) {
      piece = this.loader.load(referenceCore(graph, cores[index]!, this.rounded));
      this.pieces.set(index, piece);
    }
    const { q, k, v } = cores[index]!;
    const own: Record<string, Tensor> = { [q]: feeds.q, [k]: feeds.k, [v]: feeds.v };
    const results = await (await piece).run(name => own[name] ?? given[name] ?? feeds.tensor(name));
    return floats([...results.values()][0]!);
  }

  /**
   * The model's own nodes in the cores' places, their outputs moved by the last digits of float32: an equivalent run, which
   * tells how far the rest of the model carries such a step.
   */
  nudged(ids: Ids): RunCore {
    const given = makeFeeds(this.plan.graph, ids);
    return async (index, feeds) => {
      const context = await this.context(index, feeds, given);
      let state = index + 1;
      return context.map(value => {
        state = (Math.imul(state, 1664525) + 1013904223) | 0;
        return value * (1 + Math.sign(state) * NUDGE);
      });
    };
  }

  /** `core`, each of whose contexts is compared before the run goes on with it. */
  watching(core: RunCore, ids: Ids): { core: RunCore; found: CoreDifference } {
    const { graph, cores } = this.plan;
    const given = makeFeeds(graph, ids);
    const found: CoreDifference = { largest: 0, core: 0 };
    const watched: RunCore = async (index, feeds) => {
      const own = await core(index, feeds);
      const theirs = await this.context(index, feeds, given);
      const { heads, valueDim } = cores[index]!;
      const size = own.length / heads;
      for (let head = 0; head < heads; head++) {
        const rows = (context: Float32Array) => context.subarray(head * size, (head + 1) * size);
        const { largest, scale } = compare(rows(own), rows(theirs), valueDim);
        const relative = largest / (scale || 1);
        if (relative > found.largest) Object.assign(found, { largest: relative, core: index });
      }
      return own;
    };
    return { core: watched, found };
  }
}
