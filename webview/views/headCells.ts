import { html, nothing, type TemplateResult } from 'lit';
import type { CoreResult } from '../../shared/protocol/engine';
import { changeLimit } from '../../shared/protocol/host';
import { inkOn, lutColour, toCss } from '../draw/colour';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { t } from '../host/words';
import { headName, layerName } from '../model/names';
import { headKey } from '../model/tried';
import '../ui/legend';

export interface HeadCell {
  value: number;
  title: string;
  /** It is not told from nothing: written without a colour. */
  undecided?: boolean;
}

export interface HeadCells {
  title: string;
  /** Of the colours. */
  label: string;
  cores: readonly CoreResult[];
  /** Key of the head that is outlined. */
  shown: string;
  write(value: number): string;
  /** null: not known. */
  of(key: string): HeadCell | null;
  control?: TemplateResult | typeof nothing;
}

/** A number for every head, layers downward, coloured on both sides of nothing; nothing where none is known. */
export function headCells(cells: HeadCells): TemplateResult | typeof nothing {
  const { title, label, cores, shown, write, of, control = nothing } = cells;
  const found = new Map(cores.flatMap(({ heads }) => heads.map(head => [headKey(head), of(headKey(head))])));
  const known = [...found.values()].flatMap(cell => (cell ? [cell.value] : []));
  if (known.length === 0) return nothing;
  const limit = changeLimit(known);
  const look = theme();
  const widest = Math.max(...cores.map(({ heads }) => heads.length));
  const fillOf = (cell: HeadCell | null) =>
    cell && !cell.undecided
      ? lutColour(look.diverging, 0.5 + Math.max(-1, Math.min(1, cell.value / limit)) / 2)
      : null;
  return html`<section>
    <div class="above cells">
      <h2>${title}</h2>
      ${control}
      <ai-legend
        label=${label}
        .lut=${look.diverging}
        .ticks=${[
          { at: 0, label: write(-limit) },
          { at: 0.5, label: '0' },
          { at: 1, label: write(limit) },
        ]}
      ></ai-legend>
    </div>
    <div class="wide" tabindex="0" role="region" aria-label=${title}>
      <table class="grid">
        <tr>
          <th></th>
          ${Array.from({ length: widest }, (_, head) => html`<th>${t('head {0}', head)}</th>`)}
        </tr>
        ${cores.map(
          ({ info, heads }) =>
            html`<tr>
              <th scope="row">${layerName(info.core)}</th>
              ${heads.map(head => {
                const cell = found.get(headKey(head)) ?? null;
                const fill = fillOf(cell);
                const words = cell ? write(cell.value) : '–';
                return html`<td
                  class=${headKey(head) === shown ? 'shown' : ''}
                  .style=${fill ? `background: ${toCss(fill)}; color: ${inkOn(fill, look.foreground)}` : ''}
                >
                  <button
                    type="button"
                    data-head=${headKey(head)}
                    aria-label=${`${headName(head)}: ${cell ? words : t('not known')}`}
                    title=${cell?.title ?? nothing}
                    @click=${() => store.select({ core: head.core, head: head.head })}
                  >
                    ${words}
                  </button>
                </td>`;
              })}
            </tr>`,
        )}
      </table>
    </div>
  </section>`;
}
