import { closeSync, openSync, readSync } from 'node:fs';

/** What is smaller, the watch over the memory lets in as it does weights that hold something. */
export const LARGE = 4 * 2 ** 30;
const SAMPLES = 64;
const SAMPLE_BYTES = 4096;

/**
 * Whether a large file holds nothing: a file with a hole takes no room on the disk or in an archive, and all of its size in
 * memory. Read at places that nobody can foresee.
 */
export function isHollow(path: string, size: number): boolean {
  if (size < LARGE) return false;
  const fd = openSync(path, 'r');
  try {
    const sample = new Uint8Array(SAMPLE_BYTES);
    // The first part of an .onnx file may be its graph.
    for (let i = 1; i < SAMPLES; i++) {
      const at = Math.floor(((i + Math.random()) / SAMPLES) * (size - SAMPLE_BYTES));
      readSync(fd, sample, 0, SAMPLE_BYTES, at);
      if (sample.some(byte => byte !== 0)) return false;
    }
    return true;
  } finally {
    closeSync(fd);
  }
}
