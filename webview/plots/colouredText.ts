import { SignalWatcher } from '@lit-labs/preact-signals';
import { LitElement, css, html, nothing, type PropertyValues } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { inkOn, toCss, type Rgb } from '../draw/colour';
import { textBlocks, type Piece, type TextBlock } from '../model/textPieces';
import { theme } from '../draw/theme';
import { VisibleBlocks } from '../ui/visibleBlocks';

/** Pieces per block, about: a block is painted when it comes near the screen. */
const BLOCK = 200;

/**
 * A text as it stands, its line ends and blanks included, each token on a colour. Fires `pin` and `point` (detail: the
 * token, or null when the pointer has left). Arrow keys go from token to token, "," and "." between the marked ones.
 */
@customElement('ai-coloured-text')
export class ColouredText extends SignalWatcher(LitElement) {
  static override styles = css`
    :host {
      display: block;
      overflow-y: auto;
      font-family: var(--vscode-editor-font-family, monospace);
      font-size: var(--vscode-editor-font-size, 13px);
      line-height: 1.65;
      border: 1px solid var(--vscode-contrastBorder, var(--vscode-panel-border, #8884));
      padding: 8px 12px;
      background: var(--vscode-editor-background);
      color: var(--vscode-editor-foreground, var(--vscode-foreground));
    }
    .block {
      white-space: pre-wrap;
      overflow-wrap: anywhere;
      tab-size: 4;
    }
    .lines {
      display: block;
    }
    .token {
      border-radius: 2px;
      padding: 1px 0;
      cursor: pointer;
    }
    .token.mark {
      border-bottom: 2px solid currentColor;
      font-weight: 600;
    }
    .token.sign {
      opacity: 0.55;
      font-size: 0.85em;
    }
    .token.gone {
      text-decoration: line-through;
      outline: 1px dashed var(--vscode-descriptionForeground);
      outline-offset: -1px;
    }
    .token.shown {
      outline: 2px solid var(--vscode-focusBorder);
      outline-offset: 0;
    }
    .token:hover {
      outline: 1px solid var(--vscode-focusBorder);
    }
    sup {
      font-size: 9px;
      line-height: 1;
      font-weight: 400;
      font-family: var(--vscode-font-family);
      padding-left: 1px;
      user-select: none;
    }
    :host(:focus-visible) {
      outline: 1px solid var(--vscode-focusBorder);
    }
  `;
  @property({ attribute: false }) pieces: readonly Piece[] = [];
  /** Colour of a token, or null for none. */
  @property({ attribute: false }) colour: (token: number) => Rgb | null = () => null;
  /** What is said of a token. */
  @property({ attribute: false }) words: (token: number) => string = () => '';
  /** Marked tokens and their rank, from 1. */
  @property({ attribute: false }) ranks: ReadonlyMap<number, number> = new Map();
  /** Line ends that need no sign. */
  @property({ attribute: false }) faint: (token: number) => boolean = () => true;
  /** Tokens that are taken away. */
  @property({ attribute: false }) gone: (token: number) => boolean = () => false;
  @property({ attribute: false }) token: number | null = null;
  @property() label = '';
  private readonly visible = new VisibleBlocks(this);
  private sought: number | null = null;
  /** Piece of each token. */
  private places = new Map<number, number>();
  private blocks: readonly TextBlock[] = [];

  override connectedCallback(): void {
    super.connectedCallback();
    this.tabIndex = 0;
    this.setAttribute('role', 'group');
    this.setAttribute('data-keeps-arrows', '');
    this.addEventListener('keydown', this.onKey);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.removeEventListener('keydown', this.onKey);
  }

  override willUpdate(changed: PropertyValues): void {
    if (changed.has('label')) this.setAttribute('aria-label', this.label);
    if (!changed.has('pieces')) return;
    this.blocks = textBlocks(this.pieces, BLOCK);
    this.places = new Map();
    this.pieces.forEach(({ token, last }, at) => {
      for (let t = token; t <= last; t++) this.places.set(t, at);
    });
  }

  override render() {
    const { pieces, blocks } = this;
    return html`<div
      class="text"
      @mouseover=${this.onOver}
      @mouseleave=${() => this.tell('point', null)}
      @click=${this.onClick}
    >
      ${blocks.map(({ from, to, lines, plain }, b) => {
        const content = this.visible.has(b)
          ? pieces.slice(from, to).map((piece, i) => this.piece(piece, from + i))
          : plain;
        return html`<span class=${lines ? 'block lines' : 'block'} data-block=${b}>${content}</span>`;
      })}
    </div>`;
  }

  private piece({ token, last, before, text, after }: Piece, at: number) {
    const look = theme();
    // Of several tokens on one character the most coloured one is shown.
    let shown = token;
    let rank: number | undefined;
    let gone = false;
    for (let t = token; t <= last; t++) {
      rank ??= this.ranks.get(t);
      if (this.ranks.has(t)) shown = t;
      gone ||= this.gone(t);
    }
    const pinned = this.token !== null && this.token >= token && this.token <= last;
    if (text === '⏎' && !rank && !pinned && this.faint(shown)) return html`${before}${after}`;
    const fill = this.colour(shown);
    const style = fill ? `background: ${toCss(fill)}; color: ${inkOn(fill, look.foreground)}` : '';
    const classes = `token${rank ? ' mark' : ''}${gone ? ' gone' : ''}${pinned ? ' shown' : ''}${text === '⏎' ? ' sign' : ''}`;
    return html`${before}<span
        class=${classes}
        data-token=${shown}
        data-piece=${at}
        .style=${style}
        title=${this.words(shown)}
        >${text}</span
      >${rank ? html`<sup aria-hidden="true">${rank}</sup>` : nothing}${after}`;
  }

  override updated(changed: PropertyValues): void {
    if (changed.has('pieces')) this.visible.watch();
    if (changed.has('token') && this.token !== null) this.sought = this.token;
    if (this.sought !== null) this.bring(this.sought);
  }

  /** Scrolls a token into sight. */
  reveal(token: number): void {
    this.sought = token;
    this.bring(token);
  }

  /** First its block, which is then painted, then the token itself. */
  private bring(token: number): void {
    const at = this.places.get(token);
    if (at === undefined) return;
    const chip = this.renderRoot.querySelector<HTMLElement>(`[data-piece="${at}"]`);
    const place = this.blocks.findIndex(({ to }) => at < to);
    const block = this.renderRoot.querySelector<HTMLElement>(`[data-block="${place}"]`);
    const target = (chip ?? block)?.getClientRects()[0];
    const mine = this.getBoundingClientRect();
    if (target && (target.top < mine.top || target.bottom > mine.bottom))
      this.scrollTop += target.top - mine.top - mine.height / 3;
    if (chip) this.sought = null;
  }

  private tell(name: 'pin' | 'point', token: number | null): void {
    this.dispatchEvent(new CustomEvent(name, { detail: token }));
  }

  private tokenOf(event: Event): number | null {
    const chip = (event.target as HTMLElement).closest<HTMLElement>('[data-token]');
    return chip ? Number(chip.dataset.token) : null;
  }

  private readonly onOver = (event: Event) => this.tell('point', this.tokenOf(event));

  private readonly onClick = (event: Event) => {
    const token = this.tokenOf(event);
    if (token !== null) this.tell('pin', token);
  };

  private readonly onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || this.pieces.length === 0) return;
    const here = this.token === null ? -1 : (this.places.get(this.token) ?? -1);
    const marked = [...this.ranks.keys()].sort((a, b) => a - b);
    const current = this.token ?? -1;
    const next: number | undefined =
      event.key === 'ArrowRight'
        ? this.pieces[Math.min(this.pieces.length - 1, here + 1)]!.token
        : event.key === 'ArrowLeft'
          ? this.pieces[Math.max(0, here - 1)]!.token
          : event.key === '.'
            ? (marked.find(token => token > current) ?? marked[0])
            : event.key === ','
              ? (marked.findLast(token => token < current) ?? marked.at(-1))
              : undefined;
    if (next === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.tell('pin', next);
  };
}
