/** Command-line values with a syntax of their own. */
import { settingOf } from '../attention/parameters';
import { findMechanism } from '../attention/registry';
import { UsageError, told } from '../errors';
import type { DeviceChoice, Setting } from '../../shared/protocol/engine';

export const DEVICES: readonly DeviceChoice[] = ['auto', 'cpu', 'webgpu', 'cuda', 'dml', 'coreml'];

/** `NAME[:key=value;key=value],...`; a value may hold commas. */
export function parseMechanisms(list: string): Setting[] {
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
    return settingOf(info, parsePairs(pairs));
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

export function parseCount(name: string, value: string): number {
  const count = Number(value);
  if (!/^\d+$/.test(value) || count < 1 || !Number.isSafeInteger(count)) {
    throw new UsageError(told`${name} must be a whole number of at least 1, not "${value}".`);
  }
  return count;
}

export function parseDevice(value: string): DeviceChoice {
  const device = DEVICES.find(known => known === value);
  if (device === undefined)
    throw new UsageError(told`--device must be one of ${DEVICES.join(', ')}, not "${value}".`);
  return device;
}
