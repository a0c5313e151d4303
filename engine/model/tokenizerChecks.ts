/**
 * Faults of a tokenizer definition that the tokenizers library does not report but dies of, the whole process with it.
 * Found by mutating definitions (test/unit/fuzz.test.ts).
 */

type Part = Record<string, unknown>;

/** Says in words what is wrong, or null. */
export function fatalFault(definition: unknown): string | null {
  const { post_processor: processor } = part(definition);
  for (const template of templates(processor)) {
    const known = new Set(Object.keys(part(template.special_tokens)));
    for (const piece of [...list(template.single), ...list(template.pair)]) {
      const id = part(part(piece).SpecialToken).id;
      if (id !== undefined && !known.has(String(id)))
        return `its template names an unknown token "${String(id)}"`;
    }
  }
  return null;
}

function templates(processor: unknown): Part[] {
  const found = part(processor);
  if (found.type === 'TemplateProcessing') return [found];
  return list(found.processors).flatMap(templates);
}

function part(value: unknown): Part {
  return typeof value === 'object' && value !== null ? (value as Part) : {};
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
