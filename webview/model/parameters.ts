import type { MechanismParams, ParameterInfo } from '../../shared/protocol/engine';
import { AUTO } from '../../shared/setting';

/** The number, or null while what is typed is not (yet) a permitted one. */
export function parseNumber(
  text: string,
  p: Pick<ParameterInfo, 'type' | 'minimum' | 'maximum'>,
): number | null {
  const number = Number(text);
  if (!Number.isFinite(number) || (p.type === 'integer' && !Number.isInteger(number))) return null;
  if (number < (p.minimum ?? -Infinity) || number > (p.maximum ?? Infinity)) return null;
  return number;
}

/** The parameters, with what was learned where they say `auto`. */
export function withLearned(
  params: Readonly<MechanismParams>,
  learned: Readonly<MechanismParams>,
): MechanismParams {
  const auto = Object.entries(learned).filter(([name]) => params[name] === AUTO);
  return { ...params, ...Object.fromEntries(auto) };
}

/** "attendAcrossBuckets" as "attend across buckets"; abbreviations ("sharedQK") stay as they are. */
export function words(name: string): string {
  return name.replace(/([a-z])([A-Z]+)(?=[a-z]|$)/g, (_, before: string, upper: string) =>
    upper.length > 1 ? `${before} ${upper}` : `${before} ${upper.toLowerCase()}`,
  );
}
