/** Entry of the webview bundle: one element, the large panel or the narrow side panel by where it stands. */
import './main.css';
import './report/install';
import { SignalWatcher } from '@lit-labs/preact-signals';
import { LitElement, html } from 'lit';
import { customElement } from 'lit/decorators.js';
import { store } from './host/store';
import './views/panel';
import './views/side';

@customElement('attention-app')
export class App extends SignalWatcher(LitElement) {
  // No shadow root: what is inside has its own.
  protected override createRenderRoot(): this {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    document.body.dataset.place = this.dataset.place ?? 'panel';
  }

  override render() {
    return this.dataset.place === 'side' ? html`<ai-side></ai-side>` : html`<ai-panel></ai-panel>`;
  }
}

const report = (error: unknown) =>
  store.host.send({
    type: 'log',
    level: 'error',
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
  });
window.addEventListener('error', event => report(event.error ?? event.message));
window.addEventListener('unhandledrejection', event => report(event.reason));

store.host.send({ type: 'ready' });
