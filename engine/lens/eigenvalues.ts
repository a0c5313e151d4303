import { checkpoint } from '../runtime/cancellation';

/**
 * Eigenvalues of a symmetric matrix, largest first: Householder's reduction to three diagonals, then implicit QL steps
 * (Golub & Van Loan, Matrix Computations, sections 8.3.1 and 8.3.3). Values only, so no vectors are carried along.
 */
export async function symmetricEigenvalues(
  matrix: Float64Array,
  n: number,
  signal: AbortSignal,
): Promise<Float64Array> {
  const { diagonal, beside } = await tridiagonal(matrix.slice(), n, signal);
  implicitQl(diagonal, beside);
  return diagonal.sort().reverse();
}

/** `beside[i]` couples i and i + 1. */
async function tridiagonal(
  a: Float64Array,
  n: number,
  signal: AbortSignal,
): Promise<{ diagonal: Float64Array; beside: Float64Array }> {
  const diagonal = new Float64Array(n);
  const beside = new Float64Array(n);
  const v = new Float64Array(n);
  const p = new Float64Array(n);
  for (let k = 0; k < n - 2; k++) {
    if (k % 16 === 0) await checkpoint(signal);
    let norm = 0;
    for (let i = k + 1; i < n; i++) norm += a[i * n + k]! ** 2;
    norm = Math.sqrt(norm);
    const first = a[(k + 1) * n + k]!;
    const alpha = first > 0 ? -norm : norm;
    beside[k] = alpha;
    if (norm === 0) continue;
    // v is the unit vector that mirrors the column below the diagonal onto its first entry.
    const length = Math.sqrt(2 * norm * (norm + Math.abs(first)));
    if (length === 0) continue;
    v[k + 1] = (first - alpha) / length;
    for (let i = k + 2; i < n; i++) v[i] = a[i * n + k]! / length;
    // A <- H A H with H = I - 2 v v^T, on the part below and right of k.
    let pv = 0;
    for (let i = k + 1; i < n; i++) {
      let sum = 0;
      const row = i * n;
      for (let j = k + 1; j < n; j++) sum += a[row + j]! * v[j]!;
      p[i] = sum;
      pv += sum * v[i]!;
    }
    for (let i = k + 1; i < n; i++) p[i] = 2 * (p[i]! - pv * v[i]!);
    for (let i = k + 1; i < n; i++) {
      const row = i * n;
      const [vi, pi] = [v[i]!, p[i]!];
      for (let j = k + 1; j < n; j++) a[row + j]! -= vi * p[j]! + pi * v[j]!;
    }
  }
  for (let i = 0; i < n; i++) diagonal[i] = a[i * n + i]!;
  if (n >= 2) beside[n - 2] = a[(n - 1) * n + n - 2]!;
  return { diagonal, beside };
}

function implicitQl(d: Float64Array, e: Float64Array): void {
  const n = d.length;
  for (let l = 0; l < n; l++) {
    for (let sweep = 0; sweep < 60; sweep++) {
      let m = l;
      for (; m < n - 1; m++) {
        if (Math.abs(e[m]!) <= Number.EPSILON * (Math.abs(d[m]!) + Math.abs(d[m + 1]!))) break;
      }
      if (m === l) break;
      // Wilkinson's shift, then rotations from the bottom up chase the bulge.
      let g = (d[l + 1]! - d[l]!) / (2 * e[l]!);
      let r = Math.hypot(g, 1);
      g = d[m]! - d[l]! + e[l]! / (g + (g >= 0 ? r : -r));
      let s = 1;
      let c = 1;
      let p = 0;
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i]!;
        const b = c * e[i]!;
        r = Math.hypot(f, g);
        e[i + 1] = r;
        if (r === 0) {
          d[i + 1]! -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1]! - p;
        r = (d[i]! - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
      }
      if (r === 0 && i >= l) continue;
      d[l]! -= p;
      e[l] = g;
      e[m] = 0;
    }
  }
}
