/**
 * alpha-entmax of one row (Peters et al., Sparse Sequence-to-Sequence Models, 2019): the p on the simplex with
 * p = [(alpha-1) z - tau]+ ^ (1/(alpha-1)). alpha = 1 is softmax, 2 sparsemax. 1.5 is solved exactly by sorting,
 * other values by bisection. Scores of -Infinity get 0; a row without any score is all 0.
 */
export function entmax(scores: Float32Array | Float64Array, alpha: number): Float64Array {
  const weights = new Float64Array(scores.length);
  let top = -Infinity;
  for (let t = 0; t < scores.length; t++) if (scores[t]! > top) top = scores[t]!;
  if (top === -Infinity) return weights;
  if (alpha === 1) {
    let sum = 0;
    for (let t = 0; t < weights.length; t++) sum += weights[t] = Math.exp(scores[t]! - top);
    for (let t = 0; t < weights.length; t++) weights[t]! /= sum;
    return weights;
  }
  // Only scores within 1 / (alpha - 1) of the largest can be in the support.
  const limit = -1 / (alpha - 1);
  let count = 0;
  for (let t = 0; t < scores.length; t++) if (scores[t]! - top > limit) count++;
  const z = new Float64Array(count);
  const indices = new Int32Array(count);
  count = 0;
  for (let t = 0; t < scores.length; t++) {
    if (!(scores[t]! - top > limit)) continue;
    z[count] = (alpha - 1) * (scores[t]! - top);
    indices[count++] = t;
  }
  const tau = alpha === 1.5 ? exactThreshold(z) : bisect(z, alpha);
  const power = 1 / (alpha - 1);
  let sum = 0;
  for (let t = 0; t < count; t++) {
    const above = Math.max(0, z[t]! - tau);
    sum += weights[indices[t]!] = power === 2 ? above * above : above ** power;
  }
  for (let t = 0; t < count; t++) weights[indices[t]!]! /= sum;
  return weights;
}

/** Section 3.2: over the k largest, tau_k = mean - sqrt((1 - k variance) / k); the right k is the last with tau_k <= z_k. */
function exactThreshold(z: Float64Array): number {
  const sorted = z.slice().sort().reverse();
  let sum = 0;
  let squares = 0;
  let tau = sorted[0]! - 1;
  for (let k = 1; k <= sorted.length; k++) {
    sum += sorted[k - 1]!;
    squares += sorted[k - 1]! ** 2;
    const mean = sum / k;
    const spread = squares - k * mean * mean;
    const candidate = mean - Math.sqrt(Math.max(0, (1 - spread) / k));
    if (candidate > sorted[k - 1]!) break;
    tau = candidate;
  }
  return tau;
}

function bisect(z: Float64Array, alpha: number): number {
  const power = 1 / (alpha - 1);
  let low = -1;
  let high = -((1 / z.length) ** (alpha - 1));
  for (let step = 0; step < 60; step++) {
    const tau = (low + high) / 2;
    let sum = 0;
    for (const value of z) if (value > tau) sum += (value - tau) ** power;
    if (sum >= 1) low = tau;
    else high = tau;
  }
  return low;
}
