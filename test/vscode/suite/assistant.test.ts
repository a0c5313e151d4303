import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { TOOLS } from '../../../shared/tools/tools';
import { analyze, api, closeAll, openText, run } from '../support/session';

const TEXT = 'Eleanor Whitcombe kept the lamp. The keeper wrote to Eleanor Whitcombe again.\n';

/** Through the editor's own API, as its assistants call them. */
async function invoke(name: string, input: object) {
  const { content } = await vscode.lm.invokeTool(name, { input, toolInvocationToken: undefined });
  const [part] = content as vscode.LanguageModelTextPart[];
  assert.equal(content.length, 1);
  return JSON.parse(part!.value);
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
    for (const one of found.heads) {
      const own = summary.cores[one.core]!.heads[one.head]!;
      assert.deepEqual([one.roles, one.entropy, one.span95], [own.roles, own.entropy, own.span95]);
    }
    const explained = await invoke('explain_token', { file, word: 'Whitcombe', occurrence: 2 });
    for (const { token, loss } of explained.explained) assert.equal(loss, summary.loss!.perToken[token - 1]);
    const compared = await invoke('compare_mechanisms', { file, mechanisms: ['local'], budget: 0.3 });
    assert.equal(compared.mechanisms[0].name, 'local');
    const roles = await invoke('heads_by_role', { file, role: 'previous' });
    for (const { core, head, score } of roles.roles[0].heads) {
      const own = summary.cores[core]!.heads[head]!.roles.find(({ role }) => role === 'previous');
      assert.equal(score, own!.score);
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
