/**
 * `npm run pictures`: remakes the README's and the walkthrough's pictures (media/readme, media/walkthrough) from the browser
 * end-to-end runs: a real analysis of the sample text by the packed extension in a real VS Code. That of Compare is made
 * beside it. That of SmolLM2 needs its weights (test/real/make.py): `npx tsx test/webview/pictures.ts --model FOLDER --only overview-dark`.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { installPackages, ROOT, run } from './lib/project.mjs';

/** Picture of the README -> screenshot of test/e2e/journey.test.ts. */
const PICTURES = {
  overview: 'overview-dark',
  head: 'head-dark',
  spans: 'spans-dark',
  buckets: 'buckets-dark',
  compare: 'compare-readme',
  text: 'text-dark',
  hover: 'hover-dark',
};

/** Steps of the walkthrough -> screenshots of test/e2e/firstContact.test.ts, `tour-<step>`; that of the last, a model's page, is made by hand. */
const STEPS = ['sample', 'induction', 'hover', 'ablate', 'fails', 'window'];

await installPackages(ROOT);
const runs = ['test/e2e/journey.test.ts', 'test/e2e/firstContact.test.ts'];
await run(process.execPath, ['node_modules/mocha/bin/mocha.js', ...runs]);
// A search of a plan takes minutes: it is looked at without VS Code, over the same engine.
const looks = ['test/webview/pictures.ts', '--model', 'bundled', '--only', 'compare-readme'];
await run(process.execPath, ['--import', 'tsx', ...looks, '--out', 'test-artifacts']);
for (const [picture, screenshot] of Object.entries(PICTURES)) keep(screenshot, `media/readme/${picture}.png`);
for (const step of STEPS) keep(`tour-${step}`, `media/walkthrough/${step}.png`);

/** @param {string} screenshot @param {string} picture */
function keep(screenshot, picture) {
  const file = join(ROOT, picture);
  mkdirSync(dirname(file), { recursive: true });
  copyFileSync(join(ROOT, 'test-artifacts', `${screenshot}.png`), file);
  console.log(picture);
}
