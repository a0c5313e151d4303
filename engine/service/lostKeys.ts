import type { Analysis, CoreTensors } from './analysis';
import { coresOf } from './changedRun';
import { blockedInput, changesOf, type CoreChange } from './interventions';
import type { Visitor } from './passes';
import { isBlocked } from '../attention/kernels/blocked';
import type { CoreInput } from '../attention/core';
import { denseRow } from '../attention/kernels/lines';
import type { Attended } from '../attention/mechanism';
import { RefusedError, told } from '../errors';
import {
  sidesOf,
  type CoreInfo,
  type Intervention,
  type LostKey,
  type WorstTokensParams,
} from '../../shared/protocol/engine';
import { checkpoint } from '../runtime/cancellation';

/** Below this mass a key is not lost but was never looked at. */
const WORTH_SAYING = 1e-4;

/**
 * For each of the queries the heaviest key that any head loses under the change: mass of the dense map (local: the dense
 * model's Q and K). Heads whose queries are of the other text of an encoder-decoder are not asked.
 */
export async function lostKeys(
  analysis: Analysis,
  params: WorstTokensParams,
  signal: AbortSignal,
): Promise<LostKey[]> {
  const { cores, visit, worst } = lostKeysVisit(analysis, params, signal);
  await analysis.visit(cores, visit, signal);
  return worst;
}

/** The same for whoever goes over the cores anyway: `worst` is complete when `cores` were visited. */
export function lostKeysVisit(
  analysis: Analysis,
  { heads, interventions = [], queries }: Omit<WorstTokensParams, 'id'>,
  signal: AbortSignal,
): Pick<Visitor, 'cores' | 'visit'> & { worst: LostKey[] } {
  const count = analysis.written.ids.length;
  const missing = queries.find(query => !(Number.isInteger(query) && query >= 0 && query < count));
  if (missing !== undefined) throw new RefusedError(told`There is no token ${missing}.`);
  const assigned = heads.map((head): Intervention => ({ kind: 'mechanism', ...head }));
  const changes = changesOf(analysis, [...assigned, ...interventions]);
  const worst = queries.map((query): LostKey => ({ query, lost: null }));
  const written = analysis.target ? 'target' : 'text';
  const changed = analysis.model.info.cores.filter(
    ({ core, kind }) => changes[core] && sidesOf(kind).queries === written,
  );
  const visit = async (core: number, { input }: CoreTensors) => {
    const info = analysis.model.info.cores[core]!;
    for (let head = 0; head < info.heads; head++) {
      await checkpoint(signal);
      const lost = await lossesOf(analysis, info, input, changes[core]!, head, signal);
      if (lost) for (const one of worst) keepHeavier(one, info, head, denseRow(input, head, one.query), lost);
    }
  };
  return { cores: coresOf(changed), visit, worst };
}

/** Share of a key's dense mass that a query of the head loses. */
type Losses = (query: number) => (key: number) => number;

/** null where the head loses no key: it is dense, or keeps no set of pairs. */
async function lossesOf(
  analysis: Analysis,
  { core }: CoreInfo,
  input: CoreInput,
  change: CoreChange,
  head: number,
  signal: AbortSignal,
): Promise<Losses | null> {
  if (change.silenced.has(head)) return () => () => 1;
  const blocked = blockedInput(input, change);
  const choice = change.assigned[head];
  if (!choice) {
    return change.blocked.length === 0
      ? null
      : query => key => (isBlocked(blocked, head, query, key) ? 1 : 0);
  }
  let attended: Attended;
  let at = head;
  if (change.whole && blocked === input) attended = await analysis.attendLocally(choice, core, input, signal);
  else if (change.whole) {
    await analysis.ownTensors(choice, core, input, signal);
    attended = await analysis.attend(choice, core, blocked, signal);
  } else {
    await analysis.fitHead(choice, core, head, input, signal);
    attended = await analysis.attendHead(choice, core, head, blocked, signal);
    at = 0;
  }
  if (!attended.lse) return null;
  return query => {
    const { keys, mask } = attended.row(at, query);
    const kept = new Map<number, number>();
    keys.forEach((key, t) => kept.set(key, mask?.[t] ?? 1));
    return key => 1 - (kept.get(key) ?? 0);
  };
}

function keepHeavier(one: LostKey, info: CoreInfo, head: number, dense: Float32Array, losses: Losses): void {
  const { queries, keys } = sidesOf(info.kind);
  const loss = losses(one.query);
  for (let key = 0; key < dense.length; key++) {
    const heaviest = one.lost?.mass ?? WORTH_SAYING;
    if (dense[key]! <= heaviest) continue;
    const mass = dense[key]! * loss(key);
    if (mass <= heaviest) continue;
    const distance = queries === keys ? Math.abs(one.query - key) : null;
    one.lost = { core: info.core, head, key, mass, distance };
  }
}
