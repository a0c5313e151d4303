/**
 * Packs the command line for npm: `npm run package:npm [-- --out FOLDER] [--platforms linux-x64,...] [--no-build]`.
 *
 * What is published is not this repository's package, which is the extension: it is written here, with the bundled model, the
 * views of the HTML report and ONNX Runtime inside. ONNX Runtime from npm would download CUDA as it is installed on Linux,
 * and fail where it cannot; the copy inside has no such step, and is no larger.
 *
 * On GitHub it names the repository that it is built in, without which npm takes no provenance.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { globSync } from 'tinyglobby';
import { BINARIES, NATIVE_FILES } from './lib/nativeFiles.mjs';
import { packedModelFiles } from './lib/packedModels.mjs';
import { npm, ROOT, run } from './lib/project.mjs';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(ROOT, 'packages') },
    platforms: { type: 'string', default: Object.keys(NATIVE_FILES).join() },
    'no-build': { type: 'boolean', default: false },
  },
});

const platforms = values.platforms.split(',');
const unknown = platforms.find(name => !(name in NATIVE_FILES));
if (unknown !== undefined) {
  console.error(
    `There are no native files for ${unknown}; for ${Object.keys(NATIVE_FILES).join(', ')} there are.`,
  );
  process.exit(2);
}

const ORT = 'node_modules/onnxruntime-node';
const FILES = [
  'dist/{cli.js,program.js,webview.js,webview.css,THIRD_PARTY_NOTICES.txt}',
  packedModelFiles(),
  'CHANGELOG.md',
  'LICENSE',
  `${ORT}/dist/*.js`,
  ...platforms.map(name => `${ORT}/${BINARIES}/${NATIVE_FILES[name][0]}`),
];

const { GITHUB_SERVER_URL, GITHUB_REPOSITORY } = process.env;
const BUILT_IN = GITHUB_REPOSITORY && {
  type: 'git',
  url: `git+${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}.git`,
};

if (!values['no-build']) await run(process.execPath, ['scripts/prepublish.mjs']);
const folder = mkdtempSync(join(tmpdir(), 'attention-inspector-npm-'));
try {
  for (const file of globSync(FILES, { cwd: ROOT }))
    cpSync(join(ROOT, file), join(folder, file), { recursive: true });
  cpSync(join(ROOT, 'dist', 'README.md'), join(folder, 'README.md'));
  write('package.json', manifest(read('package.json')));
  write(`${ORT}/package.json`, withoutInstaller(read(`${ORT}/package.json`)));
  mkdirSync(values.out, { recursive: true });
  await run(...npm(['pack', '--pack-destination', values.out]), { cwd: folder, quiet: true });
} finally {
  rmSync(folder, { recursive: true });
}

function manifest({
  name,
  version,
  description,
  keywords,
  license,
  repository = BUILT_IN,
  bugs,
  bin,
  engines,
  dependencies,
}) {
  const common = read(`${ORT}/package.json`).dependencies['onnxruntime-common'];
  return {
    ...{ name, version, description: inWords(description), keywords, license, repository, bugs, bin },
    engines: { node: engines.node },
    files: ['dist', 'engine', 'CHANGELOG.md'],
    dependencies: { ...dependencies, 'onnxruntime-common': common },
    bundleDependencies: ['onnxruntime-node'],
  };
}

/** VS Code looks these up itself. */
function inWords(text) {
  const words = read('package.nls.json');
  return text.replace(/^%(.+)%$/, (_, key) => words[key]);
}

function withoutInstaller({ name, version, license, main }) {
  return { name, version, license, main };
}

function read(file) {
  return JSON.parse(readFileSync(join(ROOT, file), 'utf8'));
}

function write(file, value) {
  writeFileSync(join(folder, file), `${JSON.stringify(value, null, 2)}\n`);
}
