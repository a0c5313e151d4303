import type { Tile } from '../../shared/protocol/engine';
import { t } from '../host/words';

/** That not all rows of a long text's cells were computed; null where they were. */
export function sampledRows(tile: Tile | null | undefined, level: number): string | null {
  return tile?.rowsRead === undefined
    ? null
    : t('sampled rows: {0} of the {1} in each cell', tile.rowsRead, 2 ** level);
}
