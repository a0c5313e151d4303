import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { findCorpus, findTexts } from '../../engine/corpus/files';
import { missingWords, partOf, partsFrom, together, type Part } from '../../engine/corpus/parts';

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
    await rm(join(root, 'sub', 'loop'));
    await rm(join(root, 'again.txt'));
  });

  it('have the same names wherever the command is called, from what holds all that is named', async () => {
    const corpus = async (cwd: string, wanted: string[], named?: string) => {
      const { root: base, files } = await findCorpus({ cwd, named, without: 'profile' }, wanted);
      return [base, ...files.map(({ file }) => file)];
    };
    const [parent, sub] = [join(root, '..'), join(root, 'sub')];
    const whole = [root, 'b.txt', 'sub/a.txt'];
    assert.deepEqual(await corpus(root, ['.']), whole);
    assert.deepEqual(await corpus(parent, [basename(root)]), whole);
    assert.deepEqual(await corpus(sub, ['..']), whole);
    assert.deepEqual(await corpus(sub, ['a.txt', '../b.txt']), whole);
    assert.deepEqual(await corpus(parent, [`${basename(root)}/**/*.txt`]), whole);
    assert.deepEqual(await corpus(root, ['sub']), [sub, 'a.txt']);
    assert.deepEqual(await corpus(root, ['sub/*.{txt,md}']), [sub, 'a.txt']);
    assert.deepEqual(await corpus(root, ['sub'], '.'), [root, 'sub/a.txt']);
    await assert.rejects(
      corpus(root, ['b.txt'], 'sub'),
      /b\.txt does not lie below .*sub, from which texts are named/,
    );
    await assert.rejects(corpus(root, ['none/*.txt']), /There are no files at none\/\*\.txt/);
  });

  it('are not what an earlier run has written', async () => {
    await mkdir(join(root, 'profile'));
    await writeFile(join(root, 'profile', 'profile.json'), '{}');
    const { files } = await findCorpus({ cwd: root, without: 'profile' }, ['.']);
    assert.deepEqual(
      files.map(({ file }) => file),
      ['b.txt', 'sub/a.txt'],
    );
  });

  it('in shards: those that are missing are told, whatever comes first, of each list by itself', () => {
    const list = ['a', 'b', 'c', 'd'].map(file => ({ file, kind: 'txt' }));
    const [one, two, three] = [1, 2, 3].map(index => partOf(list, { index, of: 3 })) as [Part, Part, Part];
    const other = partOf(list.slice(1), { index: 2, of: 2 });
    const words = (...parts: Part[]) => together(parts).map(missingWords);
    assert.deepEqual(words(three, one), ['shard 2 of 3 is missing, of 4 texts in all']);
    assert.deepEqual(words(two), ['shards 1 and 3 of 3 are missing, of 4 texts in all']);
    assert.deepEqual(words(two, three, one), []);
    assert.deepEqual(words(three, two, other, one), ['shard 1 of 2 is missing, of 3 texts in all']);
    assert.deepEqual(partsFrom([one]), [one]);
    for (const odd of [
      'x',
      [null],
      [{ ...one, of: 1e12 }],
      [{ ...one, held: null }],
      [{ ...one, held: [0] }],
    ])
      assert.throws(() => partsFrom(odd), RangeError);
    assert.deepEqual(together(together([three, one])), together([one, three]));
  });
});
