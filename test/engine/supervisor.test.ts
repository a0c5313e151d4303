import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { cpSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { resolveModel } from '../../engine/model/source/source';
import { buildCli, runCli } from '../fixtures/cli';
import { endlessModel } from '../fixtures/endlessModel';
import { gone, inNativeCode } from '../fixtures/nativeCode';
import { ModelWriter, plainModel } from '../fixtures/onnxModels';

describe('the command line and the process it works in', function () {
  this.timeout(60_000);
  let folder: string;
  let cli: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'supervised-'));
    cli = await buildCli();
    await writeFile(join(folder, 'text.txt'), 'The cat sat on the mat.');
    const { onnx, folder: bundled } = await resolveModel('bundled');
    for (const [name, model] of [
      ['endless', endlessModel(onnx)],
      ['omitted', withOmittedBias().encode()],
    ] as const) {
      await mkdir(join(folder, name));
      cpSync(join(bundled, 'tokenizer.json'), join(folder, name, 'tokenizer.json'));
      await writeFile(join(folder, name, 'model.onnx'), model);
    }
  });
  after(() => rm(folder, { recursive: true }));

  /** Runs the command, and does something to its processes once ONNX Runtime has the thread. */
  function interfere(args: string[], act: (child: ChildProcess, worker: number) => Promise<void> | void) {
    let acting = Promise.resolve();
    const run = runCli(cli, args, {
      cwd: folder,
      onStart: child => {
        acting = (async () => {
          const worker = await inNativeCode(child.pid!);
          await act(child, worker);
        })();
      },
    });
    return run.then(async result => {
      await acting;
      return result;
    });
  }
  const analyze = ['analyze', 'text.txt', '--model', 'endless', '--device', 'cpu'];

  it('hears an interrupt while ONNX Runtime runs', async () => {
    const result = await interfere(analyze, child => void child.kill('SIGINT'));
    assert.deepEqual([result.code, result.stderr], [1, 'Cancelled.\n']);
  });

  const ends: [string, (child: ChildProcess) => Promise<void> | void][] = [
    ['it is ended', child => void child.kill('SIGTERM')],
    [
      'it is interrupted twice',
      async child => {
        child.kill('SIGINT');
        await delay(100);
        child.kill('SIGINT');
      },
    ],
  ];
  for (const [how, end] of ends)
    it(`leaves no temporary file and no process when ${how}`, async () => {
      let worker = 0;
      let ended = 0;
      const result = await interfere([...analyze, '--tensors', 'out.safetensors'], async (child, pid) => {
        worker = pid;
        ended = Date.now();
        await end(child);
      });
      assert.ok(Date.now() - ended < 2500, 'it does not wait for the worker to hear');
      assert.deepEqual([result.code, result.stderr], [1, 'Cancelled.\n']);
      assert.deepEqual(
        (await readdir(folder)).filter(name => name.startsWith('out')),
        [],
      );
      assert.throws(() => process.kill(worker, 0), { code: 'ESRCH' });
    });

  for (const signals of [['SIGINT'], ['SIGINT', 'SIGINT'], ['SIGTERM'], ['SIGINT', 'SIGTERM']] as const)
    it(`leaves nothing of a file that it was writing: ${signals.join(', ')}`, async () => {
      const ours = async () => (await readdir(folder)).filter(name => name.startsWith('part'));
      await writeFile(join(folder, 'long.txt'), 'The cat sat on the mat. '.repeat(400));
      const args = ['analyze', 'long.txt', '--device', 'cpu', '--tensors', 'part', '--weights'];
      let seen: string[] = [];
      const result = await runCli(cli, args, {
        cwd: folder,
        onStart: child =>
          void (async () => {
            while (seen.length === 0 && child.exitCode === null) {
              await delay(10);
              seen = await ours();
            }
            for (const signal of signals) {
              child.kill(signal);
              await delay(30);
            }
          })(),
      });
      assert.match(seen.join(), /^part\..*\.tmp$/);
      assert.deepEqual([result.code, result.stderr], [1, 'Cancelled.\n']);
      assert.deepEqual(await ours(), []);
    });

  it('ends the work when it is killed itself', async () => {
    let worker = 0;
    await interfere(analyze, (child, pid) => {
      worker = pid;
      child.kill('SIGKILL');
    });
    await gone(worker);
  });

  it('says which model ended the process', async () => {
    const result = await interfere(analyze, (_, worker) => void process.kill(worker, 'SIGSEGV'));
    assert.deepEqual(
      [result.code, result.stderr],
      [3, 'endless cannot be used: it crashed ONNX Runtime (SIGSEGV).\n'],
    );
  });

  it('reads an omitted input that is spelled as an empty name', async () => {
    const result = await runCli(cli, ['models', 'verify', 'omitted', '--device', 'cpu'], { cwd: folder });
    assert.equal(result.code, 3, result.stderr);
    assert.match(result.stderr, /^No attention was found/);
  });
});

/** LayerNormalization's bias omitted by an empty name ends ONNX Runtime 1.30. */
function withOmittedBias(): ModelWriter {
  const m = plainModel();
  m.weight('scale', [64]);
  const relu = m.nodes.find(({ op_type }) => op_type === 'Relu')!;
  m.op('LayerNormalization', [relu.output![0]!, 'scale', ''], {}, 'normed');
  m.nodes.find(({ op_type }) => op_type === 'MatMul')!.input![0] = 'normed';
  const product = m.nodes.findIndex(({ op_type }) => op_type === 'MatMul');
  m.nodes.push(...m.nodes.splice(product, 1));
  return m;
}

describe('the watch beside a blocked thread', function () {
  this.timeout(60_000);

  it('ends a process that takes more memory than it may, and says so', async () => {
    const { signal, words } = await watched(
      'const all = []; for (;;) all.push(Buffer.alloc(2 ** 22, 1));',
      100,
    );
    assert.equal(signal, 'SIGKILL');
    assert.equal(words, 'it took more than the memory limit of 100 MiB');
  });
});

/** Runs code that keeps its thread, in a process with a watch. */
function watched(code: string, limitMiB: number): Promise<{ signal: string | null; words: string }> {
  const program = `
    const { watch } = require(${JSON.stringify(join(__dirname, '../../engine/runtime/watch.ts'))});
    watch.start();
    watch.allow(${limitMiB});
    void watch.during(async () => { await new Promise(done => setTimeout(done, 300)); ${code} });`;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', '-e', program], {
      cwd: dirname(dirname(__dirname)),
      stdio: ['ignore', 'inherit', 'inherit', 'ignore', 'pipe'],
    });
    let words = '';
    child.stdio[4]!.on('data', (text: Buffer) => (words += text.toString()));
    child.on('error', reject);
    child.on('close', (_, signal) => resolve({ signal, words }));
  });
}
