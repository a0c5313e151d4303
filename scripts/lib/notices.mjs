/** The licences of every package that is in the bundles or ships beside them: dist/THIRD_PARTY_NOTICES.txt. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Full texts of packages that ship without one; of ONNX Runtime and tokenizers also what is built into their native files. */
const TEXTS = 'scripts/licences';
const OWN_TEXT = {
  'onnxruntime-node': 'onnxruntime.txt',
  'onnxruntime-common': 'onnxruntime.txt',
  tokenizers: 'tokenizers.txt',
  '@microsoft/fast-element': 'fast.txt',
  '@microsoft/fast-foundation': 'fast.txt',
  '@microsoft/fast-web-utilities': 'fast.txt',
  '@vscode/l10n': 'vscode-l10n.txt',
  'gearhash-jit': 'gearhash-jit.txt',
};
/** Libraries that come inside of a package's native files, without a package of their own. */
const INSIDE = [{ title: 'DirectX Shader Compiler (NCSA)', file: 'directx-shader-compiler.txt' }];

/**
 * @param {string} root folder of the project
 * @param {string[]} files inputs of the bundles, as esbuild names them
 * @param {readonly string[]} native packages that ship as they are
 * @throws Error where a package has no full text of its licence
 */
export function notices(root, files, native) {
  const bundled = files.map(file => /.*node_modules\/((@[^/]+\/)?[^/]+)/.exec(file)?.[0]).filter(Boolean);
  const folders = [...new Set([...bundled, ...native.map(name => `node_modules/${name}`)])].sort();
  /** @type {Map<string, string[]>} */
  const titlesByText = new Map();
  for (const folder of folders) {
    const { title, text } = noticeOf(root, folder);
    titlesByText.set(text, [...(titlesByText.get(text) ?? []), title]);
  }
  for (const { title, file } of INSIDE) titlesByText.set(ownText(root, file), [title]);
  return [...titlesByText]
    .map(([text, titles]) => `${titles.map(title => `==== ${title} ====`).join('\n')}\n\n${text}\n`)
    .join('\n\n');
}

/** @param {string} root @param {string} folder */
export function noticeOf(root, folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
  const own = OWN_TEXT[/** @type {keyof typeof OWN_TEXT} */ (name)];
  const file = readdirSync(join(root, folder)).find(each => /^(licen[cs]e|copying)/i.test(each));
  if (!own && !file)
    throw new Error(`${name} ships without the text of its licence (${license}); add it to ${TEXTS}.`);
  const text = own
    ? ownText(root, own)
    : readFileSync(join(root, folder, /** @type {string} */ (file)), 'utf8');
  return { title: `${name} ${version} (${license})`, text: text.trim() };
}

/** @param {string} root @param {string} file */
function ownText(root, file) {
  const path = join(root, TEXTS, file);
  if (!existsSync(path)) throw new Error(`${path} is missing.`);
  return readFileSync(path, 'utf8').trim();
}
