/**
 * Compiles the loops that are written in AssemblyScript (engine/attention/kernels/assembly/NAME.ts) to NAME.wasm.ts beside them, which
 * holds the bytes. `npm run kernels`; a test fails when it was forgotten.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const path = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const FOLDER = path('engine/attention/kernels/assembly');
const COMPILER = path('node_modules/assemblyscript/bin/asc.js');
const OPTIONS = ['-O3', '--enable', 'simd', '--runtime', 'stub', '--use', 'abort='];
const MEMORY = ['--importMemory', '--noExportMemory'];
const NAMES = ['pairs'];

/** Where the bytes of a program stand. */
export const compiledFile = (name: string): string => join(FOLDER, `${name}.wasm.ts`);

/** What has to stand there. */
export function compiled(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'kernels-'));
  try {
    const out = join(folder, 'program.wasm');
    execFileSync(process.execPath, [COMPILER, `${name}.ts`, '--outFile', out, ...OPTIONS, ...MEMORY], {
      cwd: FOLDER,
    });
    return (
      `/** ${name}.ts compiled, by \`npm run kernels\`. */\n` +
      `export const ${name.toUpperCase()} =\n  '${readFileSync(out).toString('base64')}';\n`
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  for (const name of NAMES) writeFileSync(compiledFile(name), compiled(name));
