import type { MechanismChoice } from './protocol/mechanisms';

/** Same mechanism with the same parameters, in whatever order they are written. */
export function sameChoice(a: MechanismChoice, b: MechanismChoice): boolean {
  const keys = Object.keys(a.params);
  return (
    a.name === b.name &&
    keys.length === Object.keys(b.params).length &&
    keys.every(key => a.params[key] === b.params[key])
  );
}
