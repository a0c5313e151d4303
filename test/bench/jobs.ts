import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { defaultLimitMiB } from '../../engine/runtime/memory';
import type { Timing } from './analysis';
import { randomWords, writeRandomModel } from './randomModel';

/** What takes longest of what users ask of an analysis, of the bundled model or of one of 12 layers with random weights. */
export const JOBS = {
  ablation: { tokens: 1024, model: 'bundled', what: 'ablation of all heads' },
  plan: { tokens: 2048, model: 'bundled', what: 'a plan at 10 % of the pairs, 60 runs' },
  report: { tokens: 2048, model: 'bundled', what: 'an HTML report' },
  largeReport: { tokens: 4096, model: 'random', what: 'an HTML report of 12 layers x 12 heads x 64' },
} as const;

export type JobName = keyof typeof JOBS;

/** CPU time of the job alone, after the analysis; `tokens`: of the text. */
export async function timeJob(name: JobName, tokens: number): Promise<Timing> {
  const engine = new Engine();
  const id = 'bench';
  const folder = mkdtempSync(join(tmpdir(), 'attention-bench-'));
  const random = JOBS[name].model === 'random';
  try {
    await engine.request('initialize', { device: 'cpu', memoryLimitMiB: defaultLimitMiB() });
    const text = random ? randomWords(tokens) : readFileSync('test/fixtures/sample.txt', 'utf8');
    const summary = await engine.analyze({
      id,
      model: random ? writeRandomModel(folder, 12, 4096) : 'bundled',
      text,
      device: 'cpu',
      maxTokens: tokens,
      mechanisms: [],
      propagate: false,
    });
    const nothing = { plan: null, intervention: null };
    const report = () =>
      engine.request('analysis/report', { id, document: 'bench', text, summary, ...nothing });
    const run = {
      ablation: () => engine.request('analysis/ablate', { id }),
      plan: () => engine.request('analysis/plan', { id, budget: 0.1, mechanisms: [], maxRuns: 60 }),
      report,
      largeReport: report,
    }[name];
    const began = performance.now();
    const before = process.cpuUsage();
    await run();
    const used = process.cpuUsage(before);
    return {
      milliseconds: performance.now() - began,
      cpuMilliseconds: (used.user + used.system) / 1000,
      peakMiB: process.resourceUsage().maxRSS / 1024,
    };
  } finally {
    await engine.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
}
