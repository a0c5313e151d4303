import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { cpSync, existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as after_ } from 'node:timers/promises';
import { resolveModel } from '../../engine/model/source/source';
import {
  AttributeType,
  decodeModel,
  ElementType,
  encodeModel,
  type ModelProto,
  type NodeProto,
  type Partially,
} from '../../engine/runtime/onnxProto';
import { buildCli, runCli } from '../fixtures/cli';
import { ModelWriter, plainModel } from '../fixtures/onnxModels';

/** The bundled model, with a loop behind it: ONNX Runtime has the thread, and gives it back after 2^52 turns. */
function endlessModel(bundled: string): Uint8Array {
  const model = decodeModel(readFileSync(bundled));
  const graph = model.graph!;
  const last = graph.node.find(node => node.output.includes('logits'))!;
  last.output = last.output.map(name => (name === 'logits' ? 'first' : name));
  const scalar = (name: string, elem_type: number) => ({
    name,
    type: { tensor_type: { elem_type, shape: { dim: [] } } },
  });
  const logits = (name: string) => ({ name, type: { tensor_type: { elem_type: ElementType.float32 } } });
  const loop: Partially<NodeProto> = {
    op_type: 'Loop',
    input: ['turns', 'go', 'first'],
    output: ['logits'],
    attribute: [
      {
        name: 'body',
        type: AttributeType.graph,
        g: {
          name: 'body',
          node: [
            { op_type: 'Identity', input: ['on'], output: ['stay'] },
            { op_type: 'Sin', input: ['state'], output: ['next'] },
          ],
          input: [scalar('i', ElementType.int64), scalar('on', ElementType.bool), logits('state')],
          output: [scalar('stay', ElementType.bool), logits('next')],
        },
      },
    ],
  };
  const turns = new Uint8Array(BigInt64Array.of(2n ** 52n).buffer);
  return encodeModel({
    ...model,
    graph: {
      ...graph,
      node: [...graph.node, loop],
      initializer: [
        ...graph.initializer,
        { name: 'turns', data_type: ElementType.int64, dims: [], raw_data: turns },
        { name: 'go', data_type: ElementType.bool, dims: [], raw_data: Uint8Array.of(1) },
      ],
    },
  } as Partially<ModelProto>);
}

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

  it('leaves no temporary file and no process when it is ended', async () => {
    let worker = 0;
    const result = await interfere([...analyze, '--tensors', 'out.safetensors'], (child, pid) => {
      worker = pid;
      child.kill('SIGTERM');
    });
    assert.equal(result.code, 1);
    assert.deepEqual(
      (await readdir(folder)).filter(name => name.startsWith('out')),
      [],
    );
    assert.throws(() => process.kill(worker, 0), { code: 'ESRCH' });
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

/** The child of a process, once it has been busy for a while. */
async function inNativeCode(pid: number): Promise<number> {
  for (let busy = 0; ;) {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
    const worker = Number(children.trim().split(' ')[0]);
    if (worker) {
      const before = await ticks(worker);
      await after_(400);
      const loaded = (await readFile(`/proc/${worker}/maps`, 'utf8').catch(() => '')).includes(
        'onnxruntime_binding',
      );
      busy = loaded && (await ticks(worker)) > before ? busy + 1 : 0;
      if (busy >= 8) return worker;
    }
    await after_(50);
  }
  assert.fail('it ended before');
}

async function ticks(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return Number(stat.split(') ')[1]?.split(' ')[11] ?? 0);
}

async function gone(pid: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (
      !existsSync(`/proc/${pid}`) ||
      /\) Z/.test(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z'))
    )
      return;
    await after_(100);
  }
  process.kill(pid, 'SIGKILL');
  assert.fail(`process ${pid} lives on`);
}
