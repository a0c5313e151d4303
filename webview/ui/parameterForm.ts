import { html, nothing, type TemplateResult } from 'lit';
import type { MechanismInfo, MechanismParams, ParameterInfo } from '../../shared/protocol/engine';
import { parseNumber, words } from '../model/parameters';
import { store } from '../host/store';
import { choose, textField, toggle } from './controls';

type Value = MechanismParams[string];

/** A form made from a mechanism's own description. An empty field means the default. */
export function parameterForm(
  info: MechanismInfo,
  params: MechanismParams,
  onChange: (params: MechanismParams) => void,
): TemplateResult {
  if (store.report) return inWords(info, params);
  const choice = { name: info.name, params };
  const result = store.mechanismResult(choice) ?? store.mechanismResult(choice, 'propagated');
  const settled = (name: string) =>
    result?.params[name] === undefined ? result?.settled?.[name] : undefined;
  const set = (name: string, value: Value | undefined) => {
    const next = { ...params };
    if (value === undefined) delete next[name];
    else next[name] = value;
    onChange(next);
  };
  return html`${info.parameters.map(p => html`<span title=${hint(p, settled(p.name))}>${field(p, params[p.name], settled(p.name), v => set(p.name, v))}</span>`)}`;
}

const inWord = (value: Value) => (typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value));

/** In a report nothing can be computed anew. */
function inWords(info: MechanismInfo, params: MechanismParams): TemplateResult {
  const shown = info.parameters.filter(p => params[p.name] !== undefined);
  return html`<span class="muted"
    >${shown.map((p, i) => html`${i ? ', ' : ''}<span title=${hint(p)}>${words(p.name)} ${inWord(params[p.name]!)}</span>`)}</span
  >`;
}

/** `settled`: what the default came to on this text. */
function hint(p: ParameterInfo, settled?: Value): string {
  const rule = p.defaultRule && settled !== undefined ? `${p.defaultRule} (here ${settled})` : p.defaultRule;
  const fallback = p.default === null ? rule : String(p.default);
  return fallback ? `${p.description}\nDefault: ${fallback}` : p.description;
}

function field(
  p: ParameterInfo,
  value: Value | undefined,
  settled: Value | undefined,
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
  const placeholder = p.default === null ? String(settled ?? 'auto') : String(p.default);
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
