/**
 * Feeds damaged models and tokenizers to an engine process: `npm run fuzz [-- --cases 2000] [--first SEED] [--fixtures DIR]`.
 *
 * Every case must end in an analysis or in a refusal of one sentence; the process must not die, hang, or outgrow its budget.
 * The seeds of cases that once failed are in `seeds.json` and always run first.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { mutate, seeded } from './mutate';
import type { Outcome } from './victim';

const SECONDS = 60;
const PEAK_MIB = 2048;

export interface Failure {
  seed: number;
  what: string;
}

export interface Totals {
  analysed: number;
  refused: number;
  failures: Failure[];
  peakRssMiB: number;
}

/** Runs the cases of these seeds over the model folders in `fixtures`. */
export async function fuzz(
  seeds: readonly number[],
  fixtures: string,
  report: (done: number, totals: Totals) => void = () => undefined,
): Promise<Totals> {
  const models = readdirSync(fixtures).sort();
  const home = mkdtempSync(join(tmpdir(), 'fuzz-'));
  const totals: Totals = { analysed: 0, refused: 0, failures: [], peakRssMiB: 0 };
  let victim = await start();
  try {
    for (const [done, seed] of seeds.entries()) {
      const folder = prepare(home, fixtures, models, seed);
      const outcome = await ask(victim, folder);
      rmSync(folder, { recursive: true });
      if (typeof outcome === 'string') {
        totals.failures.push({ seed, what: outcome });
        victim.kill('SIGKILL');
        victim = await start();
      } else {
        judge(seed, outcome, totals);
      }
      report(done + 1, totals);
    }
  } finally {
    victim.kill('SIGKILL');
    rmSync(home, { recursive: true });
  }
  return totals;
}

/** A copy of a model folder in which the seed's file is damaged. */
function prepare(home: string, fixtures: string, models: readonly string[], seed: number): string {
  const random = seeded(seed ^ 0x5eed);
  const folder = join(home, String(seed));
  cpSync(join(fixtures, models[Math.floor(random() * models.length)]!), folder, { recursive: true });
  const onnx = join(
    folder,
    'onnx',
    readdirSync(join(folder, 'onnx')).find(name => name.endsWith('.onnx'))!,
  );
  const draw = random();
  const file = draw < 0.7 ? onnx : join(folder, draw < 0.9 ? 'tokenizer.json' : 'config.json');
  const damaged = mutate(readFileSync(file), seed);
  rmSync(file);
  writeFileSync(file, damaged);
  return folder;
}

function judge(seed: number, outcome: Outcome, totals: Totals): void {
  totals.peakRssMiB = Math.max(totals.peakRssMiB, outcome.peakRssMiB);
  if (outcome.kind === 'analysed') totals.analysed++;
  else if (outcome.kind === 'refused') totals.refused++;
  const wrong =
    outcome.kind === 'error'
      ? outcome.message
      : outcome.kind === 'refused' && !/^\S[^\n]{0,600}\.$/.test(outcome.message)
        ? `not one sentence: ${outcome.message}`
        : outcome.peakRssMiB > PEAK_MIB
          ? `peak memory ${Math.round(outcome.peakRssMiB)} MiB`
          : null;
  if (wrong) totals.failures.push({ seed, what: wrong });
}

async function start(): Promise<ChildProcess> {
  const child = fork(join(__dirname, 'victim.ts'), [], { execArgv: ['--import', 'tsx'], stdio: 'inherit' });
  await new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', () => reject(new Error('the engine process did not start')));
  });
  child.removeAllListeners();
  return child;
}

/** The outcome, or in words how the process failed to give one. */
function ask(child: ChildProcess, folder: string): Promise<Outcome | string> {
  return new Promise(resolve => {
    const finish = (outcome: Outcome | string) => {
      clearTimeout(timer);
      child.removeAllListeners();
      resolve(outcome);
    };
    const timer = setTimeout(() => finish(`no answer within ${SECONDS} s`), SECONDS * 1000);
    child.once('message', message => finish(message as Outcome));
    child.once('exit', (code, signal) => finish(`the process died (${signal ?? code})`));
    child.send({ folder });
  });
}

/** Seeds of cases that failed before they were mended. */
export function knownSeeds(): number[] {
  return JSON.parse(readFileSync(join(__dirname, 'seeds.json'), 'utf8')) as number[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      cases: { type: 'string', default: '2000' },
      first: { type: 'string', default: '1' },
      fixtures: {
        type: 'string',
        default: join(__dirname, '..', '..', '..', 'shared', 'fixtures', 'models'),
      },
    },
  });
  if (!existsSync(values.fixtures)) throw new Error(`There are no model folders at ${values.fixtures}.`);
  const fresh = Array.from({ length: Number(values.cases) }, (_, i) => Number(values.first) + i);
  const seeds = [...knownSeeds(), ...fresh];
  const totals = await fuzz(seeds, values.fixtures, (done, now) => {
    const last = now.failures[now.failures.length - 1];
    if (done % 50 === 0 || done === seeds.length)
      console.log(
        `${done} cases: ${now.analysed} analysed, ${now.refused} refused, ${now.failures.length} failed`,
      );
    if (last && last.seed === seeds[done - 1]) console.log(`seed ${last.seed}: ${last.what}`);
  });
  console.log(`peak memory ${Math.round(totals.peakRssMiB)} MiB`);
  process.exitCode = totals.failures.length > 0 ? 1 : 0;
}

if (require.main === module) void main();
