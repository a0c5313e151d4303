import { settingOf } from '../attention/parameters';
import { findMechanism } from '../attention/registry';
import { readPlan } from './planFile';
import type { SparseAttention } from './sparsePass';
import type { ChosenAttention, Intervention } from '../../shared/protocol/engine';
import type { GivenSetting, Setting } from '../../shared/setting';

/** Messages are read anew, whoever sends them. @throws UsageError naming what is wrong with it */
export function readSetting({ name, params }: GivenSetting): Setting {
  return settingOf(findMechanism(name).info, params);
}

/** The parameters of a request with every setting in them read: what comes after this border fills in nothing. */
export function withSettings<P>(params: P): P {
  if (!params) return params;
  const { mechanism, mechanisms, heads, interventions, attention } = params as SettingFields;
  return {
    ...params,
    ...(mechanism && { mechanism: readSetting(mechanism) }),
    ...(mechanisms && {
      mechanisms: mechanisms.map(one => (typeof one === 'string' ? one : readSetting(one))),
    }),
    ...(heads && { heads: heads.map(withChoice) }),
    ...(attention && { attention: withAttention(attention) }),
    ...(interventions && {
      interventions: interventions.map(one => (one.kind === 'mechanism' ? withChoice(one) : one)),
    }),
  };
}

/** What is to run in every core. */
export async function readAttention({ setting, heads, plan }: ChosenAttention): Promise<SparseAttention> {
  if (setting) return { setting: readSetting(setting) };
  return plan === undefined ? { heads: heads.map(withChoice) } : { heads: await readPlan(plan), plan };
}

function withAttention(chosen: ChosenAttention): ChosenAttention {
  if (chosen.setting) return { setting: readSetting(chosen.setting) };
  return chosen.plan === undefined ? { heads: chosen.heads.map(withChoice) } : chosen;
}

/** Where requests hold settings. */
interface SettingFields {
  mechanism?: Setting;
  /** Some requests name mechanisms only. */
  mechanisms?: (Setting | string)[];
  heads?: { choice: Setting }[];
  interventions?: Intervention[];
  attention?: ChosenAttention | null;
}

function withChoice<T extends { choice: Setting }>(one: T): T {
  return { ...one, choice: readSetting(one.choice) };
}
