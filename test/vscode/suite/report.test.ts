import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { analyze, closeAll, openText, run } from '../support/session';

describe('HTML report', () => {
  afterEach(closeAll);

  it('is written by the engine of the extension, with the analysed text inside', async () => {
    const editor = await openText('The lighthouse keeper wrote </script> in the book. '.repeat(8));
    await analyze(editor);
    const folder = vscode.workspace.workspaceFolders![0]!.uri;
    const target = vscode.Uri.joinPath(folder, 'report.html');
    await run('exportReport', target);
    const html = Buffer.from(await vscode.workspace.fs.readFile(target)).toString('utf8');
    assert.match(html, /^<!DOCTYPE html>/);
    assert.match(html, /Content-Security-Policy" content="default-src &#39;none&#39;/);
    assert.match(html, /<title>text-\d+\.txt · Attention Inspector<\/title>/);
    assert.equal(html.match(/<\/script>/g)!.length, 2, 'the data and the views, nothing of the text');
    assert.ok(html.includes('ai-overview'), 'the views are inside');
  });
});
