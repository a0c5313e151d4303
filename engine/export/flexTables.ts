/** Tensors of exported Python. */
import { deflateSync } from 'node:zlib';

/** Tensors of one kind of mask and what they let through; nothing for layers that have no such head. */
export interface Part {
  tensors: string[];
  keep: string;
}

const TORCH = { Uint8Array: 'torch.uint8', Int32Array: 'torch.int32' };

/** All heads' tables of one name, one after another. */
export function stacked(name: string, data: (Uint8Array | Int32Array)[], shape: number[]): string {
  const all = Buffer.concat(data.map(each => Buffer.from(each.buffer, each.byteOffset, each.byteLength)));
  const dtype = data[0] instanceof Uint8Array ? TORCH.Uint8Array : TORCH.Int32Array;
  const coded = deflateSync(all, { level: 9 }).toString('base64');
  return `${name} = table(${dtype}, (${[data.length, ...shape].join(', ')}), "${coded}").to(device)`;
}

/** 1 at each of the indices that are within the size. */
export function flagsOf(indices: readonly number[], size: number): Uint8Array {
  const flags = new Uint8Array(size);
  for (const index of indices) if (index < size) flags[index] = 1;
  return flags;
}
