import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { getDefaultEnvironment, StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as v from 'valibot';
import { resolveModel } from '../../engine/model/source/source';
import { Engine } from '../../engine/engine';
import type { AnalysisSummary } from '../../shared/protocol/engine';
import type * as schemas from '../../shared/tools/schemas';
import { buildCli } from '../fixtures/cli';
import { endlessModel } from '../fixtures/endlessModel';
import { childrenOf, inNativeCode } from '../fixtures/nativeCode';

const TEXT =
  'Eleanor Whitcombe kept the lamp. The keeper wrote to Eleanor Whitcombe, and Whitcombe kept the lamp.';

/** Through a client of the protocol, as assistants use it. */
describe('mcp', function () {
  this.timeout(120_000);
  let folder: string;
  let client: Client;
  let transport: StdioClientTransport;
  const engine = new Engine();
  let summary: AnalysisSummary;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mcp-'));
    await mkdir(join(folder, 'served'));
    await writeFile(join(folder, 'served', 'story.txt'), TEXT);
    await writeFile(join(folder, 'secret.txt'), 'Nobody may read this.');
    await symlink(join(folder, 'secret.txt'), join(folder, 'served', 'link.txt'));
    const cli = await buildCli();
    client = new Client({ name: 'test', version: '1' });
    transport = new StdioClientTransport({
      command: process.execPath,
      args: [cli, 'mcp', '--device', 'cpu'],
      cwd: join(folder, 'served'),
      env: { ...getDefaultEnvironment(), ATTENTION_INSPECTOR_CACHE: join(folder, 'cache') },
    });
    await client.connect(transport);
    summary = await engine.analyze({
      id: 'a',
      model: 'bundled',
      text: TEXT,
      device: 'cpu',
      maxTokens: null,
      mechanisms: [],
      propagate: false,
    });
  });
  after(async () => {
    await client.close();
    await engine.dispose();
    await rm(folder, { recursive: true });
  });

  const call = async (name: string, args: Record<string, unknown>) =>
    (await client.callTool({ name, arguments: args })) as CallToolResult;
  /** The answer; the client has held it against the tool's schema. */
  async function answer<S extends v.GenericSchema>(name: string, args: Record<string, unknown>) {
    const { content, structuredContent, isError } = await call(name, args);
    assert.ok(!isError, JSON.stringify(content));
    assert.deepEqual(content, [{ type: 'text', text: JSON.stringify(structuredContent) }]);
    return structuredContent as v.InferOutput<S>;
  }
  async function refusal(name: string, args: Record<string, unknown>): Promise<string> {
    const { content, isError } = await call(name, args);
    assert.equal(isError, true, JSON.stringify(content));
    assert.equal(content.length, 1);
    const [first] = content;
    const text = first?.type === 'text' ? first.text : '';
    assert.match(text, /^[^\n]{10,300}[.!?]$/);
    return text;
  }

  it('offers four tools that only read, with schemas of what they take and give', async () => {
    const { tools } = await client.listTools();
    assert.deepEqual(
      tools.map(({ name }) => name),
      ['analyze_attention', 'explain_token', 'compare_mechanisms', 'heads_by_role'],
    );
    for (const { inputSchema, outputSchema, annotations } of tools) {
      assert.equal(annotations?.readOnlyHint, true);
      assert.equal(inputSchema.additionalProperties, false);
      assert.ok(outputSchema?.required?.includes('model'));
    }
  });

  it('analyzes with the figures of the engine', async () => {
    const found = await answer<typeof schemas.analyzeOutput>('analyze_attention', {
      file: 'story.txt',
      top: 50,
    });
    assert.equal(found.tokens, summary.tokens.ids.length);
    assert.equal(found.loss, summary.loss!.mean);
    assert.equal(found.verified, true);
    const all = summary.cores.flatMap(core => core.heads);
    assert.equal(found.headCount, all.length);
    assert.equal(found.heads.length, Math.min(50, all.length));
    for (const one of found.heads) {
      const own = summary.cores[one.core]!.heads[one.head]!;
      assert.deepEqual(
        [one.roles, one.entropy, one.meanDistance, one.span95],
        [own.roles, own.entropy, own.meanDistance, own.span95],
      );
    }
    const [first] = found.heads;
    assert.ok(first!.roles.length > 0, 'the clearest head comes first');
  });

  it('explains a word in a head with the figures of the engine', async () => {
    const asked = { text: TEXT, word: 'Whitcombe', occurrence: 3, core: 2, head: 1, top: 3 };
    const found = await answer<typeof schemas.explainOutput>('explain_token', asked);
    const tokens = found.explained.map(({ token }) => token);
    assert.equal(
      found.explained
        .map(({ text }) => text)
        .join('')
        .trim(),
      'Whitcombe',
    );
    const own = await engine.request('analysis/token', {
      id: 'a',
      core: 2,
      head: 1,
      tokens,
      top: 3,
      mechanisms: [],
    });
    for (const [i, one] of found.explained.entries()) {
      const masses = (links: readonly { token: number; mass: number }[]) =>
        links.map(({ token, mass }) => [token, mass]);
      assert.equal(one.loss, own[i]!.loss);
      assert.deepEqual(masses(one.looksAt), masses(own[i]!.looksAt));
      assert.deepEqual(masses(one.lookedAtBy), masses(own[i]!.lookedAtBy));
      assert.match(one.context, /«.+»/);
    }
    assert.match(
      await refusal('explain_token', { text: TEXT, word: 'lighthouse' }),
      /does not hold "lighthouse"/,
    );
    assert.match(await refusal('explain_token', { text: TEXT, token: 5, core: 99 }), /attention cores/);
    assert.match(await refusal('explain_token', { text: TEXT, token: 5000 }), /counted from 0/);
  });

  it('compares mechanisms at one budget with the figures of the engine', async () => {
    const asked = { text: TEXT, mechanisms: ['local', 'top-k'], budget: 0.3 };
    const found = await answer<typeof schemas.compareOutput>('compare_mechanisms', asked);
    assert.deepEqual([...found.mechanisms.map(({ name }) => name), ...found.leftOut].sort(), [
      'local',
      'top-k',
    ]);
    const own = await engine.request('analysis/atBudget', {
      id: 'a',
      budget: 0.3,
      mechanisms: asked.mechanisms,
    });
    for (const one of found.mechanisms) {
      const { setting } = own.find(({ setting }) => setting.name === one.name)!;
      const run = await engine.request('analysis/mechanism', {
        id: 'a',
        mechanism: setting,
        scope: 'propagated',
      });
      assert.deepEqual(
        [one.share, one.recall, one.outputError, one.deltaLoss],
        [run.pairs / run.densePairs, run.recall, run.outputError, run.deltaLoss],
      );
      assert.ok(one.share <= 0.3);
    }
    assert.match(
      await refusal('compare_mechanisms', { text: TEXT, mechanisms: ['telepathy'] }),
      /no mechanism "telepathy"/,
    );
  });

  it('names the heads of a role, and what the model loses without them', async () => {
    const found = await answer<typeof schemas.rolesOutput>('heads_by_role', {
      text: TEXT,
      role: 'previous',
      ablate: true,
    });
    const { heads } = await engine.request('analysis/ablate', { id: 'a' });
    const [previous] = found.roles;
    assert.equal(found.roles.length, 1);
    assert.ok(previous!.heads.length > 0);
    for (const one of previous!.heads) {
      const { zero } = heads.find(({ core, head }) => core === one.core && head === one.head)!;
      assert.deepEqual(one.cost, zero);
      const { roles } = summary.cores[one.core]!.heads[one.head]!;
      assert.equal(one.score, roles.find(({ role }) => role === 'previous')!.score);
    }
  });

  it('reads nothing outside of its folder, and takes nothing that its schemas do not name', async () => {
    for (const file of [
      '../secret.txt',
      join(folder, 'secret.txt'),
      'link.txt',
      '/etc/passwd',
      '../none.txt',
    ])
      assert.match(await refusal('analyze_attention', { file }), /lies outside/, file);
    assert.match(await refusal('analyze_attention', { file: 'none.txt' }), /There is no file none\.txt/);
    assert.match(await refusal('analyze_attention', { file: '.' }), /is not a text/);
    assert.match(await refusal('analyze_attention', { text: 'a', model: '../secret.txt' }), /lies outside/);
    assert.match(
      await refusal('analyze_attention', { text: 'a', model: 'openai-community/gpt2' }),
      /no file/,
    );
    assert.match(await refusal('analyze_attention', {}), /either `text` or `file`/);
    assert.match(await refusal('analyze_attention', { text: 'a', top: 1e9 }), /top/);
    assert.match(await refusal('analyze_attention', { text: 'a', command: 'ls' }), /command/);
    assert.match(await refusal('analyze_attention', { text: 'x'.repeat(200_001) }), /text/);
    assert.match(await refusal('no_tool', {}), /no tool "no_tool"/);
  });

  it('outlives a model that ends its process', async function () {
    if (process.platform !== 'linux') return this.skip(); // the children of a process are read from /proc
    const { onnx, folder: bundled } = await resolveModel('bundled');
    const endless = join(folder, 'served', 'endless');
    await mkdir(endless);
    await copyFile(join(bundled, 'tokenizer.json'), join(endless, 'tokenizer.json'));
    await writeFile(join(endless, 'model.onnx'), endlessModel(onnx));
    const refused = refusal('analyze_attention', { text: 'a b c', model: 'endless' });
    const [server] = await childrenOf(transport.pid!);
    process.kill(await inNativeCode(server!), 'SIGSEGV');
    assert.match(await refused, /endless cannot be used: it crashed ONNX Runtime/);
    const found = await answer<typeof schemas.analyzeOutput>('analyze_attention', { text: TEXT });
    assert.equal(found.loss, summary.loss!.mean);
  });

  it('stops when the client gives up, and answers the next question', async () => {
    const gaveUp = new AbortController();
    const long = client.callTool({ name: 'heads_by_role', arguments: {} }, undefined, {
      signal: gaveUp.signal,
    });
    setTimeout(() => gaveUp.abort(), 300);
    await assert.rejects(long, /abort/i);
    await answer('analyze_attention', { text: TEXT });
  });
});
