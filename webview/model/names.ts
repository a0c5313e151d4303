import type { CoreInfo, HeadProfile } from '../../shared/protocol/engine';
import { store, type HeadId } from '../host/store';
import { t } from '../host/words';
import { percent } from '../../shared/numbers';
import { layerWords } from '../../shared/layerWords';
import { roleTitle } from '../../shared/roleTitles';

/** The stacks that a model may have, as pictures of all heads draw them, from top to bottom. */
export const STACKS: { kind: CoreInfo['kind']; title: string }[] = [
  { kind: 'decoder', title: t('Decoder') },
  { kind: 'cross', title: t('Cross attention') },
  { kind: 'encoder', title: t('Encoder') },
  { kind: 'self', title: '' },
];

export function coreInfo(core: number): CoreInfo | null {
  return store.model?.cores.find(c => c.core === core) ?? null;
}

/** "layer 3", with the stack where the model has more than one. Counted from 0, as the papers' code does. */
export function layerName(core: number): string {
  return layerWords(core, coreInfo(core), t);
}

/** "layer 3, head 5" */
export function headName({ core, head }: HeadId): string {
  return t('{0}, head {1}', layerName(core), head);
}

/** "L3 H5" */
export function shortName({ core, head }: HeadId): string {
  const info = coreInfo(core);
  const stack = info && info.kind !== 'self' ? `${info.kind[0]!.toUpperCase()}·` : '';
  return `${stack}L${info?.layer ?? core} H${head}`;
}

/** "previous token, 72.1 %; local, 80 %" */
export function rolesInWords(head: HeadProfile): string {
  if (!head.roles.length) return t('no clear role');
  return head.roles
    .slice(0, 2)
    .map(r => `${roleTitle(r, t)} ${percent(r.score)}`)
    .join('; ');
}

/** Where the heads have the roles that are shown. */
export const rolesWhere = (): string => (store.probe ? t('on the probe') : t('on this text'));
