import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { packedVsix } from './support/vsix';

const MEGABYTE = 1_000_000;

describe('the vsix', () => {
  let names: string[];
  let vsix: string;

  before(async function () {
    this.timeout(180_000);
    vsix = await packedVsix();
    names = zipNames(vsix);
  });

  it('is at most 40 MB', () => {
    const size = statSync(vsix).size;
    console.log(`      ${(size / MEGABYTE).toFixed(1)} MB, ${names.length} files`);
    assert.ok(size <= 40 * MEGABYTE, `${size} bytes`);
  });

  it('holds what the extension, the engine and the command line need', () => {
    const needed = [
      'extension/package.json',
      'extension/readme.md',
      'extension/LICENSE.txt',
      'extension/dist/extension.js',
      'extension/dist/engine.js',
      'extension/dist/cli.js',
      'extension/dist/webview.js',
      'extension/dist/webview.css',
      'extension/dist/THIRD_PARTY_NOTICES.txt',
      'extension/media/icon.png',
      'extension/node_modules/onnxruntime-common/dist/cjs/package.json',
      'extension/node_modules/onnxruntime-node/bin/napi-v6/linux/x64/onnxruntime_binding.node',
      'extension/node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1',
      'extension/node_modules/tokenizers/tokenizers.linux-x64-gnu.node',
    ];
    assert.deepEqual(
      needed.filter(name => !names.includes(name)),
      [],
    );
    assert.ok(
      names.some(name => /^extension\/engine\/bundled\/.*\.onnx$/.test(name)),
      'a bundled model',
    );
  });

  it('holds nothing else', () => {
    const expected =
      /^(\[Content_Types\]\.xml|extension\.vsixmanifest|extension\/((package(\.nls.*)?\.json|readme\.md|changelog\.md|LICENSE\.txt)|dist\/[\w.]+\.(js|css|ttf|txt)|media\/.*\.(svg|png|md)|l10n\/.*\.json|engine\/bundled\/[^/]+\/(onnx\/)?[\w.]+\.(onnx|onnx\.data|json|md)|node_modules\/(onnxruntime-node|onnxruntime-common|tokenizers)\/.*))$/;
    assert.deepEqual(
      names.filter(name => !expected.test(name)),
      [],
    );
    const foreign = names.filter(
      name => /\.(map|ts|node|so|dll|dylib)(\.\d+)*$/.test(name) && !/linux\/x64|linux-x64-gnu/.test(name),
    );
    assert.deepEqual(foreign, []);
  });
});

/** The file names of a zip archive, from its central directory (APPNOTE 4.3.12 and 4.3.16). */
function zipNames(path: string): string[] {
  const bytes = readFileSync(path);
  const end = bytes.lastIndexOf('PK\x05\x06', undefined, 'latin1');
  const names: string[] = [];
  let at = bytes.readUInt32LE(end + 16);
  for (let left = bytes.readUInt16LE(end + 10); left > 0; left--) {
    const [name, extra, comment] = [28, 30, 32].map(field => bytes.readUInt16LE(at + field)) as [
      number,
      number,
      number,
    ];
    names.push(bytes.toString('utf8', at + 46, at + 46 + name));
    at += 46 + name + extra + comment;
  }
  return names;
}
