/** What is held against each other: two heads, two settings, or two texts; A is always of what the views show. */
import {
  sidesOf,
  type AnalysisSummary,
  type HeadProfile,
  type Setting,
  type TileParams,
  type TokenTable,
} from '../../shared/protocol/engine';
import { roleStrength } from '../../shared/host/clearestHead';
import { changeOf, effectOfChange, type ChangeSource, type OtherAnalysis } from '../../shared/protocol/host';
import { ROLE_TITLES } from '../../shared/roleTitles';
import { store } from '../host/store';
import { t } from '../host/words';
import { changeKey, mechanismTitle } from './changes';
import { headName } from './names';
import { wholeLevel } from './pair';
import { mainRole } from './roles';
import { headKey } from './tried';

export const PAIR_KINDS = ['head', 'setting', 'text'] as const;
export type PairKind = (typeof PAIR_KINDS)[number];

export interface PairSide {
  id: string;
  summary: AnalysisSummary;
  profile: HeadProfile;
  /** What tells it from the other side. */
  title: string;
  /** What was changed of it; null = nothing. */
  change: ChangeSource | null;
}

// ---------------------------------------------------------------- what can be chosen

/** "layer 3, head 5 (induction)" */
export function headTitle(profile: HeadProfile): string {
  const role = mainRole(profile);
  return role ? `${headName(profile)} (${t(ROLE_TITLES[role])})` : headName(profile);
}

/** The head that is shown beside another while nobody has chosen one: the clearest that plays another role. */
export function otherHead(shown: HeadProfile, heads: readonly HeadProfile[]): HeadProfile | null {
  const others = heads.filter(head => headKey(head) !== headKey(shown));
  const unlike = others.filter(head => mainRole(head) !== mainRole(shown));
  const clearest = (from: readonly HeadProfile[]) =>
    from.reduce<HeadProfile | null>(
      (best, head) => (!best || roleStrength(head) > roleStrength(best) ? head : best),
      null,
    );
  return clearest(unlike) ?? clearest(others);
}

/** What the attention can be under: as it is, a mechanism that was computed, the plan, what was taken away. */
export function settings(): { key: string; label: string; change: ChangeSource | null }[] {
  const changes: ChangeSource[] = [
    ...(store.interventions.list.length > 0 ? [{ kind: 'interventions' } as const] : []),
    ...(store.plan ? [{ kind: 'plan' } as const] : []),
    ...store.mechanisms.map(({ setting: choice }) => ({ kind: 'mechanism', choice }) as const),
  ];
  const distinct = new Map(changes.map(change => [changeKey(change), change]));
  return [
    { key: 'none', label: t('the model as it is'), change: null },
    ...[...distinct].map(([key, change]) => ({ key, label: changeTitle(change), change })),
  ];
}

function changeTitle(change: ChangeSource): string {
  switch (change.kind) {
    case 'interventions':
      return t('without what was taken away');
    case 'plan':
      return t('the plan');
    case 'mechanism':
      return mechanismTitle(change.choice);
  }
}

/** The change that is shown on the text, or else the first there is. */
export function chosenSetting(key: string): string {
  const all = settings();
  if (all.some(one => one.key === key)) return key;
  const { analysis } = store;
  const shown = analysis.status === 'ready' ? changeOf(analysis, store.selection) : null;
  return shown ? changeKey(shown) : (all[1]?.key ?? 'none');
}

/** "story.txt before it was analyzed again, in gpt2" */
export function otherTitle({ name, model, earlier }: OtherAnalysis): string {
  return earlier ? t('{0}, as analyzed before, in {1}', name, model) : t('{0} in {1}', name, model);
}

// ---------------------------------------------------------------- what is known of a side

export function tokensOfSide({ summary, profile }: PairSide, of: 'queries' | 'keys'): TokenTable {
  const info = summary.cores.find(({ info }) => info.core === profile.core)?.info;
  return sidesOf(info?.kind ?? 'self')[of] === 'target' && summary.target
    ? summary.target.tokens
    : summary.tokens;
}

/** What it puts in the place of the head's own attention; null = nothing, undefined = it is no mechanism. */
export function settingOf({ change, profile }: PairSide): Setting | null | undefined {
  if (!change) return null;
  if (change.kind === 'interventions') return undefined;
  if (change.kind === 'mechanism') return change.choice;
  return store.plan?.heads.find(one => headKey(one) === headKey(profile))?.choice ?? null;
}

/** Asks for its whole map; null where it has none of its own. `least`: no finer than this. */
export function mapRequest(side: PairSide, least = 0): TileParams | null {
  const setting = settingOf(side);
  if (setting === undefined) return null;
  const size = (of: 'queries' | 'keys') => tokensOfSide(side, of).ids.length;
  return {
    id: side.id,
    core: side.profile.core,
    head: side.profile.head,
    level: Math.max(least, store.report?.maps?.level ?? 0, wholeLevel(size('queries'), size('keys'))),
    row: 0,
    column: 0,
    reduce: 'mean',
    ...(setting && { mechanism: setting }),
  };
}

/** Losses by predicted token under its change; null where there are none (yet). */
export function lossesOf({ summary, change }: PairSide): Float32Array | null {
  if (!summary.loss) return null;
  const { perToken } = summary.loss;
  if (!change) return perToken;
  const propagated =
    change.kind === 'mechanism' ? store.mechanismResult(change.choice, 'propagated') : undefined;
  const effect = effectOfChange(store, change, propagated);
  if (effect?.measure !== 'loss') return null;
  return perToken.map((loss, i) => loss + (effect.perToken[i] ?? 0));
}

/** Heads under its change, where each is compared with its own attention; null where they are not. */
export function keptByHead({ change }: PairSide) {
  if (change?.kind === 'plan') return store.plan?.heads ?? null;
  return change?.kind === 'mechanism' ? (store.mechanismResult(change.choice)?.heads ?? null) : null;
}
