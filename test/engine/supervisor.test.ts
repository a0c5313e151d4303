import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { resolveModel } from '../../engine/model/source/source';
import { AttributeType, decodeModel, encodeModel } from '../../engine/runtime/onnxProto';
import { buildCli, runCli } from '../fixtures/cli';
import { endlessModel } from '../fixtures/endlessModel';
import { childrenOf, gone, inNativeCode } from '../fixtures/nativeCode';
import { ModelWriter, plainModel } from '../fixtures/onnxModels';
import { integers, nodeOf } from '../fuzz/graphs';

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
      ['overflowing', withOverflow(onnx)],
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

  it('ends while it waits for a file, when its parent is killed', async () => {
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    let ended = Promise.resolve();
    const run = runCli(cli, ['analyze', 'pipe', '--device', 'cpu'], {
      cwd: folder,
      onStart: child => {
        ended = (async () => {
          let worker: number | undefined;
          while (worker === undefined) [worker] = await waiting(child.pid!);
          child.kill('SIGKILL');
          await gone(worker);
        })();
      },
    });
    await ended;
    await run;
  });

  it('says which model ended the process', async () => {
    const result = await interfere(analyze, (_, worker) => void process.kill(worker, 'SIGSEGV'));
    assert.deepEqual(
      [result.code, result.stderr],
      [3, 'endless cannot be used: it crashed ONNX Runtime (SIGSEGV).\n'],
    );
  });

  it('writes nothing of what ONNX Runtime logs itself', async () => {
    const result = await runCli(cli, ['models', 'verify', 'overflowing', '--device', 'cpu'], { cwd: folder });
    assert.equal(result.code, 3, result.stderr);
    assert.match(result.stderr, /^ONNX Runtime cannot run the model[^\n]*\.\n$/);
  });

  it('reads an omitted input that is spelled as an empty name', async () => {
    const result = await runCli(cli, ['models', 'verify', 'omitted', '--device', 'cpu'], { cwd: folder });
    assert.equal(result.code, 3, result.stderr);
    assert.match(result.stderr, /^No attention was found/);
  });
});

/** Col2Im to a picture of more elements than there are numbers: ONNX Runtime logs that, and throws. */
function withOverflow(bundled: string): Uint8Array {
  const model = decodeModel(readFileSync(bundled));
  const { node, initializer } = model.graph!;
  const last = node.find(({ output }) => output.includes('logits'))!;
  last.output = last.output.map(name => (name === 'logits' ? 'first' : name));
  initializer.push(integers('size', [2 ** 31, 2 ** 31], [2]), integers('block', [2, 2], [2]));
  initializer.push(integers('shape', [1, 4, 4], [3]));
  node.push(
    nodeOf('ConstantOfShape', ['shape'], ['columns'], []),
    nodeOf('Col2Im', ['columns', 'size', 'block'], ['picture'], []),
    nodeOf('ReduceSum', ['picture'], ['sum'], [{ name: 'keepdims', type: AttributeType.int, i: 0 }]),
    nodeOf('Add', ['first', 'sum'], ['logits'], []),
  );
  return encodeModel(model);
}

/** Children of which a thread waits for the other end of a pipe to be opened. */
async function waiting(pid: number): Promise<number[]> {
  const found: number[] = [];
  for (const child of await childrenOf(pid))
    for (const thread of await readdir(`/proc/${child}/task`).catch(() => []))
      if (
        /wait_for_partner|fifo/.test(
          await readFile(`/proc/${child}/task/${thread}/wchan`, 'utf8').catch(() => ''),
        )
      )
        found.push(child);
  return found;
}

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
