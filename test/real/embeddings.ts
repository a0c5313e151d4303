/**
 * What becomes of the embeddings of encoders without a head under each mechanism, as tables of docs/results.md:
 * `embeddings.ts MODELS [MODEL ...] [--print]`. Settings and the plan are found on one piece of text, and run as they are on others. What was found
 * of a model is kept in its folder; delete `embeddings.json` to measure anew.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { studentInterval } from '../../engine/measure/student';
import { mean } from '../../engine/statistics';
import { percent, putResults, table } from '../../scripts/lib/results';
import type { EmbeddingChange, HeadAssignment, Interval } from '../../shared/protocol/engine';

const MODELS = ['minilm', 'e5'];
const BUDGET = 0.1;
const TOKENS = 128;
/** Characters of a piece: more than enough for so many tokens. */
const PIECE = 1300;
const RUNS = 30;
const FILES = ['sample.txt', 'texts/code.txt', 'texts/markdown.md'].map(name =>
  join(__dirname, '../fixtures', name),
);
const PIECES = 3;

/** Pieces of several texts by turns, the one that settings are found on first. */
function pieces(): string[] {
  const parts = FILES.map(file => {
    const text = readFileSync(file, 'utf8');
    return Array.from({ length: PIECES }, (_, at) => text.slice(at * PIECE, (at + 1) * PIECE));
  });
  return Array.from({ length: PIECES }, (_, at) => parts.map(list => list[at]!)).flat();
}

interface Row {
  name: string;
  share: number;
  /** On each text. */
  changes: (EmbeddingChange & { output: number })[];
}

async function rowsOf(engine: Engine, model: string): Promise<Row[]> {
  const analyze = (id: string, text: string) =>
    engine.request('analysis/start', {
      ...{ id, model, text, device: 'cpu', maxTokens: TOKENS, mechanisms: [], propagate: false },
    } as const);
  const [first, ...others] = pieces();
  const { cores } = await analyze('first', first!);
  const found = await engine.request('analysis/atBudget', { id: 'first', budget: BUDGET, mechanisms: [] });
  const plan = await engine.request('analysis/plan', {
    ...{ id: 'first', budget: BUDGET, mechanisms: [], maxRuns: RUNS },
  });
  const all = cores.flatMap(({ info, heads }) => heads.map(({ head }) => ({ core: info.core, head })));
  const within = found.filter(({ pairs, densePairs }) => pairs <= BUDGET * densePairs);
  const ways: { name: string; share: number; heads: HeadAssignment[] }[] = [
    { name: '**the plan**', share: plan.pairs / plan.densePairs, heads: plan.heads },
    ...within.map(({ setting, pairs, densePairs }) => ({
      name: setting.name,
      share: pairs / densePairs,
      heads: all.map(head => ({ ...head, choice: setting })),
    })),
  ];
  const rows: Row[] = ways.map(({ name, share }) => ({ name, share, changes: [] }));
  for (const [t, text] of others.entries()) {
    await analyze('other', text);
    for (const [at, { heads }] of ways.entries()) {
      const given = heads.map(({ core, head, choice }) => ({ core, head, choice }));
      const { effect } = await engine.request('analysis/assign', { id: 'other', heads: given });
      rows[at]!.changes.push({ ...effect.embedding!, output: effect.delta });
    }
    process.stderr.write(`${model}: ${t + 1} of ${others.length} texts\n`);
  }
  return rows;
}

const range = (of: Interval | null, digits: number) =>
  of ? `${of.low.toFixed(digits)} to ${of.high.toFixed(digits)}` : '-';

function tableOf(rows: readonly Row[]): string {
  const by = (value: (one: Row['changes'][number]) => number) => (row: Row) => row.changes.map(value);
  const [cosines, lengths] = [by(({ cosine }) => cosine), by(({ length }) => length)];
  const sorted = [...rows].sort((a, b) => mean(cosines(b)) - mean(cosines(a)));
  return table(
    ['mechanism', 'pairs', 'cosine of the embedding', '95 % over texts', 'least', 'length', 'output turned'],
    sorted.map(row => [
      row.name,
      percent(row.share),
      mean(cosines(row)).toFixed(4),
      range(studentInterval(cosines(row)), 4),
      Math.min(...cosines(row)).toFixed(4),
      `× ${mean(lengths(row)).toFixed(3)}`,
      mean(by(({ output }) => output)(row)).toFixed(4),
    ]),
  );
}

async function keptRows(model: string): Promise<Row[]> {
  const kept = join(model, 'embeddings.json');
  if (existsSync(kept)) return JSON.parse(readFileSync(kept, 'utf8')) as Row[];
  const engine = new Engine();
  try {
    const rows = await rowsOf(engine, model);
    writeFileSync(kept, JSON.stringify(rows));
    return rows;
  } finally {
    await engine.dispose();
  }
}

async function main(): Promise<void> {
  const [models, ...only] = process.argv.slice(2).filter(argument => !argument.startsWith('--'));
  if (!models) throw new Error('usage: embeddings.ts MODELS [MODEL ...] [--print]');
  const parts: string[] = [];
  for (const model of only.length > 0 ? only : MODELS) {
    const rows = await keptRows(join(models, model, 'float32'));
    parts.push(`\`${model}\`, ${rows[0]!.changes.length} texts:`, tableOf(rows));
  }
  putResults('real-embeddings', parts);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
