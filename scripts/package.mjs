/**
 * Makes the vsix of one platform: `node scripts/package.mjs [--target linux-x64] [--out FILE]`.
 * For linux-x64 it is what `npx vsce package --target linux-x64` makes.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { programOf, ROOT, run } from './lib/project.mjs';

/** The native files of each target. ONNX Runtime has none for Intel Macs. */
const NATIVE_FILES = {
  'linux-x64': ['linux/x64/*', 'linux-x64-gnu'],
  'linux-arm64': ['linux/arm64/*', 'linux-arm64-gnu'],
  'darwin-arm64': ['darwin/arm64/{libonnxruntime.1.dylib,onnxruntime_binding.node}', 'darwin-arm64'],
  // Without DirectML.dll (18 MB): it is loaded late and only for the device `dml`, and WebGPU serves the same GPUs.
  'win32-x64': ['win32/x64/{onnxruntime*,dx*}', 'win32-x64-msvc'],
  'win32-arm64': ['win32/arm64/{onnxruntime*,dx*}', 'win32-arm64-msvc'],
};

const lines = target => {
  const [onnxruntime, tokenizers] = NATIVE_FILES[target];
  return [
    `!node_modules/onnxruntime-node/bin/napi-v6/${onnxruntime}`,
    `!node_modules/tokenizers/tokenizers.${tokenizers}.node`,
  ].join('\n');
};

const { values } = parseArgs({
  options: {
    target: { type: 'string', default: `${process.platform}-${process.arch}` },
    out: { type: 'string' },
  },
});
const { target } = values;
if (!(target in NATIVE_FILES)) {
  console.error(`There is no package for ${target}; targets are ${Object.keys(NATIVE_FILES).join(', ')}.`);
  process.exit(2);
}

const linux = readFileSync(join(ROOT, '.vscodeignore'), 'utf8');
if (!linux.includes(lines('linux-x64')))
  throw new Error('.vscodeignore does not end with the files of linux-x64');
const scratch = mkdtempSync(join(tmpdir(), 'attention-inspector-package-'));
try {
  const ignoreFile = join(scratch, 'vscodeignore');
  writeFileSync(ignoreFile, linux.replace(lines('linux-x64'), lines(target)));
  await run(
    ...programOf('@vscode/vsce', 'vsce', [
      ...['package', '--target', target, '--ignoreFile', ignoreFile],
      ...(values.out ? ['--out', values.out] : []),
    ]),
  );
} finally {
  rmSync(scratch, { recursive: true });
}
