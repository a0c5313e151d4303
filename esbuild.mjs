/**
 * Builds dist/: the extension, the engine, its command line, and the webview.
 * `--production` minifies and leaves the source maps out; the vsix is made from that.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import * as esbuild from 'esbuild';
import { notices } from './scripts/lib/notices.mjs';

const production = process.argv.includes('--production');

const common = {
  bundle: true,
  outdir: 'dist',
  minify: production,
  sourcemap: production ? false : 'linked',
  legalComments: 'none',
  logLevel: 'warning',
  metafile: true,
};

/** Native packages stay outside of the bundles; they are found in node_modules, in the vsix as well. */
const native = ['onnxruntime-node', 'onnxruntime-common', 'tokenizers'];

const nodeProgram = {
  ...common,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  keepNames: true,
};

const bundles = [
  { ...nodeProgram, entryPoints: { extension: 'extension/extension.ts' }, external: ['vscode'] },
  { ...nodeProgram, entryPoints: { engine: 'engine/main.ts' }, external: native },
  {
    ...nodeProgram,
    entryPoints: { cli: 'engine/cli.ts' },
    external: native,
    banner: { js: '#!/usr/bin/env node' },
  },
  {
    ...common,
    platform: 'browser',
    format: 'iife',
    target: 'chrome120',
    entryPoints: { webview: 'webview/main.ts' },
    loader: { '.ttf': 'file', '.svg': 'text', '.glsl': 'text' },
    assetNames: '[name]',
  },
];

// What ships is built from nothing; while one works on it, the other bundles stay.
if (production) rmSync('dist', { recursive: true, force: true });
const builds = bundles.map(async bundle => {
  const [[name, entry]] = Object.entries(bundle.entryPoints);
  if (existsSync(entry)) return Object.keys((await esbuild.build(bundle)).metafile.inputs);
  console.warn(`dist/${name}.js is not built: ${entry} does not exist`);
  return [];
});
// esbuild has printed its errors already; one broken bundle does not keep the others from being built.
const outcomes = await Promise.allSettled(builds);
if (outcomes.some(outcome => outcome.status === 'rejected')) process.exit(1);
writeFileSync(
  'dist/THIRD_PARTY_NOTICES.txt',
  notices(
    '.',
    outcomes.flatMap(outcome => outcome.value),
    native,
  ),
);
