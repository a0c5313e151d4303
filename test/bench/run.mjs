/**
 * node test/bench/run.mjs bench|measured ...: what is timed is bundled first, as it ships; in files of their own, bindings of other
 * modules are slow in inner loops. Runs in the project's folder, as npm does.
 */
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import * as esbuild from 'esbuild';

const OUT = 'out-test';
const [, , program] = process.argv;

await esbuild.build({
  entryPoints: { [program]: `test/bench/${program}.ts`, benchChild: 'test/bench/child.ts' },
  outdir: OUT,
  outExtension: { '.js': '.cjs' },
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  external: ['onnxruntime-node', 'onnxruntime-common', 'tokenizers'],
  logLevel: 'warning',
});
process.argv.splice(2, 1);
await import(pathToFileURL(join(process.cwd(), OUT, `${program}.cjs`)).href);
