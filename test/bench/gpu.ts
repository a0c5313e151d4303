import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { denseCore, denseOutput } from '../../engine/attention/kernels/dense';
import type { AnalysisJson } from '../../engine/export/json';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import { float32 } from '../../engine/runtime/tensor';
import type { DeviceChoice } from '../../shared/protocol/engine';
import { coreZoo } from '../oracle/dense';
import { randomInput } from '../oracle/inputs';

/**
 * npm run gpu-check [-- --device webgpu] [--tokens 2048,8192] [--analyzed 1024]
 *
 * All that a machine with a GPU can tell, in one run of some minutes: whether the dense core, the measures, every mechanism and
 * a whole analysis give what the CPU gives, and how long a core takes beside its two matrix products and its copies alone.
 * Ends with 1 where anything differs.
 */
const ROOT = join(__dirname, '..', '..');
const CORES = 2e-4;
const ANALYSIS = 5e-3;
const HEADS = 12;
const DIM = 64;

async function main(): Promise<void> {
  const option = (name: string, fallback: string) => {
    const at = process.argv.indexOf(name);
    return at < 0 ? fallback : process.argv[at + 1]!;
  };
  const device = option('--device', 'webgpu') as DeviceChoice;
  const lengths = option('--tokens', '2048,8192').split(',').map(Number);
  const { report } = await createRuntime(device);
  console.log(`${report.device}${report.adapter ? `, ${report.adapter}` : ''}`);
  let failed = false;
  const check = (what: string, largest: number, limit: number) => {
    const holds = largest <= limit;
    failed ||= !holds;
    console.log(
      `${holds ? 'same' : 'DIFFERS'}  ${what}: largest difference to the CPU ${largest.toExponential(1)}`,
    );
  };
  const cores = child('onDevice.ts', device, ...Object.keys(coreZoo())) as { cores: Record<string, number> };
  for (const [name, largest] of Object.entries(cores.cores))
    check(`core and measures, ${name}`, largest, CORES);
  const mechanisms = child('mechanismsOnDevice.ts', device) as { differences: Record<string, number> };
  for (const [name, largest] of Object.entries(mechanisms.differences)) check(name, largest, CORES);
  check('analysis of the bundled model', analyses(device, option('--analyzed', '1024')), ANALYSIS);
  for (const tokens of lengths) console.log(await times(device, tokens));
  process.exit(failed ? 1 : 0);
}

/** A program of the tests in a process of its own. */
function child(program: string, ...args: string[]): unknown {
  const file = join(ROOT, 'test', 'engine', program);
  return JSON.parse(
    execFileSync(process.execPath, ['--import=tsx', file, ...args], { cwd: ROOT, encoding: 'utf8' }),
  );
}

/** Largest difference of the losses and of the heads' entropies. */
function analyses(device: string, tokens: string): number {
  const folder = mkdtempSync(join(tmpdir(), 'attention-gpu-'));
  const analyze = (on: string): AnalysisJson => {
    const json = join(folder, `${on}.json`);
    const command = [
      'analyze',
      join(ROOT, 'test/fixtures/sample.txt'),
      '--max-tokens',
      tokens,
      '--device',
      on,
      '--json',
      json,
    ];
    execFileSync(process.execPath, ['--import=tsx', join(ROOT, 'engine', 'cli.ts'), ...command], {
      cwd: ROOT,
    });
    return JSON.parse(readFileSync(json, 'utf8')) as AnalysisJson;
  };
  try {
    const [cpu, gpu] = [analyze('cpu'), analyze(device)];
    const entropies = ({ layers }: AnalysisJson) =>
      layers.flatMap(({ heads }) => heads.map(({ entropy }) => entropy));
    const others = entropies(gpu);
    const differences = entropies(cpu).map((value, h) => Math.abs(value - others[h]!));
    return Math.max(Math.abs(cpu.loss!.mean - gpu.loss!.mean), ...differences);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One core of 12 heads x 64 against its two products in blocks of the same size, and against moving what it reads and gives. */
async function times(device: DeviceChoice, tokens: number): Promise<string> {
  const runtime = await createRuntime(device);
  const context = { runtime, signal: neverCancelled };
  const input = randomInput({ heads: HEADS, queries: tokens, keys: tokens, dim: DIM, valueDim: DIM });
  const rows = Math.min(1024, tokens);
  const floor = await runtime.graph('floor', g => {
    const keys = g.op('Transpose', [g.input('k', 'float32', ['h', 'n', DIM])], { perm: [0, 2, 1] });
    const scores = g.op('MatMul', [g.input('q', 'float32', ['h', 'r', DIM]), keys]);
    g.output('o', g.op('MatMul', [scores, g.input('v', 'float32', ['h', 'n', DIM])]));
  });
  const copy = await runtime.graph('copy', g => g.output('y', g.op('Neg', [g.input('x', 'float32', ['n'])])));
  const size = rows * DIM;
  const products = async () => {
    for (let head = 0; head < HEADS; head++) {
      const part = (data: Float32Array) =>
        float32(data.subarray(head * tokens * DIM, (head + 1) * tokens * DIM), [1, tokens, DIM]);
      for (let from = 0; from < tokens; from += rows) {
        const at = (head * tokens + from) * DIM;
        const q = float32(input.q.subarray(at, at + size), [1, rows, DIM]);
        await floor.run({ q, k: part(input.k), v: part(input.v) });
      }
    }
  };
  const figures = {
    'core with log-sum-exps': () => denseCore(input, context),
    'core alone': () => denseOutput(input, context),
    'products alone': products,
    'copies of Q, K and V': () => copy.run({ x: float32(input.q, [input.q.length]) }),
  };
  const told: string[] = [];
  for (const [name, run] of Object.entries(figures)) {
    let best = Infinity;
    for (let turn = 0; turn < 3; turn++) {
      const began = performance.now();
      await run();
      best = Math.min(best, performance.now() - began);
    }
    told.push(`${name} ${(name.startsWith('copies') ? 3 * best : best).toFixed(1)} ms`);
  }
  await runtime.dispose();
  return `${tokens} tokens, ${HEADS} heads x ${DIM}: ${told.join(', ')}`;
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
