import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freshCases, knownCases, knownSeeds } from '../fuzz/cases';
import { fuzz } from '../fuzz/fuzz';
import { fuzzHub } from '../fuzz/hubAnswers';
import { fuzzSaved, savedFile } from '../fuzz/savedFiles';
import { writeSmallModels } from '../fuzz/smallModels';

const FIXTURES = join(__dirname, '..', '..', '..', 'shared', 'fixtures', 'models');
const seedsFrom = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);

/** A short run of `npm run fuzz`: all cases that ever failed, and some more. */
describe('damaged models and tokenizers', function () {
  this.timeout(600_000);

  it('end in an analysis or in one sentence, and the engine lives on', async function () {
    if (!existsSync(FIXTURES)) {
      console.log(`    SKIPPED: there are no model folders at ${FIXTURES}`);
      this.skip();
    }
    const totals = await fuzz([...knownCases(), ...freshCases(20, 50_000)], FIXTURES);
    assert.deepEqual(totals.failures, []);
    assert.ok(totals.refused > 0 && totals.analysed > 0, 'damage of both kinds: harmless and harmful');
  });
});

describe('damaged files of saved analyses', function () {
  this.timeout(120_000);

  it('are refused in one sentence or whole', async () => {
    const root = mkdtempSync(join(tmpdir(), 'fuzz-saved-'));
    try {
      writeSmallModels(root);
      const whole = await savedFile(join(root, 'causal'));
      assert.deepEqual(await fuzzSaved(whole, [...knownSeeds.saved, ...seedsFrom(1000, 100)]), []);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});

describe('damaged answers of a hub', function () {
  this.timeout(120_000);

  it('end in a model or in one sentence, and stay in the cache', async () => {
    assert.deepEqual(await fuzzHub([...knownSeeds.hub, ...seedsFrom(1000, 20)]), []);
  });
});
