import type { CoreInfo } from './protocol/models';
import type { Translate } from './translate';

/** A layer by its number in its stack: "layer 3", "cross layer 0". */
export function layerWords(
  core: number,
  info: Pick<CoreInfo, 'kind' | 'layer'> | null | undefined,
  t: Translate,
): string {
  const layer = info?.layer ?? core;
  switch (info?.kind) {
    case 'encoder':
      return t('encoder layer {0}', layer);
    case 'decoder':
      return t('decoder layer {0}', layer);
    case 'cross':
      return t('cross layer {0}', layer);
    default:
      return t('layer {0}', layer);
  }
}
