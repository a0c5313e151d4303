/**
 * Writes the sections of docs/mechanisms.md from what each mechanism says of itself. `npm run mechanism-docs`; a test fails
 * when it was forgotten.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Mechanism } from '../engine/attention/mechanism';
import { mechanisms } from '../engine/attention/registry';
import type { ParameterInfo } from '../shared/protocol/engine';

const SCRIPT = fileURLToPath(import.meta.url);
export const DOCUMENT = join(dirname(SCRIPT), '../docs/mechanisms.md');

const BEGIN = '<!-- mechanisms: written by `npm run mechanism-docs` from engine/attention/mechanisms -->';
const END = '<!-- end of mechanisms -->';

/** The document with the sections as the code has them, formatted. */
export async function withSections(text: string): Promise<string> {
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  if (from < 0 || to < from) throw new Error(`${DOCUMENT} has no place for the mechanisms.`);
  const sections = mechanisms.map(sectionOf).join('\n\n');
  const filled = `${text.slice(0, from)}${BEGIN}\n\n${sections}\n\n${text.slice(to)}`;
  const { format, resolveConfig } = await import('prettier');
  return format(filled, { ...(await resolveConfig(DOCUMENT)), parser: 'markdown' });
}

function sectionOf({ info, about }: Mechanism): string {
  return [
    `## ${info.title}`,
    `<img src="../media/mechanisms/${info.name}.svg" align="right" alt="What ${info.title} keeps of one head" />`,
    `\`${info.name}\`. ${about.what}`,
    `    ${about.rule}`,
    [
      `- **Paper:** ${info.paper}.`,
      `- **Exact or not:** ${about.exact}`,
      `- **Cost:** ${about.cost}`,
      `- **When:** ${about.when}`,
    ].join('\n'),
    parametersOf(info.parameters),
    '<br clear="all" />',
  ].join('\n\n');
}

function parametersOf(parameters: readonly ParameterInfo[]): string {
  if (parameters.length === 0) return 'No parameters.';
  return ['| parameter | default | |', '| --- | --- | --- |', ...parameters.map(rowOf)].join('\n');
}

function rowOf({ name, default: value, defaultRule, choices, description }: ParameterInfo): string {
  const otherwise = value === null ? (defaultRule ?? '') : `\`${value === '' ? '(empty)' : String(value)}\``;
  const among = choices ? ` One of ${choices.map(choice => `\`${choice}\``).join(', ')}.` : '';
  return `| \`${name}\` | ${otherwise} | ${(description + among).replaceAll('|', '\\|')} |`;
}

if (process.argv[1] === SCRIPT) {
  void withSections(readFileSync(DOCUMENT, 'utf8')).then(text => writeFileSync(DOCUMENT, text));
}
