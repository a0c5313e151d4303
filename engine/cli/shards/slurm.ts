/**
 * Shards as one job array of Slurm. The folder of the profile, the texts, the model and this program must lie at the same
 * paths on every node (a shared file system), as Slurm itself expects.
 */
import { execFile, spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { RefusedError, told } from '../../errors';
import { writeWhole } from '../../export/outputFile';
import { THREADS } from '../../runtime/ort';
import type { ShardEnd, ShardHooks, ShardRunner, ShardTask } from './shards';

/** Beside the folder of a shard: how it ended, and what it said. */
const EXIT = '.exit';
const LOG = '.log';
/** How often the shards are counted that have ended. */
const POLL_MS = 1000;

/** `options` are sbatch's own, such as `--partition=gpu`, `--mem=8G`, `--cpus-per-task=4`. */
export const runOnSlurm =
  (options: readonly string[]): ShardRunner =>
  async (tasks, hooks) => {
    // What an earlier run left.
    const beside = tasks.flatMap(({ folder }) => [folder + EXIT, folder + LOG]);
    await Promise.all(beside.map(path => rm(path, { force: true })));
    const output = dirname(resolve(tasks[0]!.folder));
    const script = join(output, 'shard-job.sh');
    await writeWhole(script, jobScript(tasks));
    const array = tasks.map(({ index }) => index).join(',');
    const own = [`--job-name=attention-profile`, `--array=${array}`, `--chdir=${process.cwd()}`];
    const log = `--output=${join(output, `shard-%a-of-${tasks[0]!.of}${LOG}`).replaceAll('\\', '\\\\')}`;
    await submitted(['--parsable', '--wait', '--no-requeue', ...own, log, ...options, script], tasks, hooks);
    return Promise.all(tasks.map(endOf));
  };

/** Submits and waits for the end of the array; an interrupt cancels it. */
function submitted(args: readonly string[], tasks: readonly ShardTask[], hooks: ShardHooks): Promise<void> {
  return new Promise((done, reject) => {
    const sbatch = spawn('sbatch', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let job = '';
    let said = '';
    const cancel = () => (job === '' ? sbatch.kill('SIGINT') : void cancelJob(job));
    sbatch.stdout.setEncoding('utf8').on('data', (text: string) => {
      job ||= text.split(/[;\s]/)[0]!;
      hooks.onLine(`Slurm job ${job}: ${tasks.length} shards`);
      if (hooks.signal.aborted) cancel();
    });
    sbatch.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    const poll = setInterval(() => void countEnded(tasks).then(hooks.onEnded), POLL_MS);
    hooks.signal.addEventListener('abort', cancel);
    const settle = () => {
      clearInterval(poll);
      hooks.signal.removeEventListener('abort', cancel);
    };
    sbatch.on('error', (error: NodeJS.ErrnoException) => {
      settle();
      const why = error.code === 'ENOENT' ? 'there is no sbatch on this machine' : error.message;
      reject(new RefusedError(told`Slurm cannot be asked: ${why}.`));
    });
    // Its exit code is the largest of the shards', which are looked at one by one.
    sbatch.on('close', () => {
      settle();
      if (job !== '') done();
      else
        reject(new RefusedError(told`Slurm did not take the job: ${said.trim() || 'it did not say why'}.`));
    });
  });
}

const cancelJob = (job: string): Promise<unknown> =>
  promisify(execFile)('scancel', [job]).catch(() => undefined);

const countEnded = async (tasks: readonly ShardTask[]): Promise<number> =>
  (await Promise.all(tasks.map(exitOf))).filter(code => code !== null).length;

async function exitOf({ folder }: ShardTask): Promise<number | null> {
  const text = await readFile(folder + EXIT, 'utf8').catch(() => '');
  return /^\d+\n$/.test(text) ? Number(text) : null;
}

async function endOf(task: ShardTask): Promise<ShardEnd> {
  const log = await readFile(task.folder + LOG, 'utf8').catch(() => '');
  return { task, code: await exitOf(task), last: log.trim().split('\n').at(-1) ?? '' };
}

/** The script of every task of the array: a shard's command, and its exit code in a file (accounting need not be on). */
function jobScript(tasks: readonly ShardTask[]): string {
  const cases = tasks.map(({ index, folder, command }) => {
    const exit = quoted(resolve(folder) + EXIT);
    return `  ${index}) ${command.map(quoted).join(' ')} > /dev/null; code=$?; echo $code > ${exit} ;;`;
  });
  return `#!/bin/sh
# Written by attention-inspector: the shards of a profile.
export ${THREADS}="\${SLURM_CPUS_PER_TASK:-1}"
case "$SLURM_ARRAY_TASK_ID" in
${cases.join('\n')}
esac
exit $code
`;
}

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
