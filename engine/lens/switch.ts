import { sphericalKMeans } from '../attention/kernels/kmeans';
import { numberOf } from '../../shared/setting';
import { unitRows } from '../attention/kernels/tied';
import type { MechanismParams, SwitchLens } from '../../shared/protocol/engine';
import { denseOutput } from '../attention/kernels/dense';
import type { RouterRows } from '../model/cut/routers';
import type { Analysis } from '../service/analysis';
import type { Lens } from './lens';
import { residualBefore, sideBySide } from './rows';

/**
 * Switch Transformer (Fedus et al., 2022): a router sends each token to one expert of limited capacity. Of a model with experts
 * the router is its own, the first one behind the core, or the last before it; only the room of the experts is then a what-if. A
 * model without has neither router nor experts: k-means over this text's hidden rows stands in for the router. Synthetic: it
 * tells how such loads, drops and the balancing loss come about, not what a trained router would do.
 */
export const switchRouting: Lens<'switch'> = {
  name: 'switch',
  title: 'Switch (experts)',
  paper: 'Fedus et al., Switch Transformers, 2022, sections 2.1 and 2.2',
  parameters: [
    { name: 'experts', type: 'integer', default: 8, minimum: 2, maximum: 64, description: 'Experts.' },
    {
      name: 'capacityFactor',
      type: 'number',
      default: 1.25,
      minimum: 0.1,
      maximum: 16,
      description: 'Room of each expert, as a multiple of an even share of the tokens.',
    },
    {
      name: 'sharpness',
      type: 'number',
      default: 8,
      minimum: 0.1,
      maximum: 100,
      description: 'Of the router: its logits are this times the cosine to each centre.',
    },
    {
      name: 'alpha',
      type: 'number',
      default: 0.01,
      minimum: 0,
      description: 'Weight of the balancing loss.',
    },
  ],

  async look(analysis, params, { core, signal }) {
    const capacityFactor = numberOf(params, 'capacityFactor');
    const { rowsAre, layer, experts, probabilities } =
      (await ownRouting(analysis, core, signal)) ?? (await madeUpRouting(analysis, params, core, signal));
    const balance = balanceOf(probabilities, experts, capacityFactor);
    const factors = Array.from({ length: 31 }, (_, t) => 0.5 + t / 10);
    const alpha = numberOf(params, 'alpha');
    return {
      lens: 'switch',
      rowsAre,
      layer,
      tokens: probabilities.length / experts,
      experts,
      ...balance,
      capacityFactor,
      curve: factors.map(factor => ({
        factor,
        dropRate: balanceOf(probabilities, experts, factor).dropRate,
      })),
      auxLoss: { value: auxiliaryLoss(balance.load, balance.probability, alpha), alpha },
    };
  },
};

type Routing = Pick<SwitchLens, 'rowsAre' | 'layer' | 'experts'> & {
  /** [tokens, experts] */
  probabilities: Float64Array;
};

/** What the model's own router decided; null where it has none. */
async function ownRouting(analysis: Analysis, core: number, signal: AbortSignal): Promise<Routing | null> {
  if (!analysis.model.hasRouters) return null;
  const routers = await analysis.shared('routers', own => runRouters(analysis, own), signal);
  const found = routers.find(({ behind }) => (behind ?? 0) >= core) ?? routers.at(-1);
  if (!found) return null;
  const { behind, experts, data } = found;
  const { layer } = analysis.model.info.cores[behind ?? 0]!;
  return { rowsAre: 'router', layer, experts, probabilities: Float64Array.from(data) };
}

async function runRouters(analysis: Analysis, signal: AbortSignal): Promise<RouterRows[]> {
  const routers: RouterRows[] = [];
  const context = analysis.context(signal);
  await analysis.run((_, input) => denseOutput(input, context), {
    signal,
    // The rows are the runner's own.
    onRouter: router => routers.push({ ...router, data: router.data.slice() }),
  });
  return routers;
}

async function madeUpRouting(
  analysis: Analysis,
  params: MechanismParams,
  core: number,
  signal: AbortSignal,
): Promise<Routing> {
  const { residual, tensors } = await residualBefore(analysis, core, signal);
  const { input, output } = tensors;
  const { rows, width } = residual ?? sideBySide(input, output);
  const experts = Math.min(numberOf(params, 'experts'), rows.length / width);
  const centred = unitRows(centre(rows, width), width);
  const centroids = await sphericalKMeans(centred, width, experts, analysis.context(signal));
  return {
    rowsAre: residual ? 'residual' : 'context',
    layer: analysis.model.info.cores[core]!.layer,
    experts,
    probabilities: route(centred, centroids, width, numberOf(params, 'sharpness')),
  };
}

type Balance = Pick<
  SwitchLens,
  'load' | 'probability' | 'expert' | 'gate' | 'dropped' | 'capacity' | 'dropRate'
>;

/** Top-1 routing with a capacity; tokens that find their expert full, in the order of the text, skip it (section 2.1). */
export function balanceOf(probabilities: Float64Array, experts: number, factor: number): Balance {
  const tokens = probabilities.length / experts;
  const capacity = Math.ceil((tokens / experts) * factor);
  const load = new Array<number>(experts).fill(0);
  const probability = new Array<number>(experts).fill(0);
  const expert = new Int32Array(tokens);
  const gate = new Float32Array(tokens);
  const dropped = new Uint8Array(tokens);
  let lost = 0;
  for (let t = 0; t < tokens; t++) {
    let best = 0;
    for (let e = 0; e < experts; e++) {
      const p = probabilities[t * experts + e]!;
      probability[e]! += p / tokens;
      if (p > probabilities[t * experts + best]!) best = e;
    }
    expert[t] = best;
    gate[t] = probabilities[t * experts + best]!;
    if (load[best]! >= capacity) {
      dropped[t] = 1;
      lost++;
    }
    load[best]!++;
  }
  return { load, probability, expert, gate, dropped, capacity, dropRate: tokens > 0 ? lost / tokens : 0 };
}

/** alpha N sum f_i P_i (equation 4): alpha when both are even. `load` in tokens. */
export function auxiliaryLoss(
  load: readonly number[],
  probability: readonly number[],
  alpha: number,
): number {
  const tokens = load.reduce((sum, n) => sum + n, 0);
  const product = load.reduce((sum, n, e) => sum + (n / tokens) * probability[e]!, 0);
  return alpha * load.length * product;
}

/** Softmax of sharpness x cosine, [tokens, experts], in float64. */
function route(rows: Float32Array, centroids: Float32Array, width: number, sharpness: number): Float64Array {
  const tokens = rows.length / width;
  const experts = centroids.length / width;
  const result = new Float64Array(tokens * experts);
  for (let t = 0; t < tokens; t++) {
    let top = -Infinity;
    for (let e = 0; e < experts; e++) {
      let dot = 0;
      for (let c = 0; c < width; c++) dot += rows[t * width + c]! * centroids[e * width + c]!;
      result[t * experts + e] = dot * sharpness;
      top = Math.max(top, dot * sharpness);
    }
    let sum = 0;
    for (let e = 0; e < experts; e++)
      sum += result[t * experts + e] = Math.exp(result[t * experts + e]! - top);
    for (let e = 0; e < experts; e++) result[t * experts + e]! /= sum;
  }
  return result;
}

/** Rows less their mean: what all tokens share would hide what tells them apart. */
export function centre(rows: Float32Array, width: number): Float32Array {
  const count = rows.length / width;
  const mean = new Float64Array(width);
  for (let t = 0; t < rows.length; t++) mean[t % width]! += rows[t]! / count;
  return rows.map((x, t) => x - mean[t % width]!);
}
