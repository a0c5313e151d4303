import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { KEYS, globalKey } from '../host/keys';
import { store } from '../host/store';
import { said, t } from '../host/words';
import type { ViewName } from '../../shared/protocol/host';
import { Component } from '../ui/component';
import { button } from '../ui/controls';
import { notesOnText } from '../../shared/host/analysisState';
import '../ui/figureDialog';
import { headMenuOf } from '../ui/headMenu';
import { figureOf } from '../ui/save';
import { reportNotes } from '../ui/reportNotes';
import { statusLine } from '../ui/states';
import { subject, subjectStyles } from '../ui/subject';
import { stateStyles } from '../ui/stateStyles';
import { mark, markStyles } from '../ui/verifiedMark';
import './buckets';
import './cost';
import './compare';
import './corpus';
import './head';
import './lenses';
import './overview';
import './pair';
import './spans';
import './text';

interface Tab {
  view: ViewName;
  title: string;
  content(): TemplateResult;
  /** Computed when it is asked for, which a report cannot. */
  needsEngine?: true;
}

/** One line per view. */
const TABS: Tab[] = [
  { view: 'overview', title: t('Overview'), content: () => html`<ai-overview></ai-overview>` },
  { view: 'head', title: t('Head'), content: () => html`<ai-head></ai-head>` },
  { view: 'spans', title: t('Spans'), content: () => html`<ai-spans></ai-spans>` },
  { view: 'buckets', title: t('Buckets'), content: () => html`<ai-buckets></ai-buckets>` },
  { view: 'compare', title: t('Compare'), content: () => html`<ai-compare></ai-compare>` },
  { view: 'pair', title: t('A and B'), content: () => html`<ai-pair></ai-pair>` },
  { view: 'text', title: t('Text'), content: () => html`<ai-text></ai-text>` },
  { view: 'cost', title: t('Cost'), content: () => html`<ai-cost></ai-cost>` },
  { view: 'lenses', title: t('Lenses'), content: () => html`<ai-lenses></ai-lenses>`, needsEngine: true },
  { view: 'corpus', title: t('Corpus'), content: () => html`<ai-corpus></ai-corpus>`, needsEngine: true },
];

/** In a report those of what it holds: one text's analysis, or a corpus. */
function shownTabs(): Tab[] {
  if (!store.report) return TABS;
  return TABS.filter(({ view, needsEngine }) => (store.report!.maps ? !needsEngine : view === 'corpus'));
}

/** The wide panel: what was analysed, the tabs, and the view that is open. */
@customElement('ai-panel')
export class Panel extends Component {
  static override styles = [
    ...Component.styles,
    stateStyles,
    markStyles,
    subjectStyles,
    css`
      :host {
        height: 100%;
        display: flex;
        flex-direction: column;
      }
      header {
        display: flex;
        align-items: center;
        gap: 0 16px;
        padding: 0 12px;
        border-bottom: 1px solid var(--line);
        flex-wrap: wrap;
        position: relative;
      }
      [role='tablist'] {
        display: flex;
        /* Every view can be reached at any width. */
        flex-wrap: wrap;
      }
      [role='tab'] {
        font: inherit;
        color: var(--vscode-panelTitle-inactiveForeground, var(--muted));
        background: none;
        border: none;
        border-bottom: 2px solid transparent;
        padding: 7px 10px 6px;
        cursor: pointer;
      }
      [role='tab'][aria-selected='true'] {
        color: var(--vscode-panelTitle-activeForeground, var(--vscode-foreground));
        border-bottom-color: var(--vscode-panelTitle-activeBorder, var(--vscode-focusBorder));
      }
      [role='tab']:focus-visible {
        outline-offset: -2px;
      }
      header .end {
        margin-left: auto;
        display: flex;
        align-items: center;
        gap: 0 16px;
        min-width: 0;
      }
      header .subject {
        flex: 1 0 100%;
        border-top: 1px solid var(--line);
      }
      .notes {
        padding: 4px 12px 0;
        color: var(--muted);
      }
      .status-area {
        padding: 0 12px;
      }
      main {
        flex: 1;
        min-height: 0;
        overflow: auto;
        padding: 0 12px 12px;
      }
      header .verified {
        flex: 0 1 auto;
        min-width: 0;
      }
      header .verified summary {
        white-space: nowrap;
        overflow: hidden;
        text-overflow: ellipsis;
      }
      .keys,
      header .why {
        position: absolute;
        right: 16px;
        top: 44px;
        z-index: 10;
        padding: 12px 16px;
        background: var(--vscode-editorWidget-background);
        color: var(--vscode-editorWidget-foreground, inherit);
        border: 1px solid var(--vscode-editorWidget-border, var(--line));
        box-shadow: 0 2px 8px var(--vscode-widget-shadow, #0006);
      }
      header .why {
        top: 100%;
      }
    `,
  ];
  @state() private showKeys = false;
  private readonly onKey = (event: KeyboardEvent) => this.key(event);
  private readonly onMenu = (event: MouseEvent) => headMenuOf(event);

  override connectedCallback(): void {
    super.connectedCallback();
    window.addEventListener('keydown', this.onKey);
    window.addEventListener('contextmenu', this.onMenu);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    window.removeEventListener('keydown', this.onKey);
    window.removeEventListener('contextmenu', this.onMenu);
  }

  override render() {
    const tabs = shownTabs();
    const tab = tabs.find(one => one.view === store.view) ?? tabs[0]!;
    return html`
      <header>
        <div role="tablist" aria-label=${t('Views')} @keydown=${this.tabKey}>
          ${tabs.map(
            one =>
              html`<button
                type="button"
                role="tab"
                id=${`tab-${one.view}`}
                aria-selected=${one === tab}
                aria-controls="view"
                tabindex=${one === tab ? 0 : -1}
                @click=${() => store.show(one.view)}
              >
                ${one.title}
              </button>`,
          )}
        </div>
        <div class="end">
          ${mark()}
          <button
            class="plain"
            aria-label=${t('Keyboard shortcuts')}
            title=${t('Keyboard shortcuts (?)')}
            aria-expanded=${this.showKeys}
            @click=${() => (this.showKeys = !this.showKeys)}
          >
            ?
          </button>
        </div>
        ${subject()}
      </header>
      <div class="status-area">${statusLine()}${this.notice()}</div>
      ${this.notes()}
      <main id="view" role="tabpanel" aria-labelledby=${`tab-${tab.view}`}>${tab.content()}</main>
      ${this.showKeys ? this.keys() : nothing} <ai-head-menu></ai-head-menu>
      ${figureOf.value ? html`<ai-figure .view=${figureOf.value}></ai-figure>` : nothing}
    `;
  }

  private notice(): TemplateResult {
    const { notice } = store;
    return html`<div role="status">
      ${
        notice
          ? html`${notice} <button class="link" @click=${() => store.say(null)}>${t('Dismiss')}</button>`
          : nothing
      }
    </div>`;
  }

  private notes(): TemplateResult | typeof nothing {
    const notes = [...(store.summary ? notesOnText(store.summary).map(said) : []), ...reportNotes()];
    return notes.length ? html`<div class="notes" role="note">${notes.join(' ')}</div>` : nothing;
  }

  private keys(): TemplateResult {
    return html`<div class="keys" role="dialog" aria-label=${t('Keyboard shortcuts')}>
      <table>
        ${KEYS.map(
          ([key, what]) =>
            html`<tr>
              <td><code>${key}</code></td>
              <td>${what}</td>
            </tr>`,
        )}
      </table>
      ${button(t('Close'), () => (this.showKeys = false), { secondary: true })}
    </div>`;
  }

  private readonly tabKey = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const tabs = shownTabs();
    const at = tabs.findIndex(one => one.view === store.view);
    store.show(tabs[(at + step + tabs.length) % tabs.length]!.view);
    void this.updateComplete.then(() =>
      this.renderRoot.querySelector<HTMLElement>('[role="tab"][aria-selected="true"]')?.focus(),
    );
  };

  private key(event: KeyboardEvent): void {
    const target = event.composedPath()[0];
    const typing =
      target instanceof HTMLInputElement && target.type !== 'range' && target.type !== 'checkbox';
    if (event.key === '?' && !typing) this.showKeys = !this.showKeys;
    else if (event.key === 'Escape' && this.showKeys) this.showKeys = false;
    else if (typing || event.defaultPrevented || !globalKey(event)) return;
    event.preventDefault();
  }
}
