import { html, nothing, type TemplateResult } from 'lit';
import type { MechanismInfo, MechanismParams, ParameterInfo } from '../../engine/protocol';
import { choose, textField, toggle } from './controls';

type Value = MechanismParams[string];

/** A form made from a mechanism's own description. An empty field means the default. */
export function parameterForm(
  info: MechanismInfo,
  params: MechanismParams,
  onChange: (params: MechanismParams) => void,
): TemplateResult {
  const set = (name: string, value: Value | undefined) => {
    const next = { ...params };
    if (value === undefined) delete next[name];
    else next[name] = value;
    onChange(next);
  };
  return html`${info.parameters.map(p => html`<span title=${hint(p)}>${field(p, params[p.name], v => set(p.name, v))}</span>`)}`;
}

function hint(p: ParameterInfo): string {
  const fallback = p.default === null ? p.defaultRule : String(p.default);
  return fallback ? `${p.description}\nDefault: ${fallback}` : p.description;
}

function field(
  p: ParameterInfo,
  value: Value | undefined,
  set: (value: Value | undefined) => void,
): TemplateResult | typeof nothing {
  if (p.type === 'boolean') return toggle(words(p.name), Boolean(value ?? p.default), set);
  if (p.choices) {
    return choose(
      words(p.name),
      String(value ?? p.default ?? ''),
      p.choices.map(c => ({ value: c, label: c })),
      set,
    );
  }
  if (p.type === 'string')
    return textField(words(p.name), String(value ?? ''), text => set(text || undefined));
  const placeholder = p.default === null ? 'auto' : String(p.default);
  return textField(
    words(p.name),
    value === undefined ? '' : String(value),
    text => {
      if (text.trim() === '') return set(undefined);
      const number = parseNumber(text, p);
      if (number !== null) set(number);
    },
    { placeholder, size: 5 },
  );
}

/** The number, or null while what is typed is not (yet) a permitted one. */
export function parseNumber(
  text: string,
  p: Pick<ParameterInfo, 'type' | 'minimum' | 'maximum'>,
): number | null {
  const number = Number(text);
  if (!Number.isFinite(number) || (p.type === 'integer' && !Number.isInteger(number))) return null;
  if (number < (p.minimum ?? -Infinity) || number > (p.maximum ?? Infinity)) return null;
  return number;
}

/** "attendAcrossBuckets" as "attend across buckets". */
function words(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, (_, a: string, b: string) => `${a} ${b.toLowerCase()}`);
}
