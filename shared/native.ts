import type { CoreAttention, CoreInfo } from './protocol/models';
import type { MechanismInfo, Setting } from './protocol/mechanisms';
import { number } from './numbers';
import { DENSE, settingOf } from './setting';
import { english, type Translate } from './translate';

/**
 * What is the model's own and what is not, in one place: attention that a model was made with is native; any other in its
 * place is a what-if, dense attention too where the model was made with something else.
 */

/**
 * Attention of pairs of heads, of which the model subtracts what one reads, times lambda, from what the other reads. A head is one of
 * the two softmaxes, and its map the map of that: no map of probabilities is their difference.
 */
export const DIFFERENTIAL = 'differential';

/** What a model was made with in a core, in words; null for dense attention. */
export function nativeWords(attention: CoreAttention | undefined, t: Translate = english): string | null {
  if (!attention?.native) return null;
  return attention.name === DIFFERENTIAL
    ? t('native: {0}, a head is one of two maps', attention.name)
    : t('native: {0}', attention.name);
}

/** What a core does, for those who want a word for dense attention too. */
export const attentionOf = ({ attention }: Pick<CoreInfo, 'attention'>): CoreAttention =>
  attention ?? { name: DENSE.name, native: false, params: {} };

/** What a head of a native core learned under this name (`span`, `alpha`), or null. */
export function learnedNumber(
  attention: CoreAttention | undefined,
  name: string,
  head: number,
): number | null {
  const values = attention?.params[name];
  return Array.isArray(values) ? (values[head] ?? null) : null;
}

/** All that a head of a native core learned as a number of its own: "alpha 1.52"; empty where that is nothing. */
export const learnedWords = (attention: CoreAttention | undefined, head: number): string[] =>
  Object.keys(attention?.params ?? {}).flatMap(name => {
    const value = learnedNumber(attention, name, head);
    return value === null ? [] : [`${name} ${number(value)}`];
  });

export type OwnAttention = Pick<CoreInfo, 'attention' | 'ownSetting' | 'ownMask'>;

/** Whether dense attention is what the model itself does in a core: it was made so, or with a mask that dense attention keeps to. */
export const denseIsOwn = ({ attention, ownMask }: OwnAttention): boolean =>
  !attention?.native || ownMask === true;

/** The key of the setting that is a core's own; null where none is. */
const ownKey = ({ attention, ownSetting }: OwnAttention): string | null =>
  attention?.native ? (ownSetting ?? null) : DENSE.key;

/** The setting that is a core's own, to be chosen like others; null where none is. */
export function ownSetting(core: OwnAttention, infos: readonly MechanismInfo[]): Setting | null {
  const key = ownKey(core);
  const info = infos.find(({ name }) => name === (core.attention?.name ?? DENSE.name));
  if (key === null || !info) return null;
  const known = new Set(info.parameters.map(({ name }) => name));
  const given = Object.entries(core.attention?.params ?? {});
  const params = given.filter(([name, value]) => known.has(name) && !Array.isArray(value));
  const setting = settingOf(info, Object.fromEntries(params));
  return setting.key === key ? setting : null;
}

export const STANDINGS = ['native', 'native in part', 'what-if'] as const;
export type Standing = (typeof STANDINGS)[number];

/** What a setting is in these cores. */
export function standingOf({ key }: Pick<Setting, 'key'>, cores: readonly OwnAttention[]): Standing {
  const isOwn = (core: OwnAttention) => ownKey(core) === key || (key === DENSE.key && denseIsOwn(core));
  const own = cores.filter(isOwn).length;
  if (own === 0) return 'what-if';
  return own === cores.length ? 'native' : 'native in part';
}

/**
 * "what-if", "native", "what-if, approximate"; of pairs of heads that the model subtracts from each other "what-if within the model's
 * subtraction": that stays as it is.
 */
export function standingWords(
  setting: Pick<Setting, 'name' | 'key'>,
  cores: readonly OwnAttention[],
  infos: readonly Pick<MechanismInfo, 'name' | 'approximate'>[],
  t: Translate = english,
): string {
  const { approximate } = infos.find(({ name }) => name === setting.name) ?? {};
  const standing = standingOf(setting, cores);
  const within = standing === 'what-if' && cores.some(({ attention }) => attention?.name === DIFFERENTIAL);
  return [
    within ? t("what-if within the model's subtraction") : t(standing),
    ...(approximate ? [t('approximate')] : []),
  ].join(', ');
}

/** Whether dense attention would be a what-if in any of these cores. */
export const denseIsWhatIf = (cores: readonly OwnAttention[]): boolean =>
  cores.some(core => !denseIsOwn(core));
