/**
 * An engine for looking at the views without a model: attention made from textbook patterns (previous token, first
 * token, same token, what followed it, neighbourhood, everywhere) over real tokens of a text. Only for the views' own
 * tests and pictures; nothing here reaches the extension.
 */
import type { CoreInput } from '../../engine/attention/core';
import { settledParams } from '../../engine/attention/parameters';
import { findMechanism } from '../../engine/attention/registry';
import { numberOf } from '../../shared/setting';
import type {
  Prediction,
  TokenAttention,
  AnalysisSummary,
  BucketMap,
  BucketMapParams,
  BucketParams,
  Buckets,
  CoreResult,
  EngineMethod,
  EngineParams,
  EngineResult,
  HeadProfile,
  Setting,
  MechanismInfo,
  MechanismParams,
  MechanismResult,
  Quantiles,
  Role,
  Tile,
  TileParams,
  TokenTable,
} from '../../shared/protocol/engine';
import { assigned, detailed, effect, fitted, plan } from './syntheticPlan';
import { syntheticLens } from './syntheticLenses';
import { syntheticForward, syntheticFormulas, syntheticMeasurement } from './syntheticCosts';
import {
  syntheticAttribution,
  syntheticLossGroups,
  syntheticEdges,
  syntheticPatching,
  syntheticProbe,
  syntheticResidual,
  syntheticRollout,
  syntheticTokenAttribution,
  syntheticValues,
  valued,
} from './syntheticMeasures';
import { setting } from '../support/settings';

const TILE = 128;
const PATTERNS = [
  'previous',
  'first',
  'local',
  'induction',
  'duplicate',
  'broad',
  'self',
  'punctuation',
] as const;
type Pattern = (typeof PATTERNS)[number];

/** A small generator of even numbers in 0..1 (mulberry32). */
export function random(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** @param vocabulary of texts that are to have the same ids for the same tokens */
export function splitTokens(text: string, limit: number, vocabulary = new Map<string, number>()): TokenTable {
  const all = [...text.matchAll(/\s?[\p{L}\p{N}]+|\s?[^\s\p{L}\p{N}]|\s+/gu)];
  const kept = all.slice(0, limit);
  const idOf = (t: string) => vocabulary.get(t) ?? (vocabulary.set(t, vocabulary.size), vocabulary.size - 1);
  return {
    ids: Int32Array.from(kept, m => idOf(m[0])),
    start: Int32Array.from(kept, m => m.index),
    end: Int32Array.from(kept, m => m.index + m[0].length),
    text: kept.map(m => m[0]),
    special: new Uint8Array(kept.length),
    total: all.length,
  };
}

interface Options {
  layers: number;
  heads: number;
  tokens: TokenTable;
}

export class SyntheticEngine {
  readonly n: number;
  private readonly lastSeen: Int32Array;

  constructor(private readonly options: Options) {
    const { ids } = options.tokens;
    this.n = ids.length;
    const seen = new Map<number, number>();
    this.lastSeen = ids.map((id, i) => {
      const before = seen.get(id) ?? -1;
      seen.set(id, i);
      return before;
    });
  }

  // ------------------------------------------------------------ attention

  private style(core: number, head: number) {
    const r = random(core * 131 + head * 17 + 5);
    const pattern: Pattern = PATTERNS[Math.floor(r() * PATTERNS.length)]!;
    return { pattern, strength: 0.35 + 0.6 * r(), reach: 2 ** (1 + r() * 8), noise: r() };
  }

  /** Probabilities of one causal row. */
  row(core: number, head: number, i: number): Float32Array {
    const { pattern, strength, reach } = this.style(core, head);
    const { text } = this.options.tokens;
    const weights = new Float32Array(this.n);
    const r = random(core * 7919 + head * 104729 + i * 31);
    let sum = 0;
    for (let j = 0; j <= i; j++) {
      const w = (Math.exp(-(i - j) / reach) + 0.02) * Math.exp(2.5 * (r() + (j % 13 === 0 ? 0.3 : 0)));
      weights[j] = w;
      sum += w;
    }
    for (let j = 0; j <= i; j++) weights[j] = (weights[j]! / sum) * (1 - strength);
    const put = (j: number) => (weights[Math.max(0, Math.min(i, j))]! += strength);
    const before = this.lastSeen[i]!;
    if (pattern === 'previous') put(i - 1);
    else if (pattern === 'first') put(0);
    else if (pattern === 'self') put(i);
    else if (pattern === 'induction') put(before >= 0 ? before + 1 : 0);
    else if (pattern === 'duplicate') put(before >= 0 ? before : i);
    else if (pattern === 'punctuation') {
      let j = i;
      while (j > 0 && !/[.,;:!?]/.test(text[j]!)) j--;
      put(j);
    } else {
      const width = pattern === 'local' ? Math.min(12, i + 1) : i + 1;
      for (let d = 0; d < width; d++) weights[i - d]! += strength / width;
    }
    return weights;
  }

  // ------------------------------------------------------------ profiles

  edges(): Int32Array {
    const edges = [0];
    while (edges[edges.length - 1]! < this.n) {
      const last = edges[edges.length - 1]!;
      edges.push(Math.max(last + 1, Math.floor(last * 1.25)));
    }
    edges[edges.length - 1] = this.n;
    return Int32Array.from(edges);
  }

  profile(core: number, head: number): HeadProfile {
    const { n } = this;
    const { pattern } = this.style(core, head);
    const edges = this.edges();
    const mass = new Float32Array(edges.length - 1);
    const size = 64;
    const sums = new Float64Array(size * size);
    const to = { self: 0, previous: 0, next: 0, first: 0, separator: 0, punctuation: 0 };
    const spans: Record<90 | 95 | 99, number[]> = { 90: [], 95: [], 99: [] };
    let entropy = 0;
    let relative = 0;
    let distance = 0;
    const step = Math.max(1, Math.floor(n / 256));
    let rows = 0;
    for (let i = 0; i < n; i += step) {
      const row = this.row(core, head, i);
      rows++;
      let h = 0;
      let kept = 0;
      const reached: Partial<Record<number, boolean>> = {};
      for (let d = 0; d <= i; d++) {
        const p = row[i - d]!;
        if (p > 0) h -= p * Math.log(p);
        distance += p * d;
        kept += p;
        for (const share of [90, 95, 99] as const) {
          if (!reached[share] && kept >= share / 100 - 1e-6) {
            reached[share] = true;
            spans[share].push(d);
          }
        }
        let b = 0;
        while (edges[b + 1]! <= d) b++;
        mass[b]! += p;
        sums[Math.floor((i / n) * size) * size + Math.floor(((i - d) / n) * size)]! += p;
      }
      entropy += h;
      relative += i ? h / Math.log(i + 1) : 0;
      to.self += row[i]!;
      to.previous += i ? row[i - 1]! : 0;
      to.first += row[0]!;
      to.punctuation += row.reduce(
        (a, p, j) => a + (/[.,;:!?]/.test(this.options.tokens.text[j]!) ? p : 0),
        0,
      );
    }
    for (const key of Object.keys(to) as (keyof typeof to)[]) to[key] /= rows;
    const most = Math.max(...sums);
    const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);
    return {
      core,
      head,
      entropy: entropy / rows,
      relativeEntropy: relative / rows,
      meanDistance: distance / rows,
      span90: mean(spans[90]),
      span95: mean(spans[95]),
      span99: mean(spans[99]),
      span90Quantiles: quantiles(spans[90]),
      span95Quantiles: quantiles(spans[95]),
      span99Quantiles: quantiles(spans[99]),
      to,
      roles: [{ role: pattern as Role, score: this.style(core, head).strength }],
      distance: { edges, mass: mass.map(m => m / rows) },
      thumbnail: { size, pixels: Uint8Array.from(sums, s => Math.round(255 * Math.sqrt(s / most))) },
    };
  }

  core(core: number): CoreResult {
    const { heads } = this.options;
    return {
      info: this.model().cores[core]!,
      heads: Array.from({ length: heads }, (_, h) => this.profile(core, h)),
    };
  }

  model(): AnalysisSummary['model'] {
    const { layers, heads } = this.options;
    return {
      name: 'synthetic',
      ref: 'synthetic',
      kind: 'decoder',
      layers,
      heads,
      causal: true,
      parameters: 0,
      context: null,
      vocabulary: null,
      languageModelHead: false,
      cores: Array.from({ length: layers }, (_, core) => ({
        core,
        kind: 'self',
        layer: core,
        heads,
        kvHeads: heads,
        dim: 64,
        mask: 'causal',
        causal: true,
      })),
      verified: { maxAbsDiff: 0, maxRelDiff: 0, bitEqual: true, reference: 'synthetic' },
    };
  }

  get size(): { tokens: number; layers: number; heads: number } {
    return { tokens: this.n, layers: this.options.layers, heads: this.options.heads };
  }

  // ------------------------------------------------------------ mechanisms

  private readonly settledParams = new Map<string, MechanismParams>();

  keeps(choice: Setting, i: number, j: number): boolean {
    const params = this.settled(choice);
    const number = (name: string) => numberOf(params, name);
    switch (choice.name) {
      case 'dense':
        return true;
      case 'local':
        return i - j < number('window');
      case 'strided':
        return i - j <= number('stride') || (i - j) % number('stride') === 0;
      case 'fixed': {
        const block = number('block');
        return Math.floor(i / block) === Math.floor(j / block) || j % block >= block - number('summary');
      }
      case 'lsh':
      case 'routing':
        return (
          bucketOf(this.options.tokens.ids[i]!, 0) === bucketOf(this.options.tokens.ids[j]!, 0) ||
          i - j < Number(params['bucketSize'] ?? 64) / 4
        );
      default:
        return i - j < 48;
    }
  }

  private settled(choice: Setting): MechanismParams {
    let params = this.settledParams.get(choice.key);
    if (!params) {
      const shape = { queries: this.n, keys: this.n, dim: 64 } as CoreInput;
      params = settledParams(findMechanism(choice.name), shape, choice.params);
      this.settledParams.set(choice.key, params);
    }
    return params;
  }

  mechanism(choice: Setting): MechanismResult {
    const { layers, heads } = this.options;
    const rows = Array.from({ length: 24 }, (_, k) => Math.floor(((k + 0.5) / 24) * this.n));
    const list = Array.from({ length: layers * heads }, (_, k) => {
      const [core, head] = [Math.floor(k / heads), k % heads];
      let recall = 0;
      let pairs = 0;
      let dense = 0;
      for (const i of rows) {
        const row = this.row(core, head, i);
        for (let j = 0; j <= i; j++) {
          dense++;
          if (!this.keeps(choice, i, j)) continue;
          recall += row[j]!;
          pairs++;
        }
      }
      recall /= rows.length;
      return {
        core,
        head,
        recall,
        recallP5: recall * 0.8,
        outputError: 1 - recall,
        pairs,
        densePairs: dense,
        uncovered: choice.name === 'routing' ? 11 : 0,
      };
    });
    const sum = (pick: (h: (typeof list)[number]) => number) => list.reduce((a, h) => a + pick(h), 0);
    return {
      setting: choice,
      settled: this.settled(choice),
      scope: 'local',
      recall: sum(h => h.recall) / list.length,
      sparsity: 1 - sum(h => h.pairs) / sum(h => h.densePairs),
      outputError: sum(h => h.outputError) / list.length,
      deltaLoss: null,
      deltaOutput: null,
      pairs: sum(h => h.pairs),
      densePairs: sum(h => h.densePairs),
      milliseconds: 1,
      heads: list,
      notes: [],
    };
  }

  // ------------------------------------------------------------ requests

  async request<M extends EngineMethod>(method: M, params: EngineParams<M>): Promise<EngineResult<M>> {
    return this.answer(method, params as never) as EngineResult<M>;
  }

  private answer(method: EngineMethod, p: never): unknown {
    switch (method) {
      case 'analysis/tile':
        return this.tile(p);
      case 'analysis/row': {
        const { core, head, token, direction, byValue } = p as EngineParams<'analysis/row'>;
        const row = (i: number) => (byValue ? valued(this, core, head, i) : this.row(core, head, i));
        if (direction === 'from') return row(token);
        return Float32Array.from({ length: this.n }, (_, i) => (i < token ? 0 : row(i)[token]!));
      }
      case 'analysis/valueWeights':
        return syntheticValues(this, p);
      case 'analysis/rollout':
        return syntheticRollout(this, p);
      case 'analysis/token': {
        const { core, head, tokens, top, byValue } = p as EngineParams<'analysis/token'>;
        return tokens.map((token): TokenAttention => {
          const row = byValue ? valued(this, core!, head!, token) : this.row(core ?? 0, head ?? 0, token);
          const best = [...row.keys()].sort((a, b) => row[b]! - row[a]!).slice(0, top);
          const links = best.map(t => ({ token: t, mass: row[t]! }));
          return {
            token,
            entropy: 1,
            looksAt: links,
            looksAtSide: 'text',
            lookedAtBy: links,
            lookedAtBySide: 'text',
            loss: null,
            kept: [],
          };
        });
      }
      case 'analysis/predictions': {
        const { tokens, heads = [], interventions = [] } = p as EngineParams<'analysis/predictions'>;
        const changed = heads.length + interventions.length > 0;
        const likely = (shift: number) =>
          Array.from({ length: 5 }, (_, t) => ({
            id: t + shift,
            text: ` word${t + shift}`,
            probability: 0.4 / 2 ** t,
          }));
        return tokens.map((token): Prediction => ({
          token,
          of: 'next',
          before: likely(0),
          after: changed ? likely(2) : null,
          came: { id: 0, text: ' word0', before: 0.4, after: changed ? 0.01 : null },
        }));
      }
      case 'analysis/mechanism': {
        const { mechanism, scope } = p as EngineParams<'analysis/mechanism'>;
        const result = this.mechanism(mechanism);
        if (scope === 'local') return result;
        const errors = result.heads.map(head => head.outputError);
        const { delta, perToken } = effect(errors, this.n);
        return { ...result, scope, deltaLoss: delta, deltaLossPerToken: perToken };
      }
      case 'analysis/intervene': {
        const { interventions } = p as EngineParams<'analysis/intervene'>;
        return {
          interventions,
          effect: effect(
            interventions.map(() => 0.5),
            this.n,
          ),
          notes: [],
        };
      }
      case 'analysis/ablate':
        return {
          measure: 'loss',
          heads: this.model().cores.flatMap(info =>
            this.core(info.core).heads.map(({ head, meanDistance }) => {
              const delta = meanDistance / 1000 - 0.005;
              const change = { delta, low: delta - 0.01, high: delta + 0.01 };
              return { core: info.core, head, zero: change, mean: change };
            }),
          ),
        };
      case 'analysis/attribution':
        return syntheticAttribution(this);
      case 'analysis/lossGroups':
        return syntheticLossGroups(this, p);
      case 'analysis/patch':
        return syntheticPatching(this, p);
      case 'analysis/patchResidual':
        return syntheticResidual(this, p);
      case 'analysis/patchEdges':
        return syntheticEdges(this, p);
      case 'heads/probe':
        return syntheticProbe(this);
      case 'analysis/tokenAttribution':
        return syntheticTokenAttribution(this, p);
      case 'analysis/worst': {
        const { queries } = p as EngineParams<'analysis/worst'>;
        return queries.map(query => {
          const key = Math.floor(query / 3);
          return { query, lost: { core: 2, head: 3, key, mass: 0.3, distance: query - key } };
        });
      }
      case 'analysis/plan':
        return plan(this, p);
      case 'analysis/atBudget':
        return fitted(this, p);
      case 'analysis/compare':
        return (p as EngineParams<'analysis/compare'>).mechanisms.map(choice =>
          detailed(this.mechanism(choice)),
        );
      case 'analysis/assign':
        return assigned(this, p);
      case 'analysis/spans':
        return this.spans(p);
      case 'analysis/outsideSpan': {
        const { core, head, span } = p as EngineParams<'analysis/outsideSpan'>;
        const found = [];
        let mass = 0;
        const rows = Array.from({ length: 40 }, (_, k) => Math.floor(((k + 0.5) / 40) * this.n));
        for (const query of rows) {
          const row = this.row(core, head, query);
          for (let key = 0; key < query - span; key++) {
            mass += row[key]! / rows.length;
            found.push({ query, key, distance: query - key, mass: row[key]! });
          }
        }
        return { mass, heaviest: found.sort((a, b) => b.mass - a.mass).slice(0, 8) };
      }
      case 'analysis/lens':
        return syntheticLens(p, this.options);
      case 'cost/formulas':
        return syntheticFormulas(p);
      case 'cost/measure':
        return syntheticMeasurement(p);
      case 'cost/forward':
        return syntheticForward(this.options.layers, this.n);
      case 'analysis/buckets':
        return this.buckets(p);
      case 'analysis/bucketMap':
        return this.bucketMap(p);
      default:
        throw new Error(`The synthetic engine does not know ${method}.`);
    }
  }

  private tile({ core, head, level, row, column, reduce, mechanism, byValue }: TileParams): Tile {
    const side = 2 ** level;
    const cells = Math.ceil(this.n / side);
    const rows = Math.min(TILE, cells - row * TILE);
    const columns = Math.min(TILE, cells - column * TILE);
    const mass = new Float32Array(rows * columns);
    const total = new Float32Array(rows * columns);
    const kept = new Float32Array(rows * columns);
    for (let r = 0; r < rows; r++) {
      for (let i = (row * TILE + r) * side; i < Math.min(this.n, (row * TILE + r + 1) * side); i++) {
        const values = byValue ? valued(this, core, head, i) : this.row(core, head, i);
        for (let c = 0; c < columns; c++) {
          for (let j = (column * TILE + c) * side; j < Math.min(i + 1, (column * TILE + c + 1) * side); j++) {
            const at = r * columns + c;
            const p = values[j]!;
            mass[at] = reduce === 'max' ? Math.max(mass[at]!, p) : mass[at]! + p / (side * side);
            total[at]! += p;
            if (mechanism && this.keeps(mechanism, i, j)) kept[at]! += p;
          }
        }
      }
    }
    return {
      rows,
      columns,
      mass,
      ...(mechanism ? { kept: kept.map((k, i) => (total[i] ? k / total[i]! : 0)) } : {}),
    };
  }

  private spans({
    massTarget,
    budget,
    ramp,
  }: EngineParams<'analysis/spans'>): EngineResult<'analysis/spans'> {
    const { layers, heads } = this.options;
    return {
      ramp,
      heads: Array.from({ length: layers * heads }, (_, k) => {
        const profile = this.profile(Math.floor(k / heads), k % heads);
        const target = massTarget ?? 0.5 + (budget ?? 0.1);
        const { edges, mass } = profile.distance;
        let kept = 0;
        let b = 0;
        while (b < mass.length && kept < target) kept += mass[b++]!;
        return {
          core: profile.core,
          head: profile.head,
          span: edges[b]!,
          recall: kept,
          pairs: this.n * (edges[b]! + ramp),
          densePairs: (this.n * (this.n + 1)) / 2,
          censored: edges[b]! > this.n / 2,
          growth: { least: 0, likely: 0, most: edges[b]! > this.n / 2 ? 2 : 0 },
        };
      }),
    };
  }

  private buckets({ mechanism }: BucketParams): Buckets {
    const rounds = mechanism.name === 'lsh' ? numberOf(mechanism.params, 'rounds') : 1;
    const count = Math.max(4, Math.min(24, Math.round(this.n / 40)));
    const { ids } = this.options.tokens;
    const r = random(7);
    const centers = new Float32Array(count * 2).map(() => r() * 2 - 1);
    const at = (round: number, shift: number) =>
      ids.map((id, i) =>
        mechanism.name === 'routing' && i % 29 === 3
          ? -1
          : (bucketOf(id, round) + (i % 11 === 0 ? shift : 0)) % count,
      );
    const queryBucket = Array.from({ length: rounds }, (_, round) => at(round, 1));
    const keyBucket = Array.from({ length: rounds }, (_, round) => at(round, 0));
    const place = (buckets: Int32Array) => {
      const noise = random(3);
      return Float32Array.from(
        { length: this.n * 2 },
        (_, k) => centers[Math.max(0, buckets[k >> 1]!) * 2 + (k & 1)]! * 0.8 + (noise() - 0.5) * 0.5,
      );
    };
    const row = this.row(2, 3, this.n - 1);
    const missed = [...row.keys()].sort((a, b) => row[b]! - row[a]!).slice(0, 20);
    return {
      rounds,
      count,
      queryBucket,
      keyBucket,
      sizes: queryBucket.map(b => {
        const sizes = new Int32Array(count);
        for (const x of b) if (x >= 0) sizes[x]!++;
        return sizes;
      }),
      multiplicity: ids.map((_, i) => (queryBucket[0]![i]! < 0 ? 0 : i % 13 === 0 ? 2 : 1)),
      uncovered: queryBucket[0]!.filter(b => b < 0).length,
      recall: 0.613,
      chanceRecall: 0.121,
      missed: missed.map(key => ({ query: this.n - 1, key, mass: row[key]! })),
      projection: {
        queries: place(queryBucket[0]!),
        keys: place(keyBucket[0]!),
        centers: mechanism.name === 'routing' ? centers.map(c => c * 0.8) : new Float32Array(),
        explained: 0.47,
      },
    };
  }

  private bucketMap(p: BucketMapParams): BucketMap {
    const { keyBucket, queryBucket, count } = this.buckets(p);
    const slot = (bucket: number) => (bucket < 0 ? count : bucket);
    const order = (buckets: Int32Array) =>
      [...buckets.keys()].sort((a, b) => slot(buckets[a]!) - slot(buckets[b]!) || a - b);
    const [queries, keys] = [order(queryBucket[p.round]!), order(keyBucket[p.round]!)];
    const size = Math.min(p.size, this.n);
    const mass = new Float32Array(size * size);
    const kept = new Float32Array(size * size);
    queries.forEach((i, r) => {
      const row = this.row(p.core, p.head, i);
      keys.forEach((j, c) => {
        const at = Math.floor((r / this.n) * size) * size + Math.floor((c / this.n) * size);
        mass[at]! += row[j]!;
        if (queryBucket[p.round]![i] === keyBucket[p.round]![j]) kept[at]! += row[j]!;
      });
    });
    const starts = (buckets: Int32Array) =>
      Float32Array.from(
        { length: count + 1 },
        (_, b) => (buckets.filter(x => slot(x) < b).length / this.n) * size,
      );
    return {
      rows: size,
      columns: size,
      mass: mass.map(m => m / Math.max(1, (this.n / size) ** 2)),
      kept: kept.map((k, i) => (mass[i] ? k / mass[i]! : 0)),
      rowStarts: starts(queryBucket[p.round]!),
      columnStarts: starts(keyBucket[p.round]!),
    };
  }
}

function bucketOf(id: number, round: number): number {
  return Math.floor(random(id * 31 + round * 977)() * 12);
}

function quantiles(values: number[]): Quantiles {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number) => sorted[Math.round(q * (sorted.length - 1))] ?? 0;
  return { p5: at(0.05), p25: at(0.25), p50: at(0.5), p75: at(0.75), p95: at(0.95) };
}

function lookOf(name: string): Pick<MechanismInfo, 'label' | 'hue' | 'pale'> {
  const { label, hue, pale } = findMechanism(name).info;
  return { label, hue, ...(pale && { pale }) };
}

export const MECHANISMS: MechanismInfo[] = (
  [
    ['local', 'Local window', 'map', [['window', 64]]],
    ['strided', 'Strided', 'map', [['stride', null]]],
    [
      'fixed',
      'Fixed',
      'map',
      [
        ['block', null],
        ['summary', 8],
      ],
    ],
    ['adaptive-span', 'Adaptive span', 'spans', [['ramp', 32]]],
    [
      'lsh',
      'LSH (Reformer)',
      'buckets',
      [
        ['bucketSize', 64],
        ['rounds', 4],
      ],
    ],
    [
      'routing',
      'Routing',
      'buckets',
      [
        ['clusters', null],
        ['window', null],
      ],
    ],
  ] as [string, string, MechanismInfo['view'], [string, number | null][]][]
).map(([name, title, view, parameters]) => ({
  name,
  title,
  ...lookOf(name),
  summary: `${title}.`,
  paper: '',
  view,
  causalSelection: name !== 'routing',
  parameters: parameters.map(([parameter, value]) => ({
    name: parameter,
    type: 'integer' as const,
    default: value,
    ...(value === null ? { defaultRule: 'square root of the tokens' } : {}),
    minimum: 1,
    description: parameter,
  })),
}));

/** What an analysis by this engine would have said. */
export function summaryOf(engine: SyntheticEngine, text: string, limit: number): AnalysisSummary {
  const model = engine.model();
  return {
    id: 'a',
    model,
    device: { device: 'cpu', requested: 'auto', adapter: null, notes: [] },
    tokens: splitTokens(text, limit),
    target: null,
    cores: model.cores.map(c => engine.core(c.core)),
    loss: null,
    mechanisms: [
      engine.mechanism(setting('local', { window: 64 })),
      engine.mechanism(setting('lsh', { bucketSize: 64, rounds: 4 })),
      engine.mechanism(setting('routing', { clusters: 12 })),
    ],
    timings: {},
    peakRssMiB: 0,
    notes: [],
    verified: {
      holds: true,
      tokens: limit,
      of: limit,
      maxAbsDiff: 1e-5,
      maxRelDiff: 1e-6,
      medianAbsDiff: 1e-7,
      lossDiff: null,
      spread: 1e-6,
      float64: false,
      rules: { tokens: limit, everyRow: true },
    },
  };
}
