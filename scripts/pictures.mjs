/**
 * `npm run pictures`: remakes the README's pictures, media/readme/*.png, from the browser end-to-end run: a real
 * analysis of the sample text by the packed extension in a real VS Code.
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
  text: 'text-dark',
  hover: 'hover-dark',
};

await installPackages(ROOT);
await run(process.execPath, ['node_modules/mocha/bin/mocha.js', 'test/e2e/journey.test.ts']);
const folder = join(ROOT, 'media', 'readme');
mkdirSync(folder, { recursive: true });
for (const [picture, screenshot] of Object.entries(PICTURES)) {
  copyFileSync(join(ROOT, 'test-artifacts', `${screenshot}.png`), join(folder, `${picture}.png`));
  console.log(`media/readme/${picture}.png`);
}
