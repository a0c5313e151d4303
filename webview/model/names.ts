import type { CoreInfo, HeadProfile } from '../../shared/protocol/engine';
import { store, type HeadId } from '../host/store';
import { percent } from '../../shared/numbers';
import { roleTitle } from '../../shared/roleTitles';

/** Before the layer's number. */
const PREFIX: Record<CoreInfo['kind'], string> = {
  self: '',
  encoder: 'encoder ',
  decoder: 'decoder ',
  cross: 'cross ',
};

/** The stacks that a model may have, as pictures of all heads draw them, from top to bottom. */
export const STACKS: { kind: CoreInfo['kind']; title: string }[] = [
  { kind: 'decoder', title: 'Decoder' },
  { kind: 'cross', title: 'Cross attention' },
  { kind: 'encoder', title: 'Encoder' },
  { kind: 'self', title: '' },
];

export function coreInfo(core: number): CoreInfo | null {
  return store.model?.cores.find(c => c.core === core) ?? null;
}

/** "layer 3", with the stack where the model has more than one. Counted from 0, as the papers' code does. */
export function layerName(core: number): string {
  const info = coreInfo(core);
  return `${info ? PREFIX[info.kind] : ''}layer ${info?.layer ?? core}`;
}

/** "layer 3, head 5" */
export function headName({ core, head }: HeadId): string {
  return `${layerName(core)}, head ${head}`;
}

/** "L3 H5" */
export function shortName({ core, head }: HeadId): string {
  const info = coreInfo(core);
  const stack = info && info.kind !== 'self' ? `${info.kind[0]!.toUpperCase()}·` : '';
  return `${stack}L${info?.layer ?? core} H${head}`;
}

/** "previous token, 72.1 %; local, 80 %" */
export function rolesInWords(head: HeadProfile): string {
  if (!head.roles.length) return 'no clear role';
  return head.roles
    .slice(0, 2)
    .map(r => `${roleTitle(r)} ${percent(r.score)}`)
    .join('; ');
}
