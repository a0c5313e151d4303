import type {
  Ablation,
  AttributedHead,
  Attribution,
  HeadAblation,
  HeadProfile,
  Interval,
  MechanismResult,
  Plan,
} from '../../shared/protocol/engine';
import { t } from '../host/words';
import { mechanismNames } from './mechanismNames';
import { number, percent, signed } from '../../shared/numbers';
import { exact, nats, tokens } from './amounts';

/** One number per head, with its name, unit and way of being written. */
export interface HeadMeasure {
  id: string;
  title: string;
  /** What it says, in one sentence. */
  summary: string;
  unit: 'nats' | 'tokens' | 'share' | 'change' | 'logit';
  /** May be below nothing, and is written with its sign. */
  signed?: true;
  scale: 'linear' | 'log';
  /** null where it is not known (yet). */
  value(head: HeadProfile): number | null;
  /** 95 % interval of the value, where there is one. */
  interval?(head: HeadProfile): Interval | null;
}

const target = (id: keyof HeadProfile['to'], title: string): HeadMeasure => ({
  id: `to-${id}`,
  title: t('mass to {0}', title),
  summary: t('Share of the attention that goes to {0}, mean over queries.', title),
  unit: 'share',
  scale: 'linear',
  value: head => head.to[id] ?? null,
});

const span = (share: 90 | 95 | 99): HeadMeasure => ({
  id: `span${share}`,
  title: t('reach of {0} % of the mass', share),
  summary: t('How far back one must look to find {0} % of the attention, mean over queries.', share),
  unit: 'tokens',
  scale: 'log',
  value: head => head[`span${share}`],
  interval: head => (share === 95 ? (head.sampled?.span95 ?? null) : null),
});

const OF_THE_HEAD: HeadMeasure[] = [
  {
    id: 'role',
    title: t('clearest role'),
    summary: t('Share of the attention that earns a head the role that it plays most clearly.'),
    unit: 'share',
    scale: 'linear',
    value: head => head.roles[0]?.score ?? null,
  },
  {
    id: 'entropy',
    title: t('entropy'),
    summary: t('How spread out the attention is: 0 nats = one key, mean over queries.'),
    unit: 'nats',
    scale: 'linear',
    value: head => head.entropy,
    interval: head => head.sampled?.entropy ?? null,
  },
  {
    id: 'relativeEntropy',
    title: t('relative entropy'),
    summary: t('Entropy against the most it could be for the keys in sight: 100 % = uniform.'),
    unit: 'share',
    scale: 'linear',
    value: head => head.relativeEntropy,
  },
  {
    id: 'meanDistance',
    title: t('mean distance'),
    summary: t('How far back the head looks on average, weighted by mass.'),
    unit: 'tokens',
    scale: 'log',
    value: head => head.meanDistance,
  },
  span(90),
  span(95),
  span(99),
  target('self', t('itself')),
  target('previous', t('the previous token')),
  target('next', t('the next token')),
  target('first', t('the first token')),
  target('separator', t('separators')),
  target('punctuation', t('punctuation')),
];

/** Of an analysis without a dense pass. */
const WITHOUT_DENSE_PASS: HeadMeasure[] = [
  {
    id: 'missed',
    title: t('mass left out'),
    summary: t(
      'Share of the dense mass that what ran here leaves out, from the exact rows of a sample of queries.',
    ),
    unit: 'share',
    scale: 'linear',
    value: head => head.sampled?.missed?.mean ?? null,
    interval: head => head.sampled?.missed ?? null,
  },
  {
    id: 'pairs',
    title: t('pairs looked at'),
    summary: t('Share of the dense pairs that ran here; the others were never computed.'),
    unit: 'share',
    scale: 'linear',
    value: ({ sampled }) => (sampled?.pairs == null ? null : sampled.pairs / sampled.densePairs),
  },
];

function ofMechanism(result: MechanismResult, name: string, what: 'recall' | 'outputError'): HeadMeasure {
  const heads = new Map(result.heads.map(h => [`${h.core}.${h.head}`, h[what]]));
  return {
    id: `${what}-${name}`,
    title:
      what === 'recall' ? t('recall under {0} (local)', name) : t('output error under {0} (local)', name),
    summary:
      what === 'recall'
        ? t('Share of the dense mass that {0} keeps, with the same queries, keys and values.', name)
        : t("Relative error of the head's output under {0}, with the same queries, keys and values.", name),
    unit: 'share',
    scale: 'linear',
    value: head => heads.get(`${head.core}.${head.head}`) ?? null,
  };
}

function ofPlan(plan: Plan): HeadMeasure {
  const heads = new Map(plan.heads.map(h => [`${h.core}.${h.head}`, h.pairs / h.densePairs]));
  return {
    id: 'plan-share',
    title: t('pairs in the plan'),
    summary: t('Share of its dense pairs that the plan lets the head spend.'),
    unit: 'share',
    scale: 'linear',
    value: head => heads.get(`${head.core}.${head.head}`) ?? null,
  };
}

/** What losing the head costs. It is told from nothing where its interval does not hold 0. */
function ofAblation({ measure, heads }: Ablation): HeadMeasure {
  const found = new Map(heads.map((h): [string, HeadAblation] => [`${h.core}.${h.head}`, h]));
  const of = ({ core, head }: HeadProfile) => found.get(`${core}.${head}`)?.zero ?? null;
  return {
    id: 'ablation',
    title: measure === 'loss' ? t('loss without it') : t('output change without it'),
    summary:
      measure === 'loss'
        ? t('What the loss grows by, per token, when the head says nothing (propagated).')
        : t("How far the model's output turns when the head says nothing (propagated; 1 - cosine)."),
    unit: measure === 'loss' ? 'nats' : 'change',
    signed: true,
    scale: 'linear',
    value: head => of(head)?.delta ?? null,
    interval: of,
  };
}

export const DIRECT_LOGIT = 'direct-logit';

/** What the head says to the logits past all layers behind it. */
function ofAttribution({ heads }: Attribution): HeadMeasure[] {
  const found = new Map(heads.map((h): [string, AttributedHead] => [`${h.core}.${h.head}`, h]));
  const of = ({ core, head }: HeadProfile) => found.get(`${core}.${head}`) ?? null;
  return [
    {
      id: DIRECT_LOGIT,
      title: t('adds to the next logit (direct)'),
      summary: t(
        'What the head adds to the logit of the token that comes, beside what it adds to all of the vocabulary on average; past the layers behind it, mean over tokens.',
      ),
      unit: 'logit',
      signed: true,
      scale: 'linear',
      value: head => of(head)?.logit.delta ?? null,
      interval: head => of(head)?.logit ?? null,
    },
    {
      id: 'direct-loss',
      title: t('loss without its direct path'),
      summary: t('What the loss grows by, per token, when the logits alone do not hear the head.'),
      unit: 'nats',
      signed: true,
      scale: 'linear',
      value: head => of(head)?.loss.delta ?? null,
      interval: head => of(head)?.loss ?? null,
    },
    {
      id: 'copying',
      title: t('copying'),
      summary: t(
        'Share of the tokens whose value the head turns into the token itself: among the five likeliest of what it writes.',
      ),
      unit: 'share',
      scale: 'linear',
      value: head => of(head)?.copying ?? null,
    },
  ];
}

/** All measures that can be shown now. */
export function headMeasures(
  mechanisms: MechanismResult[],
  plan: Plan | null = null,
  heads: readonly HeadProfile[] = [],
  ablation: Ablation | null = null,
  attribution: Attribution | null = null,
): HeadMeasure[] {
  const local = mechanisms.filter(m => m.scope === 'local');
  const names = mechanismNames(local.map(({ setting }) => setting));
  const of = (what: 'recall' | 'outputError') => local.map((m, i) => ofMechanism(m, names[i]!, what));
  return [
    ...(ablation?.heads.length ? [ofAblation(ablation)] : []),
    ...(attribution ? ofAttribution(attribution) : []),
    ...OF_THE_HEAD,
    ...(heads.some(head => head.sampled) ? WITHOUT_DENSE_PASS : []),
    ...(heads.some(head => head.to.sink !== undefined) ? [target('sink', t('the sink'))] : []),
    ...(plan ? [ofPlan(plan)] : []),
    ...of('recall').filter((_, i) => local[i]!.recall !== null),
    ...of('outputError'),
  ];
}

/** The measure that tells heads apart at first sight: what they cost, once that was measured. */
export function defaultMeasure(measures: readonly HeadMeasure[]): string {
  return measures.some(({ id }) => id === 'ablation') ? 'ablation' : 'role';
}

export function findMeasure(measures: HeadMeasure[], id: string): HeadMeasure {
  return measures.find(m => m.id === id) ?? measures[0]!;
}

export function writeMeasure(measure: HeadMeasure, value: number | null): string {
  if (value === null) return '–';
  if (measure.unit === 'share') return percent(value);
  if (measure.signed) return measure.unit === 'nats' ? t('{0} nats', signed(value)) : signed(value);
  return measure.unit === 'nats' ? nats(value) : tokens(value);
}

/** Without the unit, for columns whose head says it. */
export function writeShort(measure: HeadMeasure, value: number | null): string {
  if (value === null) return '–';
  if (measure.signed) return signed(value);
  return measure.unit === 'share' ? percent(value) : number(value);
}

/** Between what the value lies (95 %), where that is known. */
export function writeInterval(measure: HeadMeasure, head: HeadProfile): string | null {
  const range = measure.interval?.(head);
  return range ? t('{0} to {1}', writeShort(measure, range.low), writeShort(measure, range.high)) : null;
}

const EXACT_UNITS: Partial<Record<HeadMeasure['unit'], string>> = { change: '1 - cosine', logit: '' };

export function writeExact(measure: HeadMeasure, value: number | null): string {
  if (value === null) return t('not known');
  if (measure.unit === 'share') return exact(value * 100, '%');
  return exact(value, EXACT_UNITS[measure.unit] ?? measure.unit);
}

export interface MeasureRange {
  /** 0..1 position of a value; unknown values are at 0. */
  position(value: number | null): number;
  /** The value at a position: inverse of `position`. */
  valueAt(position: number): number;
}

/** How a measure's values are laid out: linear ones from 0 or what lies below it, logarithmic ones from the least, all to the most. */
export function measureRange(measure: HeadMeasure, heads: HeadProfile[]): MeasureRange | null {
  const values = heads
    .map(h => measure.value(h))
    .filter((v): v is number => v !== null && Number.isFinite(v));
  if (!values.length) return null;
  const log = measure.scale === 'log';
  // log(1 + x): distances may be 0.
  const to = (v: number) => (log ? Math.log1p(v) : v);
  const from = (v: number) => (log ? Math.expm1(v) : v);
  const low = log ? to(Math.min(...values)) : measure.signed ? Math.min(0, ...values) : 0;
  const high = to(Math.max(...values));
  const width = high > low ? high - low : 1;
  return {
    position: v => (v === null ? 0 : Math.max(0, Math.min(1, (to(v) - low) / width))),
    valueAt: p => from(low + p * (high - low)),
  };
}

export function measurePosition(
  measure: HeadMeasure,
  heads: HeadProfile[],
): (value: number | null) => number {
  return measureRange(measure, heads)?.position ?? (() => 0);
}
