/** The planes `which` of [planes, size], one after another. */
export function planes(data: Float32Array, which: readonly number[], size: number): Float32Array {
  const [first = 0] = which;
  if (which.every((plane, at) => plane === first + at)) {
    return data.subarray(first * size, (first + which.length) * size);
  }
  const result = new Float32Array(which.length * size);
  which.forEach((plane, at) => result.set(data.subarray(plane * size, (plane + 1) * size), at * size));
  return result;
}
