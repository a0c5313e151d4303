import type { LitElement, ReactiveController } from 'lit';

/** Which blocks of a long, scrolling element are in or near sight: only those are drawn in full. */
export class VisibleBlocks implements ReactiveController {
  private visible = new Set<number>();
  private observer: IntersectionObserver | null = null;

  constructor(private readonly element: LitElement) {
    element.addController(this);
  }

  has(block: number): boolean {
    return this.visible.has(block);
  }

  /** Watches the `.block` elements (their number in `data-block`) that the element has now drawn. */
  watch(): void {
    if (!this.observer) return;
    this.observer.disconnect();
    for (const block of this.element.renderRoot.querySelectorAll('.block')) this.observer.observe(block);
  }

  hostConnected(): void {
    this.observer = new IntersectionObserver(
      entries => {
        const next = new Set(this.visible);
        for (const entry of entries) {
          const block = Number((entry.target as HTMLElement).dataset.block);
          if (entry.isIntersecting) next.add(block);
          else next.delete(block);
        }
        this.visible = next;
        this.element.requestUpdate();
      },
      { root: this.element, rootMargin: '300px' },
    );
  }

  hostDisconnected(): void {
    this.observer?.disconnect();
    this.observer = null;
  }
}
