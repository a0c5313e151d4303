import type { MechanismInfo, MechanismParams } from '../../shared/protocol/engine';
import type { Tensor } from '../runtime/tensor';
import type { CoreInput } from './core';

/** A tensor that a caller may give a mechanism in place of what `prepare` would make. */
export interface OwnTensor {
  /**
   * Each a side of the input (`heads`, `queries`, `keys`, `dim`, `valueDim`), perhaps with a number added, or ways to choose
   * from (`dim | dim + 2`); or any other name, which has one size in all tensors of the mechanism and in the parameter of
   * that name.
   */
  dims: readonly string[];
  /** float32, or whole numbers; absent = numbers. */
  holds?: 'numbers' | 'indices';
}

/**
 * Why the tensors do not fit the mechanism or each other, or null.
 * `params`: those that the caller gave; a default does not contradict a tensor.
 */
export function refusesTensors(
  schema: Readonly<Record<string, OwnTensor>>,
  tensors: Readonly<Record<string, Tensor>>,
  input: CoreInput,
  params: Readonly<MechanismParams>,
): string | null {
  const sizes = new Map<string, { size: number; from: string }>();
  for (const [name, { dims, holds = 'numbers' }] of Object.entries(schema)) {
    const tensor = tensors[name];
    if (!tensor) continue;
    const named = dims.map(each => wanted(each, input));
    const fits =
      tensor.dims.length === dims.length &&
      named.every((ways, d) => ways === null || ways.includes(tensor.dims[d]!));
    const typed = holds === 'numbers' ? tensor.type === 'float32' : /^int(32|64)$/.test(tensor.type);
    if (!fits || !typed) {
      const shape = named.map((ways, d) => ways?.join(' or ') ?? dims[d]).join(', ');
      const what = holds === 'numbers' ? 'float32' : 'whole numbers';
      return `"${name}" must be ${what} [${shape}], it is ${tensor.type} [${tensor.dims.join(', ')}].`;
    }
    for (const [d, free] of dims.entries()) {
      if (named[d] !== null) continue;
      const size = tensor.dims[d]!;
      const given = params[free];
      if (given !== undefined && Number(given) !== size) {
        return `The parameter ${free} is ${given}, "${name}" is for ${size} ${free}.`;
      }
      const other = sizes.get(free);
      if (other && other.size !== size) {
        return `"${other.from}" is for a ${free} of ${other.size}, "${name}" for one of ${size}.`;
      }
      sizes.set(free, { size, from: name });
    }
  }
  return null;
}

/** The parameters that are sizes of these tensors: the clusters of given centroids. */
export function settledByTensors(
  { parameters }: Pick<MechanismInfo, 'parameters'>,
  schema: Readonly<Record<string, OwnTensor>>,
  tensors: Readonly<Record<string, Tensor>>,
): MechanismParams {
  const known = new Set(parameters.map(({ name }) => name));
  return Object.fromEntries(
    Object.entries(schema).flatMap(([name, { dims }]) =>
      dims.flatMap((dimension, d) => {
        const size = tensors[name]?.dims[d];
        return size !== undefined && known.has(dimension) ? [[dimension, size]] : [];
      }),
    ),
  );
}

/** The sizes that a dimension may have in this input; null where its name stands for any. */
function wanted(dimension: string, input: CoreInput): number[] | null {
  const sides: Record<string, number> = {
    heads: input.heads,
    queries: input.queries,
    keys: input.keys,
    dim: input.dim,
    valueDim: input.valueDim,
  };
  const ways = dimension.split(' | ').map(way => {
    const [side, more = '0'] = way.split(' + ');
    return sides[side!] === undefined ? null : sides[side!]! + Number(more);
  });
  return ways.includes(null) ? null : (ways as number[]);
}
