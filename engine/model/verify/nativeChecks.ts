import { RefusedError, told } from '../../errors';
import type { CoreInput } from '../../attention/core';
import { makeFeeds, type Ids } from '../cut/feeds';
import type { Plan } from '../cut/cutPlan';
import type { CoreFeeds } from '../cut/segmentRunner';
import type { CoreChecks } from './coreChecks';

/** Scores of a core (heads x queries x keys) up to which its own nodes are run on a text: 134 MB. */
const LARGEST = 2 ** 25;
/** Rows further apart than this share of the head's largest value are others. */
const APART = 1e-3;
/** So many may be where pairs are chosen by the text: hashes and choices jump at ties. */
const OTHERS = 0.01;
/** Mechanisms whose pairs and shares do not jump. */
const STEADY = new Set([
  ...['adaptive-span', 'chunked', 'compressive', 'dense', 'dilated', 'entmax', 'fixed', 'local'],
  ...['longformer', 'shaped', 'streaming', 'strided', 'transformer-xl'],
]);

/**
 * Native cores at the length of the text: a window, a segment or a memory that is longer than the proof's samples shows only in
 * a longer text. Each is compared once with its own nodes at every new greatest length, as far as these fit.
 */
export class NativeChecks {
  private readonly upTo = new Map<number, number>();

  constructor(
    private readonly plan: Plan,
    private readonly checks: CoreChecks,
  ) {}

  /** @throws RefusedError where the mechanism gives another output than the graph. */
  async check(
    index: number,
    { heads, queries, keys, valueDim, native }: CoreInput,
    ids: Ids,
    feeds: CoreFeeds,
  ): Promise<void> {
    if (keys <= (this.upTo.get(index) ?? 0) || heads * queries * keys > LARGEST) return;
    const own = native!.attended.output;
    const theirs = await this.checks.context(index, feeds, makeFeeds(this.plan.graph, ids));
    let others = 0;
    for (let head = 0; head < heads; head++) {
      const from = head * queries * valueDim;
      let largest = 0;
      for (let t = from; t < from + queries * valueDim; t++)
        largest = Math.max(largest, Math.abs(theirs[t]!));
      for (let i = 0; i < queries; i++) {
        const at = from + i * valueDim;
        let apart = 0;
        for (let c = at; c < at + valueDim; c++) apart = Math.max(apart, Math.abs(own[c]! - theirs[c]!));
        if (!(apart <= APART * largest)) others++;
      }
    }
    const { name } = this.plan.cores[index]!.found.native!.spec;
    if (others > (STEADY.has(name) ? 0 : OTHERS) * heads * queries)
      throw new RefusedError(
        told`The attention of the model was taken for "${name}", as its file says or as its graph looks, and is not quite that: at ${keys} tokens core ${index} does not reproduce its own graph (${others} of ${heads * queries} rows differ).`,
      );
    this.upTo.set(index, keys);
  }
}
