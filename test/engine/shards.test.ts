import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { TABLES } from '../../engine/corpus/tables';
import { buildCli, runCli } from '../fixtures/cli';
import { changingModel, changingText, writePlanted } from '../fixtures/plantedModels';

/**
 * Schedulers as the command meets them, without a cluster: a real `sbatch --wait` runs the script once for each index of
 * the array and ends when all have; this one does so in turn, and kills what `KILL` names in its first run.
 */
const SBATCH = `#!/bin/sh
for word in "$@"; do
  case "$word" in
    --array=*) array=$(echo "\${word#--array=}" | tr , ' ') ;;
    --output=*) output=\${word#--output=} ;;
    --chdir=*) cd "\${word#--chdir=}" ;;
  esac
  script=$word
done
echo "7;cluster"
echo "$*" >> "$CALLS"
for index in $array; do
  log=$(echo "$output" | sed "s/%a/$index/")
  if [ "$index" = "$KILL" ] && [ ! -e "$CALLS.killed" ]; then touch "$CALLS.killed"; echo "slurmstepd: killed" > "$log"; continue; fi
  SLURM_ARRAY_TASK_ID=$index sh "$script" > "$log" 2>&1
done
exit 1
`;

/** Python with Ray in it, as the command meets it: the work comes in, a line for each shard goes out. */
const PYTHON = `#!${process.execPath}
const { execFileSync } = require('node:child_process');
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
if (process.env.NO_RAY) { console.error('NO_RAY'); process.exit(1); }
const work = JSON.parse(readFileSync(0, 'utf8'));
writeFileSync(process.env.CALLS, JSON.stringify(work));
for (const { index, command } of work.tasks) {
  if (String(index) === process.env.KILL && !existsSync(process.env.CALLS + '.killed')) {
    writeFileSync(process.env.CALLS + '.killed', '');
    console.log('\\x1b[33m(raylet)\\x1b[0m A worker died or was killed.');
    console.log('shard ended: ' + JSON.stringify({ index, code: null, said: 'The worker died.' }));
    continue;
  }
  execFileSync(command[0], command.slice(1), { cwd: work.cwd, stdio: 'ignore' });
  console.log('shard ended: ' + JSON.stringify({ index, code: 0, said: 'skipped it: no text' }));
}
`;

(process.platform === 'win32' ? describe.skip : describe)('shards on a cluster', function () {
  this.timeout(120_000);
  let folder: string;
  let cli: string;
  let expected: string[];

  const read = (name: string): Promise<string[]> =>
    Promise.all(Object.keys(TABLES).map(table => readFile(join(folder, name, `${table}.parquet`), 'base64')));
  const profile = (output: string, args: readonly string[] = [], env: Record<string, string> = {}) =>
    runCli(
      cli,
      ['profile', 'some texts', '--model', 'model', '--max-tokens', '48', '--output', output, ...args],
      {
        cwd: folder,
        env: {
          PATH: `${join(folder, 'bin')}${delimiter}${process.env.PATH}`,
          CALLS: join(folder, `${output}.calls`),
          ...env,
        },
      },
    );

  before(async () => {
    // A name that a shell would take apart.
    folder = await mkdtemp(join(tmpdir(), "shards it's $HOME "));
    cli = await buildCli();
    await mkdir(join(folder, 'some texts'));
    await mkdir(join(folder, 'bin'));
    writePlanted(join(folder, 'model'), changingModel('partner'));
    for (const at of [0, 1, 2, 3])
      await writeFile(join(folder, `some texts/${at}.txt`), changingText(40 + 9 * at, 3 * at));
    for (const [name, text] of [
      ['sbatch', SBATCH],
      ['python', PYTHON],
    ] as const) {
      await writeFile(join(folder, 'bin', name), text);
      await chmod(join(folder, 'bin', name), 0o755);
    }
    const one = await profile('one');
    assert.equal(one.code, 0, one.stderr);
    expected = await read('one');
  });
  after(() => rm(folder, { recursive: true }));

  it('Slurm: a job array; a shard that was killed runs again, and the profile is that of one run', async () => {
    const run = await profile('slurm', ['--on', 'slurm', '--workers', '2', '--sbatch', '--mem=2G -p main'], {
      KILL: '2',
    });
    assert.equal(run.code, 0, run.stderr);
    assert.deepEqual(await read('slurm'), expected);
    assert.match(run.stderr, /^Slurm job 7: 2 shards$/m);
    assert.match(run.stderr, /^shard 2 again: slurmstepd: killed$/m);
    const [first, second, third] = (await readFile(join(folder, 'slurm.calls'), 'utf8')).trim().split('\n');
    assert.match(first!, /--array=1,2 .* --mem=2G -p main /);
    assert.match(second!, /--array=2 /);
    assert.equal(third, undefined);
  });

  it('Ray: tasks; a shard whose worker died runs again, and the profile is that of one run', async () => {
    const run = await profile('ray', ['--on', 'ray', '--workers', '2', '--cpus', '4'], {
      PYTHON: join(folder, 'bin/python'),
      KILL: '1',
    });
    assert.equal(run.code, 0, run.stderr);
    assert.deepEqual(await read('ray'), expected);
    assert.match(run.stderr, /^shard 1 again: The worker died\.$/m);
    assert.match(run.stderr, /^skipped it: no text$/m);
    const work = JSON.parse(await readFile(join(folder, 'ray.calls'), 'utf8'));
    assert.deepEqual([work.cpus, work.tasks.length], [4, 1]);
  });

  it('what is not there is said in a sentence', async () => {
    const none = { PATH: join(folder, 'nothing') };
    const slurm = await profile('x', ['--on', 'slurm'], none);
    assert.deepEqual(
      [slurm.code, slurm.stderr.trim()],
      [3, 'Slurm cannot be asked: there is no sbatch on this machine.'],
    );
    const python = await profile('x', ['--on', 'ray'], none);
    assert.deepEqual(
      [python.code, python.stderr.trim()],
      [3, 'Ray needs Python, and python3 cannot be run: it is not on this machine.'],
    );
    const ray = await profile('x', ['--on', 'ray'], { PYTHON: join(folder, 'bin/python'), NO_RAY: '1' });
    assert.equal(ray.code, 3);
    assert.match(ray.stderr, /has no Ray: install it \(pip install ray\)/);
    const nowhere = await profile('x', ['--on', 'moon']);
    assert.equal(nowhere.code, 2);
    const shard = await profile('x', ['--on', 'slurm', '--shard', '1/2']);
    assert.equal(shard.code, 2);
  });

  it('wrong usage of a shard is not tried again', async () => {
    const other = await profile('slurm', [
      '--on',
      'slurm',
      '--workers',
      '2',
      '--mechanisms',
      'local:window=8',
    ]);
    assert.equal(other.code, 1);
    assert.match(other.stderr, /holds a profile with other settings/);
    const calls = (await readFile(join(folder, 'slurm.calls'), 'utf8')).trim().split('\n');
    assert.equal(calls.length, 3);
  });
});
