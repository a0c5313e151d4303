import JSON5 from 'json5';

/** Characters of a file that people edit; the reader of what is not strict is slow. */
const EDITED_BY_PEOPLE = 4 * 2 ** 20;

/**
 * JSON as the Python tools around models write and read it: with a byte order mark, NaN and Infinity, and as people edit it,
 * with comments and commas at the end. What is strict JSON is read by the fast parser.
 */
export function parseJson(text: string): unknown {
  const plain = text.replace(/^\ufeff/, '');
  try {
    return JSON.parse(plain);
  } catch (error) {
    if (plain.length > EDITED_BY_PEOPLE) throw error;
    try {
      return JSON5.parse(plain);
    } catch {
      throw error;
    }
  }
}

/** The JSON object, or null when it is none. */
export function parseJsonObject(text: string): Record<string, unknown> | null {
  try {
    const value = parseJson(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
