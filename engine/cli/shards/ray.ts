/**
 * Shards as tasks of Ray, on the cluster that RAY_ADDRESS names, the one running here, or one of its own on this machine.
 * Ray is Python's: `python3`, or the Python that the variable PYTHON names, must have it.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { RefusedError, told } from '../../errors';
import { THREADS } from '../../runtime/ort';
import type { ShardEnd, ShardRunner } from './shards';

/** Before what the program itself says: Ray writes to standard output as well. */
const SAYS = 'shard ended: ';

/**
 * A shard ends with its worker (a shard that outlived it would write beside the one that goes on in its place), and Ray runs
 * it again where a worker dies. All ends with this command. Standard input: the shards and the directory; standard output: a line for each that ended.
 */
const PROGRAM = `
import ctypes, json, os, signal, subprocess, sys

def with_parent():
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)

with_parent()
work = json.load(sys.stdin)
try:
    import ray
except ImportError:
    sys.exit('NO_RAY')
ray.init(log_to_driver=False, logging_level='ERROR', include_dashboard=False)

@ray.remote(num_cpus=work['cpus'], max_retries=work['retries'])
def shard(command, cwd, cpus):
    environment = dict(os.environ, ${THREADS}=str(max(1, int(cpus))))
    done = subprocess.run(command, cwd=cwd, env=environment, preexec_fn=with_parent, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors='replace')
    return done.returncode, done.stderr

waiting = {shard.remote(task['command'], work['cwd'], work['cpus']): task['index'] for task in work['tasks']}
while waiting:
    (ready,), _ = ray.wait(list(waiting))
    try:
        code, said = ray.get(ready)
    except ray.exceptions.RayError as error:
        code, said = None, str(error)
    print('${SAYS}' + json.dumps(dict(index=waiting.pop(ready), code=code, said=said)), flush=True)
`;

/** What the program says of a shard that has ended. */
interface Ended {
  index: number;
  code: number | null;
  said: string;
}

/** Ray's own attempts at a task whose worker died. */
const RETRIES = 2;

export const runOnRay =
  (cpus: number): ShardRunner =>
  (tasks, { signal, onLine, onEnded }) =>
    new Promise((resolve, reject) => {
      const python = process.env.PYTHON ?? 'python3';
      const child = spawn(python, ['-c', PROGRAM], { stdio: ['pipe', 'pipe', 'pipe'] });
      const ends = new Map<number, ShardEnd>();
      let said = '';
      child.stdin.on('error', () => undefined);
      child.stdin.end(
        JSON.stringify({
          cwd: process.cwd(),
          cpus,
          retries: RETRIES,
          tasks: tasks.map(({ index, command }) => ({ index, command })),
        }),
      );
      child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4000)));
      createInterface({ input: child.stdout }).on('line', line => {
        if (!line.startsWith(SAYS)) return;
        const { index, code, said: words } = JSON.parse(line.slice(SAYS.length)) as Ended;
        const lines = words.trim().split('\n');
        for (const skipped of lines.filter(one => one.startsWith('skipped '))) onLine(skipped);
        ends.set(index, { task: tasks.find(task => task.index === index)!, code, last: lines.at(-1)! });
        onEnded(ends.size);
      });
      const stop = () => child.kill('SIGINT');
      signal.addEventListener('abort', stop);
      child.on('error', (error: NodeJS.ErrnoException) => {
        const why = error.code === 'ENOENT' ? 'it is not on this machine' : error.message;
        reject(new RefusedError(told`Ray needs Python, and ${python} cannot be run: ${why}.`));
      });
      child.on('close', code => {
        signal.removeEventListener('abort', stop);
        const last = said.trim().split('\n').at(-1) ?? '';
        if (last === 'NO_RAY') {
          reject(
            new RefusedError(
              told`${python} has no Ray: install it (pip install ray), or name a Python that has it in the variable PYTHON.`,
            ),
          );
        } else if (code !== 0 && !signal.aborted) {
          reject(new Error(told`Ray stopped: ${last.replace(/\.+$/, '') || `exit code ${code}`}.`));
        } else {
          resolve(tasks.map(task => ends.get(task.index) ?? { task, code: null, last: '' }));
        }
      });
    });
