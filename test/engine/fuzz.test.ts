import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { freshCases, knownCases } from '../fuzz/cases';
import { fuzz } from '../fuzz/fuzz';

const FIXTURES = join(__dirname, '..', '..', '..', 'shared', 'fixtures', 'models');

/** A short run of `npm run fuzz`: all cases that ever failed, and some more. */
describe('damaged models and tokenizers', function () {
  this.timeout(600_000);

  it('end in an analysis or in one sentence, and the engine lives on', async function () {
    if (!existsSync(FIXTURES)) {
      console.log(`    SKIPPED: there are no model folders at ${FIXTURES}`);
      this.skip();
    }
    const totals = await fuzz([...knownCases(), ...freshCases(24, 50_000)], FIXTURES);
    assert.deepEqual(totals.failures, []);
    assert.ok(totals.refused > 0 && totals.analysed > 0, 'damage of both kinds: harmless and harmful');
  });
});
