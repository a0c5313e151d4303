import assert from 'node:assert/strict';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import * as vscode from 'vscode';
import { unpack } from '../../../shared/packed';
import type { CorpusReport } from '../../../shared/reportData';
import { closeAll, run } from '../support/session';

describe('Profile Folder', function () {
  this.timeout(240_000);
  afterEach(closeAll);

  it('profiles the texts below a folder, names what it skips, and saves the Corpus view as a report', async () => {
    const { fs, workspaceFolders } = vscode.workspace;
    const workspace = workspaceFolders![0]!.uri;
    const folder = vscode.Uri.joinPath(workspace, 'texts to profile');
    const target = vscode.Uri.joinPath(workspace, 'corpus.html');
    const write = (name: string, content: string | Uint8Array) =>
      fs.writeFile(vscode.Uri.joinPath(folder, name), Buffer.from(content));
    await write('a.md', 'The lighthouse keeper wrote in the book. '.repeat(4));
    await write('b.ts', 'for (const keeper of keepers) write(keeper);\n'.repeat(4));
    await write('picture.png', Buffer.from([137, 80, 78, 71, 0, 1, 2, 0]));
    await run('profileFolder', folder);
    const tabs = vscode.window.tabGroups.all.flatMap(group => group.tabs);
    assert.ok(
      tabs.some(({ input }) => input instanceof vscode.TabInputWebview),
      'the large views are open',
    );
    await run('exportCorpus', target);
    const html = Buffer.from(await fs.readFile(target)).toString('utf8');
    assert.match(html, /<title>texts to profile · Attention Inspector<\/title>/);
    const { profile } = await held(html);
    assert.deepEqual(
      profile.texts.map(({ file, failed }) => [file, failed]),
      [
        ['a.md', null],
        ['b.ts', null],
        ['picture.png', 'picture.png is not a text: it holds binary data.'],
      ],
    );
    assert.equal(profile.heads.length, 48);
    // Once more: what is kept is gone on with, and a text that is new comes in.
    await write('c.md', 'Nobody read the book that the keeper wrote. '.repeat(4));
    await run('profileFolder', folder);
    await run('exportCorpus', target);
    const again = await held(Buffer.from(await fs.readFile(target)).toString('utf8'));
    assert.deepEqual(
      again.profile.texts.map(({ file, failed }) => failed ?? file),
      ['a.md', 'b.ts', 'c.md', 'picture.png is not a text: it holds binary data.'],
    );
  });
});

/** What the page of a report holds. */
async function held(html: string): Promise<CorpusReport> {
  const [, data] = /id="report-data">([^<]*)</.exec(html)!;
  const bytes = await promisify(gunzip)(Buffer.from(data!, 'base64'));
  return unpack(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)) as CorpusReport;
}
