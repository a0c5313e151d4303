import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { buildCli } from '../fixtures/cli';
import { compareWithTruth, formsIn, isRounded } from '../real/compare';

/** Folder in which test/real/make.py has made models of pretrained weights. */
const MODELS = process.env.REAL_MODELS ?? '';

describe('pretrained weights: attentions, output and loss are those of PyTorch', function () {
  this.timeout(600_000);
  if (!existsSync(MODELS)) {
    it(
      'SKIPPED: no pretrained weights here; make them with test/real/make.py and name the folder in REAL_MODELS',
    );
    return;
  }
  let cli: string;
  before(async () => {
    cli = await buildCli();
  });
  after(() => rm(cli, { force: true }));

  for (const form of formsIn(MODELS))
    it(`${form.model}, ${form.form}`, async () => {
      const found = await compareWithTruth(cli, form);
      assert.ok(found.verified.holds);
      // 4 and 8 bits change what the model computes: then only the proof against the uncut file holds.
      if (isRounded(form.form)) return;
      assert.ok(found.attentions <= 1e-4, `attentions ${found.attentions}`);
      assert.ok(found.output <= 1e-4, `output ${found.output}`);
      if (found.loss) assert.ok(Math.abs(found.loss.own - found.loss.theirs) <= 1e-4);
      assert.ok(found.sameToken === null || found.sameToken === 1);
    });
});
