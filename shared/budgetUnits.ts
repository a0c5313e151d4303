import type { BudgetUnit } from './protocol/mechanisms';

/** What budgets are paid in, in words. */
export const UNITS: Record<BudgetUnit, string> = {
  pairs: 'pairs',
  flops: 'operations',
  blocks: 'blocks of 128 x 128',
  kv: 'key/value cache',
};
