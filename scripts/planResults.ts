/**
 * Makes the tables on plans of docs/results.md: the bundled model on texts of three kinds, a plan at 10 % of the pairs
 * against the best uniform choice and against chance, on the text it was fitted to, on what follows, and on both.
 * `npm run plan-results` writes them between the marks of that file; `-- --print` prints them only; `-- --stability` adds how far
 * fits to quarters of each text agree.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mechanisms } from '../engine/attention/registry';
import { Engine } from '../engine/engine';
import type { HeadStability, PlanText } from '../engine/export/planJson';
import { neverCancelled } from '../engine/runtime/cancellation';
import { planTexts, type NamedText } from '../engine/service/plan/texts';
import { percent, putResults, signed, table } from './lib/results';

const BUDGET = 0.1;
const FITTED = 1024;
const RUNS = 60;
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

function rowOf({ name, role, tokens, share, delta, uniform, random, wins }: PlanText): string[] {
  const [best] = uniform;
  const file = name.replace(/ \([^)]*\)$/, '');
  return [
    file,
    role,
    tokens.toLocaleString('en-US'),
    percent(share),
    signed(delta),
    `${signed(best!.delta)} ${best!.mechanism}`,
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
    'plan',
    'best uniform',
    'random: mean (least)',
    'plan wins',
  ];
  const known = mechanisms
    .filter(({ settings, info }) => settings && info.causalSelection)
    .map(m => m.info.name);
  const stability = process.argv.includes('--stability');
  const all: string[][] = [];
  const beforehand: string[][] = [];
  const stable: string[][] = [];
  for (const file of texts()) {
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
    const fixed = { ...options, mechanisms: known, stability: false };
    const before = await planTexts(engine, [file], fixed, neverCancelled, step);
    beforehand.push(...before.texts.map(rowOf));
  }
  await engine.dispose();
  putResults('plan-results', [
    table(header, all),
    `The same, with mechanisms only whose pairs are known before the text is (${known.join(', ')}):`,
    table(header, beforehand),
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
