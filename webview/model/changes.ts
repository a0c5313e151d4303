import type { HeadAssignment, Intervention, Setting } from '../../shared/protocol/engine';
import { paidIn } from './planSpent';
import { sidesOf } from '../../shared/protocol/engine';
import type { ChangeSource } from '../../shared/protocol/host';
import { store, type Side } from '../host/store';
import { percent, tokenLabel } from '../../shared/numbers';
import { coreInfo, headName, layerName } from './names';
import { chosenParams } from '../../shared/setting';

/** "Local window (window 64)" */
export function mechanismTitle(setting: Setting): string {
  const title = store.mechanismInfos.find(info => info.name === setting.name)?.title ?? setting.name;
  const words = Object.entries(chosenParams(setting)).map(([key, value]) => `${key} ${value}`);
  return words.length > 0 ? `${title} (${words.join(', ')})` : title;
}

/** "keys “the cat” (12-14) hidden in layer 3, head 5" */
export function interventionInWords(one: Intervention): string {
  const where =
    one.core === null
      ? 'all heads'
      : one.head === null
        ? `all heads of ${layerName(one.core)}`
        : headName({ core: one.core, head: one.head });
  switch (one.kind) {
    case 'head':
      return `${where} knocked out`;
    case 'mechanism':
      return `${mechanismTitle(one.choice)} in ${where}`;
    case 'span': {
      const from = one.queries ? ` from tokens ${numbers(one.queries.from, one.queries.to)}` : '';
      return `${passage(one.from, one.to, keySide(one))} hidden${from} in ${where}`;
    }
    case 'edge':
      return `${passage(one.key, one.key + 1, keySide(one))} hidden from token ${one.query} in ${where}`;
  }
}

/** What `analysis/worst` is asked with to explain a change. */
export function explained(change: ChangeSource): { heads: HeadAssignment[]; interventions: Intervention[] } {
  switch (change.kind) {
    case 'interventions':
      return { heads: [], interventions: store.interventions.list };
    case 'plan':
      return {
        heads: (store.plan?.heads ?? []).map(({ core, head, choice }) => ({ core, head, choice })),
        interventions: [],
      };
    case 'mechanism':
      return {
        heads: [],
        interventions: [{ kind: 'mechanism', core: null, head: null, choice: change.choice }],
      };
  }
}

export function changeKey(change: ChangeSource): string {
  return change.kind === 'mechanism' ? `mechanism ${change.choice.key}` : change.kind;
}

/** What was done, as the subject of "… costs 0.12 nats per token". */
export function changeSubject(change: ChangeSource): string {
  switch (change.kind) {
    case 'interventions': {
      const { list } = store.interventions;
      return list.length === 1
        ? `Taking away (${interventionInWords(list[0]!)})`
        : `Taking away ${list.length} pieces of attention`;
    }
    case 'plan':
      return store.plan
        ? `The plan for ${percent(store.plan.budget)} of the ${paidIn(store.plan)}`
        : 'The plan';
    case 'mechanism':
      return `Replacing dense attention by ${mechanismTitle(change.choice)}`;
  }
}

function keySide({ core, side = 'text' }: { core: number | null; side?: Side }): Side {
  const info = core === null ? null : coreInfo(core);
  return info ? sidesOf(info.kind).keys : side;
}

function passage(from: number, to: number, side: Side): string {
  const words = store.tokensOf(side)?.text.slice(from, to).join('') ?? '';
  return `“${tokenLabel(words.trim().replace(/\s+/g, ' '), 24)}” (${numbers(from, to)})`;
}

function numbers(from: number, to: number): string {
  return to === from + 1 ? String(from) : `${from}–${to - 1}`;
}
