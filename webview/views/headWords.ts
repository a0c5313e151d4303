import { css, html, nothing, svg, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { TokenTable } from '../../shared/protocol/engine';
import { count, percent, tokenLabel } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { Remote } from '../host/remote';
import { store, type Side } from '../host/store';
import { around, wordLinks, wordOfToken, wordsOf, type Word, type WordLink } from '../../shared/words';
import { Component } from '../ui/component';
import { requestState } from '../ui/states';
import { rich, t } from '../host/words';

/** Words in each column, and tokens asked for to find them. */
const ROWS = 12;
const TOP = 80;
/** Tokens of a word that are asked for. */
const MOST_TOKENS = 16;
const ROW = 40;
const ARCS = 90;
/** Less than this is no line. */
const LEAST = 0.002;
/** Words further away stand for themselves, with their distance before them. */
const FAR = 40;

/** The words of one text of the analysis. */
interface Written {
  text: string;
  tokens: TokenTable;
  words: Word[];
  of: Int32Array;
}

/** One head, words first: the pinned word in the middle, what it looks at on the left, what looks at it on the right. */
@customElement('ai-head-words')
export class HeadWords extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        display: block;
      }
      .columns {
        display: grid;
        grid-template-columns: minmax(0, 1fr) ${ARCS}px minmax(110px, 240px) ${ARCS}px minmax(0, 1fr);
        margin-top: 8px;
      }
      h3 {
        font-size: inherit;
        font-weight: 600;
        margin: 0;
        min-height: 24px;
      }
      .left {
        text-align: right;
      }
      ol {
        list-style: none;
        margin: 0;
        padding: 0;
      }
      li {
        height: ${ROW}px;
        display: flex;
        flex-direction: column;
        justify-content: center;
      }
      button.word {
        font: inherit;
        color: inherit;
        background: none;
        border: none;
        padding: 0;
        text-align: inherit;
        cursor: pointer;
        max-width: 100%;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      button.word:hover strong {
        text-decoration: underline;
      }
      .left button.word {
        direction: ltr;
      }
      .context,
      .number {
        color: var(--muted);
      }
      .number {
        text-align: inherit;
        font-size: 0.92em;
        font-variant-numeric: tabular-nums;
      }
      svg.arcs {
        margin-top: 24px;
        overflow: visible;
      }
      svg.arcs path {
        fill: none;
        stroke: var(--accent);
      }
      .middle {
        align-self: center;
        text-align: center;
        padding: 8px;
        border: 1px solid var(--vscode-focusBorder);
      }
      .middle strong {
        font-size: 1.4em;
        overflow-wrap: anywhere;
      }
      .empty {
        margin: 24px 0;
      }
      .narrow .columns {
        grid-template-columns: minmax(0, 1fr);
      }
      .narrow svg.arcs {
        display: none;
      }
      /* Where there is no room for arcs, a bar under each word is as long as its mass. */
      .mass {
        display: none;
        height: 3px;
        background: var(--accent);
      }
      .narrow .mass {
        display: block;
      }
      .narrow .middle {
        order: -1;
        justify-self: start;
        padding: 4px 12px;
      }
      .narrow .left {
        text-align: left;
      }
      .narrow h3 {
        margin-top: 12px;
      }
    `,
  ];
  private readonly text = new Remote(this, 'host/text');
  private readonly answer = new Remote(this, 'analysis/token', 60);
  private known: { tokens: TokenTable; text: string; written: Written }[] = [];

  override willUpdate(): void {
    const { id } = store;
    this.text.want(id ? { id } : null);
    const head = store.shownHead;
    const tokens = this.pinned ? tokensOf(this.pinned) : [];
    const wanted = id && head && store.summary && tokens.length > 0;
    this.answer.want(wanted ? { id, ...head, tokens, top: TOP, mechanisms: null } : null);
  }

  override render() {
    const { pinned } = this;
    if (store.selection.token !== null && this.text.value === null)
      return requestState(this.text, t('Reading the text.'));
    if (!pinned)
      return html`<p class="empty muted" data-no-export>
        ${t('Put the cursor on a word of the text and pin it, or click a query in the matrix: here stands what it looks at, and what looks at it.')}
      </p>`;
    const { value, answers } = this.answer;
    const mine = value && answers?.tokens.join() === tokensOf(pinned).join() ? value : null;
    if (!mine?.[0]) return requestState(this.answer, t('Looking.'));
    const { looksAtSide, lookedAtBySide } = mine[0];
    const left = this.links(
      mine.map(one => one.looksAt),
      looksAtSide,
      'keys',
    );
    const right = this.links(
      mine.map(one => one.lookedAtBy),
      lookedAtBySide,
      'queries',
    );
    const most = Math.max(LEAST, ...[...left, ...right].map(({ mass }) => mass));
    const rows = Math.max(left.length, right.length, 3);
    return html`<div class=${this.width < 700 ? 'narrow' : ''}>
      <div class="columns">
        <div class="left">${this.column(t('looks at'), t('no word of it'), left, looksAtSide, most)}</div>
        ${arcs(left, rows, most, 'left')} ${this.middle(pinned)} ${arcs(right, rows, most, 'right')}
        <div>${this.column(t('is looked at by'), t('no word'), right, lookedAtBySide, most)}</div>
      </div>
    </div>`;
  }

  // ------------------------------------------------------------ words

  /** The whole word of the pinned token. */
  private get pinned(): Word | null {
    const { token } = store.selection;
    const written = this.written('text');
    return (token !== null && written?.words[written.of[token] ?? -1]) || null;
  }

  private written(side: Side): Written | null {
    const tokens = store.tokensOf(side);
    const text = side === 'target' ? (store.target?.text ?? null) : this.text.value;
    if (!tokens || text === null) return null;
    const found = this.known.find(one => one.tokens === tokens && one.text === text);
    if (found) return found.written;
    const words = wordsOf(text, tokens);
    const written = { text, tokens, words, of: wordOfToken(words) };
    this.known = [{ tokens, text, written }, ...this.known].slice(0, 2);
    return written;
  }

  private links(links: Parameters<typeof wordLinks>[0], side: Side, as: 'keys' | 'queries'): WordLink[] {
    const written = this.written(side);
    if (!written) return [];
    const found = wordLinks(links, written.words, written.of, as);
    return found.filter(({ mass }) => mass >= LEAST).slice(0, ROWS);
  }

  // ------------------------------------------------------------ drawing

  private middle(word: Word): TemplateResult {
    const { text, tokens } = this.written('text')!;
    const { before, after } = around(text, word, 28);
    const parts = tokens.text.slice(word.first, word.last + 1);
    return html`<div class="middle">
      <div class="context">${before}</div>
      <strong>${labelOf(text, tokens, word)}</strong>
      <div class="context">${after}</div>
      <div class="number">
        ${parts.length > 1 ? html`<span title=${parts.join(' · ')}>${rich('{0} tokens: {1}', parts.length, parts.map(part => tokenLabel(part, 12)).join(' · '))}</span>` : t('token {0}', word.first)}
      </div>
    </div>`;
  }

  private column(
    title: string,
    none: string,
    links: readonly WordLink[],
    side: Side,
    most: number,
  ): TemplateResult {
    const where = !store.target
      ? ''
      : side === 'target'
        ? t(' in the target text')
        : t(' in the analyzed text');
    return html`<h3>${title}${where}</h3>
      ${
        links.length > 0
          ? html`<ol aria-label=${title + where}>
              ${links.map(
                link =>
                  html`<li>
                    ${this.row(link, side)}
                    <span class="mass" .style=${`width: ${(link.mass / most) * 100}%`}></span>
                  </li>`,
              )}
            </ol>`
          : html`<p class="muted">${none}</p>`
      }`;
  }

  private row({ word, mass }: WordLink, side: Side): TemplateResult {
    const { text, tokens } = this.written(side)!;
    const pinned = this.pinned!;
    const distance = side === 'text' ? word.first - pinned.first : null;
    const far = distance === null || Math.abs(distance) > FAR;
    const { before, after } = around(text, word, far ? 22 : 12);
    const label = labelOf(text, tokens, word);
    const content = html`<span class="context">${before}</span><strong>${label}</strong
      ><span class="context">${after}</span>`;
    return html`${
        side === 'text'
          ? html`<button
              type="button"
              class="word"
              title=${t('{0}: click pins it', label)}
              @click=${() => store.select({ token: word.first })}
              @mouseenter=${() => store.preview(word.first)}
              @mouseleave=${() => store.preview(null)}
            >
              ${content}
            </button>`
          : html`<span class="word">${content}</span>`
      }
      <span class="number"
        ><span title=${exact(mass * 100, '%')}>${percent(mass)}</span
        >${distance === null ? nothing : html` · ${inWords(distance)}`}</span
      >`;
  }
}

function tokensOf({ first, last }: Word): number[] {
  return Array.from({ length: Math.min(MOST_TOKENS, last - first + 1) }, (_, at) => first + at);
}

/** As it is written; tokens on no characters as the vocabulary calls them. */
function labelOf(text: string, tokens: TokenTable, { first, start, end }: Word): string {
  const written = text.slice(start, end);
  return written.trim() ? tokenLabel(written, 40) : tokenLabel(tokens.text[first] ?? '', 20);
}

function inWords(distance: number | null): string {
  if (distance === null) return '';
  if (distance === 0) return t('itself');
  const away = count(Math.abs(distance));
  return distance < 0 ? t('{0} back', away) : t('{0} ahead', away);
}

/** From each word of a column to the one in the middle, as wide as the mass. */
function arcs(
  links: readonly WordLink[],
  rows: number,
  most: number,
  side: 'left' | 'right',
): TemplateResult {
  const middle = (rows * ROW) / 2;
  const [word, centre] = side === 'left' ? [4, ARCS - 2] : [ARCS - 4, 2];
  return html`<svg class="arcs" width=${ARCS} height=${rows * ROW} aria-hidden="true">
    ${links.map(({ mass }, at) => {
      const y = at * ROW + ROW / 2;
      const bend = ARCS / 2;
      return svg`<path
        d=${`M ${word} ${y} C ${bend} ${y}, ${bend} ${middle}, ${centre} ${middle}`}
        stroke-width=${Math.max(1, (mass / most) * 12)}
        stroke-opacity=${0.35 + 0.5 * (mass / most)}
      ></path>`;
    })}
  </svg>`;
}
