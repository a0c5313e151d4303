import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { defaultLimitMiB } from '../../engine/runtime/memory';
import type { Timing } from './analysis';

/** What takes longest of what users ask of an analysis of the bundled model. */
export const JOBS = {
  ablation: { tokens: 1024, what: 'ablation of all heads' },
  plan: { tokens: 2048, what: 'a plan at 10 % of the pairs, 60 runs' },
  report: { tokens: 2048, what: 'an HTML report' },
} as const;

export type JobName = keyof typeof JOBS;

/** CPU time of the job alone, after the analysis; `tokens`: of the text. */
export async function timeJob(name: JobName, tokens: number): Promise<Timing> {
  const engine = new Engine();
  const id = 'bench';
  try {
    await engine.request('initialize', { device: 'cpu', memoryLimitMiB: defaultLimitMiB() });
    const text = readFileSync(join(import.meta.dirname, '..', 'fixtures', 'sample.txt'), 'utf8');
    const summary = await engine.analyze({
      id,
      model: 'bundled',
      text,
      device: 'cpu',
      maxTokens: tokens,
      mechanisms: [],
      propagate: false,
    });
    const nothing = { plan: null, intervention: null };
    const run = {
      ablation: () => engine.request('analysis/ablate', { id }),
      plan: () => engine.request('analysis/plan', { id, budget: 0.1, mechanisms: [], maxRuns: 60 }),
      report: () => engine.request('analysis/report', { id, document: 'bench', text, summary, ...nothing }),
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
  }
}
