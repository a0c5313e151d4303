/**
 * Builds dist/: the extension, the engine, its command line, and the webview.
 * `--production` minifies and leaves the source maps out; the vsix is made from that. `--watch` builds again what changes.
 */
import { rmSync, writeFileSync } from 'node:fs';
import * as esbuild from 'esbuild';
import { commandLine, native, nodeProgram } from './scripts/lib/nodePrograms.mjs';
import { notices } from './scripts/lib/notices.mjs';

const production = process.argv.includes('--production');

const common = {
  bundle: true,
  outdir: 'dist',
  minifyWhitespace: production,
  minifySyntax: production,
  sourcemap: production ? false : 'linked',
  legalComments: 'none',
  logLevel: 'warning',
  metafile: true,
};

/** Names stay as they are written: stack traces that users send can be read. (keepNames would cost a call for every closure made.) */
const programs = [
  { ...nodeProgram, entryPoints: { extension: 'extension/extension.ts' }, external: ['vscode'] },
  { ...nodeProgram, entryPoints: { engine: 'engine/main.ts' } },
  ...commandLine(),
];

const bundles = [
  ...programs.map(program => ({ ...common, ...program })),
  {
    ...common,
    minifyIdentifiers: production,
    platform: 'browser',
    format: 'iife',
    target: 'chrome120',
    entryPoints: { webview: 'webview/main.ts' },
    loader: { '.ttf': 'file', '.svg': 'text', '.glsl': 'text' },
    assetNames: '[name]',
  },
];

if (process.argv.includes('--watch')) await watch();
else await build();

async function build() {
  // What ships is built from nothing; while one works on it, the other bundles stay.
  if (production) rmSync('dist', { recursive: true, force: true });
  const outcomes = await Promise.allSettled(
    bundles.map(async bundle => Object.keys((await esbuild.build(bundle)).metafile.inputs)),
  );
  // esbuild has printed its errors already; one broken bundle does not keep the others from being built.
  if (outcomes.some(outcome => outcome.status === 'rejected')) process.exit(1);
  const inputs = outcomes.flatMap(outcome => outcome.value);
  writeFileSync('dist/THIRD_PARTY_NOTICES.txt', notices('.', inputs, native));
}

/** Builds again whatever changes, until the process ends. The lines "building" and "built" are for the editor's task. */
async function watch() {
  const announce = {
    name: 'announce',
    setup(build) {
      const [name] = Object.keys(build.initialOptions.entryPoints);
      build.onStart(() => console.log(`building ${name}`));
      build.onEnd(({ errors }) => {
        for (const { location, text } of errors)
          console.log(`${location?.file}:${location?.line}:${location?.column}: error: ${text}`);
        console.log(`built ${name}${errors.length ? ' with errors' : ''}`);
      });
    },
  };
  const contexts = await Promise.all(
    bundles.map(bundle => esbuild.context({ ...bundle, logLevel: 'silent', plugins: [announce] })),
  );
  await Promise.all(contexts.map(context => context.watch()));
}
