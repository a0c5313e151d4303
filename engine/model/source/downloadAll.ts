/** The files of one model over HTTP: told together, and only begun where the disk has room for them. */
import { join } from 'node:path';
import { say } from '../../../shared/sentences';
import type { DownloadTiming } from './download';
import { download, isThere, sizeOf } from './download';
import { refuseFullDisk, type HubFile } from './hubCache';

export interface DownloadWishes {
  signal: AbortSignal;
  onProgress(message: string): void;
  timing?: DownloadTiming;
}

export interface Remote {
  /** What the user calls it. */
  what: string;
  files: readonly HubFile[];
  /** Address of a file, by its path. */
  url(path: string): string;
  headers(url: string): Record<string, string>;
  takesToken?: boolean;
}

/** Those of the files that are not in the folder as they were announced. */
export async function missingIn(folder: string, files: readonly HubFile[]): Promise<HubFile[]> {
  const missing: HubFile[] = [];
  for (const file of files) if (!(await isThere(join(folder, file.path), file.size))) missing.push(file);
  return missing;
}

/** Downloads all of the files into `folder`, each under its path. */
export async function downloadAll(
  { what, files, url, headers, takesToken }: Remote,
  folder: string,
  { signal, onProgress, timing }: DownloadWishes,
): Promise<void> {
  const bytes = totalSize(files);
  let arrived = 0;
  for (const file of files) arrived += Math.min(await sizeOf(join(folder, `${file.path}.part`)), file.size);
  await refuseFullDisk(bytes - arrived, what);
  arrived = 0;
  for (const file of files) {
    await download({ ...file, url: url(file.path) }, join(folder, file.path), {
      ...{ headers, takesToken, signal, timing },
      onBytes: count => {
        arrived += count;
        onProgress(say('downloading', what, megabytes(arrived), megabytes(bytes)));
      },
    });
  }
}

export const totalSize = (files: readonly HubFile[]): number =>
  files.reduce((sum, file) => sum + file.size, 0);

/** HF_HUB_OFFLINE, as Hugging Face's own programs read it. */
export const isOffline = (): boolean => /^(1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? '');

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}
