import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readProfile } from '../../engine/corpus/store';
import { RefusedError } from '../../engine/errors';
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
});
