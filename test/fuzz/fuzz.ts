/**
 * Feeds damaged models, tokenizers and configurations to an engine process:
 * `npm run fuzz [-- --cases 10000] [--first SEED] [--fixtures DIR] [--log FILE]`.
 *
 * Every case must end in an analysis or in a refusal of one sentence, within its time and memory. Where the process ends, it
 * must have written why, or the command line must tell it: the case is run there again.
 * The seeds of cases that once failed are in `seeds.json` and always run first. The log has a line for each case.
 */
import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildCli, runCli } from '../fixtures/cli';
import { freshCases, knownCases, prepare, type Case } from './cases';
import type { Outcome } from './victim';
import { buildVictim, LIMIT_MIB, SECONDS, VictimProcess } from './victimProcess';

const PEAK_MIB = 1.25 * LIMIT_MIB;

export interface Failure extends Case {
  what: string;
}

export interface Totals {
  analysed: number;
  refused: number;
  /** Cases that ended the process, which was told. */
  ended: number;
  failures: Failure[];
  peakRssMiB: number;
}

/** How one case went. */
export interface Report extends Case {
  outcome: 'analysed' | 'refused' | 'error' | 'ended';
  /** What the user is told, or the error. */
  message: string;
  wrong: string | null;
  seconds: number;
}

/** Runs the cases over the model folders in `fixtures`. */
export async function fuzz(
  cases: readonly Case[],
  fixtures: string,
  report: (one: Report, done: number, totals: Totals) => void = () => undefined,
): Promise<Totals> {
  const models = readdirSync(fixtures).sort();
  const home = mkdtempSync(join(tmpdir(), 'fuzz-'));
  const totals: Totals = { analysed: 0, refused: 0, ended: 0, failures: [], peakRssMiB: 0 };
  const [program, cli] = [await buildVictim(), await buildCli()];
  let victim = await VictimProcess.start(program);
  try {
    for (const [done, one] of cases.entries()) {
      const task = prepare(home, fixtures, models, one);
      const began = performance.now();
      const outcome = await victim.ask(task);
      totals.peakRssMiB = Math.max(totals.peakRssMiB, victim.peakMiB);
      let wrong: string | null;
      if ('ended' in outcome) {
        totals.ended++;
        wrong = outcome.ended ?? (await toldByCommandLine(cli, task.folder, task.text));
        if (victim.peakMiB > PEAK_MIB) wrong ??= `peak memory ${Math.round(victim.peakMiB)} MiB`;
        victim.end();
        victim = await VictimProcess.start(program);
      } else {
        wrong = wrongWith(outcome, victim.peakMiB);
        if (outcome.kind === 'analysed') totals.analysed++;
        else if (outcome.kind === 'refused') totals.refused++;
      }
      if (wrong !== null) totals.failures.push({ ...one, what: wrong });
      const seconds = (performance.now() - began) / 1000;
      const told =
        'ended' in outcome
          ? { outcome: 'ended' as const, message: '' }
          : { outcome: outcome.kind, message: outcome.message };
      rmSync(task.folder, { recursive: true });
      report({ ...one, ...told, wrong, seconds }, done + 1, totals);
    }
  } finally {
    victim.end();
    rmSync(home, { recursive: true });
  }
  return totals;
}

function wrongWith({ kind, message }: Outcome, peakMiB: number): string | null {
  if (kind === 'error') return message;
  if (kind === 'refused' && !isOneSentence(message)) return `not one sentence: ${message}`;
  return peakMiB > PEAK_MIB ? `peak memory ${Math.round(peakMiB)} MiB` : null;
}

export const isOneSentence = (text: string): boolean =>
  text.length <= 300 && /^\S.*\.$/.test(text) && !/[.!?]\s/.test(text);

/** Runs the case once more as a user would: null when it is told what happened. */
async function toldByCommandLine(cli: string, folder: string, text: string): Promise<string | null> {
  const args = ['analyze', '-', '--model', folder, '--device', 'cpu', '--memory-limit', String(LIMIT_MIB)];
  let timer: NodeJS.Timeout | undefined;
  const { code, stderr } = await runCli(cli, args, {
    cwd: folder,
    input: text,
    onStart: child => (timer = setTimeout(() => child.kill('SIGINT'), SECONDS * 1000)),
  });
  clearTimeout(timer);
  if (code === 0 && stderr === '') return null;
  if ((code === 2 || code === 3) && isOneSentence(stderr.replace(/\n$/, ''))) return null;
  return `the command line ends with ${code}: ${stderr}`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      cases: { type: 'string', default: '10000' },
      first: { type: 'string', default: String(Date.now() % 2 ** 31) },
      fixtures: {
        type: 'string',
        default: join(__dirname, '..', '..', '..', 'shared', 'fixtures', 'models'),
      },
      log: { type: 'string' },
    },
  });
  if (!existsSync(values.fixtures)) throw new Error(`There are no model folders at ${values.fixtures}.`);
  console.log(`seeds from ${values.first} on`);
  const cases = [...knownCases(), ...freshCases(Number(values.cases), Number(values.first))];
  const totals = await fuzz(cases, values.fixtures, (one, done, now) => {
    if (values.log) appendFileSync(values.log, `${JSON.stringify(one)}\n`);
    if (one.wrong !== null) console.log(`${one.damage} ${one.seed}: ${one.wrong}`);
    if (done % 50 === 0 || done === cases.length)
      console.log(
        `${done} cases: ${now.analysed} analysed, ${now.refused} refused, ${now.ended} ended the process, ${now.failures.length} failed`,
      );
  });
  console.log(`peak memory ${Math.round(totals.peakRssMiB)} MiB`);
  process.exitCode = totals.failures.length > 0 ? 1 : 0;
}

if (require.main === module) void main();
