import { html, nothing, type TemplateResult } from 'lit';
import type { Tile } from '../../shared/protocol/engine';
import { percent, tokenLabel } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { massAt, niceCeiling } from '../draw/colour';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { t } from '../host/words';
import { keptMass, largestCells } from '../model/pair';
import { change } from '../model/pairQuantity';
import { settingOf, tokensOfSide, type PairSide } from '../model/pairSides';
import { sampledRows } from '../map/sampledRows';
import { requestState } from '../ui/states';
import '../plots/pairMap';
import '../ui/legend';

/** The maps of both sides, as far as they are there, in cells of 2^level tokens. */
export interface PairTiles {
  a: Tile | null;
  b: Tile | null;
  level: number;
  /** B - A, where both are in the same tokens. */
  difference: Float32Array | null;
}

export interface PairMaps {
  a: PairSide;
  b: PairSide;
  tiles: PairTiles;
  sameTokens: boolean;
  narrow: boolean;
  /** What the second map is waited for with. */
  waits: Parameters<typeof requestState>[0];
}

/** Cells that are listed. */
const LISTED = 8;

/** Both maps side by side, and what differs. */
export function pairMaps({ a, b, tiles, sameTokens, narrow, waits }: PairMaps): TemplateResult {
  const { a: one, b: two, level, difference } = tiles;
  const none = settingOf(a) === undefined || settingOf(b) === undefined;
  const [first, second] = [one && keptMass(one), two && keptMass(two)];
  const most = (values: Float32Array | null) =>
    values?.reduce((top, value) => Math.max(top, Math.abs(value)), 0) ?? 0;
  const largest = niceCeiling(Math.max(most(first), most(second)));
  const apart = niceCeiling(most(difference));
  const sampled = sampledRows(one, level);
  const { massScale } = store.settings;
  const ticks = (top: number, at: number[]) =>
    at.map(place => ({ at: place, label: percent(massAt(place, top, massScale)) }));
  const map = (side: PairSide, letter: string, values: Float32Array | null, columns: number) =>
    html`<section>
      <h2><span class="letter">${letter}</span> ${side.title}</h2>
      ${
        settingOf(side) === undefined
          ? html`<p class="muted">${t('What was taken away differs from head to head: see the losses.')}</p>`
          : html`<ai-pair-map
              .values=${values}
              .columns=${columns}
              .largest=${largest}
              .label=${t('Attention map of {0}: queries downward, keys to the right', side.title)}
              .words=${(row: number, column: number) => cellWords(side, values, columns, level, row, column)}
              @cell=${(event: CustomEvent<{ row: number }>) => pin(side, event.detail.row << level)}
            ></ai-pair-map>`
      }
    </section>`;
  return html`<div class=${narrow ? 'three narrow' : 'three'}>
      ${map(a, 'A', first, one?.columns ?? 1)} ${map(b, 'B', second, two?.columns ?? 1)}
      <section>
        <h2>${t('Difference')} <span class="muted">B − A</span></h2>
        ${
          difference && one
            ? html`<ai-pair-map
                difference
                .values=${difference}
                .columns=${one.columns}
                .largest=${apart}
                .label=${t('Difference of the two maps; the largest stand in the table below')}
                .words=${(row: number, column: number) => cellWords(a, difference, one.columns, level, row, column, true)}
                @cell=${(event: CustomEvent<{ row: number }>) => pin(a, event.detail.row << level)}
              ></ai-pair-map>`
            : sameTokens || none
              ? html`${requestState(waits, t('Looking.'))}`
              : html`<p class="muted">
                  ${t('The texts are not in the same tokens, so their maps have no difference cell by cell.')}
                </p>`
        }
      </section>
    </div>
    ${
      one && two
        ? html`<div class="legends">
            <ai-legend
              label=${t('mass')}
              .lut=${theme().sequential}
              .ticks=${ticks(largest, [0, 0.5, 1])}
            ></ai-legend>
            ${sampled ? html`<span class="muted">${sampled}</span>` : nothing}
            ${
              difference
                ? html`<ai-legend
                    label=${t('mass, B − A')}
                    .lut=${theme().diverging}
                    .ticks=${[
                      { at: 0, label: `−${percent(apart)}` },
                      { at: 0.5, label: '0' },
                      { at: 1, label: `+${percent(apart)}` },
                    ]}
                  ></ai-legend>`
                : nothing
            }
          </div>`
        : nothing
    }
    ${difference && one ? cellTable(a, difference, one.columns, level) : nothing}`;
}

/** The readable twin of the difference. */
function cellTable(a: PairSide, values: Float32Array, columns: number, level: number): TemplateResult {
  return html`<details>
    <summary>${t('Where the maps differ most, as a table')}</summary>
    <table>
      <tr>
        <th>${t('query')}</th>
        <th>${t('key')}</th>
        <th>B − A</th>
      </tr>
      ${largestCells(values, columns, LISTED).map(
        ({ row, column, value }) =>
          html`<tr>
            <td>${place(a, 'queries', row, level)}</td>
            <td>${place(a, 'keys', column, level)}</td>
            <td class="number" title=${exact(value * 100, '%')}>${change(value)}</td>
          </tr>`,
      )}
    </table>
  </details>`;
}

/** "“name” (12)", of a block its first token. */
function place(side: PairSide, of: 'queries' | 'keys', cell: number, level: number): string {
  const token = cell << level;
  const from = tokensOfSide(side, of);
  const last = Math.min(from.ids.length, token + 2 ** level) - 1;
  return `“${tokenLabel(from.text[token] ?? '')}” (${last > token ? `${token}–${last}` : token})`;
}

function cellWords(
  side: PairSide,
  values: Float32Array | null,
  columns: number,
  level: number,
  row: number,
  column: number,
  differs = false,
): string {
  const value = values?.[row * columns + column] ?? 0;
  return `${place(side, 'queries', row, level)} → ${place(side, 'keys', column, level)}: ${differs ? change(value) : percent(value)}`;
}

/** Pins a query of what the views show. */
function pin(side: PairSide, token: number): void {
  const shown = side.summary === store.summary && tokensOfSide(side, 'queries') === side.summary.tokens;
  if (shown) store.select({ token });
}
