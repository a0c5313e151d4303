import { SignalWatcher } from '@lit-labs/preact-signals';
import { LitElement, css, html, nothing, type PropertyValues } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { TokenTable } from '../../shared/protocol/engine';
import { bucketBackground, bucketTint } from '../model/buckets';
import { bucketColour, contrast, lutColour, toCss } from '../draw/colour';
import { percent, tokenLabel } from '../../shared/numbers';
import { theme } from '../draw/theme';
import { VisibleBlocks } from '../ui/visibleBlocks';
import { store } from '../host/store';
import { t } from '../host/words';

/** Tokens per block: a block is painted when it comes near the screen. */
const BLOCK = 200;

/**
 * The text, coloured by bucket: the words of one bucket stand out of the others, or all are tinted; or by how far the
 * rounds agree. Fires `bucket` (detail: number) on a click.
 */
@customElement('ai-bucket-text')
export class BucketText extends SignalWatcher(LitElement) {
  static override styles = css`
    :host {
      display: block;
      overflow-y: auto;
      line-height: 1.75;
      font-family: var(--vscode-editor-font-family, monospace);
      font-size: 12px;
      border: 1px solid var(--vscode-contrastBorder, var(--vscode-panel-border, #8884));
      padding: 4px 6px;
    }
    .block {
      overflow-wrap: anywhere;
    }
    .chip {
      white-space: pre-wrap;
      border-radius: 2px;
      padding: 1px 0;
      cursor: pointer;
    }
    .chip.dim {
      color: var(--vscode-descriptionForeground);
    }
    .chip.own {
      font-weight: 600;
    }
    .chip.none {
      outline: 1px dashed var(--vscode-descriptionForeground);
      outline-offset: -1px;
    }
    .chip.shown {
      outline: 2px solid var(--vscode-focusBorder);
    }
    :host(:focus-visible) {
      outline: 1px solid var(--vscode-focusBorder);
    }
  `;
  @property({ attribute: false }) tokens: TokenTable | null = null;
  /** Bucket of each token, -1 = none. */
  @property({ attribute: false }) buckets: Int32Array = new Int32Array(0);
  /** The number that each bucket is shown under. */
  @property({ attribute: false }) names: Int32Array = new Int32Array(0);
  /** Instead of buckets: agreement of the rounds, 0..1. */
  @property({ attribute: false }) agreement: Float32Array | null = null;
  /** The bucket that is looked at; the others are dimmed. */
  @property({ attribute: false }) focusBucket: number | null = null;
  @property({ attribute: false }) token: number | null = null;
  /** False for a decoder's own text, whose tokens are not in the document and cannot be pinned. */
  @property({ type: Boolean }) pinnable = true;
  private readonly visible = new VisibleBlocks(this);
  /** The token that is to be scrolled into sight, until it is there. */
  private sought: number | null = null;

  override connectedCallback(): void {
    super.connectedCallback();
    this.tabIndex = 0;
    this.setAttribute('role', 'group');
    this.setAttribute('aria-label', t('The text, coloured by bucket'));
  }

  override render() {
    const { tokens } = this;
    if (!tokens) return nothing;
    const blocks = Math.ceil(tokens.ids.length / BLOCK);
    return html`<div
      @mouseover=${this.onOver}
      @mouseleave=${() => store.preview(null)}
      @click=${this.onClick}
    >
      ${Array.from(
        { length: blocks },
        (_, b) =>
          html`<span class="block" data-block=${b}
            >${this.visible.has(b) ? this.chips(tokens, b) : tokens.text.slice(b * BLOCK, (b + 1) * BLOCK).join('')}</span
          >`,
      )}
    </div>`;
  }

  private chips(tokens: TokenTable, block: number) {
    const look = theme();
    const last = Math.min(tokens.ids.length, (block + 1) * BLOCK);
    const chips = [];
    for (let i = block * BLOCK; i < last; i++) {
      const bucket = this.buckets[i] ?? -1;
      const agreed = this.agreement?.[i];
      let style: string;
      if (agreed !== undefined) {
        const fill = lutColour(look.sequential, agreed);
        const ink = contrast(fill, [0, 0, 0]) > contrast(fill, [255, 255, 255]) ? '#000' : '#fff';
        style = `background: ${toCss(fill)}; color: ${ink}`;
      } else {
        style = this.styleOf(bucket, look);
      }
      const dim = this.focusBucket !== null && bucket !== this.focusBucket;
      const own = this.focusBucket !== null && !dim;
      const classes = `chip${dim ? ' dim' : ''}${own ? ' own' : ''}${bucket < 0 ? ' none' : ''}${i === this.token ? ' shown' : ''}`;
      chips.push(
        html`<span
            class=${classes}
            data-token=${i}
            .style=${style}
            title=${this.words(tokens, i, bucket, agreed)}
            >${visibleText(tokens.text[i] ?? '')}</span
          >${/\n/.test(tokens.text[i] ?? '') ? html`<br />` : nothing}`,
      );
    }
    return chips;
  }

  private styleOf(bucket: number, look: ReturnType<typeof theme>): string {
    if (bucket < 0) return '';
    const name = this.names[bucket] ?? bucket;
    if (this.focusBucket === null) return `background: ${bucketTint(name, look)}`;
    if (bucket !== this.focusBucket) return '';
    return `background: ${bucketBackground(name, look)}; color: ${toCss(bucketColour(name, look).text)}`;
  }

  private words(tokens: TokenTable, i: number, bucket: number, agreed: number | undefined): string {
    const name = `“${tokenLabel(tokens.text[i] ?? '')}” (${i})`;
    if (agreed !== undefined) return t('{0}: the rounds share {1} of its company', name, percent(agreed));
    return bucket < 0
      ? t('{0}: in no bucket', name)
      : t('{0}: bucket {1}', name, this.names[bucket] ?? bucket);
  }

  override updated(changed: PropertyValues): void {
    if (changed.has('tokens')) this.visible.watch();
    if (changed.has('token') && this.token !== null && this.token === store.selection.token)
      this.sought = this.token;
    if (this.sought !== null) this.bring(this.sought);
  }

  /** Scrolls a token into sight: first its block, which is then painted, then the token itself. */
  private bring(token: number): void {
    const chip = this.renderRoot.querySelector<HTMLElement>(`[data-token="${token}"]`);
    const block = this.renderRoot.querySelector<HTMLElement>(`[data-block="${Math.floor(token / BLOCK)}"]`);
    const target = (chip ?? block)?.getClientRects()[0];
    const mine = this.getBoundingClientRect();
    if (target && (target.top < mine.top || target.bottom > mine.bottom))
      this.scrollTop += target.top - mine.top - 60;
    if (chip) this.sought = null;
  }

  private tokenOf(event: Event): number | null {
    const chip = (event.target as HTMLElement).closest<HTMLElement>('[data-token]');
    return chip ? Number(chip.dataset.token) : null;
  }

  private readonly onOver = (event: Event) => {
    if (this.pinnable) store.preview(this.tokenOf(event));
  };

  private readonly onClick = (event: Event) => {
    const token = this.tokenOf(event);
    if (token === null) return;
    if (this.pinnable) store.select({ token });
    this.dispatchEvent(new CustomEvent('bucket', { detail: this.buckets[token] ?? -1 }));
  };
}

function visibleText(text: string): string {
  return text.replace(/\n/g, '⏎').replace(/\t/g, '⇥') || '·';
}
