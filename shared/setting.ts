/**
 * A setting is one mechanism with every one of its parameters. It is written in one way only, so that two settings are
 * the same if and only if their keys are equal. What people, files and messages give is read here once, at the border;
 * behind it nobody fills in defaults or compares parameters.
 */
import { told } from './foreign';

/** The value of a parameter that follows from the text: it is settled when the text is there. */
export const AUTO = 'auto';

export type ParameterValue = number | boolean | string;

export type MechanismParams = Record<string, ParameterValue>;

/** One parameter of a mechanism; forms, settings and help are made from it. */
export interface ParameterInfo {
  name: string;
  /** `indices`: token indices, ascending, with commas between them. */
  type: 'integer' | 'number' | 'boolean' | 'string' | 'indices';
  default: number | boolean | string | null;
  /** How the default follows from the text when `default` is null, e.g. "square root of the tokens". */
  defaultRule?: string;
  minimum?: number;
  maximum?: number;
  choices?: string[];
  description: string;
}

export interface Setting {
  readonly name: string;
  /** Every parameter of the mechanism, in the mechanism's order. */
  readonly params: Readonly<MechanismParams>;
  /** `strided:stride=auto`: as the command line reads it. */
  readonly key: string;
}

/** A setting as it is given from outside: parameters that are left out (or null) have their defaults. */
export interface GivenSetting {
  readonly name: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** What is needed to know of a mechanism (or a lens) to read its parameters. */
export interface Parameterised {
  readonly name: string;
  readonly parameters: readonly ParameterInfo[];
}

/** All pairs: what a head has without a mechanism. */
export const DENSE: Setting = { name: 'dense', params: {}, key: 'dense' };

/** One sentence on what cannot be read as a setting. */
export class SettingError extends Error {
  override readonly name = 'SettingError';
}

/** @throws SettingError for an unknown mechanism or parameter, or a value that the parameter cannot have. */
export function readSetting(given: GivenSetting, infos: readonly Parameterised[]): Setting {
  const info = infos.find(one => one.name === given.name);
  if (!info) {
    throw new SettingError(
      told`There is no mechanism "${given.name}" (there are: ${infos.map(one => one.name).join(', ')}).`,
    );
  }
  return settingOf(info, given.params);
}

/** @throws SettingError */
export function settingOf(info: Parameterised, given: GivenSetting['params'] = {}): Setting {
  const params = readParams(info, given);
  return { name: info.name, params, key: keyOf(info.name, params) };
}

/** The settings of a list, each once: the first of those that are the same. */
export function distinct<S extends Pick<Setting, 'key'>>(settings: readonly S[]): S[] {
  const seen = new Set<string>();
  return settings.filter(({ key }) => !seen.has(key) && seen.add(key));
}

/** Whether a message holds a setting whose key is that of its name and parameters. */
export function isSetting(value: unknown): value is Setting {
  if (typeof value !== 'object' || value === null) return false;
  const { name, params, key } = value as Record<string, unknown>;
  if (typeof name !== 'string' || typeof params !== 'object' || params === null) return false;
  const plain = Object.values(params).every(one => ['number', 'boolean', 'string'].includes(typeof one));
  return plain && key === keyOf(name, params as MechanismParams);
}

/** The parameters with values of their own: without those that follow from the text. */
export function chosenParams({ params }: Pick<Setting, 'params'>): MechanismParams {
  return Object.fromEntries(Object.entries(params).filter(([, value]) => value !== AUTO));
}

/** `local (window 64)`, as the palette, hovers and tables write it. */
export function describeSetting(setting: Pick<Setting, 'name' | 'params'>): string {
  const parameters = Object.entries(chosenParams(setting)).map(([name, value]) => `${name} ${value}`);
  return parameters.length > 0 ? `${setting.name} (${parameters.join(', ')})` : setting.name;
}

function keyOf(name: string, params: Readonly<MechanismParams>): string {
  const pairs = Object.entries(params).map(([parameter, value]) => `${parameter}=${value}`);
  return pairs.length > 0 ? `${name}:${pairs.join(';')}` : name;
}

// ---------------------------------------------------------------- parameters

/**
 * Every parameter in the order of `info`, defaults filled in; `auto` where the default follows from the text. Values may
 * be strings (command line).
 * @throws SettingError naming the parameter and what it may be.
 */
export function readParams(
  info: Parameterised,
  given: GivenSetting['params'],
  what = 'mechanism',
): MechanismParams {
  const known = info.parameters.map(p => p.name);
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    throw new SettingError(
      told`The ${what} ${info.name} has no parameter "${name}" (it has: ${known.join(', ') || 'none'}).`,
    );
  }
  const params: MechanismParams = {};
  for (const parameter of info.parameters) {
    const value = given[parameter.name] ?? parameter.default;
    const follows = parameter.default === null && (value === null || value === AUTO);
    params[parameter.name] = follows ? AUTO : readValue(info.name, parameter, value);
  }
  return params;
}

function readValue(mechanism: string, parameter: ParameterInfo, value: unknown): ParameterValue {
  const wrong = (what: string) =>
    new SettingError(told`The parameter ${parameter.name} of ${mechanism} must be ${what}, not "${value}".`);
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
    case 'indices': {
      const indices = text === '' ? [] : text.split(/[\s,+|]+/).map(Number);
      if (indices.some(i => !Number.isInteger(i) || i < 0)) throw wrong('token indices');
      return [...new Set(indices)].sort((a, b) => a - b).join(',');
    }
    default: {
      const number = Number(text);
      if (text === '' || !Number.isFinite(number)) throw wrong('a number');
      if (parameter.type === 'integer' && !Number.isInteger(number)) throw wrong('a whole number');
      const { minimum = -Infinity, maximum = Infinity } = parameter;
      if (number < minimum) throw wrong(`at least ${minimum}`);
      if (number > maximum) throw wrong(`at most ${maximum}`);
      return number === 0 ? 0 : number; // -0 is 0
    }
  }
}

// ---------------------------------------------------------------- reading what was read

/** @throws Error when the parameter is not there as a number: it was not read, or not settled. */
export function numberOf(params: Readonly<MechanismParams>, name: string): number {
  const value = params[name];
  if (typeof value !== 'number') throw new Error(`The parameter ${name} has no number (${String(value)}).`);
  return value;
}

/** The number that was chosen, or what follows from the text. */
export function numberOrAuto(params: Readonly<MechanismParams>, name: string, auto: number): number {
  return params[name] === AUTO ? auto : numberOf(params, name);
}

/** @throws Error */
export function flagOf(params: Readonly<MechanismParams>, name: string): boolean {
  const value = params[name];
  if (typeof value !== 'boolean')
    throw new Error(`The parameter ${name} is not yes or no (${String(value)}).`);
  return value;
}

/** @throws Error */
export function wordOf(params: Readonly<MechanismParams>, name: string): string {
  const value = params[name];
  if (typeof value !== 'string') throw new Error(`The parameter ${name} has no word (${String(value)}).`);
  return value;
}
