import { html, nothing, svg, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { TokenTable } from '../../shared/protocol/engine';
import { count, csv, percent, tokenLabel } from '../../shared/numbers';
import { largestAt } from '../../shared/largest';
import { exact } from '../model/amounts';
import { Remote } from '../host/remote';
import { store, type Side } from '../host/store';
import { around, wordLinks, wordOfToken, wordsOf, type Word, type WordLink } from '../../shared/words';
import { Component } from '../ui/component';
import { requestState } from '../ui/states';
import { askedByValue, weightColumn } from '../ui/weighing';
import { rich, t } from '../host/words';
import { rolloutWaits, wholeModel } from '../ui/wholeModel';
import { ARCS, ROW, headWordsStyles } from './headWordsStyles';

/** Words in each column, and tokens asked for to find them. */
const ROWS = 12;
const TOP = 80;
/** Tokens of a word that are asked for. */
const MOST_TOKENS = 16;
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

/** What is known of the pinned word. */
interface Found {
  left: Column;
  /** null where it is not asked for. */
  right: Column | null;
}

interface Column {
  title: string;
  none: string;
  links: WordLink[];
  side: Side;
}

/**
 * Words first: the pinned word in the middle, on the left what it looks at in one head, on the right what looks at it; or, of the
 * whole model, where what it holds came from.
 */
@customElement('ai-head-words')
export class HeadWords extends Component {
  static override styles = [...Component.styles, headWordsStyles];
  private readonly text = new Remote(this, 'host/text');
  private readonly answer = new Remote(this, 'analysis/token', 60);
  private readonly rollout = new Remote(this, 'analysis/rollout', 60);
  private known: { tokens: TokenTable; text: string; written: Written }[] = [];

  override willUpdate(): void {
    const { id } = store;
    this.text.want(id ? { id } : null);
    const head = store.shownHead;
    const tokens = this.pinned ? tokensOf(this.pinned) : [];
    const asks = id && head && store.summary && tokens.length > 0;
    const weighed = askedByValue();
    this.answer.want(
      asks && !wholeModel() ? { id, ...head, tokens, top: TOP, mechanisms: null, ...weighed } : null,
    );
    this.rollout.want(asks && wholeModel() ? { id, tokens } : null);
  }

  override render() {
    const { pinned } = this;
    if (store.selection.token !== null && this.text.value === null)
      return requestState(this.text, t('Reading the text.'));
    if (!pinned)
      return html`<p class="empty muted" data-no-export>
        ${t('Put the cursor on a word of the text and pin it, or click a query in the matrix: here stands what it looks at, and what looks at it.')}
      </p>`;
    const { found } = this;
    if (!found) return wholeModel() ? rolloutWaits(this.rollout) : requestState(this.answer, t('Looking.'));
    const { left, right } = found;
    const columns = right ? [left, right] : [left];
    const most = Math.max(LEAST, ...columns.flatMap(({ links }) => links.map(({ mass }) => mass)));
    const rows = Math.max(...columns.map(({ links }) => links.length), 3);
    const look = `${this.width < 700 ? 'narrow' : ''} ${right ? '' : 'single'}`;
    return html`<div class=${look}>
      <div class="columns">
        <div class="left">${this.column(left, most)}</div>
        ${arcs(left.links, rows, most, 'left')} ${this.middle(pinned)}
        ${
          right
            ? html`${arcs(right.links, rows, most, 'right')}
                <div>${this.column(right, most)}</div>`
            : nothing
        }
      </div>
    </div>`;
  }

  private get found(): Found | null {
    const { pinned } = this;
    if (!pinned) return null;
    return wholeModel() ? this.foundOfModel(pinned) : this.foundOfHead(pinned);
  }

  private foundOfHead(pinned: Word): Found | null {
    const { value, answers } = this.answer;
    const same =
      answers?.tokens.join() === tokensOf(pinned).join() && answers.byValue === askedByValue().byValue;
    if (!value?.[0] || !same) return null;
    const { looksAtSide, lookedAtBySide } = value[0];
    const left = this.links(
      value.map(one => one.looksAt),
      looksAtSide,
      'keys',
    );
    const right = this.links(
      value.map(one => one.lookedAtBy),
      lookedAtBySide,
      'queries',
    );
    return {
      left: { title: t('looks at'), none: t('no word of it'), links: left, side: looksAtSide },
      right: { title: t('is looked at by'), none: t('no word'), links: right, side: lookedAtBySide },
    };
  }

  private foundOfModel(pinned: Word): Found | null {
    const { value, answers } = this.rollout;
    if (!value || answers?.tokens.join() !== tokensOf(pinned).join()) return null;
    const heaviest = (row: Float32Array) => largestAt(row, TOP).map(token => ({ token, mass: row[token]! }));
    const links = this.links(value.rows.map(heaviest), 'text', 'keys');
    return {
      left: { title: t('what it holds came from'), none: t('no word of it'), links, side: 'text' },
      right: null,
    };
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

  private column({ title, none, links, side }: Column, most: number): TemplateResult {
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

  // ------------------------------------------------------------ saving

  toCsv(): string | null {
    const { found, pinned } = this;
    if (!found || !pinned) return null;
    const columns = [found.left, ...(found.right ? [found.right] : [])];
    return csv(
      ['direction', 'first token', 'last token', 'word', wholeModel() ? 'rollout' : weightColumn()],
      columns.flatMap(({ title, links, side }) => {
        const { text, tokens } = this.written(side)!;
        return links.map(({ word, mass }) => [
          title,
          word.first,
          word.last,
          labelOf(text, tokens, word),
          mass,
        ]);
      }),
    );
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
