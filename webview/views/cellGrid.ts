import { html, nothing, type TemplateResult } from 'lit';
import { changeLimit } from '../../shared/protocol/host';
import { inkOn, lutColour, toCss } from '../draw/colour';
import { theme } from '../draw/theme';
import { t } from '../host/words';
import '../ui/legend';

export interface ValueCell {
  value: number;
  title: string;
  /** It is not told from nothing: written without a colour. */
  undecided?: boolean;
}

export interface GridCell {
  key: string;
  /** What is numbered. */
  name: string;
  /** null: not known. */
  cell: ValueCell | null;
  outlined: boolean;
  pick(): void;
}

export interface CellGrid {
  title: string;
  /** Of the colours. */
  label: string;
  columns: readonly string[];
  rows: readonly { label: string; cells: readonly GridCell[] }[];
  write(value: number): string;
  control?: TemplateResult | typeof nothing;
}

/** Numbers in rows and columns, coloured on both sides of nothing; nothing where none is known. */
export function cellGrid({ title, label, columns, rows, write, control = nothing }: CellGrid) {
  const known = rows.flatMap(({ cells }) => cells.flatMap(({ cell }) => (cell ? [cell.value] : [])));
  if (known.length === 0) return nothing;
  const limit = changeLimit(known);
  const look = theme();
  const fillOf = (cell: ValueCell | null) =>
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
          ${columns.map(column => html`<th>${column}</th>`)}
        </tr>
        ${rows.map(
          row =>
            html`<tr>
              <th scope="row">${row.label}</th>
              ${row.cells.map(({ key, name, cell, outlined, pick }) => {
                const fill = fillOf(cell);
                const words = cell ? write(cell.value) : '–';
                return html`<td
                  class=${outlined ? 'shown' : ''}
                  .style=${fill ? `background: ${toCss(fill)}; color: ${inkOn(fill, look.foreground)}` : ''}
                >
                  <button
                    type="button"
                    data-head=${key}
                    aria-label=${`${name}: ${cell ? words : t('not known')}`}
                    title=${cell?.title ?? nothing}
                    @click=${pick}
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
