import type { CoreInput } from '../attention/core';
import type { BlockRun } from '../attention/dense';
import type { GraphBuilder } from '../runtime/graphBuilder';
import { floats } from '../runtime/tensor';
import { queryIndex, visibleCount, type Measure, type MeasureValues } from './measure';

/** Entropy in nats: -sum p log p = log-sum-exp - sum p * score, which spares the logarithm of every pair. */
export class Entropy implements Measure {
  readonly key = 'entropy';
  /** [heads, queries]; 0 where nothing is visible. */
  readonly perQuery: Float32Array;
  /** [heads, queries] keys that each query sees. */
  readonly visible: Int32Array;

  constructor(private readonly input: CoreInput) {
    this.perQuery = new Float32Array(input.heads * input.queries);
    this.visible = new Int32Array(input.heads * input.queries);
  }

  build(g: GraphBuilder, { scores, probabilities }: MeasureValues): void {
    const weighted = g.op('Mul', [probabilities, scores]);
    g.output('meanScore', g.op('ReduceSum', [weighted, g.int([-1])], { keepdims: 0 }));
  }

  take(run: BlockRun): void {
    const { rows } = run.block;
    const meanScore = floats(run.results['meanScore']!);
    for (let g = 0; g < run.heads; g++) {
      for (let r = 0; r < rows; r++) {
        const seen = visibleCount(run, g, r);
        const at = queryIndex(run, g, r, this.input.queries);
        this.visible[at] = seen;
        if (seen > 1) this.perQuery[at] = Math.max(0, run.lse[g * rows + r]! - meanScore[g * rows + r]!);
      }
    }
  }

  /** Means over the queries of a head: of entropy, and of entropy / log(visible keys) where more than one is visible. */
  mean(head: number): { entropy: number; relative: number } {
    const { queries } = this.input;
    let sum = 0;
    let sees = 0;
    let relative = 0;
    let chooses = 0;
    for (let at = head * queries; at < (head + 1) * queries; at++) {
      const visible = this.visible[at]!;
      if (visible === 0) continue;
      sees++;
      sum += this.perQuery[at]!;
      if (visible === 1) continue;
      chooses++;
      relative += Math.min(1, this.perQuery[at]! / Math.log(visible));
    }
    return { entropy: sees ? sum / sees : 0, relative: chooses ? relative / chooses : 0 };
  }
}
