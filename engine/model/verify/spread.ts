/** How far equivalent runs of a model lie from each other: what the tolerance of its proof rests on. */
import { float32, floats, type Tensor } from '../../runtime/tensor';
import type { Ids } from '../cut/feeds';
import type { SegmentRunner } from '../cut/segmentRunner';
import type { CoreChecks } from './coreChecks';
import { compare, type Difference } from './proof';
import { compareFirstRows } from './textCheck';

/** Values of an output that are enough to see how far two runs differ. */
const SPREAD_OF = 2 ** 20;

/** As many rows from the end as `SPREAD_OF` allows. */
export function lastRows(output: Tensor): Tensor {
  const width = output.dims[output.dims.length - 1]!;
  const rows = Math.min(output.data.length / width, Math.max(1, Math.floor(SPREAD_OF / width)));
  return float32(floats(output).slice(-rows * width), [rows, width]);
}

/** Largest and median relative difference of two runs of the same model on the same samples; of `a` the last rows. */
export function spread(
  a: readonly Tensor[],
  b: readonly Tensor[],
  width: number,
): [largest: number, median: number] {
  const found = a.map((tensor, i) => {
    const { largest, median, scale } = compare(
      floats(tensor),
      floats(b[i]!).slice(-tensor.data.length),
      width,
    );
    return [largest / (scale || 1), median / (scale || 1)] as const;
  });
  return [Math.max(...found.map(([largest]) => largest)), Math.max(...found.map(([, median]) => median))];
}

/** How far the model's own nodes in the cores' places, moved by the last digits, lead from its output. */
export async function noiseOf(
  runner: SegmentRunner,
  coreChecks: CoreChecks,
  sample: Ids,
  expected: Float32Array,
  width: number,
  signal: AbortSignal,
): Promise<Difference> {
  const output = await runner.run(sample, { core: coreChecks.nudged(sample), signal });
  return (await compareFirstRows(output, expected, width, null)).difference;
}
