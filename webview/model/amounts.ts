/** Amounts with their units in the user's language. */
import * as numbers from '../../shared/numbers';
import { t } from '../host/words';

const UNITS: Readonly<Record<string, string>> = {
  nats: t('nats'),
  tokens: t('tokens'),
  pairs: t('pairs'),
  operations: t('operations'),
  bytes: t('bytes'),
  '1 - cosine': t('1 - cosine'),
};

export const tokens = (value: number): string => numbers.tokens(value, t);

export const nats = (value: number): string => numbers.nats(value, t);

export const progressWords = (fraction: number, secondsLeft?: number): string =>
  numbers.progressWords(fraction, secondsLeft, t);

export const interval = (range: { low: number; high: number }): string => numbers.interval(range, t);

export const carried = (carriers: Parameters<typeof numbers.carried>[0]): string =>
  numbers.carried(carriers, t);

export const exact = (value: number, unit = ''): string => numbers.exact(value, UNITS[unit] ?? unit);
