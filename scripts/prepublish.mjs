/**
 * What vsce runs before it packs: the production build, and dist/README.md, the README for the extension's page in
 * VS Code: without what is for those who have the sources, without links into the repository, and, where scripts/package.mjs
 * packs, with the pictures of its first story inside. (vsce by itself accepts pictures only from the web.)
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
    .replace(/^English \|.*\n/m, '')
    .replace(/^## From a clone\n[\s\S]*?(?=^## )/m, '')
    .replace(/^.*<(img|picture|source)\b[^>]*>.*\n?/gm, '')
    .replace(/!\[([^\]]*)\]\((?!https:)([^)]*)\)/g, (_, alt, path) => inside(alt, path))
    .replace(/\[([^\]]+)\]\((?!https?:|data:|#)[^)]*\)/g, '$1')
    .replace(/\n{3,}/g, '\n\n'),
);

/** The picture as part of the page; nothing where it may not be, or is not of the story. @param {string} alt @param {string} path */
function inside(alt, path) {
  if (!process.env.ATTENTION_INSPECTOR_PICTURES || !path.startsWith('media/walkthrough/')) return '';
  return `![${alt}](data:image/png;base64,${readFileSync(join(ROOT, path)).toString('base64')})`;
}
