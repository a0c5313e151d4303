import { SignalWatcher } from '@lit-labs/preact-signals';
import { LitElement } from 'lit';
import { shared } from './styles';

/** A component that follows what it reads of the store and the theme (`SignalWatcher`), and its own size. */
export abstract class Component extends SignalWatcher(LitElement) {
  static override styles = [shared];
  /** Inner size in CSS pixels; 0 before the first layout. */
  protected width = 0;
  protected height = 0;
  private readonly resize = new ResizeObserver(entries => {
    const { width, height } = entries[entries.length - 1]!.contentRect;
    if (Math.round(width) === this.width && Math.round(height) === this.height) return;
    this.width = Math.round(width);
    this.height = Math.round(height);
    // In a frame of its own: a size that follows from the size must not loop.
    requestAnimationFrame(() => this.requestUpdate());
  });

  /** Drawn for a figure, in which it has the width that it is given and any height. */
  protected get onPaper(): boolean {
    return this.parentElement?.hasAttribute('data-figure') ?? false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.resize.observe(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.resize.disconnect();
  }
}
