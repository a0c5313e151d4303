import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Timing } from './analysis';
import { inChild } from './children';

/** Of some turns at one length: the least time by the clock, the least of the processors, and the largest peak. */
export interface AgainstPlain {
  tokens: number;
  plain: Timing;
  analysis: Timing;
}

/** Analyses and plain forwards of the model of 12 layers, in turn, each in a process of its own. */
export async function againstPlain(lengths: readonly number[], turns: number): Promise<AgainstPlain[]> {
  const folder = mkdtempSync(join(tmpdir(), 'attention-bench-'));
  const onnx = join(folder, 'gpt2.onnx');
  try {
    await inChild({ run: 'write', onnx });
    const all: AgainstPlain[] = [];
    for (const tokens of lengths) {
      const best: Partial<AgainstPlain> = {};
      for (let turn = 0; turn < turns; turn++) {
        for (const run of ['plain', 'analysis'] as const) {
          const timing = await inChild({ run, onnx, tokens });
          best[run] = best[run] ? together(best[run], timing) : timing;
        }
      }
      all.push({ tokens, plain: best.plain!, analysis: best.analysis! });
    }
    return all;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const together = (a: Timing, b: Timing): Timing => ({
  ...(a.milliseconds < b.milliseconds ? a : b),
  cpuMilliseconds: Math.min(a.cpuMilliseconds, b.cpuMilliseconds),
  peakMiB: Math.max(a.peakMiB, b.peakMiB),
});
