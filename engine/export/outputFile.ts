/**
 * Output files that are either whole or not there: everything is written to a temporary file beside the target,
 * which takes the target's name only when complete.
 */
import { constants } from 'node:fs';
import { access, open, realpath, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { UsageError, told } from '../errors';
import { replaceFile } from '../runtime/replaceFile';
import { tellSupervisor } from '../runtime/supervised';

/** An open output file. Call `commit` when everything is written, `abort` otherwise. */
export interface OutputFile {
  readonly handle: FileHandle;
  commit(): Promise<void>;
  abort(): Promise<void>;
}

/** Names of standard output. What stands behind it (a pipe, a file) belongs to who called us: never replaced. */
const isStandardOutput = (path: string): boolean =>
  ['-', '/dev/stdout', '/dev/fd/1', '/proc/self/fd/1'].includes(path);

/** A result goes to standard output, so what is meant to be read by people must not. */
export let resultOnStandardOutput = false;

/** Fails early, before minutes of work, when `path` cannot be written. */
async function checkOutputPath(path: string): Promise<void> {
  const existing = await stat(path).catch(() => null);
  if (existing?.isDirectory()) throw new UsageError(told`Cannot write ${path}: it is a folder.`);
  const folder = dirname(resolve(path));
  const parent = await stat(folder).catch(() => null);
  if (!parent?.isDirectory())
    throw new UsageError(told`Cannot write ${path}: the folder ${folder} does not exist.`);
  // A device (say /dev/stdout) is written in place, a file is replaced: then the folder must be writable.
  const writable = await access(existing && !existing.isFile() ? path : folder, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!writable) throw new UsageError(told`Cannot write ${path}: permission denied.`);
}

/**
 * The same for all outputs of a command, undefined = not wanted. Refuses to replace a file that is read (`-` = standard
 * input) and to write two results into one file.
 */
export async function checkOutputPaths(
  outputs: readonly (string | undefined)[],
  inputs: readonly string[],
): Promise<void> {
  const taken = new Map<string, string>();
  const claim = async (path: string, use: string): Promise<string | undefined> => {
    const file = await fileAt(path);
    const earlier = file === null ? undefined : taken.get(file);
    if (file !== null) taken.set(file, use);
    return earlier;
  };
  for (const path of inputs) if (path !== '-') await claim(path, 'it is an input');
  for (const path of outputs) {
    if (path === undefined) continue;
    if (isStandardOutput(path)) {
      if (resultOnStandardOutput)
        throw new UsageError(told`Cannot write ${path}: another result is written there.`);
      resultOnStandardOutput = true;
      continue;
    }
    await checkOutputPath(path);
    const earlier = await claim(path, 'another result is written there');
    if (earlier !== undefined) throw new UsageError(told`Cannot write ${path}: ${earlier}.`);
  }
}

/** The file behind a path, links followed; null for devices and pipes, which take anything. */
async function fileAt(path: string): Promise<string | null> {
  const existing = await stat(path).catch(() => null);
  if (existing) return existing.isFile() ? realpath(path) : null;
  const full = resolve(path);
  const folder = await realpath(dirname(full)).catch(() => dirname(full));
  return join(folder, basename(full));
}

/** Opens the temporary file. Devices and pipes, which cannot be renamed over, are written in place. */
export async function openOutput(path: string): Promise<OutputFile> {
  if (isStandardOutput(path)) throw new UsageError('Tensors cannot be written to standard output.');
  const existing = await stat(path).catch(() => null);
  const inPlace = existing !== null && !existing.isFile();
  // Through a link, the file it points to is replaced, not the link.
  const target = existing ? await realpath(path) : resolve(path);
  const temporary = inPlace ? path : `${target}.${process.pid}.${Date.now().toString(36)}.tmp`;
  // Before it is there: this process may be ended at any time.
  if (!inPlace) tellSupervisor({ temporary });
  const handle = await open(temporary, inPlace ? 'w' : 'wx').catch(error => {
    tellSupervisor({ settled: temporary });
    throw outputError(path, error);
  });
  const abort = async (): Promise<void> => {
    await handle.close().catch(() => undefined);
    if (!inPlace) await rm(temporary, { force: true });
    tellSupervisor({ settled: temporary });
  };
  const commit = async (): Promise<void> => {
    try {
      if (!inPlace) await handle.sync();
      await handle.close();
      if (!inPlace) await replaceFile(temporary, target);
      tellSupervisor({ settled: temporary });
    } catch (error) {
      await abort();
      throw outputError(path, error);
    }
  };
  return { handle, commit, abort };
}

/** Writes a whole file, or nothing. */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  if (isStandardOutput(path)) {
    await new Promise<void>(written => process.stdout.write(content, () => written()));
    return;
  }
  const output = await openOutput(path);
  try {
    await output.handle.writeFile(content);
  } catch (error) {
    await output.abort();
    throw outputError(path, error);
  }
  await output.commit();
}

/** The system's error as a sentence. */
export function outputError(path: string, error: unknown): Error {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOSPC' || code === 'EDQUOT') return new Error(`Cannot write ${path}: the disk is full.`);
  if (code === 'EACCES' || code === 'EPERM') return new Error(`Cannot write ${path}: permission denied.`);
  if (code === 'EROFS') return new Error(`Cannot write ${path}: the disk is read-only.`);
  if (code === 'EFBIG') return new Error(`Cannot write ${path}: the file would be too large for this disk.`);
  return new Error(`Cannot write ${path}: ${error instanceof Error ? error.message : String(error)}`);
}
