/** How each tool finds its answer: a few requests to the engine, and of their replies what fits a conversation. */
import type * as v from 'valibot';
import type * as schemas from './schemas';
import { readOf, type ReadText, type Texts } from './texts';
import { oneLine, visible } from '../foreign';
import { roleStrength } from '../host/clearestHead';
import type {
  Change,
  CoreInfo,
  HeadProfile,
  Link,
  MechanismResult,
  RoleScore,
  TokenTable,
} from '../protocol/engine';
import { textOf } from '../protocol/notes';
import { sidesOf } from '../protocol/analysis';
import { ROLES, type Side } from '../protocol/text';
import { chosenParams } from '../setting';
import { meanInterval } from '../uncertainty';

type Input<S extends v.GenericSchema> = v.InferOutput<S>;
type Answer<S extends v.GenericSchema> = v.InferInput<S>;

/** Tokens of a word that are explained; characters of its sentence on each side. */
const WORD_TOKENS = 4;
const CONTEXT = 60;
const NOTES = 20;

export function analyzeAttention(
  texts: Texts,
  { top, ...source }: Input<typeof schemas.analyzeInput>,
  signal: AbortSignal,
): Promise<Answer<typeof schemas.analyzeOutput>> {
  return texts.with(source, signal, async ({ summary }) => {
    const all = summary.cores.flatMap(({ info, heads }) => heads.map(head => ({ info, head })));
    const clearest = all.sort((a, b) => roleStrength(b.head) - roleStrength(a.head)).slice(0, top);
    return {
      ...readOf(summary.model, summary.tokens),
      verified: summary.verified.holds,
      loss: summary.loss?.mean ?? null,
      headCount: all.length,
      heads: clearest.map(({ info, head }) => ({
        ...placeOf(info, head),
        roles: head.roles.map(({ role, score }) => ({ role, score })),
        entropy: head.entropy,
        meanDistance: head.meanDistance,
        span95: head.span95,
      })),
      notes: shortNotes(summary.notes),
    };
  });
}

export function explainToken(
  texts: Texts,
  { token, word, occurrence, side, core, head, top, ...source }: Input<typeof schemas.explainInput>,
  signal: AbortSignal,
): Promise<Answer<typeof schemas.explainOutput>> {
  if ((token === undefined) === (word === undefined)) throw new Error('Give either `token` or `word`.');
  if (head !== undefined && core === undefined) throw new Error('Give the `core` of the head.');
  return texts.with(source, signal, async read => {
    const { summary, id } = read;
    const asker = sideOf(read, side);
    const { tokens } = asker;
    checkHead(read, core, head);
    const asked = word === undefined ? [token!] : tokensOfWord(asker, word, occurrence);
    if (asked.some(one => one >= tokens.ids.length))
      throw new Error(`The text has ${tokens.ids.length} tokens, counted from 0.`);
    const explained = await texts.host.ask(
      'analysis/token',
      {
        id,
        core: core ?? null,
        head: head ?? null,
        side,
        tokens: asked.slice(0, WORD_TOKENS),
        top,
        mechanisms: [],
      },
      signal,
    );
    const named = (side: Side) => (one: Link) => ({
      token: one.token,
      text: tokenText(sideOf(read, side).tokens, one.token),
      mass: one.mass,
      side,
    });
    const other: Side = side === 'text' ? 'target' : 'text';
    // What asks nothing in a core has no entropy there.
    const asks = core === undefined || sidesOf(summary.model.cores[core]!.kind).queries === side;
    return {
      ...readOf(summary.model, summary.tokens),
      of:
        core === undefined
          ? 'the mean of all heads'
          : head === undefined
            ? `the mean of core ${core}`
            : `core ${core}, head ${head}`,
      explained: explained.map(one => ({
        token: one.token,
        text: tokenText(tokens, one.token),
        context: contextOf(asker, one.token),
        loss: one.loss ?? null,
        entropy: asks ? one.entropy : null,
        looksAt: one.looksAt.map(named(one.looksAtSide)),
        lookedAtBy: one.lookedAtBy.map(named(one.lookedAtBySide)),
        ...(one.across && {
          across: {
            looksAt: one.across.looksAt.map(named(other)),
            lookedAtBy: one.across.lookedAtBy.map(named(other)),
          },
        }),
      })),
      moreTokens: Math.max(0, asked.length - WORD_TOKENS),
    };
  });
}

export function compareMechanisms(
  texts: Texts,
  { mechanisms, budget, propagate, ...source }: Input<typeof schemas.compareInput>,
  signal: AbortSignal,
): Promise<Answer<typeof schemas.compareOutput>> {
  return texts.with(source, signal, async ({ id, summary }) => {
    const found: MechanismResult[] = [];
    const asked = { id, budget, mechanisms: [...new Set(mechanisms)] };
    for (const result of await texts.host.ask('analysis/atBudget', asked, signal)) {
      if (!propagate) found.push(result);
      else {
        const run = { id, mechanism: result.setting, scope: 'propagated' } as const;
        const propagated = await texts.host.ask('analysis/mechanism', run, signal);
        found.push({ ...propagated, notes: result.notes });
      }
    }
    const cost = (one: MechanismResult) => one.deltaLoss ?? one.deltaOutput ?? one.outputError;
    return {
      ...readOf(summary.model, summary.tokens),
      budget,
      loss: summary.loss?.mean ?? null,
      mechanisms: found
        .sort((a, b) => cost(a) - cost(b))
        .map(result => ({
          name: result.setting.name,
          params: chosenParams(result.setting),
          share: result.pairs / result.densePairs,
          recall: result.recall,
          outputError: result.outputError,
          deltaLoss: result.deltaLoss,
          deltaOutput: result.deltaOutput,
          embedding: result.embedding ?? null,
          interval: intervalOf(result),
          notes: shortNotes(result.notes.map(textOf)),
        })),
      leftOut: asked.mechanisms.filter(name => !found.some(({ setting }) => setting.name === name)),
    };
  });
}

export function headsByRole(
  texts: Texts,
  { role, ablate, top, ...source }: Input<typeof schemas.rolesInput>,
  signal: AbortSignal,
): Promise<Answer<typeof schemas.rolesOutput>> {
  if (source.text === undefined && source.file === undefined)
    return probedRoles(texts, { role, top, ...source }, signal);
  return texts.with(source, signal, async ({ id, summary }) => {
    const ablation = ablate ? await texts.host.ask('analysis/ablate', { id }, signal) : null;
    const costs = new Map(ablation?.heads.map(one => [`${one.core}.${one.head}`, one.zero]));
    const heads = summary.cores.flatMap(({ info, heads }) =>
      heads.map(profile => ({
        ...placeOf(info, profile),
        roles: profile.roles,
        cost: costs.get(`${profile.core}.${profile.head}`) ?? null,
      })),
    );
    return {
      ...readOf(summary.model, summary.tokens),
      measured: 'text',
      measure: ablation?.measure ?? null,
      roles: byRole(heads, role, top),
    };
  });
}

async function probedRoles(
  texts: Texts,
  { role, top, model: given }: Pick<Input<typeof schemas.rolesInput>, 'role' | 'top' | 'model'>,
  signal: AbortSignal,
): Promise<Answer<typeof schemas.rolesOutput>> {
  const { host } = texts;
  const model = await texts.modelOf(given, signal);
  const found = await host.ask('heads/probe', { model, device: host.device }, signal);
  const { tokens } = found.probe;
  const heads = found.heads.map(({ core, layer, head, roles, ablation }) => {
    const { kind } = found.model.cores[core]!;
    return { core, layer, kind, head, roles, cost: ablation.zero };
  });
  return {
    ...readOf(found.model, { ids: new Int32Array(tokens), total: tokens }),
    measured: 'probe',
    measure: found.measure,
    roles: byRole(heads, role, top),
  };
}

interface RoledHead {
  core: number;
  layer: number;
  kind: CoreInfo['kind'];
  head: number;
  roles: readonly RoleScore[];
  cost: Change | null;
}

/** The roles that any head has, each with its heads, the clearest first. */
function byRole(heads: readonly RoledHead[], only: (typeof ROLES)[number] | undefined, top: number) {
  return ROLES.filter(role => only === undefined || role === only).flatMap(role => {
    const found = heads.flatMap(({ roles, cost, ...place }) => {
      const score = roles.find(one => one.role === role)?.score;
      return score === undefined ? [] : [{ ...place, score, cost }];
    });
    const clearest = found.sort((a, b) => b.score - a.score).slice(0, top);
    return clearest.length > 0 ? [{ role, heads: clearest }] : [];
  });
}

function placeOf({ kind, layer }: CoreInfo, { core, head }: Pick<HeadProfile, 'core' | 'head'>) {
  return { core, layer, kind, head };
}

function checkHead({ summary }: ReadText, core: number | undefined, head: number | undefined): void {
  const { cores } = summary.model;
  if (core === undefined) return;
  const info = cores[core];
  if (!info) throw new Error(`The model has ${cores.length} attention cores, counted from 0.`);
  if (head !== undefined && head >= info.heads)
    throw new Error(`Core ${core} has ${info.heads} heads, counted from 0.`);
}

/** One text of an encoder-decoder; the other models have but one. */
interface OneSide {
  text: string;
  tokens: TokenTable;
}

function sideOf({ text, summary }: ReadText, side: Side): OneSide {
  if (side === 'text') return { text, tokens: summary.tokens };
  if (!summary.target) throw new Error('The model reads one text: it has no target.');
  return summary.target;
}

function tokensOfWord({ text, tokens }: OneSide, word: string, occurrence: number): number[] {
  let at = -1;
  for (let i = 0; i < occurrence; i++) {
    at = text.indexOf(word, at + 1);
    if (at < 0)
      throw new Error(
        `The text does not hold "${oneLine(word, 60)}" ${occurrence === 1 ? 'at all' : 'so often'}.`,
      );
  }
  const { start, end } = tokens;
  const found = [...start.keys()].filter(
    i => end[i]! > at && start[i]! < at + word.length && end[i]! > start[i]!,
  );
  if (found.length === 0) throw new Error('That passage lies behind the tokens that were read.');
  return found;
}

function tokenText({ text }: TokenTable, token: number): string {
  return visible(text[token] ?? '').slice(0, 100);
}

function contextOf({ text, tokens }: OneSide, token: number): string {
  const [start, end] = [tokens.start[token]!, tokens.end[token]!];
  const before = text.slice(Math.max(0, start - CONTEXT), start);
  return oneLine(`${before}«${text.slice(start, end)}»${text.slice(end, end + CONTEXT)}`, 4 * CONTEXT);
}

function intervalOf({ deltaLossPerToken, deltaOutputPerToken }: MechanismResult) {
  const perToken = deltaLossPerToken ?? deltaOutputPerToken;
  return perToken ? meanInterval([perToken]) : null;
}

const shortNotes = (notes: readonly string[]): string[] =>
  notes.slice(0, NOTES).map(note => oneLine(note, 400));
