/**
 * The best projections of queries and keys to few dimensions: with Q K^T = sum s u v^T (singular values s), queries
 * are mapped to sqrt(s) u and keys to sqrt(s) v, so that products of the projections are the closest of their rank.
 * From the two Gram matrices alone, by subspace iteration in float64, always from the same start.
 */
export function singularProjections(
  queries: Float32Array,
  keys: Float32Array,
  dim: number,
  rank: number,
): { wq: Float32Array; wk: Float32Array } {
  const g = gram(queries, dim);
  const h = gram(keys, dim);
  // Q K^T v = s u with u = Q a, v = K b gives a = H b / s and b = G a / s: a is an eigenvector of H G.
  let a = start(dim, rank);
  for (let step = 0; step < 100; step++) {
    a = apply(h, apply(g, a, dim, rank), dim, rank);
    orthonormalise(a, g, dim, rank);
  }
  // Within the subspace the singular vectors are orthogonal in the G inner product: a^T G H G a is diagonalised.
  const ga = apply(g, a, dim, rank);
  const hga = apply(h, ga, dim, rank);
  const small = new Float64Array(rank * rank);
  for (let i = 0; i < rank; i++) {
    for (let j = 0; j < rank; j++) {
      for (let c = 0; c < dim; c++) small[i * rank + j]! += ga[c * rank + i]! * hga[c * rank + j]!;
    }
  }
  const { values, vectors } = symmetricEigen(small, rank);
  const wq = new Float32Array(dim * rank);
  const wk = new Float32Array(dim * rank);
  for (let t = 0; t < rank; t++) {
    // Columns of Q a are orthonormal; squared singular values are the eigenvalues.
    const s = Math.sqrt(Math.max(0, values[t]!));
    for (let c = 0; c < dim; c++) {
      let x = 0;
      let y = 0;
      for (let i = 0; i < rank; i++) {
        x += a[c * rank + i]! * vectors[i * rank + t]!;
        y += ga[c * rank + i]! * vectors[i * rank + t]!;
      }
      wq[c * rank + t] = Math.sqrt(s) * x;
      wk[c * rank + t] = s > 0 ? (Math.sqrt(s) * y) / s : 0;
    }
  }
  return { wq, wk };
}

/** X^T X, [dim, dim] */
function gram(rows: Float32Array, dim: number): Float64Array {
  const matrix = new Float64Array(dim * dim);
  for (let at = 0; at < rows.length; at += dim) {
    for (let i = 0; i < dim; i++) {
      const x = rows[at + i]!;
      for (let j = 0; j <= i; j++) matrix[i * dim + j]! += x * rows[at + j]!;
    }
  }
  for (let i = 0; i < dim; i++) for (let j = 0; j < i; j++) matrix[j * dim + i] = matrix[i * dim + j]!;
  return matrix;
}

/** Any full-rank start does; this one is the same everywhere. */
function start(dim: number, rank: number): Float64Array {
  return Float64Array.from({ length: dim * rank }, (_, t) => {
    const [c, r] = [Math.floor(t / rank), t % rank];
    return Math.cos((c + 1) * (r + 1)) + (c % rank === r ? 1 : 0);
  });
}

/** [dim, dim] x [dim, rank] */
function apply(matrix: Float64Array, x: Float64Array, dim: number, rank: number): Float64Array {
  const result = new Float64Array(dim * rank);
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j < dim; j++) {
      const factor = matrix[i * dim + j]!;
      for (let r = 0; r < rank; r++) result[i * rank + r]! += factor * x[j * rank + r]!;
    }
  }
  return result;
}

/** Gram-Schmidt in the inner product of `g`: columns a with a^T G a = I, that is, orthonormal Q a. */
function orthonormalise(a: Float64Array, g: Float64Array, dim: number, rank: number): void {
  for (let r = 0; r < rank; r++) {
    for (let again = 0; again < 2; again++) {
      for (let before = 0; before < r; before++) {
        const along = inner(a, before, a, r, g, dim, rank);
        for (let c = 0; c < dim; c++) a[c * rank + r]! -= along * a[c * rank + before]!;
      }
    }
    const norm = Math.sqrt(inner(a, r, a, r, g, dim, rank));
    for (let c = 0; c < dim; c++) a[c * rank + r] = norm > 0 ? a[c * rank + r]! / norm : 0;
  }
}

function inner(
  x: Float64Array,
  i: number,
  y: Float64Array,
  j: number,
  g: Float64Array,
  dim: number,
  rank: number,
): number {
  let sum = 0;
  for (let c = 0; c < dim; c++) {
    let part = 0;
    for (let d = 0; d < dim; d++) part += g[c * dim + d]! * y[d * rank + j]!;
    sum += x[c * rank + i]! * part;
  }
  return sum;
}

/** Jacobi's method; largest eigenvalue first, vectors in columns with a positive largest component. */
export function symmetricEigen(
  matrix: Float64Array,
  n: number,
): { values: Float64Array; vectors: Float64Array } {
  const m = matrix.slice();
  const v = new Float64Array(n * n);
  for (let i = 0; i < n; i++) v[i * n + i] = 1;
  for (let sweep = 0; sweep < 60; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const off = m[p * n + q]!;
        if (off === 0) continue;
        const theta = (m[q * n + q]! - m[p * n + p]!) / (2 * off);
        const t = Math.sign(theta || 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        const s = t * c;
        for (let x = 0; x < n; x++) {
          const [a, b] = [m[x * n + p]!, m[x * n + q]!];
          m[x * n + p] = c * a - s * b;
          m[x * n + q] = s * a + c * b;
        }
        for (let x = 0; x < n; x++) {
          const [a, b] = [m[p * n + x]!, m[q * n + x]!];
          m[p * n + x] = c * a - s * b;
          m[q * n + x] = s * a + c * b;
          const [d, e] = [v[x * n + p]!, v[x * n + q]!];
          v[x * n + p] = c * d - s * e;
          v[x * n + q] = s * d + c * e;
        }
      }
    }
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => m[j * n + j]! - m[i * n + i]!);
  const vectors = new Float64Array(n * n);
  order.forEach((from, to) => {
    let largest = 0;
    for (let x = 0; x < n; x++)
      if (Math.abs(v[x * n + from]!) > Math.abs(largest)) largest = v[x * n + from]!;
    for (let x = 0; x < n; x++) vectors[x * n + to] = v[x * n + from]! * (largest < 0 ? -1 : 1);
  });
  return { values: Float64Array.from(order, i => m[i * n + i]!), vectors };
}
