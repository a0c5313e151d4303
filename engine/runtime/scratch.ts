import type { Runtime } from './runtime';

/** Buffers larger than this together are not kept for the next user. */
const KEPT_BYTES = 32 * 2 ** 20;
const KEPT = 2;

/** Buffers that are written again by every run: fresh ones cost as much as much of what is computed in them. */
export class Scratch {
  private readonly buffers = new Map<string, Float32Array>();

  /** Holds what was written there last. */
  floats(name: string, length: number): Float32Array {
    let buffer = this.buffers.get(name);
    if (!buffer || buffer.length < length) {
      buffer = new Float32Array(length);
      this.buffers.set(name, buffer);
    }
    return buffer.subarray(0, length);
  }

  get bytes(): number {
    let sum = 0;
    for (const { byteLength } of this.buffers.values()) sum += byteLength;
    return sum;
  }
}

const idle = new WeakMap<Runtime, Scratch[]>();

/** Lends buffers that nobody else has until the work is done; nothing that it returns may lie in them. */
export async function withScratch<T>(runtime: Runtime, work: (scratch: Scratch) => Promise<T>): Promise<T> {
  const free = idle.get(runtime) ?? [];
  idle.set(runtime, free);
  const scratch = free.pop() ?? new Scratch();
  try {
    return await work(scratch);
  } finally {
    if (free.length < KEPT && scratch.bytes <= KEPT_BYTES) free.push(scratch);
  }
}
