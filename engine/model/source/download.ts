/** One file over HTTP: resumed after a broken connection, checked, and put in its place only when whole. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { replaceFile } from '../../runtime/replaceFile';
import { setTimeout as setTimeoutPromise } from 'node:timers/promises';
import { CancelledError, RefusedError, told } from '../../errors';
import { untilCancelled } from '../../runtime/cancellation';
import { proxiedFetch } from './proxiedFetch';

export interface RemoteFile {
  url: string;
  size: number;
  /** What the content must hash to: SHA-256, or git's SHA-1 of a blob; null where the server gives none. */
  sha256: string | null;
  gitSha1: string | null;
}

export interface DownloadOptions {
  /** Headers for a URL: the token goes to the hub only. */
  headers(url: string): Record<string, string>;
  /** HF_TOKEN opens what is not given to everybody. */
  takesToken?: boolean;
  signal: AbortSignal;
  /** Called with the number of bytes that have arrived (negative when a file starts over). */
  onBytes(bytes: number): void;
  timing?: DownloadTiming;
}

export interface DownloadTiming {
  /** Failures without any progress in between before giving up. */
  attempts: number;
  /** Pause after the first failure; it doubles with each. */
  pauseMs: number;
  /** Without 16 KiB for so long a connection counts as broken. */
  stallMs: number;
}

/** Fewer bytes than these are no progress: a server that drips must not hold a download for ever. */
const LEAST_BYTES = 16 * 1024;

const DEFAULT_TIMING: DownloadTiming = { attempts: 5, pauseMs: 500, stallMs: 30_000 };

/** Worth another attempt: the connection, or a server that is busy. */
class TransientError extends Error {}

/** Downloads on their way, by target: two writers of one `.part` would spoil it. */
const underWay = new Map<string, Promise<void>>();

/**
 * Downloads to `target`; what has arrived of it waits in `target.part` for the next attempt or the next call. While another call brings
 * the same file, this one waits and takes what that has brought, or goes on where it failed or was cancelled.
 * Throws RefusedError when the server refuses, the disk is full or the content is not what was announced.
 */
export async function download(file: RemoteFile, target: string, options: DownloadOptions): Promise<void> {
  for (let other; (other = underWay.get(target));) {
    // How it ends is said to who began it.
    const ended = other.catch(() => undefined);
    await untilCancelled(ended, options.signal);
    if (await isThere(target, file.size)) return options.onBytes(file.size);
  }
  const own = bring(file, target, options);
  underWay.set(target, own);
  try {
    await own;
  } finally {
    underWay.delete(target);
  }
}

async function bring(file: RemoteFile, target: string, options: DownloadOptions): Promise<void> {
  const { attempts, pauseMs } = options.timing ?? DEFAULT_TIMING;
  const part = `${target}.part`;
  await mkdir(dirname(target), { recursive: true });
  options.onBytes(Math.min(await sizeOf(part), file.size));
  for (let failures = 0; ;) {
    const before = await sizeOf(part);
    try {
      await fetchRest(file, part, options);
      break;
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      failures = (await sizeOf(part)) - before >= LEAST_BYTES ? 1 : failures + 1;
      if (failures >= attempts) {
        throw new RefusedError(
          told`The download of ${basename(target)} broke off (${error.message}); what has arrived is kept, so try again later.`,
        );
      }
      await pause(pauseMs * 2 ** (failures - 1), options.signal);
    }
  }
  await check(file, part, basename(target));
  await replaceFile(part, target);
}

async function fetchRest(file: RemoteFile, part: string, options: DownloadOptions): Promise<void> {
  let have = await sizeOf(part);
  if (have === file.size && have > 0) return;
  if (have > file.size) {
    await rm(part);
    options.onBytes(-file.size);
    have = 0;
  }
  const watch = new Watch(options);
  let handle: FileHandle | null = null;
  try {
    const response = await proxiedFetch(file.url, {
      // Compressed transfers have other offsets than the file.
      headers: {
        'accept-encoding': 'identity',
        ...(have > 0 && { range: `bytes=${have}-` }),
        ...options.headers(file.url),
      },
      signal: watch.signal,
    });
    refuseStatus(response.status, file.url, options.takesToken);
    if (file.url.startsWith('https:') && response.url.startsWith('http:'))
      throw new RefusedError(told`${new URL(file.url).host} leads to an address that is not encrypted.`);
    const resumed =
      response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${have}-`);
    if (!resumed) {
      options.onBytes(-have);
      have = 0;
    }
    if (response.status === 416) {
      await rm(part, { force: true });
      throw new TransientError('the server cannot resume there');
    }
    handle = await open(part, resumed ? 'r+' : 'w');
    for await (const chunk of response.body ?? []) {
      const bytes = chunk as Uint8Array;
      watch.sawBytes(bytes.length);
      if (have + bytes.length > file.size) {
        throw new RefusedError(told`${basename(part, '.part')} is longer than was announced.`);
      }
      await handle.write(bytes, 0, bytes.length, have);
      have += bytes.length;
      options.onBytes(bytes.length);
    }
    if (have < file.size) throw new TransientError('the connection closed early');
  } catch (error) {
    throw meaning(error, options.signal, watch, part);
  } finally {
    watch.stop();
    await handle?.close();
  }
}

/** Ends a request when it is cancelled or when nothing arrives any more. */
class Watch {
  private readonly stall = new AbortController();
  private readonly timer: NodeJS.Timeout;
  /** Bytes since the last time that was progress. */
  private unseen = 0;
  readonly signal: AbortSignal;

  constructor({ signal, timing }: DownloadOptions) {
    this.signal = AbortSignal.any([signal, this.stall.signal]);
    this.timer = setTimeout(() => this.stall.abort(), (timing ?? DEFAULT_TIMING).stallMs);
  }

  get stalled(): boolean {
    return this.stall.signal.aborted;
  }

  sawBytes(count: number): void {
    this.unseen += count;
    if (this.unseen < LEAST_BYTES) return;
    this.unseen = 0;
    this.timer.refresh();
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}

/** Refusals stay, full disks are told, everything else is the connection. */
function meaning(error: unknown, signal: AbortSignal, watch: Watch, part: string): Error {
  if (signal.aborted) return new CancelledError();
  if (error instanceof RefusedError || error instanceof TransientError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new RefusedError(
      told`The disk is full: ${basename(part, '.part')} cannot be stored in ${dirname(part)}.`,
    );
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new RefusedError(told`Cannot write to ${dirname(part)}.`);
  }
  const cause = reason(error);
  // What fetch says of a redirect that it does not follow: no other attempt will end otherwise.
  if (/redirect|scheme/i.test(cause))
    return new RefusedError(told`The download of ${basename(part, '.part')} leads nowhere: ${cause}.`);
  return new TransientError(watch.stalled ? 'the server went silent' : cause);
}

/** A message of somebody else, which may repeat what was sent. */
function withoutSecrets(message: string): string {
  const token = process.env.HF_TOKEN?.trim();
  const without = token ? message.replaceAll(token, '…') : message;
  return without.replace(/Bearer\s+\S+/gi, 'Bearer …').replace(/(\/\/)[^/@\s]*@/g, '$1…@');
}

/** The innermost cause of a failed request: "ECONNREFUSED" rather than "fetch failed". */
export function reason(error: unknown): string {
  const { cause, code, message } = error as { cause?: unknown; code?: unknown; message?: string };
  if (cause !== undefined && cause !== null) return reason(cause);
  // The code of a DOMException (a time-out) is a number.
  return withoutSecrets(typeof code === 'string' ? code : (message ?? String(error)));
}

function refuseStatus(status: number, url: string, takesToken = false): void {
  if (status < 400 || status === 416) return;
  if (status === 429 || status >= 500) throw new TransientError(`the server answered ${status}`);
  throw statusError(
    status,
    new URL(url).host,
    decodeURIComponent(basename(new URL(url).pathname)),
    takesToken,
  );
}

/** What a refusal means for the user; `takesToken`: by a hub. */
export function statusError(status: number, host: string, what: string, takesToken: boolean): RefusedError {
  if (takesToken && (status === 401 || status === 403)) {
    return new RefusedError(
      told`${host} does not give ${what} to everybody: it does not exist, or you must be granted access and set HF_TOKEN.`,
    );
  }
  if (status === 404) return new RefusedError(told`There is no ${what} on ${host}.`);
  return new RefusedError(told`${host} answered ${status} when asked for ${what}.`);
}

/** Refuses, and deletes, a file that is not what was announced. */
async function check(file: RemoteFile, part: string, name: string): Promise<void> {
  const hash = createHash(file.sha256 !== null ? 'sha256' : 'sha1');
  if (file.sha256 === null) hash.update(`blob ${file.size}\0`);
  for await (const chunk of createReadStream(part)) hash.update(chunk as Buffer);
  const expected = file.sha256 ?? file.gitSha1;
  if (expected === null || hash.digest('hex') === expected) return;
  await rm(part);
  throw new RefusedError(
    told`${name} arrived damaged: its checksum is not the one that was announced; try again.`,
  );
}

/** Whether the file is there, as large as was announced, which may be empty. */
export const isThere = async (path: string, size: number): Promise<boolean> =>
  (await stat(path).catch(() => null))?.size === size;

/** 0 where there is none. */
export async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await setTimeoutPromise(milliseconds, undefined, { signal }).catch(() => {
    throw new CancelledError();
  });
}
