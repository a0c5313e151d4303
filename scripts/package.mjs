/**
 * Makes the vsix of one platform, or of all: `node scripts/package.mjs [--target linux-x64] [--out FILE]`, `--all --out FOLDER`.
 * For linux-x64 it is what `npx vsce package --target linux-x64` makes, with pictures on its page. Odd minors are packed as pre-releases
 * (`--release-flag` prints the flag). `--no-build` packs dist/ as it is.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BINARIES, NATIVE_FILES } from './lib/nativeFiles.mjs';
import { withModelsThatFit } from './lib/packedModels.mjs';
import { programOf, ROOT, run } from './lib/project.mjs';

const lines = target => {
  const [onnxruntime, tokenizers] = NATIVE_FILES[target];
  return [
    `!node_modules/onnxruntime-node/${BINARIES}/${onnxruntime}`,
    `!node_modules/tokenizers/tokenizers.${tokenizers}.node`,
  ].join('\n');
};

const { values } = parseArgs({
  options: {
    target: { type: 'string', default: `${process.platform}-${process.arch}` },
    all: { type: 'boolean', default: false },
    out: { type: 'string' },
    'no-build': { type: 'boolean', default: false },
    'release-flag': { type: 'boolean', default: false },
  },
});

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
/** Even minors are releases, odd minors pre-releases: the Marketplace knows no version suffixes. */
const releaseFlags = Number(version.split('.')[1]) % 2 === 1 ? ['--pre-release'] : [];

if (values['release-flag']) console.log(releaseFlags.join(' '));
else if (values.all) {
  const folder = values.out ?? join(ROOT, 'packages');
  mkdirSync(folder, { recursive: true });
  let build = !values['no-build'];
  for (const target of Object.keys(NATIVE_FILES)) {
    await pack(target, join(folder, `attention-inspector-${target}-${version}.vsix`), build);
    build = false; // the same dist/ for all
  }
} else if (values.target in NATIVE_FILES) await pack(values.target, values.out, !values['no-build']);
else {
  console.error(
    `There is no package for ${values.target}; targets are ${Object.keys(NATIVE_FILES).join(', ')}.`,
  );
  process.exit(2);
}

async function pack(target, out, build) {
  const linux = readFileSync(join(ROOT, '.vscodeignore'), 'utf8');
  if (!linux.includes(lines('linux-x64')))
    throw new Error('.vscodeignore does not end with the files of linux-x64');
  const scratch = mkdtempSync(join(tmpdir(), 'attention-inspector-package-'));
  try {
    const ignoreFile = join(scratch, 'vscodeignore');
    writeFileSync(ignoreFile, withModelsThatFit(linux.replace(lines('linux-x64'), lines(target)), target));
    const [program, args] = programOf('@vscode/vsce', 'vsce', [
      ...['package', '--target', target, '--ignoreFile', ignoreFile, ...releaseFlags],
      // The page's pictures are in it, which vsce's check of links does not know.
      '--no-rewrite-relative-links',
      ...(out ? ['--out', out] : []),
    ]);
    await run(program, args, {
      env: { ATTENTION_INSPECTOR_PICTURES: '1', ...(build ? {} : { ATTENTION_INSPECTOR_BUILT: '1' }) },
    });
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
