/**
 * Loops over single pairs that no graph of ONNX Runtime fits, four numbers at a time. This is AssemblyScript: TypeScript's syntax with the
 * types and instructions of WebAssembly. All numbers lie in one memory, places in it are in bytes. `npm run kernels` compiles it.
 * What is exported is described where it is called from, in PairProgram (../pairProgram.ts).
 */

const VECTOR: i32 = 16;
const FLOAT: i32 = 4;
const DOUBLE: i32 = 8;

export function attend(
  rows: i32,
  starts: i32,
  keys: i32,
  bias: i32,
  q: i32,
  k: i32,
  v: i32,
  out: i32,
  tops: i32,
  sums: i32,
  scratch: i32,
  keyBytes: i32,
  valueBytes: i32,
  scale: f32,
): void {
  for (let row = 0; row < rows; row++) {
    const first = load<i32>(starts + FLOAT * row);
    const count = load<i32>(starts + FLOAT * row, 4) - first;
    const list = keys + FLOAT * first;
    scoresOf(q, k, keyBytes, list, count, bias === 0 ? 0 : bias + FLOAT * first, scale, scratch);
    const top = largest(scratch, count);
    const sum = exponentials(scratch, count, top);
    store<f32>(tops + FLOAT * row, top);
    store<f32>(sums + FLOAT * row, sum);
    mean(v, valueBytes, list, count, scratch, count === 0 ? 0 : 1 / sum, out);
    q += keyBytes;
    out += valueBytes;
  }
}

/** Writes scale * (q . key) + bias of each key of a list, and behind them what no maximum and no sum sees. */
function scoresOf(
  q: i32,
  k: i32,
  keyBytes: i32,
  list: i32,
  count: i32,
  bias: i32,
  scale: f32,
  scores: i32,
): void {
  const factor = f32x4.splat(scale);
  for (let at = 0; at < FLOAT * count; at += VECTOR) {
    const k0 = k + keyBytes * load<i32>(list + at);
    const k1 = k + keyBytes * load<i32>(list + at, 4);
    const k2 = k + keyBytes * load<i32>(list + at, 8);
    const k3 = k + keyBytes * load<i32>(list + at, 12);
    let s0 = f32x4.splat(0);
    let s1 = f32x4.splat(0);
    let s2 = f32x4.splat(0);
    let s3 = f32x4.splat(0);
    for (let c = 0; c < keyBytes; c += VECTOR) {
      const x = v128.load(q + c);
      s0 = f32x4.add(s0, f32x4.mul(x, v128.load(k0 + c)));
      s1 = f32x4.add(s1, f32x4.mul(x, v128.load(k1 + c)));
      s2 = f32x4.add(s2, f32x4.mul(x, v128.load(k2 + c)));
      s3 = f32x4.add(s3, f32x4.mul(x, v128.load(k3 + c)));
    }
    let score = f32x4.mul(sumsOfLanes(s0, s1, s2, s3), factor);
    if (bias !== 0) score = f32x4.add(score, v128.load(bias + at));
    v128.store(scores + at, score);
  }
  // Behind the list stands what belongs to the next one.
  const end = scores + FLOAT * count;
  store<f32>(end, -Infinity);
  store<f32>(end, -Infinity, 4);
  store<f32>(end, -Infinity, 8);
}

function largest(scores: i32, count: i32): f32 {
  let top = f32x4.splat(-Infinity);
  for (let at = 0; at < FLOAT * count; at += VECTOR) top = f32x4.max(top, v128.load(scores + at));
  return max(
    max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)),
    max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3)),
  );
}

/** exp(score - top) in place of each score; returns their sum. */
function exponentials(scores: i32, count: i32, top: f32): f32 {
  const shift = f32x4.splat(top);
  let sum = f32x4.splat(0);
  for (let at = 0; at < FLOAT * count; at += VECTOR) {
    const weight = exponential(f32x4.sub(v128.load(scores + at), shift));
    v128.store(scores + at, weight);
    sum = f32x4.add(sum, weight);
  }
  return (
    f32x4.extract_lane(sum, 0) +
    f32x4.extract_lane(sum, 1) +
    (f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3))
  );
}

/** Below it exp is 0 in float32, but for numbers that are not normal. */
const LEAST: f32 = -87.3;

/** exp of values that are not above 0; by powers of the rest up to the seventh (Cephes, expf). */
function exponential(value: v128): v128 {
  let x = f32x4.max(value, f32x4.splat(LEAST));
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(1.4426950408889634)));
  // ln 2 in two parts, so that nothing of the rest is lost.
  x = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)));
  x = f32x4.add(x, f32x4.mul(n, f32x4.splat(2.1219444e-4)));
  let y = f32x4.splat(1.98756915e-4);
  y = f32x4.add(f32x4.mul(y, x), f32x4.splat(1.3981999507e-3));
  y = f32x4.add(f32x4.mul(y, x), f32x4.splat(8.3334519073e-3));
  y = f32x4.add(f32x4.mul(y, x), f32x4.splat(4.1665795894e-2));
  y = f32x4.add(f32x4.mul(y, x), f32x4.splat(1.6666665459e-1));
  y = f32x4.add(f32x4.mul(y, x), f32x4.splat(5.0000001201e-1));
  y = f32x4.add(f32x4.add(f32x4.mul(y, f32x4.mul(x, x)), x), f32x4.splat(1));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return v128.and(f32x4.mul(y, power), f32x4.gt(value, f32x4.splat(LEAST)));
}

/** The sums of four vectors' lanes, as one vector. */
function sumsOfLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 1, 4, 5), v128.shuffle<f32>(a, b, 2, 3, 6, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 1, 4, 5), v128.shuffle<f32>(c, d, 2, 3, 6, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 2, 4, 6), v128.shuffle<f32>(ab, cd, 1, 3, 5, 7));
}

/** factor * sum of weight * value over a list, into `out`: of eight vectors at once as long as there are, since each key's row is then read once. */
function mean(
  v: i32,
  valueBytes: i32,
  list: i32,
  count: i32,
  weights: i32,
  factor: f32,
  out: i32,
): void {
  const f = f32x4.splat(factor);
  let c = 0;
  for (; c <= valueBytes - 8 * VECTOR; c += 8 * VECTOR) {
    let s0 = f32x4.splat(0);
    let s1 = f32x4.splat(0);
    let s2 = f32x4.splat(0);
    let s3 = f32x4.splat(0);
    let s4 = f32x4.splat(0);
    let s5 = f32x4.splat(0);
    let s6 = f32x4.splat(0);
    let s7 = f32x4.splat(0);
    for (let at = 0; at < FLOAT * count; at += FLOAT) {
      const row = v + c + valueBytes * load<i32>(list + at);
      const weight = v128.load32_splat(weights + at);
      s0 = f32x4.add(s0, f32x4.mul(weight, v128.load(row)));
      s1 = f32x4.add(s1, f32x4.mul(weight, v128.load(row, 16)));
      s2 = f32x4.add(s2, f32x4.mul(weight, v128.load(row, 32)));
      s3 = f32x4.add(s3, f32x4.mul(weight, v128.load(row, 48)));
      s4 = f32x4.add(s4, f32x4.mul(weight, v128.load(row, 64)));
      s5 = f32x4.add(s5, f32x4.mul(weight, v128.load(row, 80)));
      s6 = f32x4.add(s6, f32x4.mul(weight, v128.load(row, 96)));
      s7 = f32x4.add(s7, f32x4.mul(weight, v128.load(row, 112)));
    }
    v128.store(out + c, f32x4.mul(s0, f));
    v128.store(out + c, f32x4.mul(s1, f), 16);
    v128.store(out + c, f32x4.mul(s2, f), 32);
    v128.store(out + c, f32x4.mul(s3, f), 48);
    v128.store(out + c, f32x4.mul(s4, f), 64);
    v128.store(out + c, f32x4.mul(s5, f), 80);
    v128.store(out + c, f32x4.mul(s6, f), 96);
    v128.store(out + c, f32x4.mul(s7, f), 112);
  }
  for (; c < valueBytes; c += VECTOR) {
    let sum = f32x4.splat(0);
    for (let at = 0; at < FLOAT * count; at += FLOAT) {
      const row = v + c + valueBytes * load<i32>(list + at);
      sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(weights + at), v128.load(row)));
    }
    v128.store(out + c, f32x4.mul(sum, f));
  }
}

export function dots(rows: i32, count: i32, stride: i32, dim: i32, q: i32, a: i32, out: i32): void {
  products(rows, count, stride, dim, q, a, a, out, false);
}

export function bounds(
  rows: i32,
  count: i32,
  stride: i32,
  dim: i32,
  q: i32,
  a: i32,
  b: i32,
  out: i32,
): void {
  products(rows, count, stride, dim, q, a, b, out, true);
}

/** Sums in the order of the dimensions, each for itself: the same as one after the other. */
// @ts-ignore: a decorator of AssemblyScript
@inline
function products(
  rows: i32,
  count: i32,
  stride: i32,
  dim: i32,
  q: i32,
  a: i32,
  b: i32,
  out: i32,
  isBound: bool,
): void {
  const width = DOUBLE * stride;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < DOUBLE * count; column += 4 * VECTOR) {
      let s0 = f64x2.splat(0);
      let s1 = f64x2.splat(0);
      let s2 = f64x2.splat(0);
      let s3 = f64x2.splat(0);
      let place = a + column;
      let other = b + column;
      for (let c = 0; c < DOUBLE * dim; c += DOUBLE) {
        const x = v128.load64_splat(q + c);
        s0 = f64x2.add(s0, term(x, place, other, isBound));
        s1 = f64x2.add(s1, term(x, place + 16, other + 16, isBound));
        s2 = f64x2.add(s2, term(x, place + 32, other + 32, isBound));
        s3 = f64x2.add(s3, term(x, place + 48, other + 48, isBound));
        place += width;
        other += width;
      }
      v128.store(out + column, s0);
      v128.store(out + column, s1, 16);
      v128.store(out + column, s2, 32);
      v128.store(out + column, s3, 48);
    }
    q += DOUBLE * dim;
    out += width;
  }
}

// @ts-ignore: a decorator of AssemblyScript
@inline
function term(x: v128, place: i32, other: i32, isBound: bool): v128 {
  const product = f64x2.mul(x, v128.load(place));
  return isBound ? f64x2.max(product, f64x2.mul(x, v128.load(other))) : product;
}
