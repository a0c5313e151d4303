/** Damage to configurations and tokenizers that stays JSON: parts of another kind, of another size, or gone. */
import { HOSTILE_NAMES } from './mutate';
import { below, oneOf, type Random } from './random';

const FOREIGN: unknown[] = [null, -1, 1e9, '', 'ｘ▁', [], {}, true];

/** A JSON value with parts left out or replaced by something of another kind; `rate` per part. */
export function damageJson(value: unknown, random: Random, rate: number): unknown {
  if (random() < rate) return oneOf(random, FOREIGN);
  if (Array.isArray(value)) {
    const items: unknown[] = value.map(item => damageJson(item, random, rate));
    if (random() < rate) items.splice(below(random, items.length), 1);
    return items;
  }
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(() => random() >= rate);
  return Object.fromEntries(kept.map(([key, part]) => [key, damageJson(part, random, rate)]));
}

const NUMBERS = [0, -1, 1, 2, 0.5, 1e-300, 2 ** 31, 2 ** 53, 1e308, -(2 ** 40)];
const TEXTS = [
  ...HOSTILE_NAMES,
  '[a](command:b)',
  '\u202e\u001b[31m',
  '(a+)+$',
  '\\p{L}{1,9999}',
  '{"a":1}',
  'x'.repeat(5000),
];
/** Steps of a tokenizer, each in the place of another one. */
const STEPS = [
  { type: 'NFKD' },
  { type: 'Prepend', prepend: 'x'.repeat(100) },
  { type: 'Replace', pattern: { Regex: '' }, content: 'abc' },
  { type: 'Replace', pattern: { Regex: '(a+)+$' }, content: 'aa' },
  { type: 'Replace', pattern: { String: '' }, content: 'xy' },
  { type: 'Split', pattern: { Regex: '(?=.)' }, behavior: 'Isolated', invert: true },
  { type: 'Sequence', normalizers: [], pretokenizers: [], decoders: [], processors: [] },
  { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true },
  { type: 'Metaspace', replacement: '▁', add_prefix_space: true, prepend_scheme: 'always' },
  { type: 'Strip', content: ' ', start: 3, stop: 3, strip_left: true, strip_right: true },
  {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<none>', type_id: 0 } }],
    pair: [],
    special_tokens: {},
  },
  { type: 'Unheard' },
];

/** One to three changes of single fields, chosen among all of the document; vocabularies count as one field. */
export function changeJson(document: unknown, random: Random): unknown {
  const copy = structuredClone(document);
  for (let times = 1 + below(random, 3); times > 0; times--) {
    const fields = fieldsOf(copy);
    if (fields.length === 0) break;
    const { holder, key } = oneOf(random, fields);
    holder[key] = changedField(holder[key], key, random, () => {
      const other = oneOf(random, fields);
      return other.holder[other.key];
    });
    if (random() < 0.15) delete holder[key];
  }
  return copy;
}

interface Place {
  holder: Record<string, unknown>;
  key: string;
}

/** Every field, but of long lists and tables only a few entries. */
function fieldsOf(value: unknown, depth = 0): Place[] {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || depth > 30) return [];
  const holder = value as Record<string, unknown>;
  const keys = Object.keys(holder);
  const some = keys.length > 60 ? [...keys.slice(0, 3), ...keys.slice(-3)] : keys;
  return some.flatMap(key => [{ holder, key }, ...fieldsOf(holder[key], depth + 1)]);
}

function changedField(value: unknown, key: string, random: Random, other: () => unknown): unknown {
  const draw = random();
  if (draw < 0.15) return oneOf(random, FOREIGN);
  if (draw < 0.25) return structuredClone(other());
  if (draw < 0.35) return [value];
  if (draw < 0.4) return nested(random);
  if (/normalizer|tokenizer|processor|decoder/.test(key) || draw < 0.5)
    return structuredClone(oneOf(random, STEPS));
  if (typeof value === 'number') return oneOf(random, NUMBERS);
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'string') return oneOf(random, TEXTS);
  if (Array.isArray(value)) return [...(value as unknown[]), ...(value as unknown[]).slice(0, 50)];
  return oneOf(random, [...NUMBERS, ...TEXTS]);
}

/** Lists in lists. */
function nested(random: Random): unknown {
  let value: unknown = 1;
  for (let levels = oneOf(random, [3, 130, 3000]); levels > 0; levels--) value = [value];
  return value;
}

/** Names that mean something to JavaScript, and texts that mean something to whoever shows them. */
const KEYS = ['__proto__', 'constructor', 'toString', 'length', '0', 'then', ''];
const SHOWN = [
  '[a](command:workbench.action.quit)',
  '![](https://example.invalid/x.png)',
  '$(sync~spin)',
  '\u001b]0;x\u0007\u009b31m\u202e\u2066',
  '=HYPERLINK("x")',
  '<img src=x onerror=alert(1)>',
  'One. Two. Three.',
  '\ud800',
  'x'.repeat(100_000),
];

/** One to three fields with what somebody would write who means harm. */
export function attackJson(document: unknown, random: Random): unknown {
  const copy = structuredClone(document);
  const fields = fieldsOf(copy);
  for (let times = 1 + below(random, 3); times > 0 && fields.length > 0; times--) {
    const { holder, key } = oneOf(random, fields);
    oneOf<() => void>(random, [
      () => (holder[key] = oneOf(random, SHOWN)),
      () => (holder[key] = oneOf(random, NUMBERS)),
      () => (holder[key] = nested(random)),
      () => (holder[key] = { toString: 1, valueOf: 'x', length: 1e9 }),
      () => (holder[key] = Array.from({ length: 1 << 16 }, () => 1)),
      () => define(holder, oneOf(random, KEYS), holder[key]),
      () => define(holder, oneOf(random, SHOWN), holder[key]),
    ])();
  }
  return copy;
}

/** As JSON.parse does: a field of its own, whatever its name. */
function define(holder: object, key: string, value: unknown): void {
  if (Array.isArray(holder)) return;
  Object.defineProperty(holder, key, { value, enumerable: true, writable: true, configurable: true });
}
