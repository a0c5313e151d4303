import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pageOf } from '../../scripts/lib/page.mjs';
import { ROOT } from '../../scripts/lib/project.mjs';

type Manifest = Record<string, unknown> & { icon: string; vsce: Record<string, unknown> };

/** What the packaging program does before it writes an archive; it has no types. */
interface Vsce {
  readManifest(folder: string): Promise<Manifest>;
  validateManifestForPackaging(manifest: Manifest): Manifest;
  createDefaultProcessors(manifest: Manifest, options: object): unknown[];
  processFiles(
    processors: unknown[],
    files: { path: string; contents: Buffer }[],
  ): Promise<{ path: string }[]>;
}

const load = createRequire(__filename);
const vsce = load('@vscode/vsce/out/package.js') as Vsce;
const { log } = load('@vscode/vsce/out/util.js') as { log: { warn(message: string): void } };

const text = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const PICTURE = 'https://example.com/a.png';

/** Nobody is asked: what vsce asks about counts as a warning here. Only a missing repository is allowed: there is none to name. */
async function packed(
  change: { manifest?: object; page?: string; without?: string; pictures?: boolean } = {},
): Promise<{ files: string[]; warnings: string[] }> {
  const read = await vsce.readManifest(ROOT);
  const manifest = vsce.validateManifestForPackaging({ ...read, ...change.manifest } as Manifest);
  const { pictures = false } = change;
  // Its check of links and pictures does not know pictures that are in the page (scripts/package.mjs).
  const options = { ...read.vsce, rewriteRelativeLinks: !pictures, target: 'linux-x64' };
  const page = pageOf(text('README.md'), { pictures }) + (change.page ?? '');
  const files: Record<string, string | Buffer> = {
    'package.json': text('package.json'),
    'package.nls.json': text('package.nls.json'),
    'dist/README.md': page,
    'dist/extension.js': '',
    ...Object.fromEntries(['CHANGELOG.md', 'LICENSE', 'SUPPORT.md'].map(name => [name, text(name)])),
    [manifest.icon]: Buffer.from('icon'),
  };
  const given = Object.entries(files)
    .filter(([path]) => path !== change.without)
    .map(([path, contents]) => ({ path: `extension/${path}`, contents: Buffer.from(contents as Buffer) }));
  const warnings: string[] = [];
  const warn = log.warn;
  log.warn = message => warnings.push(message);
  try {
    const made = await vsce.processFiles(vsce.createDefaultProcessors(manifest, options), given);
    return { files: made.map(({ path }) => path), warnings };
  } finally {
    log.warn = warn;
  }
}

describe('the package as vsce judges it', () => {
  it('has no warning: manifest, page, changelog, licence, icon, words', async () => {
    const { files, warnings } = await packed();
    assert.deepEqual(warnings, []);
    for (const name of ['readme.md', 'changelog.md', 'LICENSE.txt', 'SUPPORT.md', 'media/icon.png'])
      assert.ok(files.includes(`extension/${name}`), `${name}: ${files.join()}`);
  });

  it('has no warning as it is packed, with pictures in the page: PNGs, and nothing from elsewhere', async () => {
    assert.deepEqual((await packed({ pictures: true })).warnings, []);
    const sources = [...pageOf(text('README.md'), { pictures: true }).matchAll(/!\[[^\]]*\]\(([^)]*)\)/g)];
    assert.ok(sources.length >= 3);
    for (const [, source] of sources) assert.match(source!, /^data:image\/png;base64,[\w+/]+=*$/);
  });

  it('bypasses one rule only: there is no public repository to name', () => {
    const { vsce: settings, repository, bugs } = JSON.parse(text('package.json')) as Manifest;
    assert.deepEqual(settings, { allowMissingRepository: true, readmePath: 'dist/README.md' });
    assert.deepEqual([repository, bugs], [undefined, undefined], 'an address: then the rule holds again');
  });

  const wrong: [string, Parameters<typeof packed>[0], RegExp][] = [
    ['a picture from http', { page: '\n![a](http://example.com/a.png)\n' }, /HTTPS source/],
    ['an SVG on the page', { page: '\n![a](https://example.com/a.svg)\n' }, /SVGs are restricted/],
    ['SVG tags on the page', { page: '\n<svg></svg>\n' }, /SVG tags are not allowed/],
    ['an SVG as icon', { manifest: { icon: 'media/icon.svg' } }, /SVGs can't be used as icons/],
    ['a picture from the repository', { page: '\n![a](media/a.png)\n' }, /Couldn't detect the repository/],
    ['an engine older than its types', { manifest: { engines: { vscode: '^1.80.0' } } }, /@types\/vscode/],
    ['no entry point', { without: 'dist/extension.js' }, /entrypoint\(s\) missing/],
    ['no licence', { without: 'LICENSE' }, /LICENSE.* not found/],
    ['activation with everything', { manifest: { activationEvents: ['*'] } }, /'\*' activation/],
  ];
  for (const [what, change, told] of wrong)
    it(`would be told otherwise: ${what}`, async () => {
      const found = await packed(change).then(
        ({ warnings }) => warnings.join('\n'),
        (error: Error) => error.message,
      );
      assert.match(found, told);
    });

  it('takes pictures from the web', async () => {
    assert.deepEqual((await packed({ page: `\n![a](${PICTURE})\n` })).warnings, []);
  });

  it('changelog has the version, and the files that the page leans on are there', () => {
    const { version } = JSON.parse(text('package.json')) as { version: string };
    assert.match(text('CHANGELOG.md'), new RegExp(`^## .*${version.replaceAll('.', '\\.')}`, 'm'));
    for (const name of ['README.md', 'SUPPORT.md', 'SECURITY.md', 'LICENSE'])
      assert.ok(existsSync(join(ROOT, name)));
  });
});
