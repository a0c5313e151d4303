import { spawn } from 'node:child_process';
import type { DeviceName } from '../../shared/protocol/engine';
import { oneClause } from '../errors';
import { GraphBuilder } from './graphBuilder';
import { float32, type Tensor } from './tensor';

/** Compiling the first shaders takes seconds; longer than this is a hang. */
const PATIENCE_MS = 60_000;
const TOLERANCE = 1e-4;

const verdicts = new Map<DeviceName, Promise<string | null>>();

/**
 * Runs a small attention core on the device and on the CPU, in a process of its own, because drivers may crash or
 * hang where no exception can be caught. Tells why the device cannot be used, or null. Asked once per process.
 */
export function selfTest(device: DeviceName): Promise<string | null> {
  const verdict = verdicts.get(device) ?? testInChild(device, PATIENCE_MS);
  verdicts.set(device, verdict);
  return verdict;
}

/** What the child answers. */
type Answer = { difference: number } | { error: string };

export function testInChild(device: DeviceName, patience: number): Promise<string | null> {
  return new Promise(resolve => {
    const child = spawn(process.execPath, ['-e', CHILD], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      serialization: 'advanced',
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', NODE_OPTIONS: '' },
    });
    const finish = (reason: string | null) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      resolve(reason);
    };
    const timer = setTimeout(
      () => finish(`its self-test did not end within ${Math.round(patience / 1000)} s`),
      patience,
    );
    child.once('error', error => finish(`its self-test could not start (${error.message})`));
    child.once('exit', (code, signal) => finish(`its self-test crashed (${signal ?? `exit code ${code}`})`));
    child.once('message', (answer: Answer) => {
      if ('error' in answer) finish(oneClause(answer.error));
      else if (answer.difference <= TOLERANCE) finish(null);
      else finish(`its self-test differs from the CPU by ${answer.difference.toExponential(1)}`);
    });
    child.send({ ort: require.resolve('onnxruntime-node'), device, model: testGraph(), feeds: testFeeds() });
  });
}

const ROWS = 32;
const KEYS = 96;
const DIM = 16;

function testGraph(): Uint8Array {
  const g = new GraphBuilder();
  const q = g.input('q', 'float32', [2, ROWS, DIM]);
  const k = g.input('k', 'float32', [KEYS, DIM]);
  const v = g.input('v', 'float32', [KEYS, DIM]);
  const mask = g.input('mask', 'float32', [1, ROWS, KEYS]);
  const scores = g.op('Add', [g.op('MatMul', [q, g.op('Transpose', [k], { perm: [1, 0] })]), mask]);
  const p = g.op('Softmax', [scores], { axis: -1 });
  g.output('output', g.op('MatMul', [p, v]));
  g.output('peak', g.op('ReduceMax', [p, g.int([-1])], { keepdims: 0 }));
  return g.encode();
}

function testFeeds(): Record<string, Tensor> {
  const wave = (length: number, step: number) =>
    Float32Array.from({ length }, (_, t) => Math.sin(1 + t * step));
  const mask = new Float32Array(ROWS * KEYS);
  for (let i = 0; i < ROWS; i++) mask.fill(-1e30, i * KEYS + i + 1, (i + 1) * KEYS);
  return {
    q: float32(wave(2 * ROWS * DIM, 0.7), [2, ROWS, DIM]),
    k: float32(wave(KEYS * DIM, 1.3), [KEYS, DIM]),
    v: float32(wave(KEYS * DIM, 2.1), [KEYS, DIM]),
    mask: float32(mask, [1, ROWS, KEYS]),
  };
}

/** Plain JavaScript, because it runs on its own whether this code is bundled or not. */
const CHILD = `
process.once('message', async ({ ort, device, model, feeds }) => {
  try {
    const { env, InferenceSession, Tensor } = require(ort);
    env.logLevel = 'fatal';
    const run = async providers => {
      const session = await InferenceSession.create(model, { executionProviders: providers, logSeverityLevel: 4 });
      const inputs = {};
      for (const [name, t] of Object.entries(feeds)) inputs[name] = new Tensor(t.type, t.data, t.dims);
      return session.run(inputs);
    };
    const expected = await run(['cpu']);
    const found = await run([device]);
    let difference = 0;
    for (const [name, tensor] of Object.entries(expected)) {
      tensor.data.forEach((value, i) => {
        const off = Math.abs(value - found[name].data[i]);
        difference = off <= difference ? difference : Number.isNaN(off) ? Infinity : off;
      });
    }
    process.send({ difference });
  } catch (error) {
    process.send({ error: String(error.message ?? error) });
  }
});
`;
