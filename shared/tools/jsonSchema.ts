/** The tools' schemas as JSON schema: for the MCP server and for the editor's manifest. */
import { toJsonSchema } from '@valibot/to-json-schema';
import type { Tool } from './tools';

/** A JSON schema of an object, without the line that says which dialect it is. */
export interface ObjectSchema {
  [key: string]: unknown;
  type: 'object';
}

export const inputSchema = ({ input }: Tool): ObjectSchema =>
  plain(toJsonSchema(input, { typeMode: 'input' }));

export const outputSchema = ({ output }: Tool): ObjectSchema => plain(toJsonSchema(output));

function plain({ $schema: _, ...schema }: object & { $schema?: unknown }): ObjectSchema {
  return schema as ObjectSchema;
}
