import type { Tensor } from '../../runtime/tensor';
import { checkpoint } from '../../runtime/cancellation';
import type { HowToRun, Piece, PieceLoader } from './pieces';
import type { RowPiece } from './rowPiece';

/** Elements of the widest tensor inside a piece that are held at once. */
const ELEMENTS = 2 ** 21;

/** Rows of a piece that are run at once, about as many in the last block as in the others. `widest`: elements per row of the widest tensor inside. */
export function inBlocks(widest: number, rows: number): number {
  const most = 64 * Math.max(1, Math.floor(ELEMENTS / widest / 64));
  const blocks = Math.ceil(rows / most);
  return Math.min(rows, 64 * Math.ceil(rows / blocks / 64));
}

/** A piece of the model that is run on blocks of rows, so that what is computed inside of it never grows with the text. */
export class PieceInRows implements Piece {
  private constructor(
    readonly inputs: readonly string[],
    readonly outputs: readonly string[],
    private readonly plan: RowPiece,
    private readonly whole: Piece | null,
    private readonly rows: Piece | null,
  ) {}

  static async load(
    piece: Pick<Piece, 'inputs' | 'outputs'>,
    plan: RowPiece,
    loader: PieceLoader,
  ): Promise<PieceInRows> {
    const whole = plan.whole && (await loader.load(plan.whole));
    const rows = plan.rows && (await loader.load(plan.rows));
    return new PieceInRows(piece.inputs, piece.outputs, plan, whole, rows);
  }

  async run(
    feeds: (name: string) => Tensor | undefined,
    { signal, rowsAtOnce }: HowToRun = {},
  ): Promise<Map<string, Tensor>> {
    const { whole, rows, plan } = this;
    const results = new Map(whole ? await whole.run(feeds) : []);
    if (!rows) return results;
    const given = (name: string) => results.get(name) ?? feeds(name);
    const tokens = this.tokensOf(given);
    const step = rowsAtOnce ?? inBlocks(plan.widest, tokens);
    if (tokens <= step) return new Map([...results, ...(await rows.run(given))]);
    const found = new Map<string, Tensor>();
    for (let from = 0; from < tokens; from += step) {
      if (signal) await checkpoint(signal);
      const to = Math.min(tokens, from + step);
      const block = await rows.run(name => {
        const tensor = given(name);
        const axis = plan.axes.get(name);
        return tensor && axis !== undefined ? rowsOf(tensor, axis, from, to) : tensor;
      });
      for (const [name, tensor] of block) {
        const axis = plan.axes.get(name)!;
        let all = found.get(name);
        if (!all) found.set(name, (all = emptyLike(tensor, axis, tokens)));
        placeRows(tensor, axis, from, all);
      }
    }
    return new Map([...results, ...found]);
  }

  private tokensOf(given: (name: string) => Tensor | undefined): number {
    for (const [name, axis] of this.plan.axes) {
      const tensor = this.rows!.inputs.includes(name) ? given(name) : undefined;
      if (tensor) return tensor.dims[axis]!;
    }
    throw new Error('internal: a piece in rows reads no rows');
  }
}

const product = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);

/** Rows from .. to-1 along an axis; a view where they lie together. */
export function rowsOf(tensor: Tensor, axis: number, from: number, to: number): Tensor {
  const lead = product(tensor.dims.slice(0, axis));
  const size = product(tensor.dims.slice(axis + 1));
  const tokens = tensor.dims[axis]!;
  const dims = tensor.dims.map((d, i) => (i === axis ? to - from : d));
  if (lead === 1) return { ...tensor, data: tensor.data.subarray(from * size, to * size), dims } as Tensor;
  const length = (to - from) * size;
  const data = new (tensor.data.constructor as Float32ArrayConstructor)(lead * length);
  for (let l = 0; l < lead; l++) {
    const at = (l * tokens + from) * size;
    data.set(tensor.data.subarray(at, at + length) as Float32Array, l * length);
  }
  return { ...tensor, data, dims } as Tensor;
}

function emptyLike(tensor: Tensor, axis: number, tokens: number): Tensor {
  const dims = tensor.dims.map((d, i) => (i === axis ? tokens : d));
  return {
    ...tensor,
    data: new (tensor.data.constructor as Float32ArrayConstructor)(product(dims)),
    dims,
  } as Tensor;
}

/** Writes a block of rows to its place. */
export function placeRows(block: Tensor, axis: number, from: number, all: Tensor): void {
  const lead = product(block.dims.slice(0, axis));
  const size = product(block.dims.slice(axis + 1));
  const [rows, tokens] = [block.dims[axis]!, all.dims[axis]!];
  const length = rows * size;
  for (let l = 0; l < lead; l++) {
    const part = block.data.subarray(l * length, (l + 1) * length);
    (all.data as Float32Array).set(part as Float32Array, (l * tokens + from) * size);
  }
}
