/** Vectors by the directions in which they differ most (PCA). */
import { PCA } from 'ml-pca';
import type { Projection } from '../../shared/protocol/corpus';

/** Components kept: two are drawn, and so many are enough for the neighbours of a point. */
const COMPONENTS = 8;
/** Of the largest coordinate: below it, numbers are written as 0. */
const DIGITS = 1e-4;

/**
 * @param vectors at least two, all of one length
 * @returns null where they do not differ
 */
export function principalComponents(vectors: readonly Float32Array[]): Omit<Projection, 'of'> | null {
  const length = vectors[0]?.length ?? 0;
  const numbers = vectors.every(vector => vector.length === length && vector.every(Number.isFinite));
  if (vectors.length < 2 || length === 0 || !numbers) return null;
  const pca = new PCA(
    vectors.map(vector => Array.from(vector)),
    { method: 'covarianceMatrix', center: true, scale: false },
  );
  const variances = pca.getExplainedVariance();
  const components = Math.min(COMPONENTS, length, vectors.length - 1);
  if (!(pca.getEigenvalues()[0]! > 1e-12)) return null;
  const projected = pca.predict(
    vectors.map(vector => Array.from(vector)),
    { nComponents: components },
  );
  const largest = Math.max(...projected.to1DArray().map(Math.abs));
  const unit = largest * DIGITS;
  // A component has no direction of its own: its largest coordinate is positive.
  const signs = Array.from({ length: components }, (_, c) => {
    const column = projected.getColumn(c);
    return (
      Math.sign(column.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0)) || 1
    );
  });
  return {
    shares: variances.slice(0, components),
    coordinates: projected
      .to1DArray()
      .map((value, at) => (Math.round(value / unit) * unit || 0) * signs[at % components]!)
      .map(value => Number(value.toPrecision(5))),
  };
}
