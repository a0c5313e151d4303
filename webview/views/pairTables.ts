import { html, nothing, type TemplateResult } from 'lit';
import { csv, number, percent, signed } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { store } from '../host/store';
import { t } from '../host/words';
import { headMeasures, writeExact, writeMeasure, type HeadMeasure } from '../model/measures';
import { headName } from '../model/names';
import { keptByHead, type PairSide } from '../model/pairSides';
import { headKey } from '../model/tried';
import { choose } from '../ui/controls';
import { headCells } from './headCells';

/** One figure of both sides. */
export interface PairRow {
  what: string;
  a: number | null;
  b: number | null;
  write(value: number): string;
  exact(value: number): string;
}

/** Figures that tell two heads apart, or what one does on two texts. */
const TELLING = ['entropy', 'meanDistance', 'span95', 'to-self', 'to-previous', 'to-first'];

export function measureRows(a: PairSide, b: PairSide): PairRow[] {
  const measures = headMeasures([]);
  return measures
    .filter(({ id }) => TELLING.includes(id))
    .map(measure => ({
      what: measure.title,
      a: measure.value(a.profile),
      b: measure.value(b.profile),
      write: value => writeMeasure(measure, value),
      exact: value => writeExact(measure, value),
    }));
}

/** What a setting keeps of the head that is shown, and what that spends. */
export function settingRows(a: PairSide, b: PairSide): PairRow[] {
  const whole = { recall: 1, pairs: 1, densePairs: 1, outputError: 0 };
  const of = (side: PairSide) =>
    side.change ? keptByHead(side)?.find(one => headKey(one) === headKey(side.profile)) : whole;
  const [one, two] = [of(a), of(b)];
  const row = (what: string, pick: (head: typeof whole) => number | null): PairRow => ({
    what,
    a: one ? pick(one as typeof whole) : null,
    b: two ? pick(two as typeof whole) : null,
    write: percent,
    exact: value => exact(value * 100, '%'),
  });
  const name = headName(a.profile);
  return [
    row(t('mass kept in {0}', name), head => head.recall),
    row(t('pairs of dense in {0}', name), head => head.pairs / head.densePairs),
    row(t('output error in {0} (local)', name), head => head.outputError),
  ];
}

export function numbersTable(a: PairSide, b: PairSide, rows: readonly PairRow[]): TemplateResult {
  return html`<table aria-label=${t('A and B in numbers')}>
    <tr>
      <th></th>
      <th title=${a.title}>A</th>
      <th title=${b.title}>B</th>
      <th>B − A</th>
    </tr>
    ${rows.map(row => {
      const known = row.a !== null && row.b !== null;
      const delta = known ? row.b! - row.a! : null;
      const cell = (value: number | null) =>
        html`<td class="number" title=${value === null ? nothing : row.exact(value)}>
          ${value === null ? '–' : row.write(value)}
        </td>`;
      return html`<tr>
        <th scope="row">${row.what}</th>
        ${cell(row.a)}${cell(row.b)}
        <td class="number" title=${delta === null ? nothing : row.exact(delta)}>
          ${delta === null ? '–' : `${delta > 0 ? '+' : ''}${row.write(delta)}`}
        </td>
      </tr>`;
    })}
  </table>`;
}

// ---------------------------------------------------------------- every head

/** B - A of every head: by what is kept of it under two settings, else by a measure. */
function differences(a: PairSide, b: PairSide) {
  if (a.change || b.change) {
    const kept = (side: PairSide) => new Map((keptByHead(side) ?? []).map(one => [headKey(one), one.recall]));
    const [one, two] = [kept(a), kept(b)];
    const of = (side: PairSide, from: typeof one, key: string) => (side.change ? (from.get(key) ?? null) : 1);
    return {
      title: t('Mass kept in every head, B − A'),
      measure: null,
      write: (value: number) => `${value > 0 ? '+' : ''}${percent(value)}`,
      of: (key: string) => minus(of(b, two, key), of(a, one, key)),
    };
  }
  const measure = chosenMeasure();
  const profiles = new Map(b.summary.cores.flatMap(({ heads }) => heads.map(head => [headKey(head), head])));
  const mine = new Map(a.summary.cores.flatMap(({ heads }) => heads.map(head => [headKey(head), head])));
  return {
    title: t('Every head, B − A'),
    measure,
    write: (value: number) =>
      measure.unit === 'share' ? `${value > 0 ? '+' : ''}${percent(value)}` : signed(value),
    of: (key: string) => {
      const [one, two] = [mine.get(key), profiles.get(key)];
      return one && two ? minus(measure.value(two), measure.value(one)) : null;
    },
  };
}

const minus = (b: number | null, a: number | null) => (a === null || b === null ? null : b - a);

function chosenMeasure(): HeadMeasure {
  const wanted = store.option<string>('pair', 'measure', 'entropy');
  const all = headMeasures([]);
  return all.find(({ id }) => id === wanted) ?? all[0]!;
}

export function headGrid(a: PairSide, b: PairSide): TemplateResult | typeof nothing {
  const { title, measure, write, of } = differences(a, b);
  return headCells({
    title,
    label: measure ? measure.title : t('mass kept'),
    cores: a.summary.cores,
    shown: headKey(a.profile),
    write,
    of: key => {
      const value = of(key);
      return value === null ? null : { value, title: number(value) };
    },
    control: measure
      ? choose(
          t('by'),
          measure.id,
          headMeasures([]).map(({ id, title }) => ({ value: id, label: title })),
          id => store.setOption('pair', 'measure', id),
        )
      : nothing,
  });
}

export function headsCsv(a: PairSide, b: PairSide): string {
  const { measure, of } = differences(a, b);
  const what = measure?.title ?? 'mass kept';
  return csv(
    ['core', 'head', `${what}, B - A: A ${a.title}, B ${b.title}`],
    a.summary.cores.flatMap(({ heads }) => heads.map(head => [head.core, head.head, of(headKey(head))])),
  );
}
