/**
 * `npm run pictures`: remakes the README's pictures, media/readme/*.png, from the browser end-to-end run: a real
 * analysis of the sample text by the packed extension in a real VS Code. That of Compare is made beside it.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
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

await installPackages(ROOT);
await run(process.execPath, ['node_modules/mocha/bin/mocha.js', 'test/e2e/journey.test.ts']);
// A search of a plan takes minutes: it is looked at without VS Code, over the same engine.
const looks = ['test/webview/pictures.ts', '--model', 'bundled', '--only', 'compare-readme'];
await run(process.execPath, ['--import', 'tsx', ...looks, '--out', 'test-artifacts']);
const folder = join(ROOT, 'media', 'readme');
mkdirSync(folder, { recursive: true });
for (const [picture, screenshot] of Object.entries(PICTURES)) {
  copyFileSync(join(ROOT, 'test-artifacts', `${screenshot}.png`), join(folder, `${picture}.png`));
  console.log(`media/readme/${picture}.png`);
}
