import type { nothing, TemplateResult } from 'lit';
import type { CoreResult } from '../../shared/protocol/engine';
import { store } from '../host/store';
import { t } from '../host/words';
import { headName, layerName } from '../model/names';
import { headKey } from '../model/tried';
import { cellGrid, type CellGrid, type ValueCell } from './cellGrid';

export interface HeadCells extends Omit<CellGrid, 'columns' | 'rows'> {
  cores: readonly CoreResult[];
  /** Key of the head that is outlined. */
  shown: string;
  /** null: not known. */
  of(key: string): ValueCell | null;
}

/** A number for every head, layers downward. */
export function headCells({ cores, shown, of, ...grid }: HeadCells): TemplateResult | typeof nothing {
  const widest = Math.max(...cores.map(({ heads }) => heads.length));
  return cellGrid({
    ...grid,
    columns: Array.from({ length: widest }, (_, head) => t('head {0}', head)),
    rows: cores.map(({ info, heads }) => ({
      label: layerName(info.core),
      cells: heads.map(head => ({
        key: headKey(head),
        name: headName(head),
        cell: of(headKey(head)),
        outlined: headKey(head) === shown,
        pick: () => store.select({ core: head.core, head: head.head }),
      })),
    })),
  });
}
