/** What a long analysis will take, told before it runs. */
import { coreFlops } from './workload';
import { blockSearch } from '../attention/mechanisms/blockSearch';
import { settingOf } from '../attention/parameters';
import { duration } from '../../shared/numbers';
import type { ModelInfo } from '../../shared/protocol/engine';
import type { Runtime } from '../runtime/runtime';
import { float32 } from '../runtime/tensor';

export interface RunEstimate {
  bytes: number;
  seconds: number;
  /** Of the same text without a dense pass, by a search; null where that is not for this model, or no quicker. */
  sparseSeconds: number | null;
}

/** Shorter texts are done before anyone has read an estimate. */
export const ESTIMATED_FROM = 4096;
/** A dense core with its measures, to its two products alone; a sparse one, whose products are small. */
const WITH_MEASURES = 1.8;
const SMALL_PRODUCTS = 3;
/** Queries whose exact rows stand in for a dense pass; they read all keys for a few rows, so memory is what they wait for. */
const SAMPLED = 192;
const FEW_ROWS = 10;

export async function estimateRun(
  model: ModelInfo,
  tokens: number,
  bytes: number,
  runtime: Runtime,
): Promise<RunEstimate> {
  const speed = await flopsPerSecond(runtime);
  const segments = 2 * model.parameters * tokens;
  const dense = model.cores.reduce((sum, core) => sum + coreFlops(core, tokens), 0);
  const { params } = settingOf(blockSearch.info, {});
  const sparse = model.cores.reduce((sum, { heads, dim, causal }) => {
    const { flops } = blockSearch.cost!(tokens, params, { dim, valueDim: dim, causal });
    return sum + heads * (SMALL_PRODUCTS * flops + FEW_ROWS * SAMPLED * 4 * dim * (tokens / 2));
  }, 0);
  const seconds = (segments + WITH_MEASURES * dense) / speed;
  const without = (segments + sparse) / speed;
  return { bytes, seconds, sparseSeconds: model.causal && without < seconds ? without : null };
}

/** In words; `option`: how the cheaper way is asked for. */
export function estimateWords({ bytes, seconds, sparseSeconds }: RunEstimate, option: string): string {
  const cheaper =
    sparseSeconds === null ? '' : `; without a dense pass (${option}) about ${duration(sparseSeconds)}`;
  return `about ${duration(seconds)} and ${Math.ceil(bytes / 2 ** 20)} MiB beside the model${cheaper}`;
}

const speeds = new WeakMap<Runtime, Promise<number>>();

/** Of one product of matrices, measured here and now: a busy machine is slower. */
function flopsPerSecond(runtime: Runtime): Promise<number> {
  let speed = speeds.get(runtime);
  if (!speed) speeds.set(runtime, (speed = measureSpeed(runtime)));
  return speed;
}

async function measureSpeed(runtime: Runtime): Promise<number> {
  const size = 512;
  const session = await runtime.graph('estimate', g => {
    const x = g.input('x', 'float32', ['n', 'n']);
    g.output('y', g.op('MatMul', [x, x]));
  });
  const x = float32(new Float32Array(size * size).fill(0.01), [size, size]);
  let best = Infinity;
  for (let turn = 0; turn < 3; turn++) {
    const began = performance.now();
    await session.run({ x });
    best = Math.min(best, performance.now() - began);
  }
  return (2 * size ** 3) / (best / 1000);
}
