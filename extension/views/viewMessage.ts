import { BUDGET_UNITS } from '../../shared/protocol/mechanisms';
import { VIEW_NAMES, type ViewMessage } from '../../shared/protocol/host';
import { isSetting } from '../../shared/setting';
import { isViewState } from './viewState';

type Check = (value: unknown) => boolean;
const isNumber: Check = value => typeof value === 'number' && Number.isInteger(value) && value >= 0;
const isString: Check = value => typeof value === 'string';
const isObject: Check = value => typeof value === 'object' && value !== null && !Array.isArray(value);
const orNull =
  (check: Check): Check =>
  value =>
    value === null || check(value);
const oneOf =
  (...values: string[]): Check =>
  value =>
    typeof value === 'string' && values.includes(value);

/** The fields that each message must have. A webview is a browser page: what comes from it is checked. */
const FIELDS: { [T in ViewMessage['type']]: { [field: string]: Check } } = {
  ready: {},
  request: { id: isNumber, method: isString, params: isObject },
  cancelRequest: { id: isNumber },
  select: { selection: isSelection },
  preview: { token: orNull(isNumber) },
  reveal: { tokens: value => Array.isArray(value) && value.every(isNumber) },
  openFile: { uri: isString, start: isNumber, end: isNumber },
  run: { command: isString },
  openView: { view: oneOf(...VIEW_NAMES) },
  setMassScale: { massScale: oneOf('linear', 'sqrt', 'log') },
  findPlan: {
    budget: isShare,
    unit: value => value === undefined || oneOf(...BUDGET_UNITS)(value),
    mechanisms: value => Array.isArray(value) && value.every(isString),
  },
  cancelPlan: {},
  changePlan: { change: isAssignment },
  exportPlan: { format: oneOf('json', 'csv', 'flex', 'minference', 'duo') },
  intervene: { toggle: isIntervention },
  ablate: {},
  cancelAblation: {},
  copy: { text: isString },
  setChangeMarks: { changeMarks: value => typeof value === 'boolean' },
  viewState: { view: isViewState },
  log: { level: oneOf('info', 'warn', 'error'), message: isString },
};

function isShare(value: unknown): boolean {
  return typeof value === 'number' && value > 0 && value <= 1;
}

function isAssignment(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { core, head, choice } = value as Record<string, unknown>;
  return isNumber(core) && isNumber(head) && isSetting(choice);
}

function isIntervention(value: unknown): boolean {
  if (!isObject(value)) return false;
  const one = value as Record<string, unknown>;
  const place = orNull(isNumber)(one.core) && orNull(isNumber)(one.head);
  const isRange: Check = range =>
    isObject(range) && ['from', 'to'].every(end => isNumber((range as never)[end]));
  if (one.side !== undefined && !oneOf('text', 'target')(one.side)) return false;
  switch (one.kind) {
    case 'head':
      return isNumber(one.core) && isNumber(one.head);
    case 'span':
      return place && isRange(one) && orNull(isRange)(one.queries);
    case 'edge':
      return place && isNumber(one.query) && isNumber(one.key);
    case 'mechanism':
      return place && isSetting(one.choice);
    default:
      return false;
  }
}

function isChange(value: unknown): boolean {
  const { kind, choice } = (value ?? { kind: 'plan' }) as { kind: unknown; choice: unknown };
  if (kind === 'mechanism') return isSetting(choice);
  return oneOf('interventions', 'plan')(kind);
}

function isSelection(value: unknown): boolean {
  if (!isObject(value)) return false;
  return Object.entries(value as object).every(([key, member]) => {
    if (key === 'mechanism') return orNull(isSetting)(member);
    if (key === 'change') return isChange(member);
    return ['core', 'head', 'token'].includes(key) && orNull(isNumber)(member);
  });
}

export function isViewMessage(message: unknown): message is ViewMessage {
  if (!isObject(message)) return false;
  const record = message as Record<string, unknown>;
  const fields = Object.hasOwn(FIELDS, String(record.type))
    ? FIELDS[record.type as ViewMessage['type']]
    : undefined;
  return !!fields && Object.entries(fields).every(([field, check]) => check(record[field]));
}
