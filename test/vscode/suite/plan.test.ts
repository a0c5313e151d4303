import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { analyze, api, closeAll, openText, run, until, type Ready } from '../support/session';

const TEXT = 'The cat sat on the mat. The dog ran to the door. The cat sat on the mat again, and slept.\n';

describe('a plan for the heads', () => {
  afterEach(closeAll);

  const stateOf = async (editor: vscode.TextEditor): Promise<Ready> => {
    const state = (await api()).getState(editor.document.uri);
    assert.equal(state.status, 'ready');
    return state as Ready;
  };

  it('is found within its budget, saved, and kept by a new analysis of the same text', async () => {
    const editor = await openText(TEXT.repeat(3));
    const { summary, plan: none } = await analyze(editor);
    assert.equal(none, null);
    await run('findPlan', 0.3);
    const { plan, planning } = await stateOf(editor);
    assert.equal(planning, null);
    assert.ok(plan && plan.pairs <= 0.3 * plan.densePairs, 'within the budget');
    assert.equal(
      plan.heads.length,
      summary.cores.reduce((sum, { heads }) => sum + heads.length, 0),
    );
    const file = vscode.Uri.joinPath(vscode.workspace.workspaceFolders![0]!.uri, 'plan.csv');
    await run('exportPlan', 'csv', file);
    const saved = Buffer.from(await vscode.workspace.fs.readFile(file)).toString('utf8');
    assert.equal(saved.trim().split('\n').length, plan.heads.length + 1);
    await analyze(editor);
    assert.deepEqual((await stateOf(editor)).plan, plan);
  }).timeout(120_000);

  it('is not searched on when it is cancelled', async () => {
    const editor = await openText(TEXT.repeat(20));
    await analyze(editor);
    const search = run('findPlan', 0.1);
    await until('the search', async () => (await stateOf(editor)).planning);
    await run('cancel');
    await search;
    const { plan, planning } = await stateOf(editor);
    assert.deepEqual([plan, planning], [null, null]);
  });
});
