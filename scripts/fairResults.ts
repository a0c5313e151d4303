/**
 * What was unfair between mechanisms, and what is told today: the table of docs/results.md on the bundled model, made by
 * `npm run fair-results` (`-- --print` prints it only, `-- --plan` adds what a plan's exported forms cost). The figures before are those of the review that found the faults.
 */
import { readFileSync } from 'node:fs';
import { settingOf } from '../engine/attention/parameters';
import { findMechanism } from '../engine/attention/registry';
import { Engine } from '../engine/engine';
import { shareInterval95 } from '../engine/measure/binomial';
import { FAR_LENGTH } from '../shared/costLengths';
import { carried, count, plain } from '../shared/numbers';
import type { MechanismParams, MechanismResult, Setting } from '../shared/protocol/engine';
import { carriersOf, meanInterval } from '../shared/uncertainty';
import { intervalWords, percent, putResults, signed, table } from './lib/results';

const BUDGET = 0.1;
const TOKENS = 1024;
const ID = 'text';

async function main(): Promise<void> {
  const engine = new Engine();
  await engine.request('analysis/start', {
    ...{ id: ID, text: readFileSync('test/fixtures/sample.txt', 'utf8'), model: 'bundled' },
    ...{ device: 'cpu', maxTokens: TOKENS, mechanisms: [], propagate: false },
  });
  const rows = [
    ...(await budgets(engine)),
    ...(await spans(engine)),
    ...(await verticalSlash(engine)),
    ...(await detail(engine)),
    ...(process.argv.includes('--plan') ? await exports(engine) : []),
    ...(await circuit(engine)),
  ];
  await engine.dispose();
  putResults('fair-results', [table(['what', 'before', 'today'], rows)]);
}

const shareOf = ({ pairs, densePairs }: MechanismResult) => pairs / densePairs;

async function atBudget(engine: Engine, name: string): Promise<MechanismResult> {
  console.error(`${name} at ${percent(BUDGET)}`);
  const [found] = await engine.request('analysis/atBudget', { id: ID, budget: BUDGET, mechanisms: [name] });
  return found!;
}

const run = (engine: Engine, mechanism: Setting) =>
  engine.request('analysis/mechanism', { id: ID, mechanism, scope: 'propagated' });

const setting = (name: string, params: MechanismParams) => settingOf(findMechanism(name).info, params);

function changeWords({ deltaLoss, deltaLossPerToken }: MechanismResult): string {
  return `${signed(deltaLoss!)} (${intervalWords(meanInterval([deltaLossPerToken!]))})`;
}

async function budgets(engine: Engine): Promise<string[][]> {
  const before = { lsh: '4.15 %', sparsefinder: '7.6 %', routing: '8.2 %' };
  const rows: string[][] = [];
  for (const [name, was] of Object.entries(before)) {
    const found = await atBudget(engine, name);
    rows.push([`pairs that ${findMechanism(name).info.title} spends at 10 %`, was, percent(shareOf(found))]);
  }
  return rows;
}

/** One span for every head, the longest within the budget, against a span fitted to each. */
async function spans(engine: Engine): Promise<string[][]> {
  const fitted = await run(engine, (await atBudget(engine, 'adaptive-span')).setting);
  let one: MechanismResult | null = null;
  const { ramp } = fitted.settled;
  for (let span = 1; ; span++) {
    const mechanism = setting('adaptive-span', { ramp: ramp!, span });
    const found = await engine.request('analysis/mechanism', { id: ID, mechanism, scope: 'local' });
    if (shareOf(found) > BUDGET) break;
    one = found;
  }
  const same = await run(engine, one!.setting);
  const natural = await engine.request('analysis/mechanism', {
    ...{ id: ID, mechanism: setting('adaptive-span', {}), scope: 'local' },
  });
  const { curves } = await engine.request('cost/formulas', {
    ...{ id: ID, core: 3, mechanisms: [natural.setting], lengths: [FAR_LENGTH] },
  });
  const [{ pairs, range, count: kind }] = curves as [(typeof curves)[number]];
  const cut = natural.heads.filter(({ censored }) => censored).length;
  const carriers = carriersOf(fitted.deltaLossPerToken!)!;
  return [
    ['adaptive span at 10 %, one span for every head: loss change', '+0.118', changeWords(same)],
    ['the same, a span fitted to each head', '+0.055, not in Compare', changeWords(fitted)],
    ['tokens that carry that change', 'not said', plain(carried(carriers))],
    [
      'adaptive span at 32,768 tokens, core 3: pairs of a head',
      'one number, “exact”',
      `${count(pairs[0]!)} (${count(range!.low[0]!)} to ${count(range!.high[0]!)}; ${kind}); ${cut} of ${natural.heads.length} spans are cut off by the text`,
    ],
  ];
}

async function verticalSlash(engine: Engine): Promise<string[][]> {
  const { setting: chosen, pairs, densePairs } = await atBudget(engine, 'vertical-slash');
  const { vertical, slash, forcedVertical, forcedSlash } = chosen.params;
  return [
    [
      'lines that vertical-slash votes for at 10 %',
      'none: 30 columns and 100 diagonals are forced',
      `${Number(vertical) - Number(forcedVertical)} of ${vertical} columns, ${Number(slash) - Number(forcedSlash)} of ${slash} diagonals (${percent(pairs / densePairs)} of the pairs)`,
    ],
  ];
}

async function detail(engine: Engine): Promise<string[][]> {
  const local = setting('local', { window: 100 });
  const [{ heads, measures }] = (await engine.request('analysis/compare', {
    ...{ id: ID, mechanisms: [local] },
  })) as [MechanismResult];
  const { low, high } = shareInterval95(4, 4);
  const queries = Math.min(...heads.map(one => one.measures?.klQueries ?? 0));
  return [
    [
      'rows that the divergence of a window rests on',
      '128',
      `${queries.toLocaleString('en-US')} of ${measures!.queries.toLocaleString('en-US')}`,
    ],
    [
      'stability of a choice in 4 of 4 votes',
      '100 % (100 % to 100 %)',
      `100 % (${percent(low)} to ${percent(high)})`,
    ],
  ];
}

/** What the plan's exported forms really spend. */
async function exports(engine: Engine): Promise<string[][]> {
  console.error('a plan');
  const plan = await engine.request('analysis/plan', {
    ...{ id: ID, budget: BUDGET, mechanisms: [], maxRuns: 20 },
  });
  const rows: string[][] = [];
  for (const [format, title] of [
    ['duo', 'DuoAttention'],
    ['minference', 'MInference'],
  ] as const) {
    const { form } = await engine.request('analysis/exportPlan', { id: ID, plan, format });
    const { pairs, blocks, kv } = form!.spending;
    const share = ({ own, dense }: { own: number; dense: number }) => percent(own / dense);
    rows.push([
      `what a plan at 10 % costs as written for ${title}`,
      'not said',
      `${share(pairs)} of the pairs, ${share(blocks)} of the blocks, ${share(kv)} of the cache; loss ${signed(form!.effect.delta)}`,
    ]);
  }
  return rows;
}

async function circuit(engine: Engine): Promise<string[][]> {
  console.error('the probe');
  const { circuit: found } = await engine.request('heads/probe', { model: 'bundled', device: 'cpu' });
  const [first] = found!.heads;
  const { delta, low, high } = first!.ablation.zero;
  return [
    [
      'the head of the induction circuit that costs most when it is silent, on repeated random words',
      'about +2.9, layer 2 (no probe)',
      `${signed(delta)} (${signed(low)} to ${signed(high)}), head ${first!.core}.${first!.head}, layer ${first!.layer}, ${first!.part}`,
    ],
  ];
}

main().catch(error => {
  console.error(error);
  process.exitCode = 1;
});
