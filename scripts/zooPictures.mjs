/**
 * `npm run zoo-pictures`: the pictures of docs/zoo.md (media/zoo): of each shipped model of a paper the view that shows what its
 * paper shows, over the real engine.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, run } from './lib/project.mjs';

/** Model -> shot of test/webview/pictures.ts. */
const PICTURES = { dense: 'zoo-distances', routing: 'zoo-clusters', strided: 'zoo-map' };

const out = join(ROOT, 'test-artifacts');
mkdirSync(join(ROOT, 'media/zoo'), { recursive: true });
for (const [model, shot] of Object.entries(PICTURES)) {
  const looks = ['test/webview/pictures.ts', '--model', `zoo/${model}`, '--tokens', '512', '--only', shot];
  await run(process.execPath, ['--import', 'tsx', ...looks, '--out', out]);
  copyFileSync(join(out, `${shot}.png`), join(ROOT, `media/zoo/${model}.png`));
}
