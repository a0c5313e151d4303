/** What a run hands on of single tokens, to be put into the run of another text of equal length. */
import { refused } from '../../errors';
import type { Tensor } from '../../runtime/tensor';
import { placeRows, rowsOf } from './inRows';
import type { TokenAxes } from './tokenAxes';

export interface TokenState {
  /** One row of each tensor that goes by tokens. */
  rows: ReadonlyMap<string, Tensor>;
  /** Those that do not: both runs must agree in them. */
  whole: ReadonlyMap<string, Tensor>;
}

/** Of the tensors that are still read at some place of a run. */
export class Standing {
  /** @param made the tensors that the model has computed */
  constructor(
    private readonly made: ReadonlyMap<string, Tensor>,
    private readonly axes: TokenAxes,
  ) {}

  stateOf(token: number): TokenState {
    const rows = new Map<string, Tensor>();
    const whole = new Map<string, Tensor>();
    for (const [name, tensor] of this.made) {
      const axis = this.axes.get(name)?.axis ?? null;
      // A copy: a view would keep the whole tensor.
      if (axis === null) whole.set(name, tensor);
      else rows.set(name, copyOf(rowsOf(tensor, axis, token, token + 1)));
    }
    return { rows, whole };
  }

  /** The tensors with one token's rows from another run. @throws RefusedError where more than rows differs */
  with(token: number, { rows, whole }: TokenState): Map<string, Tensor> {
    const found = new Map<string, Tensor>();
    for (const [name, tensor] of this.made) {
      const row = rows.get(name);
      if (row) {
        const changed = copyOf(tensor);
        placeRows(row, this.axes.get(name)!.axis!, token, changed);
        found.set(name, changed);
      } else if (!isSame(tensor, whole.get(name))) throw refused('patchStates');
      else found.set(name, tensor);
    }
    return found;
  }
}

const copyOf = (tensor: Tensor): Tensor => ({ ...tensor, data: tensor.data.slice() }) as Tensor;

function isSame(a: Tensor, b: Tensor | undefined): boolean {
  if (a === b) return true;
  const other = b?.data as ArrayLike<number> | undefined;
  return (
    other?.length === a.data.length && (a.data as Float32Array).every((value, at) => value === other[at])
  );
}
