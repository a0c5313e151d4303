/** What was patched, as tables: every head, every layer and token, or edges of a head. */
import { html, nothing, type TemplateResult } from 'lit';
import type {
  EdgePatching,
  PatchedPart,
  PatchedTexts,
  Patching,
  ResidualPatching,
} from '../../shared/protocol/engine';
import { csv, signed, tokenLabel } from '../../shared/numbers';
import { verdictOf } from '../../shared/uncertainty';
import { store } from '../host/store';
import { rich, t } from '../host/words';
import { exact, interval } from '../model/amounts';
import { layerName, shortName } from '../model/names';
import { change } from '../model/pairQuantity';
import type { PairSide } from '../model/pairSides';
import { headKey } from '../model/tried';
import { cellGrid, type ValueCell } from './cellGrid';
import { headCells } from './headCells';

export type By = 'restored' | 'loss';

/** What is put from one text into the other. */
export type Patched =
  | { part: 'heads'; found: Patching }
  | { part: 'residual'; found: ResidualPatching }
  | { part: 'edges'; found: EdgePatching };

interface Shown {
  run: PairSide;
  by: By;
  control: TemplateResult | typeof nothing;
}

const tokenName = ({ summary }: PairSide, token: number) =>
  `“${tokenLabel(summary.tokens.text[token] ?? '', 12)}” (${token})`;

export function patchedTable(patched: Patched, shown: Shown): TemplateResult | typeof nothing {
  const { by, control } = shown;
  const grid: Grid = {
    title: TITLES[patched.part][by](),
    label: by === 'loss' ? t('loss, nats') : t('of the way'),
    write: by === 'loss' ? signed : change,
    control,
  };
  switch (patched.part) {
    case 'heads':
      return ofHeads(patched.found, shown, grid);
    case 'residual':
      return ofStates(patched.found, shown, grid);
    case 'edges':
      return ofEdges(patched.found, shown, grid);
  }
}

const TITLES: Record<Patched['part'], Record<By, () => string>> = {
  heads: {
    loss: () => t('What the loss grows by, with each head from the other text'),
    restored: () => t('How far each head carries the answer to that of the other text'),
  },
  residual: {
    loss: () =>
      t('What the loss grows by, with the residual stream of one token before one layer from the other text'),
    restored: () =>
      t(
        'How far the residual stream of one token before one layer carries the answer to that of the other text',
      ),
  },
  edges: {
    loss: () => t('What the loss grows by, with one edge of the head from the other text'),
    restored: () => t('How far one edge of the head carries the answer to that of the other text'),
  },
};

type Grid = Pick<Parameters<typeof cellGrid>[0], 'title' | 'label' | 'write' | 'control'>;

function ofHeads({ heads }: Patching, { run, by }: Shown, grid: Grid) {
  const found = new Map(heads.map(head => [headKey(head), head]));
  const of = (key: string) => cellOf(found.get(key), by);
  return headCells({ ...grid, cores: run.summary.cores, shown: headKey(run.profile), of });
}

function ofStates({ tokens, cells }: ResidualPatching, { run, by }: Shown, grid: Grid) {
  const cores = [...new Set(cells.map(({ core }) => core))];
  return cellGrid({
    ...grid,
    columns: tokens.map(token => tokenName(run, token)),
    rows: cores.map(core => ({
      label: layerName(core),
      cells: cells
        .filter(one => one.core === core)
        .map(one => ({
          key: `${core} ${one.token}`,
          name: t('{0}, token {1}', layerName(core), tokenName(run, one.token)),
          cell: cellOf(one, by),
          outlined: one.token === store.selection.token,
          pick: () => store.select({ token: one.token }),
        })),
    })),
  });
}

/** The other text's head gives one token something else there: those that change most. */
function ofEdges({ edges }: EdgePatching, { run, by }: Shown, { title, control }: Grid) {
  return html`<section>
    <div class="above cells">
      <h2>${title}</h2>
      ${control}
    </div>
    <div class="wide" tabindex="0" role="region" aria-label=${title}>
      <table class="edges">
        <tr>
          <th>${t('to the query')}</th>
          <th>${t('from the key')}</th>
          <th title=${t('Length of what that changes in the head’s output')}>${t('moved')}</th>
          <th>${by === 'loss' ? t('loss, nats') : t('of the way')}</th>
        </tr>
        ${edges.map(one => {
          const cell = cellOf(one, by);
          const words = cell ? (by === 'loss' ? signed : change)(cell.value) : '–';
          return html`<tr>
            ${[one.query, one.key].map(
              token =>
                html`<td>
                  <button class="link" @click=${() => store.select({ token })}>
                    ${tokenName(run, token)}
                  </button>
                </td>`,
            )}
            <td class="number" title=${exact(one.moved)}>${one.moved.toPrecision(2)}</td>
            <td class="number" data-edge=${`${one.query}>${one.key}`} title=${cell?.title ?? nothing}>
              ${words}
            </td>
          </tr>`;
        })}
      </table>
    </div>
  </section>`;
}

function cellOf(found: PatchedPart | undefined, by: By): ValueCell | null {
  if (!found) return null;
  const { loss, restored, difference } = found;
  const title = t(
    'loss {0} nats (95 %: {1}); difference of the logits {2}',
    signed(loss.delta),
    interval(loss),
    signed(difference),
  );
  if (by === 'loss') return { value: loss.delta, title, undecided: verdictOf(loss) === 'undecided' };
  return restored === null ? null : { value: restored, title: `${exact(restored * 100, '%')}; ${title}` };
}

// ---------------------------------------------------------------- in words

/** Parts that are named. */
const NAMED = 3;
/** Less than this of the way is not worth naming. */
const WORTH_NAMING = 0.01;

/** Which part carries most of the way, in a sentence. */
export function whoCarries(patched: Patched, run: PairSide): TemplateResult | string {
  const parts = partsOf(patched, run)
    .filter(({ found }) => Math.abs(found.restored ?? 0) >= WORTH_NAMING)
    .sort((x, y) => Math.abs(y.found.restored!) - Math.abs(x.found.restored!));
  const named = parts
    .slice(0, NAMED)
    .map(({ name, found }) => `${name} (${change(found.restored!)})`)
    .join(', ');
  switch (patched.part) {
    case 'heads':
      return named
        ? html`${rich('Of that way, one head by itself carries most: {0}.', named)}`
        : t('No head by itself carries more than 1 % of that way.');
    case 'residual':
      return named
        ? html`${rich('Of that way, one token before one layer carries most: {0}.', named)}`
        : t('No token before any layer carries more than 1 % of that way.');
    case 'edges':
      return named
        ? html`${rich('Of that way, one edge of {0} by itself carries most: {1}.', shortName(patched.found), named)}`
        : t('No edge of {0} by itself carries more than 1 % of that way.', shortName(patched.found));
  }
}

function partsOf({ part, found }: Patched, run: PairSide): { name: string; found: PatchedPart }[] {
  if (part === 'heads') return found.heads.map(one => ({ name: shortName(one), found: one }));
  if (part === 'residual')
    return found.cells.map(one => ({
      name: `${layerName(one.core)} ${tokenName(run, one.token)}`,
      found: one,
    }));
  return found.edges.map(one => ({
    name: `${tokenName(run, one.query)} ← ${tokenName(run, one.key)}`,
    found: one,
  }));
}

// ---------------------------------------------------------------- saving

export function patchedCsv(patched: Patched): string {
  const { at, answers }: PatchedTexts = patched.found;
  const { titles, rows } = placesOf(patched);
  return csv(
    [
      ...['token', 'own answer', 'other answer', ...titles, 'restored [share]'],
      ...['logit difference', 'loss change [nats]', 'loss change, 95 % low', 'loss change, 95 % high'],
    ],
    rows.map(({ place, found: { restored, difference, loss } }) => [
      ...[at, answers.own.text, answers.other.text, ...place, restored],
      ...[difference, loss.delta, loss.low, loss.high],
    ]),
  );
}

function placesOf({ part, found }: Patched): {
  titles: string[];
  rows: { place: number[]; found: PatchedPart }[];
} {
  if (part === 'heads')
    return {
      titles: ['core', 'layer', 'head'],
      rows: found.heads.map(one => ({ place: [one.core, one.layer, one.head], found: one })),
    };
  if (part === 'residual')
    return {
      titles: ['core', 'layer', 'patched token'],
      rows: found.cells.map(one => ({ place: [one.core, one.layer, one.token], found: one })),
    };
  return {
    titles: ['core', 'head', 'query', 'key', 'moved'],
    rows: found.edges.map(one => ({
      place: [found.core, found.head, one.query, one.key, one.moved],
      found: one,
    })),
  };
}
