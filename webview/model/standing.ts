import type { Setting } from '../../shared/protocol/engine';
import { hasNative, learnedNumber, nativeWords, standingWords } from '../../shared/native';
import { store } from '../host/store';
import { coreInfo } from './names';
import { t } from '../host/words';

/** "native: lsh", where a core's attention is none of dense; null otherwise. */
export const nativeIn = (core: number): string | null => nativeWords(coreInfo(core)?.attention);

/** What a setting is in one core, or in all: "what-if", "native", "what-if, approximate". */
export function standing(setting: Pick<Setting, 'name' | 'key'>, core: number | null = null): string {
  const cores = store.model?.cores ?? [];
  return standingWords(
    setting,
    core === null ? cores : cores.filter(info => info.core === core),
    store.mechanismInfos,
  );
}

/** The span that a head learned, in tokens; null where it learned none. */
export const learnedSpan = ({ core, head }: { core: number; head: number }): number | null =>
  learnedNumber(coreInfo(core)?.attention, 'span', head);

/** Without a mechanism a head is as the model has it: dense, or what the model was made with. */
export const withoutMechanism = (core: number): string => t('none ({0})', nativeIn(core) ?? 'dense');

/** Why there is no share of the mass that a setting keeps, as the rest of a sentence on it. */
export function withoutRecall(setting: Pick<Setting, 'name' | 'key'>, core: number | null): string {
  const { approximate } = store.mechanismInfos.find(({ name }) => name === setting.name) ?? {};
  if (standing(setting, core) === 'native') return t("is the model's own attention");
  if (denseIsWhatIf() && !approximate) return t('takes the place of what the model was made with');
  return t('mixes all keys into fewer');
}

/** Whether dense attention is a choice of its own here. */
export const denseIsWhatIf = (): boolean => hasNative(store.model?.cores ?? []);
