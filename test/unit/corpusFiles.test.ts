import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findTexts } from '../../engine/corpus/files';

describe('the texts of a corpus', () => {
  let root: string;
  before(async () => {
    root = await realpath(await mkdtemp(join(tmpdir(), 'corpus-')));
    await mkdir(join(root, 'sub'));
    await writeFile(join(root, 'b.txt'), 'b');
    await writeFile(join(root, 'sub', 'a.txt'), 'a');
  });
  after(() => rm(root, { recursive: true }));
  const found = async (...wanted: string[]) => (await findTexts(root, wanted)).map(({ file }) => file);

  it('are told once each, whatever links lead to them again', async function () {
    try {
      await symlink('..', join(root, 'sub', 'loop'), 'dir');
      await symlink(join('sub', 'a.txt'), join(root, 'again.txt'));
    } catch {
      this.skip(); // Windows, without the right to make links
    }
    const texts = ['b.txt', 'sub/a.txt'];
    assert.deepEqual(await found('.'), texts);
    assert.deepEqual(await found('again.txt', 'sub/a.txt', 'b.txt'), texts);
    assert.deepEqual(await found('again.txt'), ['again.txt'], 'a link alone is the text that it leads to');
  });
});
