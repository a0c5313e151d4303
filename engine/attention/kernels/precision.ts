import type { AttendContext } from '../mechanism';
import { float32, type Tensor } from '../../runtime/tensor';

/** What graphs with long sums or large intermediate values compute in. */
export type SumType = 'float32' | 'float64';

/** Processors have float64; on GPUs float32 must do. */
export function sumType({ runtime }: Pick<AttendContext, 'runtime'>): SumType {
  return runtime.report.device === 'cpu' ? 'float64' : 'float32';
}

export function numbers(type: SumType, data: Float32Array | Float64Array, dims: readonly number[]): Tensor {
  if (type === 'float64') return { type, data: Float64Array.from(data), dims };
  return float32(data instanceof Float32Array ? data : Float32Array.from(data), dims);
}
