/**
 * Writes the parts of package.json that follow from the code: the schema of the setting that lists mechanisms, from
 * their registry, and the tools that assistants can call; and their English words into package.nls.json, where those of
 * the whole manifest are. `npm run manifest`; a test fails when it was forgotten.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { mechanismInfos } from '../engine/attention/registry';
import type { MechanismInfo, ParameterInfo } from '../shared/protocol/engine';
import { inputSchema } from '../shared/tools/jsonSchema';
import { COUNTING, TOOLS } from '../shared/tools/tools';

const SETTING = 'attentionInspector.mechanisms';

export const MANIFEST = fileURLToPath(new URL('../package.json', import.meta.url));
/** The words of the manifest: `%key%` there is the text of the key here. */
export const WORDS = fileURLToPath(new URL('../package.nls.json', import.meta.url));

export type Words = Record<string, string>;

export interface Manifest {
  contributes: {
    configuration: { properties: Record<string, { items?: unknown }> };
    languageModelTools?: unknown;
  };
}

/** The manifest with its derived parts as the code has them. */
export function withDerivedParts<M extends Manifest>(manifest: M): M {
  const copy = structuredClone(manifest);
  const setting = copy.contributes.configuration.properties[SETTING];
  if (!setting) throw new Error(`package.json has no setting ${SETTING}.`);
  setting.items = mechanismItems();
  copy.contributes.languageModelTools = TOOLS.map(tool => ({
    name: tool.name,
    displayName: wordOf(`tool.${tool.name}.title`),
    modelDescription: `${tool.description} ${COUNTING}`,
    userDescription: wordOf(`tool.${tool.name}`),
    toolReferenceName: tool.name.replaceAll('_', '-'),
    canBeReferencedInPrompt: true,
    icon: '$(eye)',
    when: 'isWorkspaceTrusted',
    inputSchema: inputSchema(tool),
  }));
  return copy;
}

/** The words of the derived parts, by their keys. */
export function derivedWords(): Words {
  const words: [string, string][] = [];
  for (const { name, summary, parameters } of mechanismInfos) {
    words.push([mechanismKey(name), summary]);
    for (const parameter of parameters)
      words.push([mechanismKey(name, parameter.name), sentenceOf(parameter)]);
  }
  for (const { name, title, description } of TOOLS)
    words.push([`tool.${name}.title`, title], [`tool.${name}`, description]);
  return Object.fromEntries(words);
}

/** The given words with the derived ones as the code has them, and none of those that it has no more. */
export function withDerivedWords(words: Words): Words {
  const own = Object.entries(words).filter(([key]) => !/^(mechanism|tool)\./.test(key));
  return { ...Object.fromEntries(own), ...derivedWords() };
}

const mechanismKey = (...names: string[]): string => ['mechanism', ...names].join('.');

const wordOf = (key: string): string => `%${key}%`;

/** What a parameter does, and what stands in for it. */
const sentenceOf = ({ default: value, defaultRule, description }: ParameterInfo): string =>
  value === null && defaultRule ? `${description} Default: ${defaultRule}.` : description;

/** JSON schema of one entry: a name, or a name with parameters. */
function mechanismItems() {
  const infos = mechanismInfos.filter(({ name }) => name !== 'dense'); // always computed
  return {
    anyOf: [
      {
        type: 'string',
        enum: infos.map(({ name }) => name),
        enumDescriptions: infos.map(({ name }) => wordOf(mechanismKey(name))),
      },
      ...infos.map(choiceSchema),
    ],
  };
}

function choiceSchema({ name, parameters }: MechanismInfo) {
  return {
    type: 'object',
    required: ['name'],
    additionalProperties: false,
    properties: {
      name: { type: 'string', enum: [name], description: wordOf(mechanismKey(name)) },
      params: {
        type: 'object',
        additionalProperties: false,
        properties: Object.fromEntries(
          parameters.map(parameter => [parameter.name, parameterSchema(name, parameter)]),
        ),
      },
    },
  };
}

function parameterSchema(
  mechanism: string,
  { name, type, default: value, minimum, maximum, choices }: ParameterInfo,
) {
  return {
    ...(type === 'indices' ? { type: 'string', pattern: '^[\\d\\s,+|]*$' } : { type }),
    ...(value !== null && { default: value }),
    ...(minimum !== undefined && { minimum }),
    ...(maximum !== undefined && { maximum }),
    ...(choices && { enum: choices }),
    description: wordOf(mechanismKey(mechanism, name)),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const manifest = JSON.parse(readFileSync(MANIFEST, 'utf8')) as Manifest;
  const words = JSON.parse(readFileSync(WORDS, 'utf8')) as Words;
  writeFileSync(MANIFEST, `${JSON.stringify(withDerivedParts(manifest), null, 2)}\n`);
  writeFileSync(WORDS, `${JSON.stringify(withDerivedWords(words), null, 2)}\n`);
}
