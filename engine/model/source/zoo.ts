/**
 * The small models that were each made with the mechanism of one paper (scripts/zoo): `zoo/NAME`. Those that the package has room for
 * come with it; the others are assets of the release, fetched when they are asked for and kept where models of the hub are.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import manifest from '../../bundled/zoo.json';
import { bundledFolder } from '../../bundledFolder';
import { RefusedError, told } from '../../errors';
import { REPOSITORY, VERSION } from '../../version';
import { downloadAll, isOffline, missingIn, totalSize, type DownloadWishes } from './downloadAll';
import { snapshotFolder, touchAndEvict, type HubFile } from './hubCache';

export interface ZooModel {
  /** `zoo/NAME`. */
  name: string;
  /** By the paper's name. */
  title: string;
  files: HubFile[];
}

/** All of them, as `npm run zoo-assets` found them. */
export const ZOO: readonly ZooModel[] = Object.entries(manifest as Manifest).map(
  ([name, { title, files }]) => ({
    name: `zoo/${name}`,
    title,
    files: Object.entries(files).map(([path, file]) => ({ path, ...file, gitSha1: null })),
  }),
);

export type Manifest = Record<
  string,
  { title: string; files: Record<string, { size: number; sha256: string }> }
>;

/** The folder of a model that is on this machine, with the package or from an earlier download; null = it is not. */
export async function zooFolder(model: ZooModel): Promise<string | null> {
  const packed = join(bundledFolder(), model.name);
  if (existsSync(join(packed, 'config.json'))) return packed;
  const fetched = snapshotFolder(revisionOf(model));
  return (await missingIn(fetched, model.files)).length === 0 ? fetched : null;
}

/** The folder of a model, which is fetched from the release where it is not on this machine. */
export async function fetchZoo(model: ZooModel, wishes: DownloadWishes): Promise<string> {
  const found = await zooFolder(model);
  if (found !== null) return found;
  const { name } = model;
  if (isOffline()) throw new RefusedError(told`${name} is not in the cache, and HF_HUB_OFFLINE is set.`);
  const release = addressOfRelease(name);
  const folder = snapshotFolder(revisionOf(model));
  const files = await missingIn(folder, model.files);
  const url = (path: string) => `${release}/${assetName(name, path)}`;
  await downloadAll({ what: name, files, url, headers: () => ({}) }, folder, wishes);
  await touchAndEvict(name);
  return folder;
}

/** Assets of a release have names without folders: zoo-lsh-model.onnx. */
export const assetName = (name: string, path: string): string =>
  `${name.replace('/', '-')}-${path.split('/').at(-1)!}`;

export const downloadSize = ({ files }: ZooModel): number => totalSize(files);

/** Files that were trained or exported anew are another revision. */
function revisionOf({ name, files }: ZooModel): { id: string; commit: string; files: HubFile[] } {
  const commit = createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 40);
  return { id: name, commit, files };
}

/** ATTENTION_INSPECTOR_RELEASE, or the release of the repository that this program was built in. */
function addressOfRelease(name: string): string {
  const given = process.env.ATTENTION_INSPECTOR_RELEASE?.trim();
  const address = given || (REPOSITORY && `${REPOSITORY}/releases/download/v${VERSION}`);
  if (!address)
    throw new RefusedError(
      told`${name} comes with a release, and this program was built outside of one: unpack the release's zoo.zip and open the folder, or name the release's address in ATTENTION_INSPECTOR_RELEASE.`,
    );
  if (!isSafe(address))
    throw new RefusedError('ATTENTION_INSPECTOR_RELEASE must be an address that begins with https://.');
  return address.replace(/\/+$/, '');
}

/** Nothing of a release comes unencrypted, but from this machine itself. */
function isSafe(address: string): boolean {
  if (!URL.canParse(address)) return false;
  const { protocol, hostname } = new URL(address);
  return (
    protocol === 'https:' || (protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(hostname))
  );
}
