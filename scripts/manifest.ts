/**
 * Writes the parts of package.json that follow from the code: the schema of the setting that lists mechanisms, from
 * their registry, and the tools that assistants can call. `npm run manifest`; a test fails when it was forgotten.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { mechanismInfos } from '../engine/attention/registry';
import type { MechanismInfo, ParameterInfo } from '../shared/protocol/engine';
import { inputSchema } from '../shared/tools/jsonSchema';
import { COUNTING, TOOLS } from '../shared/tools/tools';

const SETTING = 'attentionInspector.mechanisms';

export const MANIFEST = fileURLToPath(new URL('../package.json', import.meta.url));

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
    displayName: tool.title,
    modelDescription: `${tool.description} ${COUNTING}`,
    userDescription: tool.description,
    toolReferenceName: tool.name.replaceAll('_', '-'),
    canBeReferencedInPrompt: true,
    icon: '$(eye)',
    when: 'isWorkspaceTrusted',
    inputSchema: inputSchema(tool),
  }));
  return copy;
}

/** JSON schema of one entry: a name, or a name with parameters. */
function mechanismItems() {
  const infos = mechanismInfos.filter(({ name }) => name !== 'dense'); // always computed
  return {
    anyOf: [
      {
        type: 'string',
        enum: infos.map(({ name }) => name),
        enumDescriptions: infos.map(({ summary }) => summary),
      },
      ...infos.map(choiceSchema),
    ],
  };
}

function choiceSchema({ name, summary, parameters }: MechanismInfo) {
  return {
    type: 'object',
    required: ['name'],
    additionalProperties: false,
    properties: {
      name: { type: 'string', enum: [name], description: summary },
      params: {
        type: 'object',
        additionalProperties: false,
        properties: Object.fromEntries(
          parameters.map(parameter => [parameter.name, parameterSchema(parameter)]),
        ),
      },
    },
  };
}

function parameterSchema({
  type,
  default: value,
  defaultRule,
  minimum,
  maximum,
  choices,
  description,
}: ParameterInfo) {
  return {
    ...(type === 'indices' ? { type: 'string', pattern: '^[\\d\\s,+|]*$' } : { type }),
    ...(value !== null && { default: value }),
    ...(minimum !== undefined && { minimum }),
    ...(maximum !== undefined && { maximum }),
    ...(choices && { enum: choices }),
    description: value === null && defaultRule ? `${description} Default: ${defaultRule}.` : description,
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const manifest = JSON.parse(readFileSync(MANIFEST, 'utf8')) as Manifest;
  writeFileSync(MANIFEST, `${JSON.stringify(withDerivedParts(manifest), null, 2)}\n`);
}
