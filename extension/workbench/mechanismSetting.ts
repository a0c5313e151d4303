import type { MechanismChoice, MechanismParams } from '../../shared/protocol/engine';
import { describeChoice, sameChoice } from '../../shared/choice';

export { describeChoice, sameChoice };

/**
 * Reads the setting `attentionInspector.mechanisms`: a list of names or of `{ name, params }`. What cannot be read is
 * left out and named in `problems`; which names and parameters exist is the engine's to say.
 */
export function readMechanisms(value: unknown): { choices: MechanismChoice[]; problems: string[] } {
  const choices: MechanismChoice[] = [];
  const problems: string[] = [];
  if (!Array.isArray(value)) {
    if (value !== undefined && value !== null) problems.push('The setting is not a list.');
    return { choices, problems };
  }
  value.forEach((entry: unknown, index) => {
    const choice = readOne(entry);
    if (typeof choice === 'string') problems.push(`Entry ${index + 1}: ${choice}`);
    else if (choices.some(other => sameChoice(other, choice)))
      problems.push(`Entry ${index + 1}: ${choice.name} is listed twice.`);
    else choices.push(choice);
  });
  return { choices, problems };
}

function readOne(entry: unknown): MechanismChoice | string {
  if (typeof entry === 'string') return entry.trim() ? { name: entry.trim(), params: {} } : 'empty name.';
  if (typeof entry !== 'object' || entry === null) return 'neither a name nor an object.';
  const { name, params = {} } = entry as { name?: unknown; params?: unknown };
  if (typeof name !== 'string' || !name.trim()) return '"name" is missing.';
  if (typeof params !== 'object' || params === null || Array.isArray(params))
    return `"params" of ${name} is not an object.`;
  const read: MechanismParams = {};
  for (const [key, parameter] of Object.entries(params)) {
    if (parameter === null) continue; // null = the default
    if (typeof parameter === 'object') return `parameter "${key}" of ${name} is not a plain value.`;
    read[key] = parameter as number | boolean | string;
  }
  return { name: name.trim(), params: read };
}
