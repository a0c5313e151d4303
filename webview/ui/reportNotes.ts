import { store } from '../host/store';

/** What the reader of a report must know of its numbers. */
export function reportNotes(): string[] {
  const kept = store.report?.maps;
  if (!kept) return [];
  const side = 2 ** kept.level;
  const maps = side === 1 ? 'every pair' : `cells of ${side} × ${side} tokens`;
  return [
    `This report holds what was computed, rounded: maps of ${maps}, the ${kept.links} heaviest keys of each query.`,
  ];
}
