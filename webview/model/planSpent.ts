import { UNITS } from '../../shared/budgetUnits';
import { t } from '../host/words';
import type { Plan } from '../../shared/protocol/engine';
import { priced, share } from './tried';

/** What the plan's budget is paid in, in words. */
export const paidIn = ({ unit = 'pairs' }: Plan): string => t(UNITS[unit]);

/** What it spends of that, as a share of what dense attention spends. */
export const spentBy = (plan: Plan): number => share(priced(plan, plan.unit ?? 'pairs'));
