/** Command-line values with a syntax of their own. */
import { settingOf } from '../attention/parameters';
import { findMechanism } from '../attention/registry';
import { UsageError, told } from '../errors';
import { BUDGET_UNITS, type BudgetUnit, type DeviceChoice, type Setting } from '../../shared/protocol/engine';

export const DEVICES: readonly DeviceChoice[] = ['auto', 'cpu', 'webgpu', 'cuda', 'dml', 'coreml'];

/** A mechanism as it was named; `bare`: without parameters of its own. */
export interface NamedMechanism {
  setting: Setting;
  bare: boolean;
}

/** `NAME[:key=value;key=value],...`; a value may hold commas. */
export function parseMechanisms(list: string): NamedMechanism[] {
  const items: string[] = [];
  for (const piece of list.split(',')) {
    const startsItem = /^\s*[a-z][\w-]*\s*(:|$)/i.test(piece);
    if (startsItem || items.length === 0) items.push(piece);
    else items[items.length - 1] += `,${piece}`;
  }
  return items.map(item => {
    const [name = '', ...rest] = item.trim().split(':');
    if (name === '') throw new UsageError(told`"${list}" names a mechanism without a name.`);
    const { info } = findMechanism(name);
    const pairs = rest
      .join(':')
      .split(';')
      .filter(pair => pair.trim() !== '');
    return { setting: settingOf(info, parsePairs(pairs)), bare: pairs.length === 0 };
  });
}

/** `key=value`, each key once. */
export function parsePairs(pairs: readonly string[]): Record<string, string> {
  const values: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at <= 0) throw new UsageError(told`"${pair}" is not of the form key=value.`);
    const key = pair.slice(0, at).trim();
    if (Object.hasOwn(values, key)) throw new UsageError(told`The parameter ${key} is given twice.`);
    values[key] = pair.slice(at + 1).trim();
  }
  return values;
}

export function parseCount(name: string, value: string, least = 1): number {
  const count = Number(value);
  if (!/^\d+$/.test(value) || count < least || !Number.isSafeInteger(count)) {
    throw new UsageError(told`${name} must be a whole number of at least ${least}, not "${value}".`);
  }
  return count;
}

/** A text of one token has nothing to attend to; the setting takes no fewer either. */
export const parseMostTokens = (value: string): number => parseCount('--max-tokens', value, 2);

export function parseDevice(value: string): DeviceChoice {
  const device = DEVICES.find(known => known === value);
  if (device === undefined)
    throw new UsageError(told`--device must be one of ${DEVICES.join(', ')}, not "${value}".`);
  return device;
}

/** `10%` or `0.1`. */
export function parseBudget(value: string): number {
  const [, number = '', percent] = /^([\d.]+)\s*(%?)$/.exec(value.trim()) ?? [];
  const share = Number(number) / (percent === '%' ? 100 : 1);
  if (number === '' || !(share > 0 && share <= 1)) {
    throw new UsageError(
      told`--budget must be a share of the dense pairs (or of what --budget-in says), above 0 and at most 1 (0.1 or 10%), not "${value}".`,
    );
  }
  return share;
}

/** What a budget is paid in. */
export function parseUnit(value: string): BudgetUnit {
  const unit = BUDGET_UNITS.find(known => known === value);
  if (unit === undefined)
    throw new UsageError(told`--budget-in must be one of ${BUDGET_UNITS.join(', ')}, not "${value}".`);
  return unit;
}
