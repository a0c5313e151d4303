import { keptBySink, keysOfText, type CoreInput } from '../attention/core';
import type { Block } from '../attention/kernels/blocks';
import type { BlockRun, Shapes } from '../attention/kernels/dense';
import type { GraphBuilder } from '../runtime/graphBuilder';
import { floats } from '../runtime/tensor';
import type { Measure, MeasureValues } from './measure';

/**
 * Entropy in nats: -sum p log p = log-sum-exp - sum p * score, which spares the logarithm of every pair. Where the softmax has
 * a sink, the sink is one of the places that the mass is spread over.
 */
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

  shapes({ rows }: Block, heads: number): Shapes {
    return { meanScore: [heads, rows] };
  }

  take({ block, head, heads, additive, lse, results }: BlockRun): void {
    const { rows } = block;
    const meanScore = floats(results['meanScore']!);
    for (let h = 0; h < heads; h++) {
      const seen = additive.planes === 1 ? 0 : h * rows;
      const last = (head + h) * this.input.queries + block.from + rows - 1;
      for (let r = 0; r < rows; r++) {
        const visible = additive.visible[seen + r]!;
        this.visible[last - r] = visible;
        const entropy = this.withSink(head + h, lse[h * rows + r]!) - meanScore[h * rows + r]!;
        if (visible > 1) this.perQuery[last - r] = entropy > 0 ? entropy : 0;
      }
    }
  }

  /** The log-sum-exp of the keys and the sink, less what the sink's own score adds to the mean score. */
  private withSink(head: number, lse: number): number {
    const sink = this.input.rule.sink?.[head];
    if (sink === undefined) return lse;
    const kept = keptBySink(sink, lse);
    return lse - Math.log(kept) - (1 - kept) * sink;
  }

  /**
   * Means over the queries of a head: of entropy, of entropy / log(visible keys) where more than one is visible, and of
   * entropy / log(keys that the text has for it), whatever window the model leaves it.
   */
  mean(head: number): { entropy: number; relative: number; ofText: number } {
    const { queries } = this.input;
    let sum = 0;
    let ofText = 0;
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
      ofText += Math.min(1, this.perQuery[at]! / Math.log(keysOfText(this.input, at - head * queries)));
    }
    const share = (total: number, of: number) => (of ? total / of : 0);
    return { entropy: share(sum, sees), relative: share(relative, chooses), ofText: share(ofText, chooses) };
  }
}
