import { isHalf } from '../onnx/elementTypes';
import { intAttribute, type GraphNode } from '../onnx/node';
import type { Plan } from '../cut/cutPlan';
import type { Difference } from './proof';

/** Own cores may differ from the uncut model by this share of its largest output. */
const FLOAT = { cpu: 2e-5, gpu: 1e-3, half: 5e-3 };
/**
 * Nothing can agree with a model more closely than the model agrees with itself: own cores may depart from it by this many
 * times the spread of its own equivalent runs (optimisation levels, float64), but never by more than `most`. A model whose
 * runs lie further apart than `amplifies` amplifies the rounding of float32 (T5: large scores without a scale).
 */
const SPREAD = { times: 10, most: 1e-3, amplifies: 1e-5 };
/**
 * A quantised model's rounding jumps, and one of 16 bits may amplify its own: a departure of its output in the last digit
 * says nothing. There each attention must agree with the model's own nodes on the same inputs (`core`, per head), and the
 * rest be bit-equal or agree in the median and in the most likely tokens. Even so no output may lie further off than
 * `largest`, nor than `noise` times what the model itself departs where its cores are moved by the last digits.
 */
const QUANTISED = {
  core: { cpu: 1e-4, gpu: 1e-3, half: 2e-2 },
  median: 1e-3,
  argmax: 0.95,
  largest: 0.1,
  noise: 3,
};

/** Products: their type is the precision that the model computes with, wherever its attention was fused. */
const COMPUTING = /^(Fused)?(MatMul|Gemm|Conv)/;

/** `MatMulNBits` of accuracy level 4 rounds what it is given to 8 bits. */
const roundsInput = (n: GraphNode) => n.op === 'MatMulNBits' && intAttribute(n, 'accuracy_level', 0) === 4;

/** A departure beyond rounding, however amplified. */
const FAR_OFF = 0.05;

export const relative = (d: Difference): number => d.largest / (d.scale || 1);

/** How far own cores may depart from the uncut model, by the kind of its arithmetic. */
export class Tolerance {
  private readonly float: number;
  private readonly half: boolean;
  private readonly quantised: boolean;
  /** Statically quantised models round scores and probabilities. */
  private readonly roundsAttention: boolean;

  /** `spread` and `medianSpread`: largest and median relative difference of the uncut model's own equivalent runs. */
  constructor(
    private readonly plan: Plan,
    private readonly gpu: boolean,
    readonly spread: number,
    private readonly medianSpread = 0,
  ) {
    const { graph, cores } = plan;
    // Models of 16 bits round at every step, at other places when cut (ONNX Runtime drops roundings between its nodes).
    this.half =
      cores.some(c => isHalf(graph.type(c.found.q))) ||
      graph.nodes.some(n => COMPUTING.test(n.op) && isHalf(graph.type(n.outputs[0]!)));
    this.float = this.half ? FLOAT.half : gpu ? FLOAT.gpu : FLOAT.cpu;
    this.quantised = graph.nodes.some(
      n => /^(Dynamic)?Quantize|^QLinear|^QAttention/.test(n.op) || roundsInput(n),
    );
    this.roundsAttention = cores.some(c => c.found.interior.some(n => n.op === 'QuantizeLinear'));
  }

  /** The same when more equivalent runs have been compared. */
  withSpread(spread: number, medianSpread = 0): Tolerance {
    const [largest, median] = [Math.max(spread, this.spread), Math.max(medianSpread, this.medianSpread)];
    return new Tolerance(this.plan, this.gpu, largest, median);
  }

  /** The same when an equivalent run with the model's own nodes in the cores' places has been compared. */
  withNoise(noise: Difference): Tolerance {
    return this.withSpread(relative(noise), noise.median / (noise.scale || 1));
  }

  /** The model amplifies the rounding of float32: `differences` are those of the cut model to the uncut one. */
  amplifies(differences: readonly Difference[]): boolean {
    const largest = Math.max(this.spread, ...differences.map(relative));
    return !this.half && !this.quantised && largest > SPREAD.amplifies && largest < FAR_OFF;
  }

  /** Share of the largest output by which own cores may depart. */
  private get bound(): number {
    return Math.max(this.float, Math.min(SPREAD.most, SPREAD.times * this.spread));
  }

  /** The output alone does not tell: cores are compared on their own inputs. */
  get jumps(): boolean {
    return this.quantised || this.half;
  }

  /** How far, on the same inputs, a core's output may lie from that of the model's own nodes. */
  get core(): number {
    const { cpu, gpu, half } = QUANTISED.core;
    return this.half ? half : this.gpu ? gpu : cpu;
  }

  /** The whole output is as near as that of a model whose rounding does not jump. */
  isNear(d: Difference): boolean {
    return d.largest <= this.bound * d.scale;
  }

  /**
   * `bitEqual`: cores run by ONNX Runtime gave the bits of the uncut model. `cores`: how far own cores lie from the model's
   * own nodes on the same inputs; null = not compared.
   */
  accepts(d: Difference, bitEqual: boolean, cores: number | null): boolean {
    if (this.isNear(d)) return true;
    if (!this.jumps || cores === null || !(cores <= this.core)) return false;
    const { median, argmax, largest, noise } = QUANTISED;
    const exact = bitEqual && this.quantised;
    const alike = d.median <= median * d.scale && d.argmaxAgreement >= argmax;
    const asNoise = exact && d.median <= noise * this.medianSpread * d.scale;
    return (alike || asNoise) && d.largest <= Math.max(largest, noise * this.spread) * d.scale;
  }

  /** What the proof of this model must say beside the numbers; '' = nothing. */
  note(inFloat64: boolean): string {
    if (inFloat64)
      return ` in float64 (in float32 the model amplifies rounding: its own runs lie ${this.spread.toExponential(1)} of the largest output apart)`;
    if (this.roundsAttention)
      return ' (quantised: the model rounds its attention to 8 bits, the inspector does not; each attention against the model without that rounding, the output no further off than the rounding carries it)';
    if (this.half && !this.quantised)
      return ' (16 bits: up to 0.5% of the largest output, or median difference and most likely token)';
    return this.quantised
      ? ' (quantised: each attention on the same inputs, the output no further off than the rounding of the rest carries it)'
      : '';
  }
}
