/** `profile` and `merge`: a model's heads over many texts. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { Corpus } from '../corpus/corpus';
import { findTexts, shardOf } from '../corpus/files';
import { profileTexts, settingsOfRun } from '../corpus/run';
import { checkProfileFolder, finish, readProfile } from '../corpus/store';
import { CancelledError, UsageError } from '../errors';
import { SUPERVISED } from '../runtime/supervised';
import type { DeviceChoice } from '../../shared/protocol/engine';
import { distinct } from '../../shared/setting';
import type { NamedMechanism } from './arguments';
import { print, ProgressLine, startEngine } from './commands';
import { formatProfile } from './profileTables';

export interface Shard {
  /** From 1. */
  index: number;
  of: number;
}

export interface ProfileOptions {
  model: string;
  device: DeviceChoice;
  maxTokens: number;
  mechanisms: NamedMechanism[];
  propagate: boolean;
  output: string;
  shard?: Shard;
  workers: number;
}

export async function profileCommand(
  paths: readonly string[],
  options: ProfileOptions,
  signal: AbortSignal,
): Promise<void> {
  await checkProfileFolder(options.output);
  const corpus =
    options.workers > 1 ? await profileInWorkers(options, signal) : await profileHere(paths, options, signal);
  await finish(options.output, corpus);
  print(formatProfile(corpus));
}

export async function mergeCommand(folders: readonly string[], output: string): Promise<void> {
  await checkProfileFolder(output);
  const corpus = await merged(folders);
  await finish(output, corpus);
  print(formatProfile(corpus));
}

async function profileHere(
  paths: readonly string[],
  { model, device, maxTokens, mechanisms, propagate, output, shard }: ProfileOptions,
  signal: AbortSignal,
): Promise<Corpus> {
  const root = process.cwd();
  const all = await findTexts(root, paths);
  const files = shard ? shardOf(all, shard) : all;
  const progress = new ProgressLine();
  const engine = await startEngine(device, progress);
  try {
    const info = await engine.request('models/load', { ref: model, device }, signal);
    const settings = distinct(mechanisms.map(({ setting }) => setting));
    return await profileTexts({
      engine,
      root,
      files,
      model,
      device,
      mechanisms: settings,
      settings: settingsOfRun(info, { device, maxTokens, mechanisms: settings, propagate }),
      folder: output,
      signal,
      onText({ file, failed }, done, of) {
        progress.step(`${done} of ${of} texts`);
        if (failed === null) return;
        progress.clear();
        process.stderr.write(`skipped ${file}: ${failed}\n`);
      },
    });
  } finally {
    progress.clear();
    await engine.dispose();
  }
}

async function merged(folders: readonly string[]): Promise<Corpus> {
  const [first, ...rest] = folders;
  const corpus = await readProfile(first!);
  for (const folder of rest) corpus.merge(await readProfile(folder));
  return corpus;
}

/** This very command once for each shard, in processes of their own, and their profiles together. */
async function profileInWorkers({ workers, output }: ProfileOptions, signal: AbortSignal): Promise<Corpus> {
  const shards = Array.from({ length: workers }, (_, at) => ({
    shard: `${at + 1}/${workers}`,
    folder: join(output, `shard-${at + 1}-of-${workers}`),
  }));
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const runs = shards.map(({ shard, folder }) =>
    runAgain(['--workers', '1', '--shard', shard, '--output', folder], either).catch(error => {
      stop.abort();
      throw error;
    }),
  );
  const failed = (await Promise.allSettled(runs)).filter(run => run.status === 'rejected');
  if (signal.aborted) throw new CancelledError();
  const cause = failed
    .map(({ reason }) => reason as unknown)
    .find(error => !(error instanceof CancelledError));
  if (cause) throw cause;
  return merged(shards.map(({ folder }) => folder));
}

/** The command as it was called, with other options behind it: the last of each counts. */
function runAgain(options: readonly string[], signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const { [SUPERVISED]: _, ...env } = process.env;
    const child = spawn(process.execPath, [...process.argv.slice(1), ...options], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let last = '';
    createInterface({ input: child.stderr }).on('line', line => {
      last = line;
      if (line.startsWith('skipped ')) process.stderr.write(`${line}\n`);
    });
    const stop = () => child.kill('SIGINT');
    signal.addEventListener('abort', stop);
    child.on('error', reject);
    child.on('close', code => {
      signal.removeEventListener('abort', stop);
      if (code === 0) resolve();
      else if (signal.aborted) reject(new CancelledError());
      else reject(new Error(last || `A worker ended with exit code ${code}.`));
    });
  });
}

/** `I/N` */
export function parseShard(value: string): Shard {
  const [, index, of] = /^(\d+)\/(\d+)$/.exec(value) ?? [];
  const shard = { index: Number(index), of: Number(of) };
  if (!(shard.index >= 1 && shard.index <= shard.of)) {
    throw new UsageError('--shard must be I/N, the I-th of N shards, such as 2/8.');
  }
  return shard;
}
