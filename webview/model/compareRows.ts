import { certaintyOf } from './certainty';
import { share, type Measure, type Tried } from './tried';

/** What one row says in numbers: of all heads, or of one. */
export interface RowNumbers {
  recall: number | null;
  outputError: number;
  share: number;
  pairs: number;
  densePairs: number;
}

export function numbersOf(row: Tried, head: string | null): RowNumbers | null {
  if (head === null) {
    const { recall, outputError, pairs, densePairs } = row;
    return { recall, outputError, pairs, densePairs, share: share(row) };
  }
  const mine = row.heads.get(head);
  return mine ? { ...mine, share: share(mine) } : null;
}

/** The key of the best row in each column. */
export type Best = Record<Measure | 'effect' | 'embedding', string | null>;

export function bestOf(rows: readonly Tried[], head: string | null): Best {
  const least = (value: (row: Tried) => number | null | undefined) => {
    let best: { key: string; value: number } | null = null;
    for (const row of rows) {
      const found = value(row);
      if (found !== null && found !== undefined && (!best || found < best.value))
        best = { key: row.key, value: found };
    }
    return rows.length > 1 ? (best?.key ?? null) : null;
  };
  const recall = (row: Tried) => numbersOf(row, head)?.recall ?? null;
  return {
    recall: least(row => (recall(row) === null ? null : -recall(row)!)),
    outputError: least(row => numbersOf(row, head)?.outputError),
    effect: least(row => row.effect?.delta),
    embedding: least(row => row.effect?.embedding && -row.effect.embedding.cosine),
  };
}

/** Rows in the order of a column; what has no number goes last, whichever way round. */
export function sorted(
  rows: readonly Tried[],
  column: string,
  descending: boolean,
  head: string | null,
  title: (row: Tried) => string,
): Tried[] {
  const value = (row: Tried): number | string | null => {
    if (column === 'name') return title(row);
    if (column === 'effect') return row.effect?.delta ?? null;
    if (column === 'embedding') return row.effect?.embedding?.cosine ?? null;
    return numbersOf(row, head)?.[column as 'recall' | 'outputError' | 'share'] ?? null;
  };
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return Number(x === null) - Number(y === null);
    const order = typeof x === 'string' ? x.localeCompare(String(y)) : x - Number(y);
    return descending ? -order : order;
  });
}

export const CSV_HEADER = [
  'mechanism',
  'parameters',
  'native or what-if',
  'core',
  'head',
  'mass kept (local)',
  'mass kept, 5th percentile',
  'output error (local)',
  'pairs',
  'dense pairs',
  'queries without a key',
  'change, all heads (propagated)',
  'change, 95 % from',
  'change, 95 % to',
  'change of',
  'embedding, cosine (propagated)',
  'embedding, length',
];

/** Every number of every head; `standing` says what a row is in a core. */
export function csvRows(
  rows: readonly Tried[],
  standing: (row: Tried, core: number) => string,
): (string | number | null)[][] {
  return rows.flatMap(row => {
    const { range } = certaintyOf(row.effect?.perToken);
    return [...row.heads.values()].map(h => [
      row.choice.name,
      JSON.stringify(row.choice.params),
      standing(row, h.core),
      h.core,
      h.head,
      h.recall,
      h.recallP5,
      h.outputError,
      h.pairs,
      h.densePairs,
      h.uncovered,
      row.effect?.delta ?? null,
      range?.low ?? null,
      range?.high ?? null,
      row.effect?.measure ?? null,
      row.effect?.embedding?.cosine ?? null,
      row.effect?.embedding?.length ?? null,
    ]);
  });
}
