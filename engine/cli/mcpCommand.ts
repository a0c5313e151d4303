/**
 * `mcp`: the assistants' tools as an MCP server over standard input and output. It reads texts and models below the folder
 * that it was started in and no others; a model is tried in a process of its own before it is loaded here.
 */
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import {
  CallToolRequestSchema,
  ListToolsRequestSchema,
  type CallToolResult,
} from '@modelcontextprotocol/sdk/types.js';
import { stat } from 'node:fs/promises';
import { Engine, UnknownAnalysisError } from '../engine';
import { RefusedError, told } from '../errors';
import { readText } from '../readText';
import { defaultLimitMiB } from '../runtime/memory';
import { trialIn } from '../service/modelTrial';
import { VERSION } from '../version';
import type { DeviceChoice } from '../../shared/protocol/engine';
import { inputSchema, outputSchema } from '../../shared/tools/jsonSchema';
import { COUNTING, Toolbox, ToolError, TOOLS, type ToolHost } from '../../shared/tools/tools';

export interface McpOptions {
  model: string;
  device: DeviceChoice;
}

/** Texts that a tool reads from a file. */
const FILE_MIB = 16;

const INSTRUCTIONS = `Runs a transformer on a text and says where its attention heads look, what they are for, and what efficient attention would keep. ${COUNTING}`;

/** Serves until the client closes the connection. */
export async function mcpCommand({ model, device }: McpOptions, signal: AbortSignal): Promise<void> {
  const engine = new Engine(undefined, trialIn(process.argv[1]!));
  await engine.request('initialize', { device, memoryLimitMiB: defaultLimitMiB() });
  const host: ToolHost = {
    model,
    device,
    folders: [process.cwd()],
    ask: (method, params, cancelled) => engine.request(method, params, cancelled),
    isLost: error => error instanceof UnknownAnalysisError,
    readText: readFileText,
  };
  try {
    await serve(new Toolbox(host), signal);
  } finally {
    await engine.dispose();
  }
}

async function serve(toolbox: Toolbox, signal: AbortSignal): Promise<void> {
  const mcp = new McpServer(
    { name: 'attention-inspector', title: 'Attention Inspector', version: VERSION },
    { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
  );
  const { server } = mcp;
  // By hand: its own registration wants schemas of another library than the one that defines them here.
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: TOOLS.map(tool => ({
      name: tool.name,
      title: tool.title,
      description: tool.description,
      inputSchema: inputSchema(tool),
      outputSchema: outputSchema(tool),
      annotations: { readOnlyHint: true, openWorldHint: false },
    })),
  }));
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, call): Promise<CallToolResult> => {
    try {
      const answer = await toolbox.call(params.name, params.arguments, call.signal);
      return { content: [{ type: 'text', text: JSON.stringify(answer) }], structuredContent: answer };
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
      return { content: [{ type: 'text', text: error.message }], isError: true };
    }
  });
  const closed = new Promise<void>(resolve => {
    server.onclose = resolve;
    const close = () => void mcp.close();
    process.stdin.once('end', close);
    signal.addEventListener('abort', close, { once: true });
  });
  await mcp.connect(new StdioServerTransport());
  await closed;
}

async function readFileText(path: string): Promise<string> {
  const info = await stat(path);
  if (!info.isFile()) throw new RefusedError(told`${path} is not a text.`);
  if (info.size > FILE_MIB * 2 ** 20) throw new RefusedError(told`${path} is larger than ${FILE_MIB} MiB.`);
  return readText(path);
}
