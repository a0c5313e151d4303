/** Gaussian bumps over 0..1 and the ridge fit of a signal in them (infinity-former, section 3.1), in float64. */
export interface Basis {
  /** Mean of each bump. */
  centre: Float64Array;
  /** Standard deviation of each bump. */
  width: Float64Array;
}

const WIDTHS = [0.01, 0.05];

/** `count` bumps (even): centres evenly from 0 to 1, each in two widths. */
export function gaussianBasis(count: number): Basis {
  const half = count / 2;
  return {
    centre: Float64Array.from({ length: count }, (_, j) => (half === 1 ? 0 : (j % half) / (half - 1))),
    width: Float64Array.from({ length: count }, (_, j) => WIDTHS[Math.floor(j / half)]!),
  };
}

export interface RidgeFit {
  /** G^T X: coefficients [bumps, width] of a signal X [length - first, width]; before `first` it is 0. */
  coefficients(signal: Float32Array, width: number, first?: number): Float64Array;
  /** G r: what each sample from `first` on contributes to a weighted sum of coefficients. */
  weights(reads: Float64Array, first?: number): Float64Array;
}

/** Every bump's value at a position. */
export function bumpsAt({ centre, width }: Basis, position: number): Float64Array {
  return Float64Array.from(centre, (c, j) => {
    const z = (position - c) / width[j]!;
    return Math.exp(-0.5 * z * z) / (width[j]! * Math.sqrt(2 * Math.PI));
  });
}

/**
 * G = F^T (F F^T + ridge I)^-1 for samples at `places`; a number: so many, at (t + 1/2) / length. As in the authors' code the
 * samples go on for half a length on either side, evenly, where the signal is 0.
 */
export function ridgeFit(basis: Basis, places: number | Float64Array, ridge: number): RidgeFit {
  const bumps = basis.centre.length;
  const length = typeof places === 'number' ? places : places.length;
  const pad = Math.floor(length / 2);
  const inside = new Float64Array(length * bumps);
  const gram = new Float64Array(bumps * bumps);
  for (let t = -pad; t < length + pad; t++) {
    const own = typeof places !== 'number' && t >= 0 && t < length;
    const values = bumpsAt(basis, own ? places[t]! : (t + 0.5) / length);
    for (let i = 0; i < bumps; i++) {
      if (values[i]! < 1e-30) continue;
      for (let j = 0; j <= i; j++) gram[i * bumps + j]! += values[i]! * values[j]!;
    }
    if (t >= 0 && t < length) inside.set(values, t * bumps);
  }
  for (let i = 0; i < bumps; i++) gram[i * bumps + i]! += ridge;
  const lower = cholesky(gram, bumps);
  return {
    coefficients(signal, columns, first = 0) {
      const projected = new Float64Array(bumps * columns);
      for (let t = 0; t < length - first; t++) {
        for (let j = 0; j < bumps; j++) {
          const factor = inside[(first + t) * bumps + j]!;
          if (factor < 1e-30) continue;
          for (let c = 0; c < columns; c++) {
            projected[j * columns + c]! += factor * signal[t * columns + c]!;
          }
        }
      }
      solve(lower, projected, bumps, columns);
      return projected;
    },
    weights(reads, first = 0) {
      const solved = reads.slice();
      solve(lower, solved, bumps, 1);
      const weights = new Float64Array(length - first);
      for (let t = 0; t < weights.length; t++) {
        let sum = 0;
        for (let j = 0; j < bumps; j++) sum += inside[(first + t) * bumps + j]! * solved[j]!;
        weights[t] = sum;
      }
      return weights;
    },
  };
}

/** Lower factor of a symmetric positive definite matrix, of which the lower half is read. */
function cholesky(matrix: Float64Array, n: number): Float64Array {
  const lower = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * n + j]!;
      for (let x = 0; x < j; x++) sum -= lower[i * n + x]! * lower[j * n + x]!;
      lower[i * n + j] = i === j ? Math.sqrt(sum) : sum / lower[j * n + j]!;
    }
  }
  return lower;
}

/** Replaces B [n, columns] by (L L^T)^-1 B. */
function solve(lower: Float64Array, b: Float64Array, n: number, columns: number): void {
  for (let c = 0; c < columns; c++) {
    for (let i = 0; i < n; i++) {
      let sum = b[i * columns + c]!;
      for (let x = 0; x < i; x++) sum -= lower[i * n + x]! * b[x * columns + c]!;
      b[i * columns + c] = sum / lower[i * n + i]!;
    }
    for (let i = n - 1; i >= 0; i--) {
      let sum = b[i * columns + c]!;
      for (let x = i + 1; x < n; x++) sum -= lower[x * n + i]! * b[x * columns + c]!;
      b[i * columns + c] = sum / lower[i * n + i]!;
    }
  }
}
