import { readParams } from '../attention/parameters';
import { findMechanism } from '../attention/registry';
import type { Intervention, MechanismChoice } from '../../shared/protocol/engine';

/** A setting in its canonical form. @throws UsageError naming what is wrong with it */
export function readSetting({ name, params }: MechanismChoice): MechanismChoice {
  return { name, params: readParams(findMechanism(name).info, params) };
}

/** The parameters of a request with every setting in them read: what comes after this border fills in nothing. */
export function withSettings<P>(params: P): P {
  if (!params) return params;
  const { mechanism, mechanisms, heads, interventions } = params as SettingFields;
  return {
    ...params,
    ...(mechanism && { mechanism: readSetting(mechanism) }),
    ...(mechanisms && {
      mechanisms: mechanisms.map(one => (typeof one === 'string' ? one : readSetting(one))),
    }),
    ...(heads && { heads: heads.map(withChoice) }),
    ...(interventions && {
      interventions: interventions.map(one => (one.kind === 'mechanism' ? withChoice(one) : one)),
    }),
  };
}

/** Where requests hold settings. */
interface SettingFields {
  mechanism?: MechanismChoice;
  /** Some requests name mechanisms only. */
  mechanisms?: (MechanismChoice | string)[];
  heads?: { choice: MechanismChoice }[];
  interventions?: Intervention[];
}

function withChoice<T extends { choice: MechanismChoice }>(one: T): T {
  return { ...one, choice: readSetting(one.choice) };
}
