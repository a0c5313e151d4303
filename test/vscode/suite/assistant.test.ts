import assert from 'node:assert/strict';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { DeviceName } from '../../../shared/protocol/engine';
import { TOOLS } from '../../../shared/tools/tools';
import { EngineClient } from '../../../extension/engine/engineClient';
import { analyze, api, closeAll, ID, openText, run } from '../support/session';

const TEXT = 'Eleanor Whitcombe kept the lamp. The keeper wrote to Eleanor Whitcombe again.\n';

/** Through the editor's own API, as its assistants call them. */
async function invoke(name: string, input: object) {
  const { content } = await vscode.lm.invokeTool(name, { input, toolInvocationToken: undefined });
  const [part] = content as vscode.LanguageModelTextPart[];
  assert.equal(content.length, 1);
  return JSON.parse(part!.value);
}

/** Beside that of the extension, and not by way of the tools. */
function ownEngine(device: DeviceName): EngineClient {
  const { extensionPath } = vscode.extensions.getExtension(ID)!;
  const silent = () => undefined;
  return new EngineClient({
    module: join(extensionPath, 'dist', 'engine.js'),
    initialize: () => ({ device, memoryLimitMiB: 4096, crashed: [] }),
    log: { info: silent, warn: silent, error: silent },
  });
}

describe('tools of assistants', () => {
  afterEach(closeAll);

  it('are those of the manifest, and answer with the figures of the analysis', async () => {
    await api();
    for (const { name } of TOOLS) {
      const found = vscode.lm.tools.find(tool => tool.name === name);
      assert.ok(found, name);
      assert.equal((found.inputSchema as { additionalProperties: boolean }).additionalProperties, false);
    }
    const editor = await openText(TEXT);
    const { summary } = await analyze(editor);
    const file = vscode.workspace.asRelativePath(editor.document.uri);
    const found = await invoke('analyze_attention', { file, top: 50 });
    assert.equal(found.tokens, summary.tokens.ids.length);
    assert.equal(found.loss, summary.loss!.mean);
    assert.equal(found.heads.length, Math.min(50, summary.cores.flatMap(({ heads }) => heads).length));
    for (const one of found.heads) {
      const own = summary.cores[one.core]!.heads[one.head]!;
      assert.deepEqual([one.roles, one.entropy, one.span95], [own.roles, own.entropy, own.span95]);
    }
    const roles = await invoke('heads_by_role', { file, role: 'previous' });
    const previous = summary.cores.flatMap(({ heads }) =>
      heads.flatMap(({ core, head, roles }) =>
        roles.filter(({ role }) => role === 'previous').map(({ score }) => ({ core, head, score })),
      ),
    );
    assert.ok(previous.length > 0);
    const clearest = previous.sort((a, b) => b.score - a.score).slice(0, 12);
    assert.deepEqual(
      roles.roles[0].heads.map(({ score }: { score: number }) => score),
      clearest.map(({ score }) => score),
    );
    for (const { core, head, score } of roles.roles[0].heads)
      assert.equal(score, previous.find(one => one.core === core && one.head === head)!.score);
  });

  it('explain and compare with the figures of an engine that is asked directly', async () => {
    const editor = await openText(TEXT);
    const file = vscode.workspace.asRelativePath(editor.document.uri);
    const { device } = (await analyze(editor)).summary.device;
    const engine = ownEngine(device);
    try {
      const id = 'direct';
      const summary = await engine.request('analysis/start', {
        ...{ id, model: 'bundled', text: TEXT, device, maxTokens: null },
        ...{ mechanisms: [], propagate: false },
      });
      const asked = { file, word: 'Whitcombe', occurrence: 2, core: 2, head: 1, top: 3 };
      const { explained } = await invoke('explain_token', asked);
      assert.ok(explained.length > 0);
      const tokens = explained.map(({ token }: { token: number }) => token);
      const place = { core: 2, head: 1, top: 3, mechanisms: [] };
      const own = await engine.request('analysis/token', { id, tokens, ...place });
      const masses = (links: readonly { token: number; mass: number }[]) =>
        links.map(({ token, mass }) => [token, mass]);
      for (const [i, one] of explained.entries()) {
        const { loss, entropy, looksAt, lookedAtBy } = own[i]!;
        assert.equal(loss, summary.loss!.perToken[one.token - 1]);
        assert.deepEqual([one.loss, one.entropy], [loss, entropy]);
        assert.ok(looksAt.length > 0);
        assert.deepEqual(masses(one.looksAt), masses(looksAt));
        assert.deepEqual(masses(one.lookedAtBy), masses(lookedAtBy));
      }
      const mechanisms = ['local', 'top-k'];
      const compared = await invoke('compare_mechanisms', { file, mechanisms, budget: 0.3 });
      assert.equal(compared.mechanisms.length, 2);
      const within = await engine.request('analysis/atBudget', { id, budget: 0.3, mechanisms });
      for (const one of compared.mechanisms) {
        const { setting } = within.find(({ setting: { name } }) => name === one.name)!;
        const ran = await engine.request('analysis/mechanism', {
          ...{ id, mechanism: setting, scope: 'propagated' as const },
        });
        assert.deepEqual(
          [one.share, one.recall, one.outputError, one.deltaLoss],
          [ran.pairs / ran.densePairs, ran.recall, ran.outputError, ran.deltaLoss],
        );
      }
    } finally {
      engine.dispose();
    }
  });

  it('read what stands in the editor, and go on after a restart of the engine', async () => {
    const editor = await openText(TEXT);
    const file = vscode.workspace.asRelativePath(editor.document.uri);
    const before = await invoke('analyze_attention', { file });
    await editor.edit(edit => edit.insert(new vscode.Position(0, 0), 'Nineteen years later '));
    const unsaved = await invoke('analyze_attention', { file });
    assert.ok(unsaved.tokens > before.tokens);
    await run('restartEngine');
    const asked = { file, token: 3 };
    assert.equal((await invoke('explain_token', asked)).explained[0].token, 3);
  });

  it('read no other files, and refuse in one sentence', async () => {
    await api();
    await assert.rejects(invoke('analyze_attention', { file: '/etc/passwd' }), /lies outside/);
    await assert.rejects(invoke('analyze_attention', { text: 'a', model: 'nobody/nothing' }), /no file/);
  });
});
