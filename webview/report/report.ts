/** Answers the requests of the views from what a report holds: the engine's answers, rounded and bounded. */
import {
  KEPT_CODES,
  LINK_CODES,
  LOST_CODES,
  TILE_SIZE,
  type AnalysisSummary,
  type BucketMap,
  type BucketMapParams,
  type BucketParams,
  type Buckets,
  type CompareParams,
  type CostCurve,
  type CostFormulaParams,
  type CostFormulas,
  type EngineMethod,
  type EngineParams,
  type EngineResult,
  type Link,
  type LostKey,
  type MassCodes,
  type Setting,
  type MechanismResult,
  type OutsideSpan,
  type OutsideSpanParams,
  type ReportBuckets,
  type ReportCore,
  type ReportData,
  type ReportHead,
  type RowParams,
  type Tile,
  type TileParams,
  type TokenAttention,
  type TokenParams,
  type WorstTokensParams,
} from '../../shared/protocol/engine';
import { t } from '../host/words';
import { fitSpans, softMask } from '../../shared/softSpan';
import type { ViewMethod } from '../../shared/protocol/host';

/** For requests that only the engine could answer. */
export class NotInReport extends Error {
  constructor() {
    super(
      t(
        'This report holds what was computed when it was made; analyze the text with Attention Inspector to see more.',
      ),
    );
  }
}

type Answers = { [M in EngineMethod]?: (params: EngineParams<M>) => EngineResult<M> };

export class Report {
  private readonly keys = new Map<ReportHead, Uint16Array | Uint32Array>();
  private readonly transposed = new Map<ReportHead, { starts: Uint32Array; links: Uint32Array }>();

  constructor(private readonly data: ReportData) {}

  get summary(): AnalysisSummary {
    return this.data.summary;
  }

  /** @throws NotInReport */
  answer(method: ViewMethod, params: object): unknown {
    if (method === 'host/text') return this.data.text;
    if (method === 'host/costs') return null;
    const answer = this.answers[method as EngineMethod] as ((params: object) => unknown) | undefined;
    if (!answer) throw new NotInReport();
    return answer(params);
  }

  private readonly answers: Answers = {
    'analysis/mechanism': ({ mechanism, scope }) => this.mechanism(mechanism, scope),
    'analysis/compare': params => this.compared(params),
    'analysis/worst': params => this.worst(params),
    'cost/formulas': params => this.formulas(params),
    'analysis/tile': params => this.tile(params),
    'analysis/row': params => this.line(params),
    'analysis/token': params => params.tokens.map(token => this.token(token, params)),
    'analysis/spans': params => fitSpans(this.data.cores, params),
    'analysis/outsideSpan': params => this.outsideSpan(params),
    'analysis/buckets': params => this.buckets(params),
    'analysis/bucketMap': params => this.bucketMap(params),
  };

  /** The results with their further measures, where these were computed. */
  private compared({ mechanisms }: CompareParams): MechanismResult[] {
    const found = mechanisms.map(choice => this.mechanism(choice, 'local'));
    if (!found.every(result => result.measures)) throw new NotInReport();
    return found;
  }

  private formulas({ core, mechanisms, lengths }: CostFormulaParams): CostFormulas {
    const known = this.data.costs[core];
    const at = lengths.map(tokens => known?.lengths.indexOf(tokens) ?? -1);
    if (!known || at.includes(-1)) throw new NotInReport();
    const some = (values: readonly number[]) => at.map(t => values[t]!);
    const pick = ({ pairs, flops, bytes, range, blocks, held, ...curve }: CostCurve): CostCurve => ({
      ...curve,
      ...{ pairs: some(pairs), flops: some(flops), bytes: some(bytes) },
      ...(range && { range: { low: some(range.low), high: some(range.high) } }),
      ...(blocks && { blocks: some(blocks) }),
      ...(held && { held: some(held) }),
    });
    const curves = mechanisms.flatMap(choice =>
      known.curves.filter(curve => curve.choice.key === choice.key).slice(0, 1),
    );
    return { ...known, lengths, dense: pick(known.dense), curves: curves.map(pick) };
  }

  private worst({ heads, interventions = [], queries }: WorstTokensParams): LostKey[] {
    const wanted = JSON.stringify([heads, interventions]);
    const change = this.data.changes.find(one => JSON.stringify([one.heads, one.interventions]) === wanted);
    return queries.map(query => {
      const lost = change?.lost.find(one => one.query === query);
      if (!lost) throw new NotInReport();
      return lost;
    });
  }

  private mechanism(choice: Setting, scope: MechanismResult['scope']): MechanismResult {
    const all = this.summary.mechanisms.filter(m => m.setting.key === choice.key);
    const found = all.find(m => m.scope === scope);
    if (found) return found;
    // A propagated result holds the local numbers of its heads.
    const [other] = all;
    if (!other || scope === 'propagated') throw new NotInReport();
    const { deltaLossPerToken: _, deltaOutputPerToken: __, embedding: ___, ...local } = other;
    return { ...local, scope, deltaLoss: null, deltaOutput: null };
  }

  private head(core: number, head: number): { core: ReportCore; head: ReportHead } {
    const found = this.data.cores[core]?.heads[head];
    if (!found) throw new NotInReport();
    return { core: this.data.cores[core]!, head: found };
  }

  /** Position of a mechanism in the lists of every head. */
  private indexOf(choice: Setting): number {
    const at = this.data.mechanisms.findIndex(m => m.choice.key === choice.key);
    if (at < 0) throw new NotInReport();
    return at;
  }

  // ------------------------------------------------------------ maps

  private tile(params: TileParams): Tile {
    const { core, head } = this.head(params.core, params.head);
    const { level, keptLevel } = core;
    const side = 2 ** Math.max(0, params.level - level);
    const from = { rows: cellsOf(core.queries, level), columns: cellsOf(core.keys, level) };
    const coarse = Math.max(level, params.level);
    const size = { rows: cellsOf(core.queries, coarse), columns: cellsOf(core.keys, coarse) };
    const top = params.row * TILE_SIZE;
    const left = params.column * TILE_SIZE;
    const rows = Math.max(0, Math.min(TILE_SIZE, size.rows - top));
    const columns = Math.max(0, Math.min(TILE_SIZE, size.columns - left));
    const source = params.reduce === 'mean' && head.mean ? head.mean : head.max;
    const mass = new Float32Array(rows * columns);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        mass[r * columns + c] = reduced(
          source,
          from,
          (top + r) * side,
          (left + c) * side,
          side,
          params.reduce,
        );
      }
    }
    if (!params.mechanism) return { rows, columns, mass };
    const keeps = head.kept[this.indexOf(params.mechanism)];
    if (!keeps) return { rows, columns, mass, kept: new Float32Array(rows * columns).fill(1) };
    const kept = new Float32Array(rows * columns);
    const cells = { codes: keeps.cells, columns: cellsOf(core.keys, keptLevel), shift: keptLevel - level };
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        const weights = head.mean ?? head.max;
        kept[r * columns + c] = keptShare(weights, from, cells, (top + r) * side, (left + c) * side, side);
      }
    }
    return { rows, columns, mass, kept };
  }

  /** What the report knows of a line: the heaviest links; all others are 0. */
  private line({ core, head: at, token, direction }: RowParams): Float32Array {
    const { core: shape, head } = this.head(core, at);
    const line = new Float32Array(direction === 'from' ? shape.keys : shape.queries);
    const links =
      direction === 'from' ? this.linksFrom(shape, head, token) : this.linksTo(shape, head, token);
    for (const link of links) line[link.token] = link.mass;
    return line;
  }

  /** [queries x links]: where the links of a head lead, the last key of a query first. */
  private keysOf(core: ReportCore, head: ReportHead): Uint16Array | Uint32Array {
    const known = this.keys.get(head);
    if (known) return known;
    const { links } = this.data;
    // Of the same type: differences wrap around in it as they did when they were taken.
    const keys = head.linkGaps.slice();
    for (let t = 0; t < keys.length; t++) {
      const position = Math.floor(t / links) + core.keys - core.queries;
      keys[t] = (t % links === 0 ? position : keys[t - 1]!) - head.linkGaps[t]!;
    }
    this.keys.set(head, keys);
    return keys;
  }

  private linksFrom(core: ReportCore, head: ReportHead, query: number): Link[] {
    const { links } = this.data;
    const keys = this.keysOf(core, head);
    const found: Link[] = [];
    for (let t = query * links; t < (query + 1) * links; t++) {
      const mass = linkMass(head, t);
      if (mass > 0) found.push({ token: keys[t]!, mass });
    }
    return found.sort((a, b) => b.mass - a.mass);
  }

  private linksTo(core: ReportCore, head: ReportHead, key: number): Link[] {
    const { links } = this.data;
    const { starts, links: order } = this.transpose(core, head);
    const found: Link[] = [];
    for (let at = starts[key]!; at < starts[key + 1]!; at++) {
      const t = order[at]!;
      found.push({ token: Math.floor(t / links), mass: linkMass(head, t) });
    }
    return found.sort((a, b) => b.mass - a.mass);
  }

  /** Links by their key: made when first asked for. */
  private transpose(core: ReportCore, head: ReportHead): { starts: Uint32Array; links: Uint32Array } {
    const known = this.transposed.get(head);
    if (known) return known;
    const starts = new Uint32Array(core.keys + 2);
    const keys = this.keysOf(core, head);
    const { linkMass: masses } = head;
    for (let t = 0; t < keys.length; t++) if (masses[t]! > 0) starts[keys[t]! + 2]!++;
    for (let k = 2; k < starts.length; k++) starts[k]! += starts[k - 1]!;
    const links = new Uint32Array(starts[starts.length - 1]!);
    for (let t = 0; t < keys.length; t++) if (masses[t]! > 0) links[starts[keys[t]! + 1]!++] = t;
    const made = { starts, links };
    this.transposed.set(head, made);
    return made;
  }

  private token(
    token: number,
    { core, head: at, side = 'text', top, mechanisms }: TokenParams,
  ): TokenAttention {
    if (core === null || at === null) throw new NotInReport();
    const { core: shape, head } = this.head(core, at);
    const kind = this.summary.cores[core]!.info.kind;
    const queries = kind === 'decoder' || kind === 'cross' ? 'target' : 'text';
    const keys = kind === 'decoder' ? 'target' : 'text';
    const asQuery = queries === side;
    const written = side === (this.summary.target ? 'target' : 'text') && token > 0;
    return {
      token,
      entropy: asQuery ? head.entropy[token]! : 0,
      looksAt: asQuery ? this.linksFrom(shape, head, token).slice(0, top) : [],
      looksAtSide: keys,
      lookedAtBy: keys === side ? this.linksTo(shape, head, token).slice(0, top) : [],
      lookedAtBySide: queries,
      loss: written ? (this.summary.loss?.perToken[token - 1] ?? null) : null,
      kept: this.data.mechanisms.flatMap(({ choice }, m) => {
        const kept = head.kept[m];
        if (!kept || mechanisms === null) return [];
        const lost = kept.lostKey[token]!;
        const propagated = this.summary.mechanisms.find(
          r => r.scope === 'propagated' && r.setting.key === choice.key,
        );
        return [
          {
            mechanism: choice,
            mass: asQuery ? kept.mass[token]! / 255 : 1,
            costliestLost:
              asQuery && lost ? { token: lost - 1, mass: (kept.lostMass[token]! / LOST_CODES) ** 2 } : null,
            deltaLoss: written ? (propagated?.deltaLossPerToken?.[token - 1] ?? null) : null,
          },
        ];
      }),
    };
  }

  // ------------------------------------------------------------ spans

  /** The mass is that of all distances; the heaviest pairs are among the links that the report holds. */
  private outsideSpan({ core, head: at, span, ramp }: OutsideSpanParams): OutsideSpan {
    const { core: shape, head } = this.head(core, at);
    const size = shape.byDistance.length / shape.heads.length;
    let mass = 0;
    for (let x = 0; x < size; x++) {
      mass += shape.byDistance[at * size + x]! * (1 - softMask(x, span, ramp));
    }
    const { links } = this.data;
    const heaviest: OutsideSpan['heaviest'] = [];
    const keys = this.keysOf(shape, head);
    for (let t = 0; t < keys.length; t++) {
      const query = Math.floor(t / links);
      const key = keys[t]!;
      const distance = Math.abs(query + shape.keys - shape.queries - key);
      const lost = linkMass(head, t) * (1 - softMask(distance, span, ramp));
      if (lost > 0) heaviest.push({ query, key, distance, mass: lost });
    }
    heaviest.sort((a, b) => b.mass - a.mass);
    return { mass, heaviest: heaviest.slice(0, 12) };
  }

  // ------------------------------------------------------------ buckets

  private bucketsOf({ core, head: at, mechanism }: BucketParams): { head: ReportHead; found: ReportBuckets } {
    const { head } = this.head(core, at);
    const found = head.buckets[this.indexOf(mechanism)];
    if (!found) throw new NotInReport();
    return { head, found };
  }

  private buckets(params: BucketParams): Buckets {
    const { head, found } = this.bucketsOf(params);
    const { maps: _, centers, explained, ...buckets } = found;
    const coordinates = (codes: Int8Array) =>
      Float32Array.from(codes, code => (code / 127) * head.points!.extent);
    return {
      ...buckets,
      projection: {
        queries: coordinates(head.points!.queries),
        keys: coordinates(head.points!.keys),
        centers,
        explained,
      },
    };
  }

  private bucketMap(params: BucketMapParams): BucketMap {
    const { maps } = this.bucketsOf(params).found;
    const { mass, kept, ...map } = maps[Math.max(0, Math.min(maps.length - 1, params.round))]!;
    return {
      ...map,
      mass: Float32Array.from(mass.codes, code => massOf(mass.largest, code)),
      kept: Float32Array.from(kept, code => code / KEPT_CODES),
    };
  }
}

const cellsOf = (tokens: number, level: number) => Math.ceil(tokens / 2 ** level);
const massOf = (largest: number, code: number) => largest * (code / 255) ** 2;
const linkMass = (head: ReportHead, t: number) => (head.linkMass[t]! / LINK_CODES) ** 2;

/** Maximum or mean of side x side cells of the finest level. */
function reduced(
  source: MassCodes,
  { rows, columns }: { rows: number; columns: number },
  row: number,
  column: number,
  side: number,
  reduce: 'max' | 'mean',
): number {
  let largest = 0;
  let sum = 0;
  const bottom = Math.min(rows, row + side);
  const right = Math.min(columns, column + side);
  for (let r = row; r < bottom; r++) {
    for (let c = column; c < right; c++) {
      const code = source.codes[r * columns + c]!;
      if (code > largest) largest = code;
      sum += code * code;
    }
  }
  if (reduce === 'max') return massOf(source.largest, largest);
  return (source.largest * sum) / (255 * 255) / Math.max(1, (bottom - row) * (right - column));
}

/** Share of the mass of side x side cells that is kept. The cells of what is kept are as large or larger. */
function keptShare(
  mass: MassCodes,
  { rows, columns }: { rows: number; columns: number },
  kept: { codes: Uint8Array; columns: number; shift: number },
  row: number,
  column: number,
  side: number,
): number {
  let sum = 0;
  let total = 0;
  for (let r = row; r < Math.min(rows, row + side); r++) {
    for (let c = column; c < Math.min(columns, column + side); c++) {
      const weight = mass.codes[r * columns + c]! ** 2;
      sum += weight * kept.codes[(r >> kept.shift) * kept.columns + (c >> kept.shift)]!;
      total += weight;
    }
  }
  return total > 0 ? sum / total / KEPT_CODES : 0;
}
