/**
 * What vsce runs before it packs: the production build, and dist/README.md, the README for the extension's page in
 * VS Code. vsce accepts pictures only from the web, so that copy has neither pictures nor links into the repository.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, run } from './lib/project.mjs';

// scripts/package.mjs packs one build for several platforms.
if (!process.env.ATTENTION_INSPECTOR_BUILT) await run(process.execPath, ['esbuild.mjs', '--production']);

const readme = join(ROOT, 'README.md');
const text = existsSync(readme) ? readFileSync(readme, 'utf8') : '# Attention Inspector\n';
writeFileSync(
  join(ROOT, 'dist', 'README.md'),
  text
    .replace(/^.*<(img|picture|source)\b[^>]*>.*\n?/gm, '')
    .replace(/!\[[^\]]*\]\((?!https:)[^)]*\)/g, '')
    .replace(/\[([^\]]+)\]\((?!https?:|#)[^)]*\)/g, '$1')
    .replace(/\n{3,}/g, '\n\n'),
);
