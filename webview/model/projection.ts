/** A head's projection: the sampled tokens of a corpus as points of a plane. */
import { UMAP } from 'umap-js';
import { seededUniform } from '../../shared/random';
import type { Projection } from '../../shared/protocol/corpus';

/** `pca`: the first two principal components; `umap`: near points stay near (McInnes, Healy and Melville 2018), of all kept components. */
export const LAYOUTS = ['pca', 'umap'] as const;
export type Layout = (typeof LAYOUTS)[number];

/** Neighbours that UMAP keeps together, as its authors' default. */
const NEIGHBOURS = 15;

/** [sample] points. Seeded: the same picture every time. */
export function layOut({ coordinates, shares }: Projection, layout: Layout): { x: number; y: number }[] {
  const width = shares.length;
  const rows = Array.from({ length: coordinates.length / width }, (_, at) =>
    coordinates.slice(at * width, (at + 1) * width),
  );
  // Neighbours must be fewer than points; a few points have no neighbourhoods to show.
  if (layout === 'pca' || rows.length < 4) return rows.map(([x = 0, y = 0]) => ({ x, y }));
  const umap = new UMAP({
    nComponents: 2,
    nNeighbors: Math.min(NEIGHBOURS, rows.length - 1),
    random: seededUniform(1),
  });
  return umap.fit(rows).map(([x = 0, y = 0]) => ({ x, y }));
}
