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

/** `local (window 64)`, as the palette, hovers and tables write it. */
export function describeChoice({ name, params }: MechanismChoice): string {
  const parameters = Object.entries(params).map(([key, value]) => `${key} ${value}`);
  return parameters.length ? `${name} (${parameters.join(', ')})` : name;
}
