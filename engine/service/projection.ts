/**
 * Joint 2-D projection of queries and keys: principal components of both clouds together, so that distances between
 * a query and a key on the picture mean something. Rows are unit-length, since hashing and routing compare directions.
 */
export function jointProjection(
  queries: Float32Array,
  keys: Float32Array,
  centers: Float32Array,
  dim: number,
): { queries: Float32Array; keys: Float32Array; centers: Float32Array; explained: number } {
  const mean = new Float64Array(dim);
  const rows = (queries.length + keys.length) / dim;
  for (const cloud of [queries, keys]) {
    for (let t = 0; t < cloud.length; t++) mean[t % dim]! += cloud[t]! / rows;
  }
  const covariance = covarianceOf([queries, keys], mean, dim, rows);
  let trace = 0;
  for (let c = 0; c < dim; c++) trace += covariance[c * dim + c]!;
  const first = principal(covariance, dim);
  deflate(covariance, first, dim);
  const second = principal(covariance, dim);
  const project = (cloud: Float32Array) => {
    const points = new Float32Array((cloud.length / dim) * 2);
    for (let i = 0; i < points.length / 2; i++) {
      for (let c = 0; c < dim; c++) {
        const centred = cloud[i * dim + c]! - mean[c]!;
        points[2 * i]! += centred * first.vector[c]!;
        points[2 * i + 1]! += centred * second.vector[c]!;
      }
    }
    return points;
  };
  return {
    queries: project(queries),
    keys: project(keys),
    centers: project(centers),
    explained: trace > 0 ? (first.value + second.value) / trace : 0,
  };
}

function covarianceOf(clouds: Float32Array[], mean: Float64Array, dim: number, rows: number): Float64Array {
  const covariance = new Float64Array(dim * dim);
  const centred = new Float64Array(dim);
  for (const cloud of clouds) {
    for (let at = 0; at < cloud.length; at += dim) {
      for (let c = 0; c < dim; c++) centred[c] = cloud[at + c]! - mean[c]!;
      for (let a = 0; a < dim; a++) {
        const scaled = centred[a]! / rows;
        for (let b = 0; b < dim; b++) covariance[a * dim + b]! += scaled * centred[b]!;
      }
    }
  }
  return covariance;
}

/** Largest eigenvalue and its vector by power iteration from a fixed start. */
function principal(matrix: Float64Array, dim: number): { value: number; vector: Float64Array } {
  let vector = Float64Array.from({ length: dim }, (_, c) => 1 + c / dim);
  let value = 0;
  for (let step = 0; step < 500; step++) {
    const next = new Float64Array(dim);
    for (let a = 0; a < dim; a++) for (let b = 0; b < dim; b++) next[a]! += matrix[a * dim + b]! * vector[b]!;
    const norm = Math.hypot(...next);
    if (norm < 1e-12) return { value: 0, vector: new Float64Array(dim) };
    for (let c = 0; c < dim; c++) next[c]! /= norm;
    const settled = Math.abs(norm - value) < 1e-10 * norm;
    vector = next;
    value = norm;
    if (settled) break;
  }
  return { value, vector };
}

function deflate(
  matrix: Float64Array,
  { value, vector }: { value: number; vector: Float64Array },
  dim: number,
): void {
  for (let a = 0; a < dim; a++) {
    for (let b = 0; b < dim; b++) matrix[a * dim + b]! -= value * vector[a]! * vector[b]!;
  }
}
