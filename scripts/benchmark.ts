/**
 * Mechanisms and what others choose, at equal budgets, on texts that nothing was fitted to: the tables and figures of docs/results.md.
 * Settings, plan and choices per head are made on two texts kept aside. `npm run benchmark` writes them; `-- --print` prints the tables only;
 * `--budgets 0.1`, `--tokens 512` and `--runs 40` change what is run; `--model REF --name NAME` has a section of its own. With
 * `--keep FILE` every result is kept as it is found, and a run that was stopped, or is asked for another budget, goes on.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Engine } from '../engine/engine';
import { settingOf } from '../engine/attention/parameters';
import { findMechanism } from '../engine/attention/registry';
import { RefusedError } from '../engine/errors';
import { neverCancelled } from '../engine/runtime/cancellation';
import type { Analysis } from '../engine/service/analysis';
import { allPairs, assignedModel, effectOf } from '../engine/service/changedRun';
import { headsOf } from '../engine/service/plan/candidates';
import type { HeadAssignment, Interval, Setting } from '../shared/protocol/engine';
import { differenceOf, meanInterval, verdictOf } from '../shared/uncertainty';
import { intervalFigure } from './lib/intervalFigure';
import { hashOfModel, KeptLines, passingFile } from './lib/keptLines';
import { hasPlace, intervalWords, percent, putResults, signed, table } from './lib/results';

const { values: options } = parseArgs({
  options: {
    budgets: { type: 'string', default: '0.05,0.1,0.2' },
    tokens: { type: 'string', default: '1024' },
    runs: { type: 'string', default: '40' },
    model: { type: 'string', default: 'bundled' },
    name: { type: 'string' },
    keep: { type: 'string', default: passingFile('benchmark') },
    print: { type: 'boolean' },
  },
});
const BUDGETS = options.budgets.split(',').map(Number);
const TOKENS = Number(options.tokens);
const RUNS = Number(options.runs);
const BOOKS = '../shared/corpus/validation.txt.xz';
const SECTION = options.name === undefined ? 'benchmark' : `benchmark -- --name ${options.name}`;
const FIGURE = `media/results/benchmark${options.name === undefined ? '' : `-${options.name}`}.svg`;
const MECHANISMS = [
  ...['streaming', 'local', 'vertical-slash', 'block-topk', 'quest', 'h2o', 'adaptive-span', 'top-k'],
];
/** The patterns between which MInference chooses for each head, by the error of its output. */
const MINFERENCE = ['streaming', 'vertical-slash', 'block-topk'];
/** DuoAttention's: most heads see the first tokens and the last ones, the others everything. */
const DUO = { sinks: 4, window: 16 };
/** The floor looks at all scores: no choice of pairs is better. */
const FLOOR = 'top-k';
/** Characters that hold more tokens than are read. */
const CHARACTERS = 6;
/** The text at hand. */
const TEXT = 'text';

/** One way to spend a budget, as it was chosen on the texts kept aside. */
interface Method {
  name: string;
  setting: Setting | null;
  heads: HeadAssignment[];
}

/** A mechanism in every head, with the error that it makes of each. */
interface InEveryHead {
  setting: Setting;
  heads: { core: number; head: number; outputError: number }[];
}

interface Run {
  share: number;
  change: number[];
}

interface Measured {
  name: string;
  share: number;
  /** Per text. */
  changes: Float32Array[];
}

function texts(): { aside: string[]; tested: string[] } {
  const read = (path: string) => readFileSync(path, 'utf8');
  const cut = (text: string, from = 0) => text.slice(from, from + CHARACTERS * TOKENS);
  const found = (folder: string, ending: string) =>
    readdirSync(folder)
      .filter(file => file.endsWith(ending))
      .sort()
      .map(file => read(join(folder, file)))
      .filter(text => text.length >= CHARACTERS * TOKENS);
  const prose: string[] = [read('test/fixtures/sample.txt')];
  if (existsSync(BOOKS)) {
    const books = execFileSync('xz', ['-dc', BOOKS], { maxBuffer: 2 ** 28 }).toString('utf8');
    for (let at = 1; at < 12; at++) prose.push(books.slice(Math.floor((at * books.length) / 12)));
  } else console.error(`There is no ${BOOKS}: fewer texts.`);
  const documents = found('docs', '.md');
  const sources = [...found('engine/attention/mechanisms', '.ts'), ...found('engine/model/cut', '.ts')];
  const tested = [...prose.slice(1), ...documents.slice(1, 6), ...sources.slice(1, 6)].map(text => cut(text));
  return { aside: [cut(prose[0]!), cut(sources[0]!)], tested };
}

async function main(): Promise<void> {
  if (!options.print && !hasPlace(SECTION)) throw new Error(`docs/results.md has no place for ${SECTION}.`);
  const { aside, tested } = texts();
  console.error(`${tested.length} texts, ${aside.length} kept aside`);
  const sha256 = createHash('sha256')
    .update(JSON.stringify([aside, tested]))
    .digest('hex');
  const engine = new Engine();
  const model = await hashOfModel(engine, options.model);
  const kept = new KeptLines(options.keep, { model, tokens: TOKENS, runs: RUNS, sha256 });
  const bench = new Benchmark(engine, kept, aside);
  const chosen: { budget: number; methods: Method[] }[] = [];
  for (const budget of BUDGETS) chosen.push({ budget, methods: await bench.methodsAt(budget) });
  const measured = new Map<string, Measured>();
  for (const [at, text] of tested.entries()) {
    for (const { budget, methods } of chosen)
      for (const method of methods) {
        const { share, change } = await bench.run(`${at}`, text, budget, method);
        const key = `${budget} ${method.name}`;
        const one = measured.get(key) ?? { name: method.name, share: 0, changes: [] };
        measured.set(key, one);
        one.share += share / tested.length;
        one.changes.push(Float32Array.from(change));
      }
    console.error(`${at + 1} of ${tested.length} texts`);
  }
  await bench.dispose();
  write(chosen, measured, tested.length);
}

/** The engine, and which of the texts it holds: one that is asked nothing is not analysed. */
class Benchmark {
  private readonly asideIds: string[];
  private held: string | null = null;

  constructor(
    private readonly engine: Engine,
    private readonly kept: KeptLines,
    private readonly aside: readonly string[],
  ) {
    this.asideIds = aside.map((_, at) => `aside ${at}`);
  }

  dispose(): Promise<void> {
    return this.engine.dispose();
  }

  private async analyze(id: string, text: string): Promise<void> {
    const { loss } = await this.engine.request('analysis/start', {
      ...{ id, text, model: options.model, device: 'cpu' as const, maxTokens: TOKENS },
      ...{ mechanisms: [], propagate: false },
    });
    if (!loss)
      throw new RefusedError(
        'The benchmark measures what the prediction of tokens loses: this model predicts none.',
      );
  }

  private async hold(what: string, texts: readonly { id: string; text: string }[]): Promise<void> {
    if (this.held === what) return;
    const before = this.held === null ? [] : this.held === 'aside' ? this.asideIds : [TEXT];
    for (const id of before) await this.engine.request('analysis/dispose', { id });
    for (const { id, text } of texts) await this.analyze(id, text);
    this.held = what;
  }

  private holdAside(): Promise<void> {
    return this.hold(
      'aside',
      this.aside.map((text, at) => ({ id: this.asideIds[at]!, text })),
    );
  }

  /** Every mechanism, the plan, and what others would choose, at one budget. */
  async methodsAt(budget: number): Promise<Method[]> {
    const found: InEveryHead[] = [];
    for (const name of MECHANISMS) {
      const one = await this.choice(`${name} at ${budget}`, () => this.inEveryHead(name, budget));
      if (one) found.push(one);
    }
    const plan = await this.choice(`plan at ${budget}`, () => this.plan(budget));
    const duo = await this.choice(`DuoAttention-like at ${budget}`, () => this.duo(budget));
    const minference = found.filter(one => MINFERENCE.includes(one.setting.name));
    return [
      ...found.map(({ setting }) => ({ name: setting.name, setting, heads: [] })),
      { name: 'plan', setting: null, heads: plan },
      { name: 'MInference’s search', setting: null, heads: leastError(minference) },
      { name: 'DuoAttention-like', setting: null, heads: duo },
    ];
  }

  private choice<T>(what: string, choose: () => Promise<T>): Promise<T> {
    return this.kept.get(what, async () => {
      await this.holdAside();
      console.error(what);
      return choose();
    });
  }

  /** Null where the mechanism has no setting that spends so little, or cannot serve the model. */
  private async inEveryHead(name: string, budget: number): Promise<InEveryHead | null> {
    const asked = { id: this.asideIds[0]!, budget, mechanisms: [name] };
    try {
      const [found] = await this.engine.request('analysis/atBudget', asked);
      const heads = found!.heads.map(({ core, head, outputError }) => ({ core, head, outputError }));
      return { setting: found!.setting, heads };
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      console.error(error.message);
      return null;
    }
  }

  private async plan(budget: number): Promise<HeadAssignment[]> {
    const asked = { budget, mechanisms: [], maxRuns: RUNS };
    return (await this.engine.plan(this.asideIds, asked, undefined, false)).assignment;
  }

  /** Heads that lose most by looking at sinks and the nearest tokens alone stay dense, as many as the budget pays for. */
  private async duo(budget: number): Promise<HeadAssignment[]> {
    const choice = settingOf(findMechanism('streaming').info, DUO);
    const { heads, densePairs, pairs } = await this.engine.request('analysis/mechanism', {
      ...{ id: this.asideIds[0]!, mechanism: choice, scope: 'local' as const },
    });
    let spent = pairs;
    const dense = new Set<number>();
    const order = [...heads.keys()].sort((a, b) => heads[b]!.outputError - heads[a]!.outputError);
    for (const at of order) {
      const more = heads[at]!.densePairs - heads[at]!.pairs;
      if (spent + more > budget * densePairs) break;
      spent += more;
      dense.add(at);
    }
    return heads.flatMap(({ core, head }, at) => (dense.has(at) ? [] : [{ core, head, choice }]));
  }

  /** What a text loses with a method, and which share of the dense pairs it spends there. */
  run(id: string, text: string, budget: number, method: Method): Promise<Run> {
    return this.kept.get(`text ${id}: ${method.name} at ${budget}`, async () => {
      await this.hold(id, [{ id: TEXT, text }]);
      const analysis = this.engine.analysis(TEXT);
      const dense = allPairs(analysis);
      let saved = 0;
      const onPairs = (pairs: number, densePairs: number) => void (saved += densePairs - pairs);
      const heads = method.setting ? inEvery(analysis, method.setting) : method.heads;
      const output = await assignedModel(analysis, heads, neverCancelled, undefined, onPairs);
      const { perToken } = await effectOf(analysis, output, neverCancelled);
      return { share: (dense - saved) / dense, change: [...perToken] };
    });
  }
}

const inEvery = (analysis: Analysis, choice: Setting): HeadAssignment[] =>
  headsOf(analysis).map(head => ({ ...head, choice }));

/** For each head the setting that changes its output least. */
function leastError(results: readonly InEveryHead[]): HeadAssignment[] {
  return results[0]!.heads.map(({ core, head }, at) => {
    const best = results.reduce((a, b) => (b.heads[at]!.outputError < a.heads[at]!.outputError ? b : a));
    return { core, head, choice: best.setting };
  });
}
function write(
  chosen: readonly { budget: number; methods: readonly Method[] }[],
  measured: ReadonlyMap<string, Measured>,
  count: number,
): void {
  const parts: string[] = [];
  const figures: Parameters<typeof intervalFigure>[0] = [];
  for (const { budget, methods } of chosen) {
    const rows = methods
      .map(method => ({ method, found: measured.get(`${budget} ${method.name}`)! }))
      .map(({ method, found }) => ({
        method,
        found,
        delta: meanOf(found.changes),
        interval: meanInterval(found.changes),
      }))
      .sort((a, b) => a.delta - b.delta);
    const plan = measured.get(`${budget} plan`)!;
    parts.push(
      `At ${percent(budget)} of the pairs:`,
      table(
        [
          ...['method', 'setting', 'pairs spent', 'loss change (nats per token)', '95 %'],
          ...['the plan less it (95 %)', 'the plan loses less'],
        ],
        rows.map(({ method, found, delta, interval }) => [
          method.name === FLOOR ? `${method.name} (floor)` : method.name,
          method.setting ? settingWords(method.setting) : 'a choice for each head',
          percent(found.share),
          signed(delta),
          intervalWords(interval),
          ...(method.name === 'plan' ? ['', ''] : against(plan, found)),
        ]),
      ),
      placeOf(
        rows.map(({ found, delta, interval }) => ({ found, delta, interval })),
        plan,
      ),
    );
    figures.push({
      title: `${percent(budget)} of the pairs`,
      rows: rows.map(({ method, delta, interval }) => ({
        label: method.name,
        value: delta,
        interval,
        hue: method.setting ? findMechanism(method.name).info.hue : null,
      })),
    });
  }
  const [any] = measured.values();
  const tokens = any!.changes.reduce((sum, { length }) => sum + length, 0);
  const what = `${count} texts (${tokens.toLocaleString('en-US')} predicted tokens; books kept from training, this project's documents and sources), up to ${TOKENS} tokens of each; intervals over texts and blocks of tokens.`;
  putResults(SECTION, [what, `![Loss change of each method with its interval](../${FIGURE})`, ...parts]);
  if (options.print) return;
  mkdirSync('media/results', { recursive: true });
  writeFileSync(FIGURE, intervalFigure(figures, 'loss change (nats per token, propagated)'));
}

function against(plan: Measured, other: Measured): [string, string] {
  const difference = differenceOf(flat(plan), flat(other));
  return [`${signed(difference.delta)} (${intervalWords(difference)})`, verdictOf(difference)];
}

/** Where the plan stands, in one sentence. */
function placeOf(
  rows: readonly { found: Measured; delta: number; interval: Interval | null }[],
  plan: Measured,
): string {
  const words = ({ delta, interval }: (typeof rows)[number]) =>
    `${signed(delta)} (${intervalWords(interval)})`;
  const find = (name: string) => rows.find(({ found }) => found.name === name);
  const [own, floor] = [find('plan')!, find(FLOOR)];
  const other = rows.find(({ found }) => found.name !== 'plan' && found.name !== FLOOR)!;
  const [below, verdict] = against(plan, other.found);
  const beside = `The plan loses ${words(own)}, the best other, ${other.found.name}, ${words(other)}: the plan less it is ${below}, and whether it loses less: ${verdict}.`;
  if (!floor) return beside;
  const [above] = against(plan, floor.found);
  return `${beside} The floor loses ${words(floor)}: the plan less it is ${above}.`;
}

function settingWords({ params }: Setting): string {
  return Object.entries(params)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

const flat = ({ changes }: Measured) => ({
  perToken: Float32Array.from(changes.flatMap(one => [...one])),
  lengths: changes.map(({ length }) => length),
});

function meanOf(changes: readonly Float32Array[]): number {
  const { perToken } = flat({ changes } as Measured);
  return perToken.reduce((sum, value) => sum + value, 0) / perToken.length;
}

main().catch(error => {
  console.error(error);
  process.exitCode = 1;
});
