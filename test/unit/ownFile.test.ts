import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RefusedError } from '../../engine/errors';
import { readAttention, readConfig } from '../../engine/model/source/config';
import { parseJsonObject } from '../../engine/model/tokens/json';
import { readOwn } from '../../engine/model/tokens/ownFile';
import { loadTokenizer } from '../../engine/model/tokens/tokenizer';
import { wordLevel } from '../fixtures/tokenizers';

describe("small files of a model's folder", () => {
  let root: string;
  let folder: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'own-'));
    folder = join(root, 'model');
    mkdirSync(folder);
    writeFileSync(join(root, 'secret'), 'root:*:20250:0:hash');
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const readers: Record<string, () => Promise<unknown>> = {
    'tokenizer.json': () => loadTokenizer(folder),
    'vocab.txt': () => loadTokenizer(folder),
    'config.json': () => readConfig(folder),
    'genai_config.json': () => readConfig(folder),
    'attention.json': () => readAttention(folder, join(folder, 'model.onnx')),
  };
  for (const [name, read] of Object.entries(readers))
    it(`are refused behind a link out of it, and show nothing of what it leads to: ${name}`, async () => {
      for (const target of ['../secret', join(root, 'secret')]) {
        rmSync(join(folder, name), { force: true });
        symlinkSync(target, join(folder, name));
        await assert.rejects(read(), (error: Error) => {
          assert.ok(error instanceof RefusedError, error.stack);
          assert.match(error.message, /is refused: it is a link out of the model's folder\.$/);
          assert.doesNotMatch(error.message, /root|hash/);
          return true;
        });
      }
    });

  it('are refused behind a folder that is a link out of it', async () => {
    symlinkSync(root, join(folder, 'up'));
    await assert.rejects(readOwn(folder, 'up/secret', 100), /link out of the model's folder/);
  });

  it('are read behind a link within it, and where the folder itself is one', async () => {
    writeFileSync(join(folder, 'words.json'), JSON.stringify(wordLevel));
    symlinkSync('words.json', join(folder, 'tokenizer.json'));
    symlinkSync(folder, join(root, 'alias'));
    for (const place of [folder, join(root, 'alias')]) (await loadTokenizer(place)).dispose();
  });

  it('are read from the blobs of a Hugging Face cache', async () => {
    const cache = join(root, 'models--a--b');
    const snapshot = join(cache, 'snapshots', 'f00');
    mkdirSync(join(cache, 'blobs'), { recursive: true });
    mkdirSync(join(snapshot, 'onnx'), { recursive: true });
    writeFileSync(join(cache, 'blobs', 'a1'), '{"model_type": "x"}');
    symlinkSync('../../blobs/a1', join(snapshot, 'config.json'));
    assert.deepEqual(await readConfig(snapshot), { model_type: 'x' });
    symlinkSync('../../../blobs/a1', join(snapshot, 'onnx', 'config.json'));
    assert.deepEqual(await readConfig(join(snapshot, 'onnx')), { model_type: 'x' });
    rmSync(join(snapshot, 'config.json'));
    symlinkSync('../../../secret', join(snapshot, 'config.json'));
    await assert.rejects(readConfig(snapshot), /link out of the model's folder/);
  });

  it('are nothing where there is none, or no file, or a link to nothing or to itself', async () => {
    mkdirSync(join(folder, 'config.json'));
    symlinkSync('nowhere', join(folder, 'attention.json'));
    symlinkSync('genai_config.json', join(folder, 'genai_config.json'));
    for (const name of ['config.json', 'attention.json', 'genai_config.json', 'tokenizer.json'])
      assert.equal(await readOwn(folder, name, 100), null);
  });

  it('are not read where they hold far more values than any of their kind', async () => {
    for (const values of ['[],', '{},', '1,']) {
      const many = Buffer.alloc(Math.ceil(8.1e6) * values.length, values);
      writeFileSync(
        join(folder, 'tokenizer.json'),
        Buffer.concat([Buffer.from('['), many, Buffer.from('1]')]),
      );
      await assert.rejects(
        loadTokenizer(folder),
        /is too large to be read: it holds more than 8 million values\.$/,
      );
    }
  });

  it('are read as people write them where people write them: no large ones', () => {
    const edited = (size: number) => `{"a": 1, /*${' '.repeat(size)}*/ }`;
    assert.deepEqual(parseJsonObject(edited(100)), { a: 1 });
    assert.equal(parseJsonObject(edited(5 * 2 ** 20)), null);
  });

  it('are not read beyond their limit', async () => {
    writeFileSync(join(folder, 'a'), new Uint8Array(2 ** 20 + 1));
    await assert.rejects(readOwn(folder, 'a', 2 ** 20), /is too large to be read: it has 1 MiB/);
  });
});
