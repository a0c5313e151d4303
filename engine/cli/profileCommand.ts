/** `profile` and `merge`: a model's heads over many texts. */
import { basename, join, resolve } from 'node:path';
import type { Corpus } from '../corpus/corpus';
import { corpusReport } from '../corpus/report';
import { findCorpus } from '../corpus/files';
import { MOST_SHARDS, partOf, shardOf, type Shard } from '../corpus/parts';
import { profileTexts, settingsOfRun } from '../corpus/run';
import { checkProfileFolder, finish, profileFiles } from '../corpus/store';
import { UsageError } from '../errors';
import { checkOutputPaths, writeWhole } from '../export/outputFile';
import { reportHtml } from '../export/reportHtml';
import type { DeviceChoice } from '../../shared/protocol/engine';
import { distinct } from '../../shared/setting';
import type { NamedMechanism } from './arguments';
import { print, ProgressLine, startEngine } from './commands';
import { formatProfile } from './profileTables';
import { runHere } from './shards/here';
import { runOnRay } from './shards/ray';
import { merged, runShards, shardTasks, type Place, type ShardRunner } from './shards/shards';
import { runOnSlurm } from './shards/slurm';

export interface ProfileOptions {
  model: string;
  device: DeviceChoice;
  maxTokens: number;
  mechanisms: NamedMechanism[];
  propagate: boolean;
  output: string;
  /** Where results lie that are no texts: of a shard, those of the whole. */
  results?: string;
  /** What texts are named from; by default the folder that holds them all. */
  root?: string;
  /** A report with the Corpus view. */
  html?: string | false;
  shard?: Shard;
  workers: number;
  /** Where the workers are. */
  on: Place;
  /** Options for sbatch. */
  sbatch: string[];
  /** Processors of a worker that Ray starts. */
  cpus: number;
}

export async function profileCommand(
  paths: readonly string[],
  options: ProfileOptions,
  signal: AbortSignal,
): Promise<void> {
  const { output, html } = options;
  await checkProfileFolder(output);
  const found = await findCorpus(
    { cwd: process.cwd(), named: options.root, without: options.results ?? output },
    paths,
  );
  const texts = html ? found.files.map(({ file }) => join(found.root, file)) : [];
  await checkOutputPaths([html || undefined], texts);
  const corpus =
    options.workers > 1 || options.on !== 'here'
      ? await profileInWorkers(options, signal)
      : await profileHere(found, options, signal);
  await finish(output, corpus);
  await tell(corpus, paths.join(', '), html);
}

export async function mergeCommand(
  folders: readonly string[],
  { output, html }: Pick<ProfileOptions, 'output' | 'html'>,
): Promise<void> {
  await checkProfileFolder(output, folders);
  await checkOutputPaths([html || undefined], folders.flatMap(profileFiles));
  const corpus = await merged(folders);
  await finish(output, corpus);
  await tell(corpus, basename(resolve(output)), html);
}

async function tell(corpus: Corpus, name: string, html: ProfileOptions['html']): Promise<void> {
  if (html) await writeWhole(html, await reportHtml(corpusReport(corpus, name)));
  print(formatProfile(corpus));
}

async function profileHere(
  { root, files }: Awaited<ReturnType<typeof findCorpus>>,
  { model, device, maxTokens, mechanisms, propagate, output, shard }: ProfileOptions,
  signal: AbortSignal,
): Promise<Corpus> {
  const progress = new ProgressLine();
  const engine = await startEngine(device, progress);
  try {
    const info = await engine.request('models/load', { ref: model, device }, signal);
    const settings = distinct(mechanisms.map(({ setting }) => setting));
    return await profileTexts({
      engine,
      root,
      files: shard ? shardOf(files, shard) : files,
      part: shard && partOf(files, shard),
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

async function profileInWorkers(options: ProfileOptions, signal: AbortSignal): Promise<Corpus> {
  const tasks = shardTasks(options.workers, options.output);
  const progress = new ProgressLine();
  try {
    return await runShards(tasks, runnerOf(options), {
      signal,
      onEnded: ended => progress.step(`${ended} of ${tasks.length} shards`),
      onLine(line) {
        progress.clear();
        process.stderr.write(`${line}\n`);
      },
    });
  } finally {
    progress.clear();
  }
}

function runnerOf({ on, sbatch, cpus }: ProfileOptions): ShardRunner {
  if (on === 'slurm') return runOnSlurm(sbatch);
  return on === 'ray' ? runOnRay(cpus) : runHere;
}

/** `I/N` */
export function parseShard(value: string): Shard {
  const [, index, of] = /^(\d+)\/(\d+)$/.exec(value) ?? [];
  const shard = { index: Number(index), of: Number(of) };
  if (!(shard.index >= 1 && shard.index <= shard.of && shard.of <= MOST_SHARDS)) {
    throw new UsageError('--shard must be I/N, the I-th of N shards, such as 2/8.');
  }
  return shard;
}
