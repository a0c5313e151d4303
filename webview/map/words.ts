import { html, type TemplateResult } from 'lit';
import { TILE_SIZE, type TokenTable, type ValueWeights } from '../../shared/protocol/engine';
import { largestAt } from '../../shared/largest';
import { csv, number, percent, tokenLabel } from '../../shared/numbers';
import type { Crosshair, TileAddress } from './geometry';
import type { LoadedTile } from './tiles';
import { weightColumn, weightName } from '../ui/weighing';
import { rich, t } from '../host/words';

/** What the map knows, for saying it in words. */
export interface MapWords {
  queryTokens: TokenTable | null;
  keyTokens: TokenTable | null;
  crosshair: Crosshair;
  causal: boolean;
  /** Mass of the crosshair's query over all keys, once it is known. */
  row: Float32Array | null;
  /** All masses are value-weighted shares; `weights`: what they were weighed by, once that is known. */
  byValue: boolean;
  weights: ValueWeights | null;
  /** Only the heaviest keys of the row are known. */
  linksOnly: boolean;
  /** Name of the mechanism that is laid over the map. */
  mechanism: string | null;
  findTile(address: TileAddress): LoadedTile | null;
}

/** What is under the crosshair, exactly; null when nothing is. */
export function readout(words: MapWords): string | null {
  const { queryTokens, keyTokens, crosshair } = words;
  const { query, key } = crosshair;
  if (query === null || !queryTokens || !keyTokens) return null;
  const name = (token: number, tokens: TokenTable) => `“${tokenLabel(tokens.text[token] ?? '')}” (${token})`;
  const queryName = name(query, queryTokens);
  if (key === null) return `${crosshair.pinned ? t('pinned query') : 'query'} ${queryName}`;
  const keyName = name(key, keyTokens);
  if (words.causal && key > query)
    return t('key {0} comes after query {1}: hidden by the causal mask', keyName, queryName);
  const mass = words.row?.[key];
  const value = mass === undefined ? '' : valueInWords(mass, words, query, key);
  return t('query {0} → key {1}{2}{3}', queryName, keyName, value, keptText(words, query, key));
}

function valueInWords(mass: number, words: MapWords, query: number, key: number): string {
  if (!words.byValue) return t(': {0} of its attention', massInWords(mass, words));
  const norm = words.weights?.norms[key];
  const sum = words.weights?.sums[query];
  if (!norm || !sum) return t(': {0} value-weighted', percent(mass));
  return t(
    ': {0} value-weighted ({1} of its attention, value {2} long)',
    percent(mass),
    percent((mass * sum) / norm),
    number(norm),
  );
}

/** A report holds the heaviest links of a query: of the others only that they are lighter is known. */
function massInWords(mass: number, { row, linksOnly }: MapWords): string {
  if (mass > 0 || !linksOnly || !row) return percent(mass);
  const least = row.reduce((a, b) => (b > 0 ? Math.min(a, b) : a), 1);
  return t('at most {0}', percent(least));
}

function keptText({ mechanism, findTile }: MapWords, query: number, key: number): string {
  if (!mechanism) return '';
  const row = Math.floor(query / TILE_SIZE);
  const column = Math.floor(key / TILE_SIZE);
  const tile = findTile({ level: 0, row, column })?.tile;
  const kept = tile?.kept?.[(query % TILE_SIZE) * tile.columns + (key % TILE_SIZE)];
  if (kept === undefined) return '';
  if (kept >= 0.999) return t(', kept by {0}', mechanism);
  return kept <= 0.001 ? t(', dropped by {0}', mechanism) : t(', {0} kept by {1}', percent(kept), mechanism);
}

/** The canvas for screen readers: the heaviest keys of the row under the crosshair. */
export function twin({ queryTokens, keyTokens, crosshair, row }: MapWords): TemplateResult {
  const { query } = crosshair;
  if (!row || query === null || !queryTokens || !keyTokens) {
    return html`<div class="hidden" id="twin">
      ${t('Choose a query with the square brackets to hear where it looks.')}
    </div>`;
  }
  const top = largestAt(row, 10);
  return html`<div class="hidden" id="twin">
    <table>
      <caption>
        ${rich('Heaviest keys of query {0}, {1}', query, tokenLabel(queryTokens.text[query] ?? ''))}
      </caption>
      <tr>
        <th>${t('key')}</th>
        <th>${t('token')}</th>
        <th>${weightName()}</th>
      </tr>
      ${top.map(
        key =>
          html`<tr>
            <td>${key}</td>
            <td>${tokenLabel(keyTokens.text[key] ?? '')}</td>
            <td>${percent(row[key]!)}</td>
          </tr>`,
      )}
    </table>
  </div>`;
}

/** The cells of the finest of these tiles that hold any mass. */
export function tilesCsv(words: MapWords, tiles: LoadedTile[], reduce: 'max' | 'mean'): string | null {
  const { queryTokens, keyTokens } = words;
  if (!queryTokens || !keyTokens || !tiles.length) return null;
  const level = Math.min(...tiles.map(t => t.level));
  const side = 2 ** level;
  const rows: (string | number)[][] = [];
  for (const tile of tiles) {
    if (tile.level !== level) continue;
    const { columns, mass, kept } = tile.tile;
    mass.forEach((value, i) => {
      if (value === 0) return;
      const query = (tile.row * TILE_SIZE + Math.floor(i / columns)) * side;
      const key = (tile.column * TILE_SIZE + (i % columns)) * side;
      const names = [queryTokens.text[query] ?? '', keyTokens.text[key] ?? ''];
      rows.push([query, key, ...names, value, ...(kept ? [kept[i]!] : [])]);
    });
  }
  const cell = side === 1 ? '' : ` (first of ${side})`;
  const read = tiles.find(t => t.level === level)!.tile.rowsRead;
  const ofRows = read === undefined ? '' : ` of ${read} sampled rows`;
  const value = side === 1 ? weightColumn() : `${reduce} ${weightColumn()}${ofRows}`;
  const header = [`query${cell}`, `key${cell}`, 'query token', 'key token', value];
  return csv(words.mechanism ? [...header, 'kept share'] : header, rows);
}
