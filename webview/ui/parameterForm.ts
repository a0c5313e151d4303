import { html, nothing, type TemplateResult } from 'lit';
import type { MechanismInfo, MechanismParams, ParameterInfo } from '../../shared/protocol/engine';
import {
  AUTO,
  SettingError,
  settingOf,
  type ParameterValue as Value,
  type Setting,
} from '../../shared/setting';
import { parseNumber, withLearned, words } from '../model/parameters';
import { store } from '../host/store';
import { t } from '../host/words';
import { choose, textField, toggle } from './controls';

/**
 * A form made from a mechanism's own description. An empty field means the default.
 * @param learned what the model has where nothing is given
 */
export function parameterForm(
  info: MechanismInfo,
  setting: Setting,
  onChange: (setting: Setting) => void,
  learned: Readonly<MechanismParams> = {},
): TemplateResult {
  if (store.report) return inWords(info, { ...setting, params: withLearned(setting.params, learned) });
  const { params } = setting;
  const result = store.mechanismResult(setting) ?? store.mechanismResult(setting, 'propagated');
  const settled = (name: string) => (params[name] === AUTO ? result?.settled[name] : undefined);
  const set = (name: string, value: Value | undefined) => {
    try {
      onChange(settingOf(info, { ...params, [name]: value ?? null }));
    } catch (error) {
      // What is typed is not (yet) a value of the parameter.
      if (!(error instanceof SettingError)) throw error;
    }
  };
  return html`${info.parameters.map(p => {
    const own = params[p.name] === AUTO ? learned[p.name] : undefined;
    const title =
      own === undefined ? hint(p, settled(p.name)) : t('{0}\nLearned: {1}', p.description, String(own));
    return html`<span title=${title}
      >${field(p, params[p.name]!, own ?? settled(p.name), v => set(p.name, v))}</span
    >`;
  })}`;
}

const inWord = (value: Value) => (typeof value === 'boolean' ? (value ? t('yes') : t('no')) : String(value));

/** In a report nothing can be computed anew. */
function inWords(info: MechanismInfo, { params }: Setting): TemplateResult {
  const shown = info.parameters.filter(p => params[p.name] !== AUTO);
  return html`<span class="muted"
    >${shown.map((p, i) => html`${i ? ', ' : ''}<span title=${hint(p)}>${words(p.name)} ${inWord(params[p.name]!)}</span>`)}</span
  >`;
}

/** `settled`: what the default came to on this text. */
function hint(p: ParameterInfo, settled?: Value): string {
  const rule =
    p.defaultRule && settled !== undefined
      ? t('{0} (here {1})', p.defaultRule, String(settled))
      : p.defaultRule;
  const fallback = p.default === null ? rule : String(p.default);
  return fallback ? t('{0}\nDefault: {1}', p.description, fallback) : p.description;
}

function field(
  p: ParameterInfo,
  value: Value,
  settled: Value | undefined,
  set: (value: Value | undefined) => void,
): TemplateResult | typeof nothing {
  if (p.type === 'boolean') return toggle(words(p.name), value === true, set);
  if (p.choices) {
    return choose(
      words(p.name),
      String(value),
      p.choices.map(c => ({ value: c, label: c })),
      set,
    );
  }
  if (p.type === 'string' || p.type === 'indices')
    return textField(words(p.name), String(value), text => set(text || undefined));
  const placeholder = p.default === null ? String(settled ?? t('auto')) : String(p.default);
  return textField(
    words(p.name),
    value === AUTO ? '' : String(value),
    text => {
      if (text.trim() === '') return set(undefined);
      const number = parseNumber(text, p);
      if (number !== null) set(number);
    },
    { placeholder, size: 5 },
  );
}
