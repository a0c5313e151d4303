import { html, type TemplateResult } from 'lit';
import { tokenLabel } from '../../shared/numbers';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { t } from '../host/words';
import type { Titled } from '../model/pairQuantity';
import type { PairSide } from '../model/pairSides';
import { colourOf } from '../model/quantity';
import { textPieces } from '../model/textPieces';
import '../plots/colouredText';
import '../ui/legend';

/** Keys that are listed. */
const LISTED = 8;

/** The text of A, coloured by the difference. */
export function pairText(a: PairSide, text: string | null, quantity: Titled): TemplateResult {
  const look = theme();
  const colour = colourOf(quantity, look);
  const { values } = quantity;
  const { tokens } = a.summary;
  const words = (token: number) =>
    `“${tokenLabel(tokens.text[token] ?? '')}” (${token}): ${quantity.say(values[token] ?? 0)}`;
  return html`<div class="above">
      <h2>${quantity.title}</h2>
      <ai-legend
        .label=${quantity.legend.label}
        .lut=${quantity.diverging ? look.diverging : look.sequential}
        .ticks=${quantity.legend.ticks}
      ></ai-legend>
    </div>
    <ai-coloured-text
      label=${t('The text of A, coloured by the difference; arrow keys go from token to token')}
      .pieces=${textPieces(text, tokens)}
      .colour=${(token: number) => colour(values[token] ?? 0)}
      .words=${words}
      .token=${store.selection.token}
      @pin=${(event: CustomEvent<number>) =>
        store.select({ token: store.selection.token === event.detail ? null : event.detail })}
      @point=${(event: CustomEvent<number | null>) => store.preview(event.detail)}
    ></ai-coloured-text>
    <p class="muted" role="status">
      ${store.selection.token === null ? t('Point at a token for its numbers; click pins it.') : words(store.selection.token)}
    </p>`;
}

/** Tokens, or keys of the pinned one, that differ most. */
export function mostDifferent(
  a: PairSide,
  quantity: Titled,
  reveal: (token: number) => void,
): TemplateResult {
  const { tokens } = a.summary;
  const { values } = quantity;
  const most = Array.from(values.keys())
    // Of a block of tokens that share a value, its first.
    .filter(token => values[token] !== 0 && values[token] !== values[token - 1] && !tokens.special[token])
    .sort((i, j) => Math.abs(values[j]!) - Math.abs(values[i]!))
    .slice(0, LISTED);
  return html`<table class="most">
    <caption>
      ${t('Where they differ most')}
    </caption>
    <tr>
      <th>${t('token')}</th>
      <th>${quantity.diverging ? 'B − A' : t('goes elsewhere')}</th>
    </tr>
    ${most.map(
      token =>
        html`<tr>
          <td>
            <button class="link" @click=${() => reveal(token)}>
              “${tokenLabel(tokens.text[token] ?? '')}” (${token})
            </button>
          </td>
          <td class="number">${quantity.say(values[token]!)}</td>
        </tr>`,
    )}
  </table>`;
}
