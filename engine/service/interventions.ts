import type { Analysis, CoreTensors } from './analysis';
import { assignedOutput, coresOf, effectOf, fitHeads, OUTPUT_NOTE, type CoreAssignment } from './changedRun';
import { openStretches } from '../attention/kernels/blocked';
import { visibleKeys, type BlockedPairs, type CoreInput } from '../attention/core';
import { denseOutput } from '../attention/kernels/dense';
import { choiceNote } from '../attention/registry';
import { RefusedError, refused, told } from '../errors';
import {
  sidesOf,
  textOf,
  type CoreInfo,
  type Intervention,
  type InterventionResult,
  type Setting,
} from '../../shared/protocol/engine';
import type { ModelOutput } from '../model/cut/cutModel';
import { denseIsOwn } from '../../shared/native';
import { checkpoint } from '../runtime/cancellation';

/** What one core does differently under a set of interventions. */
export interface CoreChange {
  /** Heads whose output is zero. */
  silenced: Set<number>;
  assigned: CoreAssignment;
  /** The mechanism that all heads were given at once: fitted to the core as a whole, as in an analysis. */
  whole: Setting | null;
  blocked: BlockedPairs[];
}

/** Runs the analysed text on with everything taken away at once, and measures what that changes (propagated). */
export async function intervene(
  analysis: Analysis,
  interventions: readonly Intervention[],
  signal: AbortSignal,
  onProgress?: (fraction: number) => void,
): Promise<InterventionResult> {
  const { output, notes } = await interventionRun(analysis, interventions, signal, onProgress);
  const effect = await effectOf(analysis, output, signal);
  if (effect.measure === 'output') notes.push(OUTPUT_NOTE);
  const settled = interventions.map(one =>
    one.kind === 'mechanism' ? analysis.settled(one.choice, one.core ?? 0) : null,
  );
  return { interventions: [...interventions], effect, notes, settled };
}

/** The predictions of the model with everything taken away at once, and what there is to say of it. */
export async function interventionRun(
  analysis: Analysis,
  interventions: readonly Intervention[],
  signal: AbortSignal,
  onProgress?: (fraction: number) => void,
): Promise<{ output: ModelOutput; notes: string[] }> {
  const changes = changesOf(analysis, interventions);
  await fitChanges(analysis, changes, signal);
  const first = changes.findIndex(change => change !== null);
  const left = new LeftWithoutKeys();
  const unseen = new Set(interventions.filter(one => queriesOf(one) !== null));
  const output = await analysis.predict(
    async (info, input) => {
      await checkpoint(signal);
      for (const one of unseen) if (isSeen(info, input, one)) unseen.delete(one);
      const change = changes[info.core];
      if (change) return changedOutput(analysis, info, input, change, left, signal);
      // Up to the first change everything is as it was, to the last bit.
      const known = first < 0 || info.core < first ? analysis.predictedAtHand(info.core) : null;
      return known ?? denseOutput(input, analysis.context(signal));
    },
    { signal, onSegment: onProgress },
  );
  return {
    output,
    notes: [...left.notes(), ...[...unseen].map(unseenNote), ...mechanismNotes(interventions)],
  };
}

/** Fits the mechanisms of the changes to the dense text, in one pass before the text runs on. */
async function fitChanges(
  analysis: Analysis,
  changes: readonly (CoreChange | null)[],
  signal: AbortSignal,
): Promise<void> {
  const wholes = changes.flatMap((change, core) => {
    const { whole } = change ?? {};
    return whole && !analysis.isFitted(whole, core) ? [{ core, choice: whole }] : [];
  });
  const fit = async (core: number, { input }: CoreTensors) => {
    for (const one of wholes) {
      if (one.core === core) await analysis.ownTensors(one.choice, core, input, signal);
    }
  };
  await analysis.visitAlone(coresOf(wholes), fit, signal);
  const heads = changes.flatMap((change, core) =>
    !change || change.whole
      ? []
      : change.assigned.flatMap((choice, head) => (choice ? [{ core, head, choice }] : [])),
  );
  await fitHeads(analysis, heads, signal);
}

async function changedOutput(
  analysis: Analysis,
  { core }: CoreInfo,
  input: CoreInput,
  change: CoreChange,
  left: LeftWithoutKeys,
  signal: AbortSignal,
): Promise<Float32Array> {
  const size = input.queries * input.valueDim;
  if (change.silenced.size === input.heads) return new Float32Array(input.heads * size);
  const changed = blockedInput(input, change);
  left.count(changed, change.silenced);
  let output: Float32Array;
  if (change.whole) {
    output = (await analysis.attend(change.whole, core, changed, signal)).output;
  } else {
    output = await assignedOutput(analysis, core, changed, change.assigned, signal);
  }
  for (const head of change.silenced) output.fill(0, head * size, (head + 1) * size);
  return output;
}

/** The core with the change's keys taken away. */
export function blockedInput(input: CoreInput, { blocked }: CoreChange): CoreInput {
  return blocked.length > 0 ? { ...input, rule: { ...input.rule, blocked } } : input;
}

/**
 * What a set of interventions means for each core, null = nothing; a later mechanism of the same head replaces the earlier.
 * @throws RefusedError naming what is not there.
 */
export function changesOf(analysis: Analysis, interventions: readonly Intervention[]): (CoreChange | null)[] {
  const changes = analysis.model.info.cores.map((): CoreChange | null => null);
  for (const one of interventions) {
    const cores = coresMeantBy(analysis, one);
    if (cores.length === 0) throw refused('noKeysThere');
    for (const info of cores) {
      const change = (changes[info.core] ??= {
        silenced: new Set(),
        assigned: new Array<CoreAssignment[number]>(info.heads).fill(null),
        whole: null,
        blocked: [],
      });
      apply(change, one, info);
    }
  }
  return changes;
}

function apply(change: CoreChange, one: Intervention, info: CoreInfo): void {
  switch (one.kind) {
    case 'head':
      change.silenced.add(one.head);
      return;
    case 'mechanism': {
      const choice = one.choice.name === 'dense' && denseIsOwn(info) ? null : one.choice;
      change.whole = one.head === null ? choice : null;
      if (one.head === null) change.assigned.fill(choice);
      else change.assigned[one.head] = choice;
      return;
    }
    case 'span':
      change.blocked.push({
        head: one.head,
        queries: one.queries,
        keys: { from: one.from, to: one.to },
      });
      return;
    case 'edge':
      change.blocked.push({
        head: one.head,
        queries: { from: one.query, to: one.query + 1 },
        keys: { from: one.key, to: one.key + 1 },
      });
  }
}

/** The cores that an intervention is about, once its tokens and heads are known to be there. */
function coresMeantBy(analysis: Analysis, one: Intervention): CoreInfo[] {
  const { cores } = analysis.model.info;
  if (one.core !== null) {
    const info = cores[one.core];
    if (!info) throw new RefusedError(told`The model has no attention core ${one.core}.`);
    checkHead(info, one.head);
    checkTokens(analysis, info, one);
    return [info];
  }
  const found = cores.filter(info => isMeant(info, one));
  for (const info of found) {
    checkHead(info, one.head);
    checkTokens(analysis, info, one);
  }
  return found;
}

/** Whether a core belongs to an intervention in "all" cores: one on tokens is about the cores whose keys they are. */
function isMeant({ kind }: CoreInfo, one: Intervention): boolean {
  if (one.kind !== 'span' && one.kind !== 'edge') return true;
  const { side = 'text' } = one;
  const { queries, keys } = sidesOf(kind);
  const namesQueries = one.kind === 'edge' || one.queries !== null;
  return keys === side && (!namesQueries || queries === side);
}

function checkHead({ core, heads }: CoreInfo, head: number | null): void {
  if (head !== null && !(Number.isInteger(head) && head >= 0 && head < heads)) {
    throw new RefusedError(told`Core ${core} has no head ${head}.`);
  }
}

function checkTokens(analysis: Analysis, { kind }: CoreInfo, one: Intervention): void {
  if (one.kind !== 'span' && one.kind !== 'edge') return;
  const { queries, keys } = analysis.sides(kind);
  const check = (from: number, to: number, count: number) => {
    if (Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= count) return;
    const tokens = to === from + 1 ? `token ${from}` : `span of tokens ${from} to ${to - 1}`;
    throw new RefusedError(told`There is no ${tokens}: the text has ${count} tokens, counted from 0.`);
  };
  if (one.kind === 'edge') {
    check(one.query, one.query + 1, queries.ids.length);
    check(one.key, one.key + 1, keys.ids.length);
  } else {
    check(one.from, one.to, keys.ids.length);
    if (one.queries) check(one.queries.from, one.queries.to, queries.ids.length);
  }
}

function mechanismNotes(interventions: readonly Intervention[]): string[] {
  const found = interventions.flatMap(one =>
    one.kind === 'mechanism' ? (choiceNote(one.choice) ?? []) : [],
  );
  return [...new Set(found.map(textOf))];
}

/** The queries that an intervention names, if it does. */
function queriesOf(one: Intervention): { from: number; to: number } | null {
  if (one.kind === 'edge') return { from: one.query, to: one.query + 1 };
  return one.kind === 'span' ? one.queries : null;
}

/** Whether the named queries see any of the named keys in this core. */
function isSeen(info: CoreInfo, input: CoreInput, one: Intervention): boolean {
  const queries = queriesOf(one);
  if (!queries || (one.kind !== 'edge' && one.kind !== 'span')) return false;
  if (one.core === null ? !isMeant(info, one) : one.core !== info.core) return false;
  const keys = one.kind === 'edge' ? { from: one.key, to: one.key + 1 } : one;
  for (let query = queries.from; query < queries.to; query++) {
    const { from, to } = visibleKeys(input, query);
    if (from < keys.to && keys.from < to) return true;
  }
  return false;
}

function unseenNote(one: Intervention): string {
  if (one.kind === 'edge')
    return `Token ${one.query} does not see token ${one.key} in the dense model either: nothing was taken away.`;
  return 'The named queries see none of the named tokens in the dense model either: nothing was taken away.';
}

/** Counts the queries that keep no key, whose context is then 0. */
class LeftWithoutKeys {
  private rows = 0;

  count(input: CoreInput, silenced: ReadonlySet<number>): void {
    const { blocked } = input.rule;
    if (!blocked) return;
    for (let query = 0; query < input.queries; query++) {
      const { from, to } = visibleKeys(input, query);
      if (
        from === to ||
        !blocked.some(({ queries }) => !queries || (query >= queries.from && query < queries.to))
      )
        continue;
      for (let head = 0; head < input.heads; head++) {
        if (!silenced.has(head) && openStretches(input, head, query).length === 0) this.rows++;
      }
    }
  }

  notes(): string[] {
    if (this.rows === 0) return [];
    const what = this.rows === 1 ? 'One row of attention is' : `${this.rows} rows of attention are`;
    return [`${what} left without any key; the head's output is zero there.`];
  }
}
