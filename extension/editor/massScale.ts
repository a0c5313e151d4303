import type { MassScale } from '../../shared/protocol/host';

/** Steps of opacity that the editor's decorations have. */
export const STEPS = 10;

/** Mass relative to the heaviest, 0..1, on the chosen scale. Logarithmic: four decades. */
export function scaled(mass: number, heaviest: number, scale: MassScale): number {
  if (!(mass > 0) || !(heaviest > 0)) return 0;
  const share = Math.min(1, mass / heaviest);
  switch (scale) {
    case 'linear':
      return share;
    case 'sqrt':
      return Math.sqrt(share);
    case 'log':
      return Math.max(0, 1 + Math.log10(share) / 4);
  }
}

/** The decoration step of a mass, 1..STEPS, or 0 for too little to be seen. */
export function step(mass: number, heaviest: number, scale: MassScale): number {
  return Math.round(scaled(mass, heaviest, scale) * STEPS);
}

/** Shares of a token's whole attention from which on a link is underlined, each more heavily. */
export const WEIGHTS = [0.1, 0.3, 0.6] as const;

/** How heavily a link is underlined, 1..WEIGHTS.length, or 0 for not at all: by its mass alone, whatever the heaviest is. */
export function weight(mass: number): number {
  return WEIGHTS.filter(from => mass >= from).length;
}
