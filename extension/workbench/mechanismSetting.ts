import {
  readSetting,
  SettingError,
  type GivenSetting,
  type Parameterised,
  type Setting,
} from '../../shared/setting';

export interface ReadMechanisms {
  /** The entries as they are written, as far as they can be read: for the engine, which knows the mechanisms. */
  given: GivenSetting[];
  /** Those that the mechanisms can be set to, each once; none while the mechanisms are unknown. */
  settings: Setting[];
  /** A sentence for each entry that is left out. */
  problems: string[];
}

/**
 * Reads `attentionInspector.mechanisms`: a list of names or of `{ name, params }`. `infos`: the engine's mechanisms, null
 * while it has not told them.
 */
export function readMechanisms(value: unknown, infos: readonly Parameterised[] | null): ReadMechanisms {
  const read: ReadMechanisms = { given: [], settings: [], problems: [] };
  if (!Array.isArray(value)) {
    if (value !== undefined && value !== null) read.problems.push('The setting is not a list.');
    return read;
  }
  for (const [index, entry] of value.entries()) {
    const problem = addEntry(read, entry, infos);
    if (problem !== null) read.problems.push(`Entry ${index + 1}: ${problem}`);
  }
  return read;
}

function addEntry(
  { given, settings }: ReadMechanisms,
  entry: unknown,
  infos: readonly Parameterised[] | null,
): string | null {
  const one = givenBy(entry);
  if (typeof one === 'string') return one;
  try {
    const setting = infos && readSetting(one, infos);
    if (settings.some(({ key }) => key === setting?.key)) return `${one.name} is listed twice.`;
    if (setting) settings.push(setting);
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    given.push(one);
    return error.message;
  }
  given.push(one);
  return null;
}

function givenBy(entry: unknown): GivenSetting | string {
  if (typeof entry === 'string') return entry.trim() ? { name: entry.trim(), params: {} } : 'empty name.';
  if (typeof entry !== 'object' || entry === null) return 'neither a name nor an object.';
  const { name, params = {} } = entry as { name?: unknown; params?: unknown };
  if (typeof name !== 'string' || !name.trim()) return '"name" is missing.';
  if (typeof params !== 'object' || params === null || Array.isArray(params))
    return `"params" of ${name} is not an object.`;
  // null = the default
  const deep = Object.entries(params).find(([, value]) => typeof value === 'object' && value !== null);
  if (deep) return `parameter "${deep[0]}" of ${name} is not a plain value.`;
  return { name: name.trim(), params: params as GivenSetting['params'] };
}
