import { store } from '../host/store';
import { t } from '../host/words';

/** What the reader of a report must know of its numbers. */
export function reportNotes(): string[] {
  const kept = store.report?.maps;
  if (!kept) return [];
  const side = 2 ** kept.level;
  const maps = side === 1 ? t('every pair') : t('cells of {0} × {1} tokens', side, side);
  return [
    t(
      'This report holds what was computed, rounded: maps of {0}, the {1} heaviest keys of each query.',
      maps,
      kept.links,
    ),
  ];
}
