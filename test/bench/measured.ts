/**
 * npm run measured [-- --only analysis,notebook,heads,first,proof,plans] [--print]
 *
 * Measures what README.md tells under "Measured" and writes its table. What is not named by `--only` keeps its last figures, which
 * docs/measured.json holds. `notebook` needs a Python with torch (variable PYTHON), `first` and `notebook` the built
 * engine; `plans` reads the tables that `npm run plan-results` wrote.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { denseOutput } from '../../engine/attention/kernels/dense';
import { loadModel } from '../../engine/model/load';
import { bundledFolder } from '../../engine/bundledFolder';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { createRuntime } from '../../engine/runtime/ort';
import {
  MEASURED,
  measuredTable,
  type HeldOut,
  type Measured,
  type Process,
} from '../../scripts/lib/measured';
import { putResults } from '../../scripts/lib/results';
import { againstPlain } from './againstPlain';
import { timeFirst } from './first';
import { timeMechanisms } from './mechanisms';

const BUNDLED = join(bundledFolder(), 'prose-2m');
const FAR = 32_768;
const NOTEBOOK = 'local,strided,fixed,longformer,bigbird,adaptive-span,lsh,routing';

const measure: { [Part in keyof Measured]: () => Promise<Measured[Part]> } = {
  async analysis() {
    const found = [...(await againstPlain([1024], 4)), ...(await againstPlain([4096], 1))];
    return found.map(({ tokens, plain, analysis }) => ({
      tokens,
      cpuRatio: analysis.cpuMilliseconds / plain.cpuMilliseconds,
      mib: analysis.peakMiB,
      plainMib: plain.peakMiB,
    }));
  },

  async notebook() {
    const folder = mkdtempSync(join(tmpdir(), 'attention-notebook-'));
    try {
      const text = join(folder, 'text.md');
      const documents = ['README.md', 'docs/architecture.md', 'docs/mechanisms.md'];
      writeFileSync(text, documents.map(file => readFileSync(file, 'utf8')).join('\n'));
      const notebook = processOf('test/bench/keep_all.py', [BUNDLED, text, '2048'], PYTHON);
      const engine = ['analyze', text, '--mechanisms', NOTEBOOK, '--device', 'cpu', '--max-tokens', '2048'];
      return { tokens: 2048, notebook, analyze: processOf('dist/cli.js', engine, process.execPath) };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },

  async heads() {
    const names = ['local', 'fixed', 'lsh', 'strided', 'adaptive-span', 'routing'];
    const rows = await timeMechanisms([FAR], 2, names);
    const factors = rows
      .filter(({ name }) => names.includes(name))
      .map(({ name, times, dense }) => ({ name, factor: dense.cpu[0]! / times.cpu[0]! }));
    return { tokens: FAR, factors: factors.sort((a, b) => b.factor - a.factor) };
  },

  async first() {
    const turns = [];
    for (let turn = 0; turn < 3; turn++) turns.push(await timeFirst(2048));
    const range = (values: number[]): [number, number] => [Math.min(...values), Math.max(...values)];
    return {
      tokens: 2048,
      first: range(turns.map(({ first }) => first.milliseconds / 1000)),
      done: range(turns.map(({ done }) => done.milliseconds / 1000)),
    };
  },

  async plans() {
    const [made] = readFileSync('docs/results.md', 'utf8').split('<!-- npm run plan-results -->').slice(1);
    const rows = made!.split('\n').map(line => line.split('|').map(cell => cell.trim()));
    const heldOut = (kind: string): HeldOut => {
      const row = rows.find(([, text, role]) => text?.startsWith(`${kind}:`) && role === 'held-out')!;
      return { kind, plan: row[5]!, difference: row[7]! };
    };
    return ['prose', 'code', 'markdown'].map(heldOut);
  },

  async proof() {
    const runtime = await createRuntime('cpu');
    const onnx = join(BUNDLED, 'onnx', 'model.onnx');
    const model = await loadModel({ onnx, name: 'bundled', ref: 'bundled' }, runtime, {
      signal: neverCancelled,
      attend: (_, input) => denseOutput(input, { runtime, signal: neverCancelled }),
    });
    const { maxAbsDiff } = model.info.verified;
    await model.dispose();
    await runtime.dispose();
    return { largest: maxAbsDiff };
  },
};

const PYTHON = process.env['PYTHON'] ?? 'python3';

/** CPU time of a process and its children, and the memory of the largest of them, as the system counts them. */
function processOf(file: string, given: readonly string[], program: string): Process {
  const count = `import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)`;
  const { status, stdout, stderr } = spawnSync(PYTHON, ['-c', count, program, file, ...given], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${file} failed: ${stderr}`);
  const [cpuSeconds, mib] = stdout.trim().split(' ').map(Number);
  return { cpuSeconds: cpuSeconds!, mib: mib! };
}

async function main(): Promise<void> {
  const at = process.argv.indexOf('--only');
  const only = at < 0 ? Object.keys(measure) : process.argv[at + 1]!.split(',');
  const measured = JSON.parse(readFileSync(MEASURED, 'utf8')) as Measured;
  for (const part of only) {
    if (!(part in measure)) throw new Error(`${part} is none of ${Object.keys(measure).join(', ')}`);
    console.error(part);
    Object.assign(measured, { [part]: await measure[part as keyof Measured]() });
    writeFileSync(MEASURED, `${JSON.stringify(measured, null, 2)}\n`);
  }
  const missing = Object.keys(measure).filter(part => !(part in measured));
  if (missing.length > 0) return console.error(`Not measured yet: ${missing.join(', ')}.`);
  putResults('measured', [measuredTable(measured)], 'README.md');
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
