/** A profile cut into shards: this very command once for each, run somewhere, until every shard is done; then all together. */
import { join } from 'node:path';
import { Corpus } from '../../corpus/corpus';
import { readProfile } from '../../corpus/store';
import { CancelledError } from '../../errors';

/** Where shards are profiled, besides this process. */
export const PLACES = ['here', 'slurm', 'ray'] as const;
export type Place = (typeof PLACES)[number];

/** One shard of a profile: what to run, and where what it finds lies. */
export interface ShardTask {
  /** From 1. */
  index: number;
  of: number;
  folder: string;
  /** The program and its arguments. */
  command: readonly string[];
}

/** How a run of a shard ended. */
export interface ShardEnd {
  task: ShardTask;
  /** Null: it was killed, or never ran. */
  code: number | null;
  /** What it said last, on one line. */
  last: string;
}

export interface ShardHooks {
  signal: AbortSignal;
  /** A line that one of them wrote to standard error. */
  onLine(line: string): void;
  /** So many have ended. */
  onEnded(ended: number): void;
}

/** Runs all of these to their end. @throws CancelledError once the signal has stopped them all. */
export type ShardRunner = (tasks: readonly ShardTask[], hooks: ShardHooks) => Promise<ShardEnd[]>;

/** So often one shard is tried: a worker may be killed, and the next one goes on from what it kept. */
const TRIES = 3;
const WRONG_USAGE = 2;

/** The shards of the command that this process was called with. Of options given twice the last counts. */
export function shardTasks(count: number, output: string): ShardTask[] {
  return Array.from({ length: count }, (_, at) => {
    const folder = join(output, `shard-${at + 1}-of-${count}`);
    const shard = ['--on', 'here', '--workers', '1', '--shard', `${at + 1}/${count}`];
    const options = [...shard, '--output', folder, '--results', output, '--no-html'];
    const command = [process.execPath, ...process.argv.slice(1), ...options];
    return { index: at + 1, of: count, folder, command };
  });
}

/** @throws Error with the last words of a shard that cannot be had. */
export async function runShards(
  tasks: readonly ShardTask[],
  run: ShardRunner,
  hooks: ShardHooks,
): Promise<Corpus> {
  let left = tasks;
  for (let tried = 1; left.length > 0; tried++) {
    const done = tasks.length - left.length;
    const ends = await run(left, { ...hooks, onEnded: ended => hooks.onEnded(done + ended) });
    if (hooks.signal.aborted) throw new CancelledError();
    const failed = ends.filter(({ code }) => code !== 0);
    const final = failed.find(({ code }) => code === WRONG_USAGE) ?? (tried === TRIES ? failed[0] : null);
    if (final) throw new Error(final.last || howItFailed(final));
    for (const end of failed) hooks.onLine(`shard ${end.task.index} again: ${end.last || howItFailed(end)}`);
    left = failed.map(({ task }) => task);
  }
  return merged(tasks.map(({ folder }) => folder));
}

export async function merged(folders: readonly string[]): Promise<Corpus> {
  const [first, ...rest] = folders;
  const corpus = await readProfile(first!);
  for (const folder of rest) corpus.merge(await readProfile(folder));
  return corpus;
}

const howItFailed = ({ task, code }: ShardEnd): string =>
  code === null ? `Shard ${task.index} was killed.` : `Shard ${task.index} ended with exit code ${code}.`;
