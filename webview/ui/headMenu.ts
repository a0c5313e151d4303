import { signal } from '@lit-labs/preact-signals';
import { css, html, nothing } from 'lit';
import { customElement, query } from 'lit/decorators.js';
import type { ViewName } from '../../shared/protocol/host';
import { store, type HeadId } from '../host/store';
import { t } from '../host/words';
import { headName } from '../model/names';
import { Component } from './component';

const open = signal<{ head: HeadId; x: number; y: number; from: HTMLElement | null } | null>(null);

/**
 * Opens the menu of the head that a right click (or the menu key) is on. Whatever stands for a head has `data-head`, what does so a second time in its view `data-dot`
 * ("core.head"); where heads are drawn on a canvas, it is the one under the pointer.
 */
export function headMenuOf(event: MouseEvent): void {
  const path = event.composedPath().filter(target => target instanceof Element);
  const named = path
    .map(one => one.getAttribute('data-head') ?? one.getAttribute('data-dot'))
    .find(name => name);
  const inView = path.some(one => one.id === 'figure');
  const found = named ? named.split('.').map(Number) : null;
  const head = found ? { core: found[0]!, head: found[1]! } : inView ? (store.previewHead ?? null) : null;
  if (!head) return;
  event.preventDefault();
  const from = path.find(one => one instanceof HTMLElement) ?? null;
  const box = from?.getBoundingClientRect();
  // The menu key has no place of its own.
  const [x, y] =
    event.clientX || event.clientY ? [event.clientX, event.clientY] : [box?.x ?? 0, box?.bottom ?? 0];
  open.value = { head, x, y, from };
}

interface Item {
  label: string;
  run(): void;
}

/** What can be done with a head, wherever it is shown. */
function itemsFor(head: HeadId): Item[] {
  const select = () => store.select({ core: head.core, head: head.head });
  const show = (view: ViewName) => {
    select();
    if (store.place === 'panel') store.show(view);
    else store.host.send({ type: 'openView', view });
  };
  const out = store.interventions.list.some(
    one => one.kind === 'head' && one.core === head.core && one.head === head.head,
  );
  const knockOut = {
    label: out ? t('Give it back') : t('Knock it out'),
    run: () => store.host.send({ type: 'intervene', toggle: { kind: 'head', ...head } }),
  };
  const compare = () => {
    store.setOption('compare', 'of', 'head');
    show('compare');
  };
  return [
    { label: t('Select it'), run: select },
    { label: t('Open its attention'), run: () => show('head') },
    { label: t('Compare mechanisms on it'), run: compare },
    ...(store.report ? [] : [knockOut]),
    { label: t('Copy its name'), run: () => store.host.send({ type: 'copy', text: headName(head) }) },
  ];
}

/** The menu: one on each page. */
@customElement('ai-head-menu')
export class HeadMenu extends Component {
  static override styles = [
    ...Component.styles,
    css`
      .menu {
        position: fixed;
        margin: 0;
        inset: auto;
        padding: 4px 0;
        min-width: 12em;
        color: var(--vscode-menu-foreground, var(--vscode-foreground));
        background: var(--vscode-menu-background, var(--vscode-editorWidget-background));
        border: 1px solid var(--vscode-menu-border, var(--vscode-contrastBorder, var(--line)));
        box-shadow: 0 2px 8px var(--vscode-widget-shadow, #0006);
      }
      .name {
        padding: 2px 14px 4px;
        color: var(--muted);
      }
      button {
        display: block;
        width: 100%;
        font: inherit;
        color: inherit;
        text-align: left;
        background: none;
        border: none;
        padding: 3px 14px;
        cursor: pointer;
      }
      button:hover,
      button:focus {
        color: var(--vscode-menu-selectionForeground, var(--vscode-list-activeSelectionForeground, inherit));
        background: var(
          --vscode-menu-selectionBackground,
          var(--vscode-list-activeSelectionBackground, #8883)
        );
        outline: 1px solid var(--vscode-contrastActiveBorder, transparent);
        outline-offset: -1px;
      }
    `,
  ];
  @query('.menu') private readonly menu!: HTMLElement | null;

  override render() {
    const shown = open.value;
    if (!shown) return nothing;
    const { head } = shown;
    return html`<div
      class="menu"
      popover
      role="menu"
      aria-label=${headName(head)}
      @toggle=${(event: ToggleEvent) => event.newState === 'closed' && (open.value = null)}
      @keydown=${(event: KeyboardEvent) => this.key(event)}
      @contextmenu=${(event: Event) => event.preventDefault()}
    >
      <div class="name" role="presentation">${headName(head)}</div>
      ${itemsFor(head).map(
        ({ label, run }) =>
          html`<button
            type="button"
            role="menuitem"
            tabindex="-1"
            @click=${() => {
              this.close();
              run();
            }}
          >
            ${label}
          </button>`,
      )}
    </div>`;
  }

  override updated(): void {
    const { menu } = this;
    const shown = open.peek();
    if (!menu || !shown) return;
    if (!menu.matches(':popover-open')) menu.showPopover();
    const { width, height } = menu.getBoundingClientRect();
    menu.style.left = `${Math.max(0, Math.min(shown.x, innerWidth - width))}px`;
    menu.style.top = `${Math.max(0, Math.min(shown.y, innerHeight - height))}px`;
    if (!menu.contains(this.shadowRoot!.activeElement)) this.items[0]?.focus();
  }

  private get items(): HTMLElement[] {
    return [...(this.menu?.querySelectorAll<HTMLElement>('[role="menuitem"]') ?? [])];
  }

  private key(event: KeyboardEvent): void {
    const { items } = this;
    const at = items.indexOf(this.shadowRoot!.activeElement as HTMLElement);
    const to: Record<string, number> = {
      ArrowDown: (at + 1) % items.length,
      ArrowUp: (at - 1 + items.length) % items.length,
      Home: 0,
      End: items.length - 1,
    };
    event.stopPropagation();
    if (event.key === 'Escape' || event.key === 'Tab') this.close();
    else if (to[event.key] !== undefined) items[to[event.key]!]?.focus();
    else return;
    event.preventDefault();
  }

  private close(): void {
    const from = open.peek()?.from;
    open.value = null;
    from?.focus();
  }
}
