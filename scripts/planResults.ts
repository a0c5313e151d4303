/**
 * Makes the tables on plans of docs/results.md: the bundled model on texts of three kinds, a plan at 10 % of the pairs
 * against the best uniform choice and against chance, on the text it was fitted to, on what follows, and on both.
 * `npm run plan-results` writes them between the marks of that file; `-- --print` prints them only; `-- --stability` adds how far
 * fits to quarters of each text agree. With `--keep FILE` every plan is kept as it is found, and a run that was stopped goes on.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Engine } from '../engine/engine';
import type { HeadStability, PlanText } from '../engine/export/planJson';
import { neverCancelled } from '../engine/runtime/cancellation';
import { planTexts, type NamedText } from '../engine/service/plan/texts';
import { hashOfModel, KeptLines, passingFile } from './lib/keptLines';
import { intervalWords, percent, putResults, signed, table } from './lib/results';

const BUDGET = 0.1;
const FITTED = 1024;
const RUNS = 60;
/** Mechanisms whose pairs do not depend on what the text says. */
const BEFOREHAND = [
  ...['local', 'strided', 'fixed', 'longformer', 'bigbird', 'adaptive-span'],
  ...['streaming', 'chunked', 'dilated'],
];
/** `--texts N`: the first of them only; `--free`: without the table of pairs known beforehand. */
const { values: chosen } = parseArgs({
  options: {
    ...{ texts: { type: 'string' }, free: { type: 'boolean' }, print: { type: 'boolean' } },
    ...{ stability: { type: 'boolean' }, keep: { type: 'string', default: passingFile('plans') } },
  },
});
const BOOKS = '../shared/corpus/validation.txt.xz';

const read = (path: string) => readFileSync(path, 'utf8');

function texts(): NamedText[] {
  const list = [
    { name: 'prose: test/fixtures/sample.txt', text: read('test/fixtures/sample.txt') },
    { name: 'code: test/fixtures/texts/code.txt', text: read('test/fixtures/texts/code.txt') },
    { name: 'markdown: test/fixtures/texts/markdown.md', text: read('test/fixtures/texts/markdown.md') },
  ];
  if (existsSync(BOOKS)) {
    const books = execFileSync('xz', ['-dc', BOOKS], { maxBuffer: 2 ** 28 }).toString('utf8');
    list.push({ name: 'prose: a book kept from training', text: books.slice(0, 20_000) });
  } else {
    console.error(`SKIPPED: there is no ${BOOKS}; the row of the book is missing.`);
  }
  return list;
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

type Beside = PlanText['uniform'][number];

const beside = (one: Beside | null | undefined) => {
  if (!one) return ['-', '-'];
  const { mechanism, difference } = one;
  return [`${signed(one.delta)} ${mechanism}`, `${signed(difference.delta)} (${intervalWords(difference)})`];
};

function rowOf({
  name,
  role,
  tokens,
  share,
  delta,
  interval,
  uniform,
  floor,
  random,
  wins,
}: PlanText): string[] {
  const file = name.replace(/ \([^)]*\)$/, '');
  return [
    file,
    role,
    tokens.toLocaleString('en-US'),
    percent(share),
    `${signed(delta)} (${intervalWords(interval)})`,
    ...beside(uniform[0]),
    ...beside(floor),
    `${signed(random.mean)} (${signed(random.least)})`,
    wins,
  ];
}

function agreement(stability: readonly HeadStability[], key: 'mechanism' | 'span'): string {
  return percent(stability.reduce((sum, head) => sum + head[key].agreement, 0) / stability.length);
}

async function main(): Promise<void> {
  const engine = new Engine();
  const header = [
    'text',
    'role',
    'tokens',
    'pairs',
    'plan (95 %)',
    'best uniform',
    'the plan less it (95 %)',
    'floor',
    'the plan less it (95 %)',
    'random: mean (least)',
    'plan wins',
  ];
  const { stability = false } = chosen;
  const model = await hashOfModel(engine, 'bundled');
  const kept = new KeptLines(chosen.keep, { model, BUDGET, FITTED, RUNS, stability });
  const all: string[][] = [];
  const beforehand: string[][] = [];
  const stable: string[][] = [];
  const step = (message: string) => console.error(message);
  /** Rows of both tables, and how far fits agree. */
  const planned = (file: NamedText, mechanisms: readonly string[], stability: boolean) =>
    kept.get(`${file.name} ${sha256(file.text)} ${mechanisms.join()}`, async () => {
      const options = {
        ...{ model: 'bundled', device: 'cpu' as const, budget: BUDGET, maxTokens: FITTED, maxRuns: RUNS },
        ...{ mechanisms: [...mechanisms], stability },
      };
      const found = await planTexts(engine, [file], options, neverCancelled, step);
      const agrees = (['mechanism', 'span'] as const).map(key => agreement(found.stability, key));
      return { rows: found.texts.map(rowOf), agrees };
    });
  for (const file of texts().slice(0, Number(chosen.texts ?? Infinity))) {
    const free = await planned(file, [], stability);
    all.push(...free.rows);
    if (stability) stable.push([file.name, ...free.agrees]);
    if (!chosen.free) beforehand.push(...(await planned(file, BEFOREHAND, false)).rows);
  }
  await engine.dispose();
  putResults('plan-results', [
    table(header, all),
    ...(beforehand.length > 0
      ? [
          `The same, with mechanisms only whose pairs are known before the text is (${BEFOREHAND.join(', ')}):`,
          table(header, beforehand),
        ]
      : []),
    ...(stability
      ? [
          'How often a quarter of the text, fitted alone, agrees with the plan about a head (mean over heads):',
          table(['text', 'same mechanism', 'share of pairs within 2/3 to 3/2'], stable),
        ]
      : []),
  ]);
}

main().catch(error => {
  console.error(error);
  process.exitCode = 1;
});
