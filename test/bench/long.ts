import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { defaultLimitMiB } from '../../engine/runtime/memory';
import { settingOf } from '../../engine/attention/parameters';
import { findMechanism } from '../../engine/attention/registry';
import type { AnalysisSummary, ChosenAttention, SparseAnalysis } from '../../shared/protocol/engine';
import { inductionModel, needleStart, needleText, writePlanted } from '../fixtures/plantedModels';
import { seconds, type Timing } from './analysis';
import { randomWords, writeRandomModel } from './randomModel';

/** A long text. */
export interface LongJob {
  tokens: number;
  /** `needle`: a planted model and a passage that comes again at the end; else layers x 12 heads x 64 with random weights. */
  needle: boolean;
  layers: number;
  /** In place of a dense pass; null = a dense pass with every measure. */
  attention: string | null;
}

export async function timeLong({ tokens, needle, layers, attention }: LongJob): Promise<Timing> {
  const folder = mkdtempSync(join(tmpdir(), 'attention-bench-'));
  const engine = new Engine();
  try {
    await engine.request('initialize', { device: 'cpu', memoryLimitMiB: defaultLimitMiB() });
    const model = join(folder, 'model');
    const words = 8;
    const distance = tokens - words - 2;
    if (needle) writePlanted(model, inductionModel(131_072));
    const file = needle ? model : writeRandomModel(folder, layers, 131_072);
    const text = needle ? needleText(distance, words) : randomWords(tokens);
    const setting = attention === null ? null : settingOf(findMechanism(attention).info, {});
    const began = performance.now();
    const before = process.cpuUsage();
    const summary = await engine.analyze({
      id: 'long',
      model: file,
      text,
      device: 'cpu',
      maxTokens: tokens,
      mechanisms: [],
      propagate: false,
      attention: setting && ({ setting } satisfies ChosenAttention),
    });
    const used = process.cpuUsage(before);
    return {
      milliseconds: performance.now() - began,
      cpuMilliseconds: (used.user + used.system) / 1000,
      peakMiB: process.resourceUsage().maxRSS / 1024,
      note: noteOf(summary, needle ? needleStart(distance) : null, distance),
    };
  } finally {
    await engine.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Of a dense pass. */
const WITHOUT = { missed: null, links: [], pairs: null, densePairs: 0 } satisfies Partial<SparseAnalysis>;

function noteOf(
  { tokens, sparse, timings }: AnalysisSummary,
  first: number | null,
  distance: number,
): string {
  const { missed, links, pairs, densePairs } = sparse ?? WITHOUT;
  const share = (value: number) => `${(100 * value).toFixed(1)} %`;
  const left = missed
    ? `, ${share(pairs! / densePairs)} of the pairs, leaves out ${share(missed.mean)} (${share(missed.low)} to ${share(missed.high)})`
    : '';
  const laps = Object.entries(timings).map(([name, value]) => `${name} ${seconds(value)} s`);
  const right = links.filter(
    ({ core, query, key }) => core === 1 && query >= first! && key === query - distance,
  );
  const found = first === null ? '' : `; ${right.length} of 8 words of the needle found in head 1.0`;
  return `${tokens.ids.length} tokens${left}${found}; ${laps.join(', ')}`;
}
