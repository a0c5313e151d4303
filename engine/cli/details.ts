/** What each detail of a text asks the engine for. */
import type { NamedMechanism } from './arguments';
import type { PredictedToken } from './predict';
import type { Engine } from '../engine';
import type { AnalysisSummary, HeadAssignment, LensName, Setting } from '../../shared/protocol/engine';
import { COST_RUNS, costLengths, FORWARD_RUNS } from '../../shared/costLengths';

/** The analysis of the text, and of the other one. */
export const OWN = 'cli';
export const OTHER = 'cli from';

export const DETAILS = [
  'lens',
  'buckets',
  'spans',
  'cost',
  'map',
  'token',
  'lost',
  'loss',
  'ablation',
  'attribution',
  'rollout',
  'values',
  'patch',
] as const;
export type DetailName = (typeof DETAILS)[number];

export const PARTS = ['heads', 'residual', 'edges'] as const;
export type Part = (typeof PARTS)[number];

export interface Edge {
  query: number;
  key: number;
}

/** What may be said of a detail; what is not said is undefined. */
export interface Asked {
  head?: { core: number; head: number };
  lens?: string;
  param: Record<string, string>;
  mechanisms: NamedMechanism[];
  budget?: number;
  /** Of loss: a text whose tokens are counted. */
  reference?: string;
  tokens?: PredictedToken[];
  /** Of attribution at tokens: the id that is asked about. */
  answer?: number;
  /** Of patch: the ids whose logits are told, which part is put in, and of which tokens or edges. */
  answers?: { own: number; other: number };
  part?: Part;
  put?: PredictedToken[];
  edges?: Edge[];
  /** Of ablation. */
  resample: boolean;
  /** Of costs: also as they are on this machine. */
  measure: boolean;
  lengths?: number[];
  byValue: boolean;
}

/** As in the views. */
const RAMP = 32;
const MASS_TARGET = 0.95;
const TOP = 8;
/** Tokens that are told of a change: those that it costs most. */
const WORST = 10;

/** Where none is named. */
export const FIRST_HEAD = { core: 0, head: 0 };

type Asking = (
  engine: Engine,
  asked: Asked,
  summary: AnalysisSummary,
  signal: AbortSignal,
) => Promise<unknown>;

const id = OWN;

/** Of every detail that is told in numbers. */
export const ASKED: Record<Exclude<DetailName, 'map'>, Asking> = {
  lens: (engine, { head = FIRST_HEAD, lens, param }, _, signal) =>
    engine.request('analysis/lens', { id, lens: lens as LensName, ...head, params: param }, signal),

  buckets: (engine, { head = FIRST_HEAD, mechanisms }, _, signal) =>
    engine.request('analysis/buckets', { id, ...head, mechanism: mechanisms[0]!.setting }, signal),

  /** Of a head that is named also the heaviest keys that its span leaves out. */
  spans: async (engine, { head, budget }, _, signal) => {
    const wish = budget === undefined ? { massTarget: MASS_TARGET } : { budget };
    const fit = await engine.request('analysis/spans', { id, ...wish, ramp: RAMP }, signal);
    const own = head && fit.heads.find(one => one.core === head.core && one.head === head.head);
    if (!own) return fit;
    const asked = { id, ...head!, span: own.span, ramp: fit.ramp };
    return { ...fit, outside: { ...head, ...(await engine.request('analysis/outsideSpan', asked, signal)) } };
  },

  cost: async (engine, { head = FIRST_HEAD, mechanisms, measure, lengths: wanted }, { tokens }, signal) => {
    const lengths = wanted ?? costLengths(tokens.ids.length);
    const asked = { id, core: head.core, mechanisms: settingsOf(mechanisms), lengths };
    const formulas = await engine.request('cost/formulas', asked, signal);
    if (!measure) return formulas;
    const measured = await engine.request('cost/measure', { ...asked, ...COST_RUNS }, signal);
    return {
      ...formulas,
      measured,
      forward: await engine.request('cost/forward', { id, runs: FORWARD_RUNS }, signal),
    };
  },

  /** Where tokens look, in a head or on average over all; under mechanisms also what these keep of it. */
  token: (engine, { head, tokens, mechanisms, byValue }, summary, signal) => {
    const { core, head: one } = head ?? { core: null, head: null };
    const kept = mechanisms.length > 0 ? settingsOf(mechanisms) : null;
    const where = { core, head: one, tokens: places(tokens, summary), top: TOP };
    return engine.request('analysis/token', { id, ...where, mechanisms: kept, byValue }, signal);
  },

  /** The tokens that a mechanism in every head costs most, each with the heaviest key that a head lost. */
  lost: async (engine, { mechanisms }, summary, signal) => {
    const mechanism = mechanisms[0]!.setting;
    const run = { id, mechanism, scope: 'propagated' as const };
    const found = await engine.request('analysis/mechanism', run, signal);
    const perToken = found.deltaLossPerToken ?? found.deltaOutputPerToken!;
    const queries = [...perToken.keys()].sort((a, b) => perToken[b]! - perToken[a]!).slice(0, WORST);
    const heads = everyHead(summary, mechanism);
    const lost = await engine.request('analysis/worst', { id, heads, queries }, signal);
    return {
      measure: found.deltaLossPerToken ? 'loss' : 'output',
      tokens: lost.map(one => ({ ...one, change: perToken[one.query]! })),
    };
  },

  loss: (engine, { reference, mechanisms }, _, signal) => {
    const asked = { id, reference: reference ?? null, mechanisms: settingsOf(mechanisms) };
    return engine.request('analysis/lossGroups', asked, signal);
  },

  ablation: (engine, { resample }, _, signal) => engine.request('analysis/ablate', { id, resample }, signal),

  /** On the whole text, or at each of the tokens that are named. */
  attribution: async (engine, { tokens, answer }, summary, signal) => {
    if (!tokens) return engine.request('analysis/attribution', { id }, signal);
    const found = [];
    for (const token of places(tokens, summary))
      found.push(await engine.request('analysis/tokenAttribution', { id, token, answer }, signal));
    return { tokens: found };
  },

  values: async (engine, { head = FIRST_HEAD }, _, signal) => ({
    ...head,
    ...(await engine.request('analysis/valueWeights', { id, ...head }, signal)),
  }),

  patch: (engine, { head = FIRST_HEAD, tokens, answers, part = 'heads', put, edges }, summary, signal) => {
    const asked = { id, from: OTHER, at: places(tokens, summary)[0], answers };
    if (part === 'heads') return engine.request('analysis/patch', asked, signal);
    if (part === 'edges')
      return engine.request('analysis/patchEdges', { ...asked, ...head, ...(edges && { edges }) }, signal);
    const chosen = put && { tokens: places(put, summary) };
    return engine.request('analysis/patchResidual', { ...asked, ...chosen }, signal);
  },

  rollout: async (engine, { tokens }, summary, signal) => {
    const chosen = places(tokens, summary);
    return { tokens: chosen, ...(await engine.request('analysis/rollout', { id, tokens: chosen }, signal)) };
  },
};

const settingsOf = (mechanisms: readonly NamedMechanism[]): Setting[] =>
  mechanisms.map(({ setting }) => setting);

/** Default: the last token. */
function places(
  tokens: readonly PredictedToken[] | undefined,
  { tokens: { ids } }: AnalysisSummary,
): number[] {
  return (tokens ?? ['last' as const]).map(token => (token === 'last' ? ids.length - 1 : token));
}

const everyHead = ({ cores }: AnalysisSummary, choice: Setting): HeadAssignment[] =>
  cores.flatMap(({ heads }) => heads.map(({ core, head }) => ({ core, head, choice })));
