/**
 * Makes the tables on plans of docs/results.md: the bundled model on texts of three kinds, a plan at 10 % of the pairs
 * against the best uniform choice and against chance, on the text it was fitted to, on what follows, and on both.
 * `npm run plan-results` writes them between the marks of that file; `-- --print` prints them only; `-- --stability` adds how far
 * fits to quarters of each text agree.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Engine } from '../engine/engine';
import type { HeadStability, PlanText } from '../engine/export/planJson';
import { neverCancelled } from '../engine/runtime/cancellation';
import { planTexts, type NamedText } from '../engine/service/plan/texts';
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
  strict: false,
  options: { texts: { type: 'string' }, free: { type: 'boolean' } },
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
  const stability = process.argv.includes('--stability');
  const all: string[][] = [];
  const beforehand: string[][] = [];
  const stable: string[][] = [];
  for (const file of texts().slice(0, Number(chosen['texts'] ?? Infinity))) {
    const options = {
      model: 'bundled',
      device: 'cpu' as const,
      budget: BUDGET,
      mechanisms: [],
      maxTokens: FITTED,
      maxRuns: RUNS,
    };
    const step = (message: string) => console.error(message);
    const free = await planTexts(engine, [file], { ...options, stability }, neverCancelled, step);
    all.push(...free.texts.map(rowOf));
    if (stability)
      stable.push([file.name, agreement(free.stability, 'mechanism'), agreement(free.stability, 'span')]);
    if (chosen['free']) continue;
    const fixed = { ...options, mechanisms: [...BEFOREHAND], stability: false };
    const before = await planTexts(engine, [file], fixed, neverCancelled, step);
    beforehand.push(...before.texts.map(rowOf));
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
