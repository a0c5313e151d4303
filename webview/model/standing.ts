import type { Setting } from '../../shared/protocol/engine';
import {
  denseIsWhatIf as isWhatIfIn,
  learnedNumber,
  learnedWords,
  nativeWords,
  standingOf,
  standingWords,
} from '../../shared/native';
import { DENSE } from '../../shared/setting';
import { store } from '../host/store';
import { coreInfo } from './names';
import { t } from '../host/words';

/** "native: lsh", where a core's attention is none of dense; null otherwise. */
export const nativeIn = (core: number): string | null => nativeWords(coreInfo(core)?.attention, t);

/** The same with what a head learned: "native: entmax, alpha 1.52". */
export function nativeOf({ core, head }: { core: number; head: number }): string | null {
  const native = nativeIn(core);
  return native && [native, ...learnedWords(coreInfo(core)?.attention, head)].join(', ');
}

const coresOf = (core: number | null) =>
  (store.model?.cores ?? []).filter(info => core === null || info.core === core);

/** What a setting is in one core, or in all: "what-if", "native", "what-if, approximate". */
export const standing = (setting: Pick<Setting, 'name' | 'key'>, core: number | null = null): string =>
  standingWords(setting, coresOf(core), store.mechanismInfos, t);

/** The same for tables of data, which are in one language. */
export const plainStanding = (setting: Pick<Setting, 'name' | 'key'>, core: number | null = null): string =>
  standingWords(setting, coresOf(core), store.mechanismInfos);

/** Whether it is what the model itself does there. */
export const isNative = (setting: Pick<Setting, 'key'>, core: number | null = null): boolean =>
  standingOf(setting, coresOf(core)) === 'native';

/** The span that a head learned, in tokens; null where it learned none. */
export const learnedSpan = ({ core, head }: { core: number; head: number }): number | null =>
  learnedNumber(coreInfo(core)?.attention, 'span', head);

/** Without a mechanism a head is as the model has it: dense, or what the model was made with. */
export const withoutMechanism = (core: number): string => t('none ({0})', nativeIn(core) ?? t('dense'));

/** Why there is no share of the mass that a setting keeps, as the rest of a sentence on it. */
export function withoutRecall(setting: Pick<Setting, 'name' | 'key'>, core: number | null): string {
  const { approximate } = store.mechanismInfos.find(({ name }) => name === setting.name) ?? {};
  if (!approximate && isNative(setting, core)) return t("is the model's own attention");
  if (denseIsWhatIf() && !approximate) return t('takes the place of what the model was made with');
  return t('mixes all keys into fewer');
}

/** A setting as the selection has it: none where it is what the model does anyway. */
export function toSelect(choice: Setting, core: number | null = null): Setting | null {
  return choice.name === DENSE.name && !isWhatIfIn(coresOf(core)) ? null : choice;
}

/** Whether dense attention is a choice of its own here. */
export const denseIsWhatIf = (): boolean => isWhatIfIn(store.model?.cores ?? []);
