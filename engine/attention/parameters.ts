import { UsageError } from '../errors';
import type { MechanismParams } from '../../shared/protocol/engine';
import {
  AUTO,
  readParams as read,
  settingOf as setting,
  SettingError,
  type GivenSetting,
  type Parameterised,
  type Setting,
} from '../../shared/setting';
import type { CoreInput } from './core';
import type { Mechanism } from './mechanism';

/** Every parameter, `auto` where it follows from the text. @throws UsageError naming the parameter and what it may be. */
export function readParams(
  info: Parameterised,
  given: GivenSetting['params'],
  what = 'mechanism',
): MechanismParams {
  return asUsage(() => read(info, given, what));
}

/** @throws UsageError naming the parameter and what it may be. */
export function settingOf(info: Parameterised, given: GivenSetting['params']): Setting {
  return asUsage(() => setting(info, given));
}

/** What cannot be read as a setting is a wrong call. */
function asUsage<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof SettingError ? new UsageError(error.message) : error;
  }
}

/**
 * All parameters as they come to on these inputs. Without those that have no single value there: a span that is fitted
 * to each head, a budget where there is none.
 */
export function settledParams(
  mechanism: Pick<Mechanism, 'settle'>,
  input: CoreInput,
  params: Readonly<MechanismParams>,
): MechanismParams {
  const all = { ...params, ...mechanism.settle?.(input, params) };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== AUTO));
}

/** The square root of the keys, rounded up: the balanced choice of the sqrt(N) mechanisms. */
export function rootOf(tokens: number): number {
  return Math.max(1, Math.ceil(Math.sqrt(tokens)));
}
