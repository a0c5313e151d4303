import { UsageError } from '../errors';
import type { MechanismInfo, MechanismParams, ParameterInfo } from '../../shared/protocol/engine';

/**
 * Checks parameters against a mechanism's schema and fills in the defaults. Values may be strings (command line).
 * A parameter whose default follows from the text stays out of the result.
 * @throws UsageError naming the parameter and what it may be.
 */
export function readParams(
  info: Pick<MechanismInfo, 'name' | 'parameters'>,
  given: Readonly<Record<string, unknown>>,
  what = 'mechanism',
): MechanismParams {
  const known = info.parameters.map(p => p.name);
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    throw new UsageError(
      `The ${what} ${info.name} has no parameter "${name}" (it has: ${known.join(', ') || 'none'}).`,
    );
  }
  const params: MechanismParams = {};
  for (const parameter of info.parameters) {
    const value = given[parameter.name] ?? parameter.default;
    if (value !== null) params[parameter.name] = readValue(info.name, parameter, value);
  }
  return params;
}

function readValue(mechanism: string, parameter: ParameterInfo, value: unknown): number | boolean | string {
  const wrong = (what: string) =>
    new UsageError(
      `The parameter ${parameter.name} of ${mechanism} must be ${what}, not "${String(value)}".`,
    );
  const text = String(value).trim();
  switch (parameter.type) {
    case 'boolean':
      if (['true', '1'].includes(text.toLowerCase())) return true;
      if (['false', '0'].includes(text.toLowerCase())) return false;
      throw wrong('true or false');
    case 'string':
      if (parameter.choices && !parameter.choices.includes(text)) {
        throw wrong(`one of ${parameter.choices.join(', ')}`);
      }
      return text;
    default: {
      const number = Number(text);
      if (text === '' || !Number.isFinite(number)) throw wrong('a number');
      if (parameter.type === 'integer' && !Number.isInteger(number)) throw wrong('a whole number');
      const { minimum = -Infinity, maximum = Infinity } = parameter;
      if (number < minimum) throw wrong(`at least ${minimum}`);
      if (number > maximum) throw wrong(`at most ${maximum}`);
      return number;
    }
  }
}

/** A numeric parameter, or what follows from the text where none was given. */
export function numberOr(params: MechanismParams, name: string, otherwise: number): number {
  const value = params[name];
  return value === undefined || value === null ? otherwise : Number(value);
}

export function flag(params: MechanismParams, name: string): boolean {
  return params[name] === true || params[name] === 'true';
}

/** The square root of the keys, rounded up: the balanced choice of the sqrt(N) mechanisms. */
export function rootOf(tokens: number): number {
  return Math.max(1, Math.ceil(Math.sqrt(tokens)));
}
