/**
 * `npm run zoo-pictures [-- NAME ...]`: the pictures of docs/zoo.md (media/zoo): of each shipped model of a paper, or of these, the
 * view that shows what its paper shows, over the real engine.
 */
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, run } from './lib/project.mjs';

/** Model -> shot of test/webview/pictures.ts. */
const PICTURES = {
  dense: 'zoo-distances',
  'adaptive-span': 'zoo-spans',
  'transformer-xl': 'zoo-terms',
  compressive: 'zoo-memory',
  routing: 'zoo-clusters',
  lsh: 'zoo-clusters',
  strided: 'zoo-map',
  entmax: 'zoo-map',
  shaped: 'zoo-map',
  switch: 'zoo-experts',
  albert: 'zoo-shared',
  encoder: 'zoo-map',
};
const only = process.argv.slice(2);

const out = join(ROOT, 'test-artifacts');
mkdirSync(join(ROOT, 'media/zoo'), { recursive: true });
for (const [model, shot] of Object.entries(PICTURES)) {
  if (only.length ? !only.includes(model) : !existsSync(join(ROOT, `engine/bundled/zoo/${model}`))) continue;
  const looks = ['test/webview/pictures.ts', '--model', `zoo/${model}`, '--tokens', '512', '--only', shot];
  await run(process.execPath, ['--import', 'tsx', ...looks, '--out', out]);
  copyFileSync(join(out, `${shot}.png`), join(ROOT, `media/zoo/${model}.png`));
}
