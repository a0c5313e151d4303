import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { Corpus } from '../../engine/corpus/corpus';
import { readProfile } from '../../engine/corpus/store';
import { RefusedError } from '../../engine/errors';
import type { CorpusSettings } from '../../shared/protocol/corpus';
import { isOneSentence } from '../fuzz/message';

describe('a profile on disk that is not what it says', () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), 'profile-'))));
  after(() => rmSync(folder, { recursive: true }));

  const schema = 'urn:attention-inspector:profile:2';
  for (const about of [
    null,
    [],
    {},
    { schema: 'x'.repeat(5000) },
    { schema },
    { schema, settings: null, provenance: 1 },
    { schema, settings: {}, provenance: [null], cores: 'x' },
    { schema, settings: { ['__proto__']: 1 }, provenance: { forEach: 1 }, cores: null },
    { schema, settings: {}, provenance: [], cores: [] },
    { schema, settings: {}, provenance: [], cores: [], parts: [{ of: 1e12, held: [] }] },
    { schema, settings: {}, provenance: [], cores: [], parts: [{ list: '', texts: 1, of: 1, held: null }] },
  ])
    it(`is refused in one sentence: ${JSON.stringify(about).slice(0, 60)}`, async () => {
      writeFileSync(join(folder, 'profile.json'), JSON.stringify(about));
      await assert.rejects(readProfile(folder), (error: Error) => {
        assert.ok(error instanceof RefusedError, error.stack);
        assert.ok(isOneSentence(error.message), error.message);
        return true;
      });
    });

  const refused = (wanted: RegExp) =>
    assert.rejects(readProfile(folder), (error: Error) => {
      assert.ok(error instanceof RefusedError, error.stack);
      assert.ok(isOneSentence(error.message), error.message);
      assert.match(error.message, wanted);
      return true;
    });

  it('is refused where a file of it is a pipe, which would be waited for', async function () {
    if (process.platform === 'win32') this.skip();
    rmSync(join(folder, 'profile.json'), { force: true });
    execFileSync('mkfifo', [join(folder, 'profile.json')]);
    await refused(/is no file\.$/);
    rmSync(join(folder, 'profile.json'));
  });

  it('is refused where a table unpacks to far more than it holds', async () => {
    const settings = new Corpus({} as CorpusSettings).settings;
    writeFileSync(
      join(folder, 'profile.json'),
      JSON.stringify({ schema, settings, provenance: [], cores: [] }),
    );
    const equal = (name: string) => ({
      name,
      data: new Array<string>(1e6).fill('a'),
      type: 'STRING' as const,
    });
    const table = parquetWriteBuffer({ columnData: [equal('file'), equal('kind')], rowGroupSize: 1e6 });
    writeFileSync(join(folder, 'texts.parquet'), new Uint8Array(table));
    assert.ok(statSync(join(folder, 'texts.parquet')).size < 10_000);
    await refused(/texts\.parquet unpacks to far more than it holds\.$/);
  });
});
