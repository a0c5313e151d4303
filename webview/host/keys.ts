import { store } from './store';
import { t } from './words';

/** The keys that work in every view, as the help lists them. */
export const KEYS: [string, string][] = [
  ['← →', t('previous, next head')],
  ['↑ ↓', t('higher, lower layer')],
  ['Tab', t('next region')],
  ['Enter', t('pin what the keyboard is on; in the overview, open the head')],
  ['Escape', t('unpin the token; then forget the head')],
  ['+ − 0', t('map: zoom in, out, fit')],
  [t('Shift + arrows'), t('map: move')],
  ['[ ]', t('map: previous, next query')],
  ['?', t('show or hide these keys')],
];

/** Moves the selection by heads and layers, within what is finished. */
function moveHead(layers: number, heads: number): void {
  const shown = store.shownHead;
  const cores = store.cores;
  if (!shown || !cores.length) return;
  const at = cores.findIndex(c => c.info.core === shown.core);
  const core = cores[Math.max(0, Math.min(cores.length - 1, at + layers))]!;
  const head = Math.max(0, Math.min(core.heads.length - 1, shown.head + heads));
  store.select({ core: core.info.core, head: core.heads[head]!.head });
}

/** Handles a key that nothing more special has taken; true when it did something. */
export function globalKey(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return false;
  if (takesArrows(event)) return false;
  switch (event.key) {
    case 'ArrowLeft':
      moveHead(0, -1);
      return true;
    case 'ArrowRight':
      moveHead(0, 1);
      return true;
    case 'ArrowUp':
      moveHead(1, 0);
      return true;
    case 'ArrowDown':
      moveHead(-1, 0);
      return true;
    case 'Escape':
      if (store.selection.token !== null) store.select({ token: null });
      else store.select({ core: null, head: null });
      return true;
    default:
      return false;
  }
}

/** Controls that need the arrow keys for themselves. */
function takesArrows(event: KeyboardEvent): boolean {
  return event.composedPath().some(target => {
    if (!(target instanceof HTMLElement)) return false;
    const tag = target.tagName;
    const role = target.getAttribute('role');
    return (
      tag === 'INPUT' ||
      tag === 'VSCODE-DROPDOWN' ||
      tag === 'VSCODE-TEXT-FIELD' ||
      role === 'tablist' ||
      role === 'radiogroup' ||
      role === 'tree' ||
      target.hasAttribute('data-keeps-arrows')
    );
  });
}
