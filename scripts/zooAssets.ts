/**
 * Writes engine/bundled/zoo.json: the models of the papers with the sizes and checksums of their files, by which those that are not in a
 * package are fetched from the release. `npm run zoo-assets`; `-- --out FOLDER` also writes the release's assets. A test fails when it was forgotten.
 */
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { assetName, type Manifest } from '../engine/model/source/zoo';

const SCRIPT = fileURLToPath(import.meta.url);
const BUNDLED = join(dirname(SCRIPT), '../engine/bundled');
const ZOO = join(BUNDLED, 'zoo');

/** What zoo.json must hold. */
export function zooManifest(): Manifest {
  const names = readdirSync(ZOO).sort();
  return Object.fromEntries(
    names.map(name => {
      const { title } = JSON.parse(readFileSync(join(ZOO, name, 'config.json'), 'utf8')) as { title: string };
      const files = filesOf(name).map(path => {
        const bytes = readFileSync(join(ZOO, name, path));
        return [path, { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }];
      });
      return [name, { title, files: Object.fromEntries(files) as Manifest[string]['files'] }];
    }),
  );
}

const filesOf = (name: string): string[] =>
  readdirSync(join(ZOO, name), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry =>
      join(entry.parentPath, entry.name)
        .slice(join(ZOO, name).length + 1)
        .replaceAll('\\', '/'),
    )
    .sort();

if (process.argv[1] === SCRIPT) {
  const { values } = parseArgs({ options: { out: { type: 'string' } } });
  const manifest = zooManifest();
  writeFileSync(join(BUNDLED, 'zoo.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  if (values.out !== undefined) {
    mkdirSync(values.out, { recursive: true });
    for (const [name, { files }] of Object.entries(manifest))
      for (const path of Object.keys(files))
        copyFileSync(join(ZOO, name, path), join(values.out, assetName(`zoo/${name}`, path)));
  }
}
