import { html, nothing, type TemplateResult } from 'lit';
import type { LostKey, TokenTable } from '../../shared/protocol/engine';
import { percent, tokenLabel } from '../../shared/numbers';
import { exact, tokens as inTokens } from '../model/amounts';
import { shortName } from '../model/names';
import { inkOn, toCss, type Rgb } from '../draw/colour';
import type { Quantity } from '../model/quantity';
import { leadIn, type Piece } from '../model/textPieces';
import { theme } from '../draw/theme';
import { store, type Side } from '../host/store';
import { rich, t } from '../host/words';

export interface TokenList {
  title: string;
  quantity: Quantity;
  side: Side;
  tokens: TokenTable;
  pieces: readonly Piece[];
  listed: readonly number[];
  colour(token: number): Rgb | null;
  words(token: number): string;
  /** Of each listed token, in their order; empty while it is not known. */
  lost: readonly LostKey[];
  /** Brings a token of the shown text into sight. */
  reveal(token: number): void;
}

/** The tokens with the largest values: where they stand, how large, and the key that each lost. */
export function tokenList(list: TokenList): TemplateResult {
  if (list.listed.length === 0)
    return html`<h2>${list.title}</h2>
      <p class="muted">${t('None.')}</p>`;
  const places = new Map(list.pieces.map(({ token }, at) => [token, at]));
  return html`<h2>${list.title}</h2>
    <ol>
      ${list.listed.map((token, at) => item(list, token, at, places.get(token)))}
    </ol>`;
}

function item(list: TokenList, token: number, at: number, place: number | undefined): TemplateResult {
  const { quantity, side, tokens, pieces, words } = list;
  const value = quantity.values[token]!;
  const fill = list.colour(token) ?? theme().background;
  const inText = side === 'text';
  const jump = () => {
    if (inText) {
      store.select({ token });
      store.host.send({ type: 'reveal', tokens: [token] });
    } else list.reveal(token);
  };
  const lost = list.lost[at];
  return html`<li class=${inText && store.selection.token === token ? 'shown' : ''}>
    <span class="rank">${at + 1}</span>
    <span class="where"
      ><span class="before">${place === undefined ? '' : leadIn(pieces, place, 18)}</span
      ><button class="link" title=${words(token)} aria-label=${`${at + 1}: ${words(token)}`} @click=${jump}>
        <code>${tokenLabel(tokens.text[token] ?? '', 20)}</code>
      </button></span
    >
    <span
      class="number swatch"
      .style=${`background: ${toCss(fill)}; color: ${inkOn(fill, theme().foreground)}`}
      title=${exact(value)}
      >${quantity.say(value)}</span
    >
    ${lost ? html`<span class="lost">${lostLine(lost)}</span>` : nothing}
  </li>`;
}

/** "“Mar” lost “low” 415 tokens back (98.8 % in L3 H7)" */
function lostLine({ query, lost }: LostKey): TemplateResult {
  if (!lost) return html`${t('lost no key itself: what it reads has changed')}`;
  const { queries, keys } = store.sides(lost.core);
  const key = tokenLabel(store.tokensOf(keys)?.text[lost.key] ?? '', 16);
  const before = tokenLabel(store.tokensOf(queries)?.text[query] ?? '', 12);
  const distance =
    lost.distance === null
      ? t('of the source text')
      : lost.distance === 0
        ? '(itself)'
        : `${inTokens(lost.distance)} ${lost.key < query ? 'back' : 'ahead'}`;
  const inText = queries === 'text' && keys === 'text';
  const show = () => {
    store.select({ core: lost.core, head: lost.head, ...(inText ? { token: query } : {}) });
    const tokens = [...(queries === 'text' ? [query] : []), ...(keys === 'text' ? [lost.key] : [])];
    if (tokens.length > 0) store.host.send({ type: 'reveal', tokens });
  };
  return html`${rich('“{0}” lost', before)}
    <button class="link" title=${t('Select this head, and show both tokens in the editor')} @click=${show}>
      “${key}” ${distance}
    </button>
    <span title=${exact(lost.mass * 100, '%')}
      >${rich('({0} in {1})', percent(lost.mass), shortName(lost))}</span
    >`;
}
