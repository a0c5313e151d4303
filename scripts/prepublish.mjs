/**
 * What vsce runs before it packs: the production build, and dist/README.md, the extension's page in VS Code, where
 * scripts/package.mjs packs with the pictures of its first story.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pageOf } from './lib/page.mjs';
import { ROOT, run } from './lib/project.mjs';

// scripts/package.mjs packs one build for several platforms.
if (!process.env.ATTENTION_INSPECTOR_BUILT) await run(process.execPath, ['esbuild.mjs', '--production']);

const readme = join(ROOT, 'README.md');
const text = existsSync(readme) ? readFileSync(readme, 'utf8') : '# Attention Inspector\n';
const pictures = Boolean(process.env.ATTENTION_INSPECTOR_PICTURES);
const page = join(ROOT, 'dist', 'README.md');
const content = pageOf(text, { pictures });
// Several platforms may be packed at once.
if (!existsSync(page) || readFileSync(page, 'utf8') !== content) writeFileSync(page, content);
