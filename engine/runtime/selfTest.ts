import { spawn } from 'node:child_process';
import type { DeviceName } from '../../shared/protocol/engine';
import { oneClause } from '../errors';
import { GraphBuilder } from './graphBuilder';
import { float32, type Tensor } from './tensor';

/** Compiling the first shaders takes seconds; longer than this is a hang. */
const PATIENCE_MS = 60_000;
const TOLERANCE = 1e-4;
const LOG_LIMIT = 1_000_000;

/** What the self-test found of a device. */
export interface Verdict {
  /** Why it cannot be used, in a clause; null when it works. */
  failure: string | null;
  /** Milliseconds for one block of attention, there and on the CPU; null when it does not work. */
  times: { device: number; cpu: number } | null;
  /** The GPUs that ONNX Runtime found on this machine, as it names them; null when it found none (a software adapter). */
  adapter: string | null;
}

const verdicts = new Map<DeviceName, Promise<Verdict>>();

/**
 * Runs a small attention core on the device and on the CPU, and times a larger one on both, in a process of its own, because
 * drivers may crash or hang where no exception can be caught. Asked once per process.
 */
export function selfTest(device: DeviceName): Promise<Verdict> {
  const verdict = verdicts.get(device) ?? testInChild(device, PATIENCE_MS);
  verdicts.set(device, verdict);
  return verdict;
}

/** What the child answers. */
type Answer = { difference: number; times: { device: number; cpu: number } } | { error: string };

export function testInChild(device: DeviceName, patience: number): Promise<Verdict> {
  return new Promise(resolve => {
    const child = spawn(process.execPath, ['-e', CHILD], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', NODE_OPTIONS: '' },
    });
    let log = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (log.length < LOG_LIMIT) log += text;
    });
    const finish = (failure: string | null, times: Verdict['times'] = null) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      resolve({ failure, times, adapter: adapterIn(log) });
    };
    const timer = setTimeout(
      () => finish(`its self-test did not end within ${Math.round(patience / 1000)} s`),
      patience,
    );
    child.once('error', error => finish(`its self-test could not start (${error.message})`));
    child.once('exit', (code, signal) => finish(`its self-test crashed (${signal ?? `exit code ${code}`})`));
    child.once('message', (answer: Answer) => {
      if ('error' in answer) finish(oneClause(answer.error));
      else if (answer.difference <= TOLERANCE) finish(null, answer.times);
      else finish(`its self-test differs from the CPU by ${answer.difference.toExponential(1)}`);
    });
    const small = { model: testGraph(SMALL), feeds: testFeeds(SMALL) };
    const block = { model: testGraph(BLOCK), feeds: testFeeds(BLOCK) };
    child.send({ ort: require.resolve('onnxruntime-node'), device, small, block });
  });
}

/** The GPUs in ONNX Runtime's log of what it discovered (`type:1`); the description where the system gives one. */
export function adapterIn(log: string): string | null {
  const found = [...log.matchAll(/Discovered OrtHardwareDevice \{([^\n]*?)\}/g)]
    .map(([, fields]) => fields ?? '')
    .filter(fields => /\btype:1\b/.test(fields))
    .map(
      fields => /Description=([^,\]]+)/.exec(fields)?.[1] ?? /\bvendor:([^,]+)/.exec(fields)?.[1] ?? 'GPU',
    );
  return found.length === 0 ? null : [...new Set(found)].join(', ');
}

interface Shape {
  heads: number;
  rows: number;
  keys: number;
  dim: number;
}

/** Compared value by value. */
const SMALL: Shape = { heads: 2, rows: 32, keys: 96, dim: 16 };
/** Timed: a block of query rows as an analysis runs it. */
const BLOCK: Shape = { heads: 8, rows: 256, keys: 1024, dim: 64 };

function testGraph({ heads, rows, keys, dim }: Shape): Uint8Array {
  const g = new GraphBuilder();
  const q = g.input('q', 'float32', [heads, rows, dim]);
  const k = g.input('k', 'float32', [keys, dim]);
  const v = g.input('v', 'float32', [keys, dim]);
  const mask = g.input('mask', 'float32', [1, rows, keys]);
  const scores = g.op('Add', [g.op('MatMul', [q, g.op('Transpose', [k], { perm: [1, 0] })]), mask]);
  const p = g.op('Softmax', [scores], { axis: -1 });
  g.output('output', g.op('MatMul', [p, v]));
  g.output('peak', g.op('ReduceMax', [p, g.int([-1])], { keepdims: 0 }));
  return g.encode();
}

function testFeeds({ heads, rows, keys, dim }: Shape): Record<string, Tensor> {
  const wave = (length: number, step: number) =>
    Float32Array.from({ length }, (_, t) => Math.sin(1 + t * step));
  const mask = new Float32Array(rows * keys);
  for (let i = 0; i < rows; i++) mask.fill(-1e30, i * keys + i + 1, (i + 1) * keys);
  return {
    q: float32(wave(heads * rows * dim, 0.7), [heads, rows, dim]),
    k: float32(wave(keys * dim, 1.3), [keys, dim]),
    v: float32(wave(keys * dim, 2.1), [keys, dim]),
    mask: float32(mask, [1, rows, keys]),
  };
}

/** Plain JavaScript, because it runs on its own whether this code is bundled or not. */
const CHILD = `
process.once('message', async ({ ort, device, small, block }) => {
  try {
    const { env, InferenceSession, Tensor } = require(ort);
    // What ONNX Runtime discovers of the machine is told at this level only.
    env.logLevel = 'info';
    const open = async ({ model, feeds }, provider) => {
      const session = await InferenceSession.create(model, { executionProviders: [provider], logSeverityLevel: 4 });
      const inputs = {};
      for (const [name, t] of Object.entries(feeds)) inputs[name] = new Tensor(t.type, t.data, t.dims);
      return () => session.run(inputs);
    };
    const expected = await (await open(small, 'cpu'))();
    const found = await (await open(small, device))();
    let difference = 0;
    for (const [name, tensor] of Object.entries(expected)) {
      tensor.data.forEach((value, i) => {
        const off = Math.abs(value - found[name].data[i]);
        difference = off <= difference ? difference : Number.isNaN(off) ? Infinity : off;
      });
    }
    // The best of three, after one that compiles; a device that is slower by far is not asked three times.
    const time = async (provider, enough) => {
      const run = await open(block, provider);
      await run();
      let best = Infinity;
      for (let i = 0; i < 3 && best > enough; i++) {
        const started = performance.now();
        await run();
        best = Math.min(best, performance.now() - started);
        if (enough > 0 && best > 10 * enough) break;
      }
      return best;
    };
    const cpu = await time('cpu', 0);
    process.send({ difference, times: { cpu, device: device === 'cpu' ? cpu : await time(device, cpu) } });
  } catch (error) {
    process.send({ error: String(error.message ?? error) });
  }
});
`;
