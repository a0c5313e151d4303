import type { HeadAssignment, Intervention, Setting } from '../../shared/protocol/engine';
import { paidIn } from './planSpent';
import { sidesOf } from '../../shared/protocol/engine';
import type { ChangeSource } from '../../shared/protocol/host';
import { store, type Side } from '../host/store';
import { percent, tokenLabel } from '../../shared/numbers';
import { coreInfo, headName, layerName } from './names';
import { chosenParams } from '../../shared/setting';
import { t } from '../host/words';

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
      ? t('all heads')
      : one.head === null
        ? t('all heads of {0}', layerName(one.core))
        : headName({ core: one.core, head: one.head });
  switch (one.kind) {
    case 'head':
      return t('{0} knocked out', where);
    case 'mechanism':
      return t('{0} in {1}', mechanismTitle(one.choice), where);
    case 'span': {
      const from = one.queries ? t(' from tokens {0}', numbers(one.queries.from, one.queries.to)) : '';
      return t('{0} hidden{1} in {2}', passage(one.from, one.to, keySide(one)), from, where);
    }
    case 'edge':
      return t(
        '{0} hidden from token {1} in {2}',
        passage(one.key, one.key + 1, keySide(one)),
        one.query,
        where,
      );
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
  return change.kind === 'mechanism' ? t('mechanism {0}', change.choice.key) : change.kind;
}

/** What was done, as the subject of "… costs 0.12 nats per token". */
export function changeSubject(change: ChangeSource): string {
  switch (change.kind) {
    case 'interventions': {
      const { list } = store.interventions;
      return list.length === 1
        ? t('Taking away ({0})', interventionInWords(list[0]!))
        : t('Taking away {0} pieces of attention', list.length);
    }
    case 'plan':
      return store.plan
        ? t('The plan for {0} of the {1}', percent(store.plan.budget), paidIn(store.plan))
        : t('The plan');
    case 'mechanism':
      return t('Replacing dense attention by {0}', mechanismTitle(change.choice));
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
