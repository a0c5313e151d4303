/** The words of the views in the user's language: the page brings them along where it is not English. */
import * as l10n from '@vscode/l10n';
import { inLanguage } from '../../shared/sentences';

// Read before anything that is written down once and for all, such as the titles of the tabs.
const page = (
  globalThis as { document?: { getElementById(id: string): { textContent: string | null } | null } }
).document;
const brought = page?.getElementById('words')?.textContent;
if (brought) l10n.config({ contents: brought });

/** A message in the user's language, its values filled in. Every message is in l10n/. */
export const t: (message: string, ...values: (string | number)[]) => string = l10n.t;

/** What the engine said, in the user's language as far as it is known. */
export const said = (sentence: string): string => inLanguage(sentence, t);

/** A message with values that are more than words, such as a number in bold: in the order that the user's language has them. */
export function rich(message: string, ...values: unknown[]): unknown[] {
  return l10n
    .t(message)
    .split(/\{(\d+)\}/)
    .map((piece, at) => (at % 2 === 1 ? values[Number(piece)] : piece));
}
