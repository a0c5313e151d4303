/**
 * Makes the table on ways of choosing texts of docs/results.md: plans of the bundled model at 10 % of the pairs, fitted to few
 * texts of this project's own sources and documents that are chosen at random, the shortest first, or actively, each
 * tested on the same held-out texts. `npm run text-choices` writes it; `-- --print` prints it only; `-- --draws 1,2` for other draws;
 * `-- --fits FILE` keeps each fit as a line there and makes none twice, so that a run can be stopped, and several can share the work.
 */
import { mean } from '../engine/statistics';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chooseTexts, TEXT_CHOICES, type TextChoice } from '../engine/corpus/chooseTexts';
import { findTexts } from '../engine/corpus/files';
import { Engine } from '../engine/engine';
import { studentInterval } from '../engine/measure/student';
import { readText } from '../engine/readText';
import { neverCancelled } from '../engine/runtime/cancellation';
import type { NamedText } from '../engine/service/plan/texts';
import { putResults, signed, table } from './lib/results';

const CORPUS = ['docs', 'engine', 'webview', 'extension', 'shared', 'test/fixtures/texts', 'README.md'];
const COUNTS = [1, 2];
const HELD_OUT = 8;
const OPTIONS = {
  model: 'bundled',
  device: 'cpu' as const,
  budget: 0.1,
  mechanisms: ['local', 'longformer', 'strided', 'lsh', 'vertical-slash'],
  maxTokens: 256,
  maxRuns: 16,
  stability: false,
};

interface Fit {
  how: TextChoice;
  count: number;
  seed: number;
  /** Change of the loss on each held-out text, nats per token. */
  deltas: number[];
  /** CPU seconds of choosing and fitting. */
  seconds: number;
  /** The texts fitted to. */
  fitted: string[];
}

const range = (values: readonly number[]): string => {
  const interval = studentInterval(values);
  return interval ? `${signed(interval.low)} to ${signed(interval.high)}` : '-';
};

async function fit(engine: Engine, how: TextChoice, count: number, seed: number): Promise<Fit> {
  const before = process.cpuUsage();
  const files = await findTexts(process.cwd(), CORPUS);
  const read = (file: string) => readText(join(process.cwd(), file), file);
  // Of all files, so that reading them is not most of the work.
  const options = { ...OPTIONS, choose: how, texts: count, heldOut: HELD_OUT, seed };
  const chosen = await chooseTexts(engine, drawn(files, seed), read, options, neverCancelled);
  const analyze = ({ text }: NamedText, id: string) =>
    engine.analyze({ ...OPTIONS, id, text, mechanisms: [], propagate: false });
  const dispose = (id: string) => engine.request('analysis/dispose', { id });
  const ids = chosen.fitted.map((_, at) => `fitted ${at}`);
  for (const [at, text] of chosen.fitted.entries()) await analyze(text, ids[at]!);
  const found = await engine.plan(ids, OPTIONS, neverCancelled);
  for (const id of ids) await dispose(id);
  const { user, system } = process.cpuUsage(before);
  const deltas: number[] = [];
  for (const text of chosen.heldOut) {
    await analyze(text, 'tested');
    // The plan alone: its rivals are not what is compared here.
    const { effect } = await engine.testPlan('tested', { ...found, uniform: [], random: [] }, neverCancelled);
    deltas.push(effect.delta);
    await dispose('tested');
  }
  const fitted = chosen.fitted.map(({ name }) => name);
  return { how, count, seed, deltas, seconds: (user + system) / 1e6, fitted };
}

const keyOf = ({ how, count, seed }: Pick<Fit, 'how' | 'count' | 'seed'>) => `${how} ${count} ${seed}`;

function readFits(file: string): Fit[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter(line => line !== '').map(line => JSON.parse(line) as Fit);
}

/** Every draw has its own part of the files. */
function drawn<T>(files: readonly T[], seed: number): T[] {
  return files.filter((_, at) => (at * 7 + seed) % PARTS === 0);
}
const PARTS = 8;

async function main(): Promise<void> {
  const { values } = parseArgs({
    strict: false,
    options: { draws: { type: 'string', default: '1,2,3,4,5' }, fits: { type: 'string' } },
  });
  const seeds = String(values.draws).split(',').map(Number);
  const kept = values.fits === undefined ? null : String(values.fits);
  const engine = new Engine();
  const own: Fit[] = [];
  /** Those of other runs that share the work as well. */
  const made = () =>
    new Map([...(kept === null ? [] : readFits(kept)), ...own].map(one => [keyOf(one), one]));
  for (const seed of seeds) {
    for (const count of COUNTS) {
      for (const how of TEXT_CHOICES) {
        // Of one text there is nothing to choose actively.
        if ((how === 'active' && count === 1) || made().has(keyOf({ how, count, seed }))) continue;
        const one = await fit(engine, how, count, seed);
        own.push(one);
        if (kept === null) console.error(JSON.stringify(one));
        else appendFileSync(kept, `${JSON.stringify(one)}\n`);
      }
    }
  }
  await engine.dispose();
  const fits = [...made().values()];
  const meanOf = (one: Fit) => mean(one.deltas);
  const rows = COUNTS.flatMap(count =>
    TEXT_CHOICES.flatMap(how => {
      const these = fits.filter(one => one.how === how && one.count === count && seeds.includes(one.seed));
      if (these.length === 0) return [];
      const random = (seed: number) =>
        fits.find(one => one.how === 'random' && one.count === count && one.seed === seed)!;
      const differences = these.map(one => meanOf(one) - meanOf(random(one.seed)));
      return [
        [
          String(count),
          how,
          signed(mean(these.map(meanOf))),
          range(these.map(meanOf)),
          how === 'random' ? '-' : `${signed(mean(differences))} (${range(differences)})`,
          `${mean(these.map(({ seconds }) => seconds)).toFixed(0)} s`,
        ],
      ];
    }),
  );
  putResults('text-choices', [
    table(
      [
        'texts',
        'chosen',
        'loss change held out',
        '95 % over draws',
        'difference to random (95 %)',
        'CPU time',
      ],
      rows,
    ),
    `${seeds.length} draws of an eighth of the files, ${HELD_OUT} held-out texts each; ${OPTIONS.maxTokens} tokens of a text; ${OPTIONS.mechanisms.join(', ')}; ${OPTIONS.maxRuns} runs of the model to find a plan. Nats per token.`,
  ]);
}

main().catch(error => {
  console.error(error);
  process.exitCode = 1;
});
