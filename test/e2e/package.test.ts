import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { ROOT, run } from '../../scripts/lib/project.mjs';
import { packedZoo } from '../../scripts/lib/packedModels.mjs';
import { packedVsix } from './support/vsix';

const MEGABYTE = 1_000_000;

/** What each target's package holds of native files, beside the same files for all. */
const NATIVE: Record<string, { ort: string; libraries: string[]; tokenizers: string }> = {
  'linux-x64': { ort: 'linux/x64', libraries: ['libonnxruntime.so.1'], tokenizers: 'linux-x64-gnu' },
  'linux-arm64': { ort: 'linux/arm64', libraries: ['libonnxruntime.so.1'], tokenizers: 'linux-arm64-gnu' },
  'darwin-arm64': { ort: 'darwin/arm64', libraries: ['libonnxruntime.1.dylib'], tokenizers: 'darwin-arm64' },
  'win32-x64': {
    ort: 'win32/x64',
    libraries: ['onnxruntime.dll', 'dxcompiler.dll', 'dxil.dll'],
    tokenizers: 'win32-x64-msvc',
  },
  'win32-arm64': {
    ort: 'win32/arm64',
    libraries: ['onnxruntime.dll', 'dxcompiler.dll', 'dxil.dll'],
    tokenizers: 'win32-arm64-msvc',
  },
};

const FOR_ALL = [
  'extension/package.json',
  'extension/readme.md',
  'extension/changelog.md',
  'extension/LICENSE.txt',
  'extension/dist/extension.js',
  'extension/dist/engine.js',
  'extension/dist/cli.js',
  'extension/dist/program.js',
  'extension/dist/webview.js',
  'extension/dist/webview.css',
  'extension/dist/THIRD_PARTY_NOTICES.txt',
  'extension/media/icon.png',
  'extension/node_modules/onnxruntime-common/dist/cjs/package.json',
];

const EXPECTED =
  /^(\[Content_Types\]\.xml|extension\.vsixmanifest|extension\/((package(\.nls.*)?\.json|readme\.md|changelog\.md|LICENSE\.txt|SUPPORT\.md)|dist\/[\w.]+\.(js|css|ttf|txt)|media\/.*\.(svg|png|md|txt)|l10n\/.*\.json|engine\/bundled\/(zoo\/)?[^/]+\/(onnx\/)?[\w.]+\.(onnx|onnx\.data|json|md)|node_modules\/(onnxruntime-node|onnxruntime-common|tokenizers)\/.*))$/;

describe('the vsix of each platform', function () {
  this.timeout(240_000);
  const folder = join(ROOT, 'test-artifacts', 'packages');
  const packing = new Map<string, Promise<string>>();

  // Linux x64 is the one that the other tests install; the others are packed from its build, two at once.
  before(() => {
    packing.set('linux-x64', packedVsix());
    Object.keys(NATIVE).forEach((target, at, all) => {
      if (packing.has(target)) return;
      const made = packing.get(all[Math.max(0, at - 2)]!)!.then(() => pack(target));
      made.catch(() => undefined); // its own test tells
      packing.set(target, made);
    });
  });

  for (const [target, native] of Object.entries(NATIVE)) {
    it(target, async () => {
      const vsix = await packing.get(target)!;
      const zip = new Zip(vsix);
      const { size } = statSync(vsix);
      console.log(`      ${(size / MEGABYTE).toFixed(1)} MB, ${zip.names.length} files`);
      assert.ok(size <= 40 * MEGABYTE, `${size} bytes`);

      const ort = `extension/node_modules/onnxruntime-node/bin/napi-v6/${native.ort}`;
      const own = [
        `${ort}/onnxruntime_binding.node`,
        ...native.libraries.map(name => `${ort}/${name}`),
        `extension/node_modules/tokenizers/tokenizers.${native.tokenizers}.node`,
      ];
      const missing = [...FOR_ALL, ...own].filter(name => !zip.names.includes(name));
      assert.deepEqual(missing, []);
      assert.ok(
        zip.names.some(name => /^extension\/engine\/bundled\/.*\.onnx$/.test(name)),
        'a bundled model',
      );
      const papers = new Set(zip.names.flatMap(name => /bundled\/zoo\/([^/]+)\//.exec(name)?.[1] ?? []));
      assert.deepEqual([...papers].sort(), packedZoo(target), 'the others come with the release');

      // Nothing else: no sources, no maps, no native files of other platforms.
      const foreign = zip.names.filter(
        name =>
          !EXPECTED.test(name) || (/\.(map|ts|node|so|dll|dylib)(\.\d+)*$/.test(name) && !own.includes(name)),
      );
      assert.deepEqual(foreign, []);

      // The page begins with what it is and shows it; how to build it is for those who have the sources.
      const page = zip.read('extension/readme.md').toString('utf8');
      assert.ok(page.split('](data:image/png;base64,').length > 3, 'the story has its pictures');
      assert.doesNotMatch(page, /npm (start|test)\b|From a clone/);

      const licences = zip.read('extension/dist/THIRD_PARTY_NOTICES.txt').toString('utf8');
      for (const name of ['onnxruntime-node', 'tokenizers', 'DirectX Shader Compiler', 'lit '])
        assert.match(licences, new RegExp(`^==== ${name}.* ====$`, 'm'));
      assert.match(licences, /Apache License\s+Version 2\.0/);
      assert.doesNotMatch(licences, /^License: /m, 'a licence without its text');
    });
  }

  async function pack(target: string): Promise<string> {
    mkdirSync(folder, { recursive: true });
    const vsix = join(folder, `${target}.vsix`);
    const args = ['scripts/package.mjs', '--no-build', '--target', target, '--out', vsix];
    await run(process.execPath, args, { quiet: true });
    return vsix;
  }
});

/** A zip archive, read from its central directory (APPNOTE 4.3.12 and 4.3.16). */
class Zip {
  private readonly bytes: Buffer;
  private readonly entries = new Map<string, number>();

  constructor(path: string) {
    const bytes = (this.bytes = readFileSync(path));
    const end = bytes.lastIndexOf('PK\x05\x06', undefined, 'latin1');
    let at = bytes.readUInt32LE(end + 16);
    for (let left = bytes.readUInt16LE(end + 10); left > 0; left--) {
      const [name, extra, comment] = [28, 30, 32].map(field => bytes.readUInt16LE(at + field)) as [
        number,
        number,
        number,
      ];
      this.entries.set(bytes.toString('utf8', at + 46, at + 46 + name), at);
      at += 46 + name + extra + comment;
    }
  }

  get names(): string[] {
    return [...this.entries.keys()];
  }

  read(name: string): Buffer {
    const at = this.entries.get(name);
    assert.ok(at !== undefined, `${name} is not in the archive`);
    const [method, size, local] = [
      this.bytes.readUInt16LE(at + 10),
      this.bytes.readUInt32LE(at + 20),
      this.bytes.readUInt32LE(at + 42),
    ];
    const from = local + 30 + this.bytes.readUInt16LE(local + 26) + this.bytes.readUInt16LE(local + 28);
    const data = this.bytes.subarray(from, from + size);
    return method === 0 ? data : inflateRawSync(data);
  }
}
