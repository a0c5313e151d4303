/** Token positions to mark on an axis: every one when they are words, else round numbers with room between. */
export function marks(
  from: number,
  pixels: number,
  scale: number,
  total: number,
  words: boolean,
  room: number,
): number[] {
  let step = 1;
  if (!words) {
    const least = room / scale;
    const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
    step = [1, 2, 5, 10].map(s => s * power).find(s => s >= least)!;
    step = Math.max(1, step);
  }
  const first = Math.ceil(Math.max(0, from - 0.5) / step) * step;
  const last = Math.min(total - 1, Math.floor(from + pixels / scale));
  const result: number[] = [];
  for (let token = first; token <= last; token += step) result.push(token);
  return result;
}

/** Largest value of each pixel (or of each token where tokens are wider), so that single peaks stay visible. */
export function peaks(values: Float32Array, from: number, scale: number, pixels: number): Float32Array {
  const result = new Float32Array(Math.max(0, Math.ceil(pixels)));
  for (let px = 0; px < result.length; px++) {
    const first = Math.max(0, Math.floor(from + px / scale));
    const last = Math.min(values.length - 1, Math.max(first, Math.ceil(from + (px + 1) / scale) - 1));
    let most = 0;
    for (let i = first; i <= last; i++) most = Math.max(most, values[i]!);
    result[px] = most;
  }
  return result;
}
