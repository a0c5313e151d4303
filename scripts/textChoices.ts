/**
 * Makes the tables on ways of choosing texts of docs/results.md: plans of the bundled model at 10 % of the pairs, fitted to few
 * texts of this project's own sources and documents that are chosen at random, the shortest first, or actively, each
 * tested on the same held-out texts; and with near-duplicates left out or not where half of the texts are versions of one.
 * `npm run text-choices` writes them; `-- --print` prints them only; `-- --draws 1,2` for other draws;
 * `-- --fits FILE` keeps each fit as a line there and makes none twice, so that a run can be stopped, and several can share the work.
 */
import { shuffler } from 'd3-array';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chooseTexts, TEXT_CHOICES, type TextChoice } from '../engine/corpus/chooseTexts';
import { findTexts, type CorpusFile } from '../engine/corpus/files';
import { NearDuplicates } from '../engine/corpus/nearDuplicates';
import { Engine } from '../engine/engine';
import { studentInterval } from '../engine/measure/student';
import { readText } from '../engine/readText';
import { neverCancelled } from '../engine/runtime/cancellation';
import type { NamedText } from '../engine/service/plan/texts';
import { mean } from '../engine/statistics';
import { seededUniform } from '../shared/random';
import { versionsOf } from './lib/versions';
import { putResults, signed, table } from './lib/results';

const CORPUS = ['docs', 'engine', 'webview', 'extension', 'shared', 'test/fixtures/texts', 'README.md'];
const COUNTS = [1, 2, 4];
const HELD_OUT = 6;
const OPTIONS = {
  model: 'bundled',
  device: 'cpu' as const,
  budget: 0.1,
  mechanisms: ['local', 'longformer', 'strided', 'lsh', 'vertical-slash'],
  maxTokens: 192,
  maxRuns: 10,
  stability: false,
};

/** Texts drawn where half of them are versions of one: as they come, or without those that nearly repeat an earlier one. */
const WITH_VERSIONS = ['versions kept', 'versions left out'] as const;
type Way = TextChoice | (typeof WITH_VERSIONS)[number];

interface Fit {
  how: Way;
  count: number;
  seed: number;
  /** Change of the loss on each held-out text, nats per token. */
  deltas: number[];
  /** CPU seconds of choosing and fitting. */
  seconds: number;
  /** The texts fitted to. */
  fitted: string[];
}

/** What each draw is asked: of one text there is nothing to choose actively, and no second one that repeats it. */
const ASKED: readonly Pick<Fit, 'how' | 'count'>[] = COUNTS.flatMap(count =>
  [...TEXT_CHOICES, ...WITH_VERSIONS]
    .filter(how => count > 1 || how === 'random' || how === 'short-first')
    .map(how => ({ how, count })),
);

const range = (values: readonly number[]): string => {
  const interval = studentInterval(values);
  return interval ? `${signed(interval.low)} to ${signed(interval.high)}` : '-';
};

const read = (file: string): Promise<string> => readText(join(process.cwd(), file), file);

/** One draw: a part of the files, and the texts of it that every plan is tested on, analysed once. */
class Draw {
  private constructor(
    private readonly engine: Engine,
    private readonly seed: number,
    private readonly files: readonly CorpusFile[],
    /** All that can be fitted to, in an order drawn. */
    private readonly pool: readonly NamedText[],
    private readonly tested: readonly string[],
  ) {}

  static async of(engine: Engine, seed: number): Promise<Draw> {
    // Of all files, so that reading them is not most of the work.
    const files = drawn(await findTexts(process.cwd(), CORPUS), seed);
    const options = { ...OPTIONS, choose: 'random', texts: Infinity, heldOut: HELD_OUT, seed } as const;
    const { fitted, heldOut } = await chooseTexts(engine, files, read, options, neverCancelled);
    const tested = heldOut.map((_, at) => `tested ${at}`);
    const draw = new Draw(engine, seed, files, fitted, tested);
    for (const [at, text] of heldOut.entries()) await draw.analyze(text, tested[at]!);
    return draw;
  }

  async fit(how: Way, count: number): Promise<Fit> {
    const { engine } = this;
    const before = process.cpuUsage();
    const texts = await this.choose(how, count);
    const ids = texts.map((_, at) => `fitted ${at}`);
    for (const [at, text] of texts.entries()) await this.analyze(text, ids[at]!);
    const found = await engine.plan(ids, OPTIONS, neverCancelled);
    await this.forget(ids);
    const { user, system } = process.cpuUsage(before);
    const deltas: number[] = [];
    for (const id of this.tested) {
      // The plan alone: its rivals are not what is compared here.
      const { effect } = await engine.testPlan(id, { ...found, uniform: [], random: [] }, neverCancelled);
      deltas.push(effect.delta);
    }
    const fitted = texts.map(({ name }) => name);
    return { how, count, seed: this.seed, deltas, seconds: (user + system) / 1e6, fitted };
  }

  end(): Promise<void> {
    return this.forget(this.tested);
  }

  private async choose(how: Way, count: number): Promise<NamedText[]> {
    if (how === 'versions kept' || how === 'versions left out') {
      const [copied] = this.pool;
      const all = [...this.pool, ...versionsOf(copied!, this.pool.length)];
      const known = new NearDuplicates();
      return shuffler(seededUniform(this.seed))(all)
        .filter(({ name, text }) => how === 'versions kept' || !known.add(name, text))
        .slice(0, count);
    }
    const options = { ...OPTIONS, choose: how, texts: count, heldOut: HELD_OUT, seed: this.seed };
    return (await chooseTexts(this.engine, this.files, read, options, neverCancelled)).fitted;
  }

  private analyze({ text }: NamedText, id: string) {
    return this.engine.analyze({ ...OPTIONS, id, text, mechanisms: [], propagate: false });
  }

  private async forget(ids: readonly string[]): Promise<void> {
    for (const id of ids) await this.engine.request('analysis/dispose', { id });
  }
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
    options: { draws: { type: 'string', default: '1,2,3,4,5,6,7,8,9,10' }, fits: { type: 'string' } },
  });
  const seeds = String(values.draws).split(',').map(Number);
  const kept = values.fits === undefined ? null : String(values.fits);
  const engine = new Engine();
  const own: Fit[] = [];
  /** Those of other runs that share the work as well. */
  const made = () =>
    new Map([...(kept === null ? [] : readFits(kept)), ...own].map(one => [keyOf(one), one]));
  for (const seed of seeds) {
    let draw: Draw | null = null;
    for (const { how, count } of ASKED) {
      if (made().has(keyOf({ how, count, seed }))) continue;
      draw ??= await Draw.of(engine, seed);
      const one = await draw.fit(how, count);
      own.push(one);
      if (kept === null) console.error(JSON.stringify(one));
      else appendFileSync(kept, `${JSON.stringify(one)}\n`);
    }
    await draw?.end();
  }
  await engine.dispose();
  const fits = [...made().values()].filter(({ seed }) => seeds.includes(seed));
  putResults('text-choices', [
    compared(fits, TEXT_CHOICES, 'random'),
    `${seeds.length} draws of an eighth of the files, ${HELD_OUT} held-out texts each; ${OPTIONS.maxTokens} tokens of a text; ${OPTIONS.mechanisms.join(', ')}; ${OPTIONS.maxRuns} runs of the model to find a plan. Nats per token.`,
    'The same draws, where half of the texts to choose from are versions of one of them, with one word in a hundred changed:',
    compared(fits, WITH_VERSIONS, 'versions kept'),
  ]);
}

/** A row for each number of texts and way of choosing them, beside one of the ways. */
function compared(all: readonly Fit[], ways: readonly Way[], beside: Way): string {
  const meanOf = (one: Fit) => mean(one.deltas);
  const rows = COUNTS.flatMap(count =>
    ways.flatMap(how => {
      const these = all.filter(one => one.how === how && one.count === count);
      if (these.length === 0) return [];
      const other = new Map(
        all.filter(one => one.how === beside && one.count === count).map(one => [one.seed, one]),
      );
      const differences = these.map(one => meanOf(one) - meanOf(other.get(one.seed)!));
      const same = these.filter(one => `${one.fitted}` === `${other.get(one.seed)!.fitted}`);
      return [
        [
          String(count),
          how,
          signed(mean(these.map(meanOf))),
          range(these.map(meanOf)),
          how === beside ? '-' : `${signed(mean(differences))} (${range(differences)})`,
          how === beside ? '-' : `${same.length} of ${these.length}`,
          `${mean(these.map(({ seconds }) => seconds)).toFixed(0)} s`,
        ],
      ];
    }),
  );
  const header = ['texts', 'chosen', 'loss change held out', '95 % over draws'];
  return table([...header, `less ${beside} (95 %)`, 'the same texts', 'CPU time'], rows);
}

main().catch(error => {
  console.error(error);
  process.exitCode = 1;
});
