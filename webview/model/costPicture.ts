import type { CostCurve, CostFormulas, CostPoint, Setting } from '../../shared/protocol/engine';
import { count, csv } from '../../shared/numbers';
import { at, crossing, fitTime, isCounted, type CostMeasure, type Crossing, type TimeFit } from './cost';
import { t } from '../host/words';

/** What is known of the costs of a text's mechanisms. */
export interface KnownCosts {
  formulas: CostFormulas;
  /** Measured on this machine. */
  points: readonly CostPoint[];
  titleOf(name: string): string;
  /** Pairs of one head, on average, that the analysis counted for this mechanism on this text; null = not computed. */
  counted(choice: Setting): number | null;
}

/** What is asked of them. */
export interface CostQuestion {
  measure: CostMeasure;
  /** What one head costs is taken times this. */
  heads: number;
  /** Length of the text. */
  tokens: number;
  /** Names of the mechanisms that are drawn beside dense. */
  shown: ReadonlySet<string>;
}

/** One mechanism under one setting. */
export interface CostRow {
  key: string;
  choice: Setting;
  title: string;
  curve: CostCurve;
  points: CostPoint[];
  fit: TimeFit | null;
  /** Where it begins to beat dense in time. */
  crossing: Crossing | null;
}

/** A row as it is drawn. */
export interface CostLine {
  key: string;
  name: string;
  title: string;
  /** By formula; empty where there is none (time that was not measured). */
  line: { tokens: number; value: number }[];
  dashed: boolean;
  points: { tokens: number; value: number; low: number; high: number }[];
  crossing: { tokens: number; value: number; words: string } | null;
}

/** The point of the picture: what dense attention costs here, and who does better. */
export type Verdict = { dense: number } & (
  | { kind: 'alone' }
  | { kind: 'neverFaster' }
  | { kind: 'faster'; row: CostRow; crossing: Crossing }
  | { kind: 'less'; row: CostRow; share: number }
);

/** The costs of all mechanisms as one question asks for them. */
export class CostPicture {
  /** Dense first. */
  readonly rows: readonly CostRow[];

  constructor(
    private readonly known: KnownCosts,
    readonly asked: CostQuestion,
  ) {
    const { dense, curves, lengths } = known.formulas;
    const denseRow = this.rowOf(dense);
    this.rows = [
      denseRow,
      ...curves.map(curve => {
        const row = this.rowOf(curve);
        return { ...row, crossing: crossing(lengths, denseRow, row) };
      }),
    ];
  }

  get dense(): CostRow {
    return this.rows[0]!;
  }

  isShown(row: CostRow): boolean {
    return row === this.dense || (this.asked.shown.has(row.choice.name) && !row.curve.refused);
  }

  /** The cost of a row at one length, by formula; null for a time that was not measured. */
  value(row: CostRow, tokens: number): number | null {
    const { curve, fit } = row;
    const { measure, heads } = this.asked;
    if (measure === 'time' && !fit) return null;
    if (isCounted(measure)) return this.read(row, measure, tokens);
    const of = (values: readonly number[]) => heads * at(this.known.formulas.lengths, values, tokens);
    switch (measure) {
      case 'time':
        return heads * fit!.overhead + fit!.perOperation * of(curve.flops);
      case 'memory':
        return of(curve.bytes);
      case 'pairs':
        return of(curve.pairs);
      case 'flops':
        return of(curve.flops);
    }
  }

  /** By formula, else between the lengths at which it was counted; null beyond them. */
  private read({ curve, points }: CostRow, measure: 'blocks' | 'kv', tokens: number): number | null {
    const of = measure === 'kv' ? 'held' : 'blocks';
    const { lengths, keyBytes = NaN } = this.known.formulas;
    const scale = this.asked.heads * (measure === 'kv' ? keyBytes : 1);
    const formula = curve[of];
    if (formula) return scale * at(lengths, formula, tokens);
    const counted = points.filter(point => point[of]).sort(by(({ tokens }) => tokens));
    const [first, last] = [counted[0], counted.at(-1)];
    if (!first || !last || tokens < first.tokens || tokens > last.tokens) return null;
    return (
      scale *
      at(
        counted.map(point => point.tokens),
        counted.map(point => point[of]!),
        tokens,
      )
    );
  }

  /** Whether the measure of a row is a formula that leaves nothing to the text. */
  isExact({ curve }: CostRow): boolean {
    const { measure } = this.asked;
    if (measure === 'time') return true;
    if (measure === 'blocks') return curve.blocks !== undefined;
    return measure === 'kv' ? curve.held !== undefined : curve.count === 'exact';
  }

  /** What pairs may come to at this length, where spans are fitted to a shorter text that cuts some of them off; else null. */
  range({ curve }: CostRow, tokens: number): { low: number; high: number } | null {
    if (this.asked.measure !== 'pairs' || !curve.range) return null;
    const of = (values: readonly number[]) =>
      this.asked.heads * at(this.known.formulas.lengths, values, tokens);
    const [low, high] = [of(curve.range.low), of(curve.range.high)];
    return high > low * (1 + 1e-9) ? { low, high } : null;
  }

  /** The same as a share of what dense costs. */
  share(row: CostRow, tokens: number): number | null {
    const [own, dense] = [this.value(row, tokens), this.value(this.dense, tokens)];
    return own === null || dense === null ? null : own / dense;
  }

  lines(): CostLine[] {
    return this.rows
      .filter(row => this.isShown(row))
      .map(row => this.lineOf(row))
      .filter(({ line, points }) => line.length > 0 || points.length > 0);
  }

  /** null while dense itself has no value here. */
  verdict(): Verdict | null {
    const { measure, tokens } = this.asked;
    const dense = this.value(this.dense, tokens);
    if (dense === null) return null;
    const others = this.rows.slice(1).filter(row => this.isShown(row));
    if (measure === 'time') {
      const [first] = others.filter(row => row.crossing).sort(by(row => row.crossing!.tokens));
      return first
        ? { dense, kind: 'faster', row: first, crossing: first.crossing! }
        : { dense, kind: 'neverFaster' };
    }
    const [least] = others
      .filter(row => this.value(row, tokens) !== null)
      .sort(by(row => this.value(row, tokens)!));
    return least
      ? { dense, kind: 'less', row: least, share: this.share(least, tokens)! }
      : { dense, kind: 'alone' };
  }

  /** All that is known of each mechanism at each length, per head. */
  toCsv(): string {
    const { lengths } = this.known.formulas;
    const rows = this.rows.filter(row => !row.curve.refused);
    return csv(
      CSV_HEADER,
      rows.flatMap(row => {
        const { choice, curve, points } = row;
        const all = [...new Set([...lengths, ...points.map(p => p.tokens)])].sort((a, b) => a - b);
        return all.map(tokens => {
          const point = points.find(p => p.tokens === tokens);
          const of = (values: number[]) => at(lengths, values, tokens);
          return [
            choice.name,
            JSON.stringify(choice.params),
            tokens,
            of(curve.pairs),
            curve.count,
            of(curve.flops),
            of(curve.bytes),
            point?.milliseconds.median,
            point?.milliseconds.low,
            point?.milliseconds.high,
            point?.pairs,
            curve.range && of(curve.range.low),
            curve.range && of(curve.range.high),
            this.perHead(row, 'blocks', tokens),
            this.perHead(row, 'kv', tokens),
          ];
        });
      }),
    );
  }

  private perHead(row: CostRow, measure: 'blocks' | 'kv', tokens: number): number | null {
    const value = this.read(row, measure, tokens);
    return value === null || Number.isNaN(value) ? null : value / this.asked.heads;
  }

  private rowOf(curve: CostCurve): CostRow {
    const { formulas, points, titleOf } = this.known;
    const key = curve.choice.key;
    const own = points.filter(point => point.choice.key === key);
    const fit = fitTime(
      own.map(({ tokens, milliseconds }) => ({
        operations: at(formulas.lengths, curve.flops, tokens),
        milliseconds: milliseconds.median,
      })),
    );
    const { choice } = curve;
    return { key, choice, title: titleOf(choice.name), curve, points: own, fit, crossing: null };
  }

  private lineOf(row: CostRow): CostLine {
    const { measure } = this.asked;
    const line = this.known.formulas.lengths.flatMap(tokens => {
      const value = this.value(row, tokens);
      return value === null ? [] : [{ tokens, value }];
    });
    const crossed = measure === 'time' && row.crossing && row.crossing.tokens > 0 ? row.crossing : null;
    const value = crossed && this.value(row, crossed.tokens);
    return {
      key: row.key,
      name: row.choice.name,
      title: row.title,
      line,
      dashed: !this.isExact(row),
      points: this.pointsOf(row),
      crossing:
        crossed && value !== null
          ? { tokens: crossed.tokens, value, words: crossingWords(row.title, crossed) }
          : null,
    };
  }

  /** What was measured or counted, not computed. */
  private pointsOf(row: CostRow): CostLine['points'] {
    const { measure, heads, tokens } = this.asked;
    if (measure === 'time')
      return row.points.map(({ tokens: length, milliseconds: { median, low, high } }) => ({
        tokens: length,
        value: median * heads,
        low: low * heads,
        high: high * heads,
      }));
    if (isCounted(measure)) {
      const of = measure === 'kv' ? 'held' : 'blocks';
      const counted = row.points.filter(point => point[of]);
      return counted.map(({ tokens: length }) => {
        const value = this.read(row, measure, length)!;
        return { tokens: length, value, low: value, high: value };
      });
    }
    if (measure !== 'pairs') return [];
    const here = this.known.counted(row.choice);
    const counted = [...row.points, ...(here === null ? [] : [{ tokens, pairs: here }])];
    return counted.map(point => {
      const value = point.pairs * heads;
      return { tokens: point.tokens, value, low: value, high: value };
    });
  }
}

const CSV_HEADER = [
  'mechanism',
  'parameters',
  'tokens',
  'pairs per head',
  'pairs are',
  'operations per head',
  'bytes per head',
  'median ms per head',
  'lower quartile ms',
  'upper quartile ms',
  'pairs counted',
  'pairs at least',
  'pairs at most',
  'blocks of 128 x 128 per head',
  'bytes cached per head',
];

const by =
  <T>(of: (one: T) => number) =>
  (a: T, b: T) =>
    of(a) - of(b);

/** Lengths read off a curve: two digits are honest. */
export const roughly = (tokens: number) => Number(tokens.toPrecision(2));

function crossingWords(title: string, { tokens, how }: Crossing): string {
  const where = t('{0} tokens', count(roughly(tokens)));
  return how === 'measured'
    ? t('{0} beats dense from {1}', title, where)
    : t('{0} would beat dense from {1} (extrapolated)', title, where);
}
