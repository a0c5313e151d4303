/** Moore-Penrose inverses of small square matrices, row-major, in float64. */

/**
 * By the singular value decomposition (one-sided Jacobi), which finds small singular values with all their digits.
 * Those below n times the rounding of float64, relative to the largest, count as 0.
 */
export function exactPseudoInverse(matrix: Float64Array, n: number): Float64Array {
  // Columns of U S are orthogonalised by rotations, which are gathered in V: A V = U S.
  const us = transpose(matrix, n);
  const vt = identity(n);
  for (let sweep = 0; sweep < 60; sweep++) {
    let largest = 0;
    for (let a = 0; a < n; a++) {
      for (let b = a + 1; b < n; b++) largest = Math.max(largest, rotate(us, vt, a, b, n));
    }
    if (largest < 1e-14) break;
  }
  const squares = Float64Array.from({ length: n }, (_, a) => dot(us, a, us, a, n));
  const limit = squares.reduce((x, y) => Math.max(x, y), 0) * (n * Number.EPSILON) ** 2;
  const inverse = new Float64Array(n * n);
  for (let a = 0; a < n; a++) {
    if (squares[a]! <= limit) continue;
    for (let i = 0; i < n; i++) {
      const factor = vt[a * n + i]! / squares[a]!;
      for (let j = 0; j < n; j++) inverse[i * n + j]! += factor * us[a * n + j]!;
    }
  }
  return inverse;
}

/** Makes rows a and b of `us` orthogonal; returns the cosine they had. */
function rotate(us: Float64Array, vt: Float64Array, a: number, b: number, n: number): number {
  const alpha = dot(us, a, us, a, n);
  const beta = dot(us, b, us, b, n);
  const gamma = dot(us, a, us, b, n);
  if (alpha === 0 || beta === 0 || gamma === 0) return 0;
  const zeta = (beta - alpha) / (2 * gamma);
  const t = Math.sign(zeta || 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
  const c = 1 / Math.sqrt(1 + t * t);
  const s = c * t;
  for (const rows of [us, vt]) {
    for (let x = 0; x < n; x++) {
      const first = rows[a * n + x]!;
      const second = rows[b * n + x]!;
      rows[a * n + x] = c * first - s * second;
      rows[b * n + x] = s * first + c * second;
    }
  }
  return Math.abs(gamma) / Math.sqrt(alpha * beta);
}

/**
 * The iteration of Nystromformer (Xiong et al. 2021, section 4): Z <- Z (13 I - A Z (15 I - A Z (7 I - A Z))) / 4,
 * six times, from A^T divided by the largest column sum. For row-stochastic A.
 */
export function iterativePseudoInverse(a: Float64Array, n: number, iterations = 6): Float64Array {
  let widest = 0;
  for (let j = 0; j < n; j++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += Math.abs(a[i * n + j]!);
    widest = Math.max(widest, sum);
  }
  let z = transpose(a, n).map(x => x / widest);
  for (let t = 0; t < iterations; t++) {
    const az = multiply(a, z, n, n, n);
    const inner = multiply(az, diagonalMinus(7, az, n), n, n, n);
    const middle = multiply(az, diagonalMinus(15, inner, n), n, n, n);
    z = multiply(z, diagonalMinus(13, middle, n), n, n, n).map(x => x / 4);
  }
  return z;
}

/** [rows, inner] x [inner, columns] */
export function multiply(
  a: Float64Array,
  b: Float64Array,
  rows: number,
  inner: number,
  columns: number,
): Float64Array {
  const product = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let x = 0; x < inner; x++) {
      const factor = a[i * inner + x]!;
      for (let j = 0; j < columns; j++) product[i * columns + j]! += factor * b[x * columns + j]!;
    }
  }
  return product;
}

function diagonalMinus(value: number, matrix: Float64Array, n: number): Float64Array {
  const result = matrix.map(x => -x);
  for (let i = 0; i < n; i++) result[i * n + i]! += value;
  return result;
}

function identity(n: number): Float64Array {
  const matrix = new Float64Array(n * n);
  for (let i = 0; i < n; i++) matrix[i * n + i] = 1;
  return matrix;
}

function transpose(matrix: Float64Array, n: number): Float64Array {
  return matrix.map((_, t) => matrix[(t % n) * n + Math.floor(t / n)]!);
}

function dot(x: Float64Array, a: number, y: Float64Array, b: number, n: number): number {
  let sum = 0;
  for (let c = 0; c < n; c++) sum += x[a * n + c]! * y[b * n + c]!;
  return sum;
}
