import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildCli, runCli } from '../fixtures/cli';

/** ONNX Runtime's own telemetry is silent where a continuous integration is noticed, so none may be here. */
const QUIET = ['CI', 'GITHUB_ACTIONS', 'TF_BUILD', 'ORT_DISABLE_TELEMETRY', 'XDG_CACHE_HOME'];

describe('telemetry', function () {
  this.timeout(120_000);
  let folder: string;
  const hidden = new Map<string, string | undefined>();
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'home-'));
    for (const name of QUIET) {
      hidden.set(name, process.env[name]);
      delete process.env[name];
    }
  });
  after(async () => {
    for (const [name, value] of hidden) if (value !== undefined) process.env[name] = value;
    await rm(folder, { recursive: true });
  });

  it('leaves no file in the home folder and opens no connection, in the command line and the processes it starts', async () => {
    await writeFile(join(folder, 'text.txt'), 'The cat sat on the mat.');
    const home = join(folder, 'home');
    const sockets = new Set<string>();
    let watching = true;
    let watch = Promise.resolve();
    const env = { HOME: home, USERPROFILE: home, LOCALAPPDATA: home };
    const run = await runCli(await buildCli(), ['analyze', 'text.txt', '--device', 'auto'], {
      cwd: folder,
      env,
      onStart: child => {
        watch = (async () => {
          while (watching) {
            for (const socket of await connectionsOf(child.pid!)) sockets.add(socket);
            await new Promise(resolve => setTimeout(resolve, 50));
          }
        })();
      },
    });
    watching = false;
    await watch;
    assert.equal(run.code, 0, run.stderr);
    assert.deepEqual(existsSync(home) ? await readdir(home, { recursive: true }) : [], []);
    assert.deepEqual([...sockets], []);
  });
});

/** TCP connections of a process and its children, on Linux. */
async function connectionsOf(pid: number): Promise<string[]> {
  if (process.platform !== 'linux') return [];
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const found = await Promise.all(children.split(' ').filter(Boolean).map(Number).map(connectionsOf));
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map(name => readFile(`/proc/${pid}/net/${name}`, 'utf8').catch(() => '')),
  );
  const open = new Set(tables.flatMap(text => text.split('\n').map(line => line.trim().split(/\s+/)[9])));
  for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
    const link = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
    const [, inode] = /^socket:\[(\d+)\]$/.exec(link) ?? [];
    if (inode !== undefined && open.has(inode)) found.push([`${pid}: ${link}`]);
  }
  return found.flat();
}
