import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { seconds, type Timing } from './analysis';
import { againstPlain, type AgainstPlain } from './againstPlain';
import type { CheckCost } from './checks';
import { inChild } from './children';
import { benchCut } from './cut';
import { benchModel, BERT_BASE, GPT2_SMALL, LLAMA_SMALL, type ModelShape } from './models';
import { timeFirst } from './first';
import { JOBS, type JobName } from './jobs';
import type { LongJob } from './long';
import { benchMechanisms } from './mechanisms';

/**
 * npm run bench [-- [--quick] [--only analysis|checks|cut|mechanisms|memory|long|jobs|first] [--tokens 1024,4096] [--jobs plan] [--write]]
 *
 * Figures are ratios of runs that take turns on this machine. Every timed forward or analysis has a process of its own,
 * so that its peak memory is its own.
 */
async function main(): Promise<void> {
  const quick = process.argv.includes('--quick');
  const lengths = option('--tokens')?.split(',').map(Number) ?? null;
  const only = option('--only');
  const names = option('--mechanisms')?.split(',') ?? null;
  const turns = quick ? 1 : 2;
  console.log(
    `${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} threads, Node ${process.version}`,
  );
  const wanted = (part: string) => only === part || !process.argv.includes('--only');
  if (wanted('analysis')) await benchAnalysis(lengths ?? (quick ? [256, 512] : [1024, 4096]), turns);
  if (wanted('checks')) await benchChecks(quick ? 1 : 5);
  if (wanted('cut')) await benchCuts(lengths ?? (quick ? [128] : [512]), quick ? 3 : 9);
  if (wanted('mechanisms'))
    await benchMechanisms(lengths ?? (quick ? [512, 2048] : [2048, 8192, 32768]), turns, names);
  if (wanted('memory') && !quick) await benchMemory();
  if (wanted('long') && !quick) await benchLong(lengths ?? [32_768, 131_072]);
  if (wanted('first')) await benchFirst(turns, lengths?.[0] ?? 512);
  if (wanted('jobs')) await benchJobs(quick, lengths?.[0] ?? null);
}

function option(name: string): string | null {
  const at = process.argv.indexOf(name);
  return at < 0 ? null : (process.argv[at + 1] ?? null);
}

async function benchAnalysis(lengths: readonly number[], turns: number): Promise<void> {
  console.log(
    '\nAnalysis (dense cores, all measures, loss) against the plain uncut forward, 12 layers x 12 heads x 64, vocabulary 8192:',
  );
  const ratio = (of: 'milliseconds' | 'cpuMilliseconds', { plain, analysis }: AgainstPlain) =>
    (analysis[of] / plain[of]).toFixed(2);
  const figures = (timing: Timing) =>
    `${seconds(timing.milliseconds)} s (CPU ${seconds(timing.cpuMilliseconds)} s), ${timing.peakMiB.toFixed(0)} MiB`;
  for (const found of await againstPlain(lengths, turns))
    console.log(
      `${found.tokens} tokens: plain ${figures(found.plain)}; analysis ${figures(found.analysis)}; ` +
        `ratio ${ratio('milliseconds', found)} (CPU ${ratio('cpuMilliseconds', found)}). ${found.analysis.note}`,
    );
}

/** Lengths of the analyses of one process; the first is that of an engine that has only loaded the model. */
const CHECKED = [1000, 900, 1100, 1010];

/** What the comparisons with the uncut model take of analyses of the bundled model, in user CPU time. */
async function benchChecks(processes: number): Promise<void> {
  const runs: CheckCost[][] = [];
  for (let i = 0; i < processes; i++)
    runs.push(await inChild<CheckCost[]>({ run: 'checks', lengths: CHECKED }));
  console.log('\nWhat checking takes of an analysis of the bundled model (user CPU time):');
  const told = (of: string, costs: CheckCost[]) => {
    const median = (of: (cost: CheckCost) => number) => costs.map(of).sort((a, b) => a - b)[processes >> 1]!;
    const share = (of: (cost: CheckCost) => number) =>
      `${median(cost => (100 * of(cost)) / cost.whole).toFixed(1)} %`;
    console.log(
      `${of}: ${median(c => c.whole).toFixed(0)} ms; masks and biases ${share(c => c.rules)}, ` +
        `output ${share(c => c.output)}, both ${share(c => c.rules + c.output)}`,
    );
  };
  CHECKED.forEach((tokens, nth) =>
    told(
      `${nth === 0 ? 'first' : `${nth + 1}.`} analysis, ${tokens} tokens`,
      runs.map(run => run[nth]!),
    ),
  );
  const sum = (run: CheckCost[], of: (cost: CheckCost) => number) =>
    run.reduce((all, cost) => all + of(cost), 0);
  told(
    'all of them',
    runs.map(run => ({
      tokens: 0,
      whole: sum(run, c => c.whole),
      rules: sum(run, c => c.rules),
      output: sum(run, c => c.output),
    })),
  );
}

async function benchCuts(lengths: readonly number[], turns: number): Promise<void> {
  console.log('\nCutting alone (dense cores, no measures) against the uncut model:');
  const folder = mkdtempSync(join(tmpdir(), 'attention-bench-'));
  try {
    for (const shape of [BERT_BASE, GPT2_SMALL, LLAMA_SMALL] satisfies ModelShape[]) {
      const onnx = join(folder, `${shape.family}.onnx`);
      writeFileSync(onnx, benchModel(shape));
      for (const tokens of lengths) console.log(await benchCut(onnx, shape, tokens, turns));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** GPT-2 small with its whole vocabulary: what is resident when it is loaded and proved, against the file's size. */
async function benchMemory(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'attention-bench-'));
  const onnx = join(folder, 'gpt2.onnx');
  try {
    await inChild({ run: 'writeWhole', onnx });
    const { peakMiB, milliseconds, note } = await inChild({ run: 'load', onnx });
    const file = statSync(onnx).size / 2 ** 20;
    console.log(
      `\nLoading a model of ${file.toFixed(0)} MiB: peak ${peakMiB.toFixed(0)} MiB ` +
        `(the file and ${(peakMiB - file).toFixed(0)}), ${seconds(milliseconds)} s; ${note}`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Long texts: a needle at 100,000 tokens and a model of 12 layers without a dense pass, and one layer with it. */
async function benchLong(lengths: readonly number[]): Promise<void> {
  console.log('\nLong texts (`analyze --attention`, or a dense pass with every measure):');
  const whole = { needle: false, layers: 12, attention: 'local' };
  const jobs: LongJob[] = [
    { tokens: 100_000, needle: true, layers: 2, attention: 'block-search' },
    ...lengths.map(tokens => ({ ...whole, tokens })),
    { tokens: lengths[0]!, needle: false, layers: 1, attention: null },
  ];
  for (const long of jobs) {
    const { cpuMilliseconds, peakMiB, note } = await inChild({ run: 'long', long });
    const { needle, layers, attention } = long;
    const what = needle ? 'needle' : `${layers} layers x 12 heads x 64`;
    console.log(
      `${what}, ${attention ?? 'dense'}: CPU ${seconds(cpuMilliseconds)} s, peak ${peakMiB.toFixed(0)} MiB; ${note}`,
    );
  }
}

/** What users see first. */
async function benchFirst(turns: number, tokens: number): Promise<void> {
  console.log('\nThe built engine, from its start (bundled model):');
  for (let turn = 0; turn < turns; turn++) {
    const { first, done } = await timeFirst(tokens);
    const words = ({ milliseconds, cpuMilliseconds }: typeof first) =>
      `${seconds(milliseconds)} s${cpuMilliseconds === null ? '' : ` (CPU ${seconds(cpuMilliseconds)} s)`}`;
    console.log(`${tokens} tokens: first thumbnails after ${words(first)}, all done after ${words(done)}`);
  }
}

/** What users wait for after an analysis, each in a process of its own. */
async function benchJobs(quick: boolean, length: number | null): Promise<void> {
  console.log('\nJobs, after the analysis:');
  const chosen =
    option('--jobs')?.split(',') ?? Object.keys(JOBS).filter(job => !quick || job !== 'largeReport');
  for (const job of chosen as JobName[]) {
    const { tokens: usual, what } = JOBS[job];
    const tokens = length ?? (quick ? 256 : usual);
    const { cpuMilliseconds, milliseconds, peakMiB } = await inChild({
      run: 'job',
      tokens,
      job,
    });
    console.log(
      `${what}, ${tokens} tokens: CPU ${seconds(cpuMilliseconds)} s, ${seconds(milliseconds)} s by the clock, peak ${peakMiB.toFixed(0)} MiB`,
    );
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
