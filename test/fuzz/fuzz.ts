/**
 * Feeds damaged models, tokenizers and configurations to an engine process:
 * `npm run fuzz [-- --cases 10000] [--first SEED] [--fixtures DIR] [--log FILE]`,
 * or one case again: `npm run fuzz -- --one "exported attack 731000479"`.
 *
 * Every case must end in an analysis or in a refusal of one sentence, within its time and memory. Where the process ends, it
 * must have written why, or the command line must tell it: the case is run there again.
 * With them go files of saved analyses and answers of a hub, a tenth as many each (`savedFiles`, `hubAnswers`).
 * The seeds of cases that once failed are in `seeds.json` and always run first. The log has a line for each case.
 */
import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { LARGE } from '../../engine/model/onnx/hollowFile';
import { COPIES_OF_WEIGHTS } from '../../engine/runtime/watch';
import { buildCli, runCli } from '../fixtures/cli';
import { freshCases, knownCases, knownSeeds, prepare, type Case, type Task } from './cases';
import { fuzzHub } from './hubAnswers';
import { isOneSentence } from './message';
import { fuzzSaved, savedFile } from './savedFiles';
import { writeSmallModels } from './smallModels';
import type { Outcome } from './victim';
import { buildVictim, LIMIT_MIB, SECONDS, VictimProcess, type Ended } from './victimProcess';

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

/** Of so many cases one is run by the command line as well, whatever came of it. */
const BY_COMMAND_LINE = 100;

/** Runs the cases over exported models (`exported`: their folders) and small ones. */
export async function fuzz(
  cases: readonly Case[],
  exported: string,
  report: (one: Report, done: number, totals: Totals) => void = () => undefined,
): Promise<Totals> {
  const home = mkdtempSync(join(tmpdir(), 'fuzz-'));
  const fixtures = { exported, small: join(home, 'small') };
  writeSmallModels(fixtures.small);
  const totals: Totals = { analysed: 0, refused: 0, ended: 0, failures: [], peakRssMiB: 0 };
  const [program, cli] = [await buildVictim(), await buildCli()];
  let victim = await VictimProcess.start(program);
  try {
    for (const [done, one] of cases.entries()) {
      const task = prepare(home, fixtures, one);
      const began = performance.now();
      const outcome = await victim.ask(task);
      totals.peakRssMiB = Math.max(totals.peakRssMiB, victim.peakMiB);
      let wrong = wrongWith(outcome);
      if ('ended' in outcome) totals.ended++;
      else if (outcome.kind === 'analysed') totals.analysed++;
      else if (outcome.kind === 'refused') totals.refused++;
      const isTooLarge = victim.peakMiB > PEAK_MIB + roomForWeights(task.folder);
      if (isTooLarge) wrong ??= `peak memory ${Math.round(victim.peakMiB)} MiB`;
      // What a process has taken at most stays with it: the next case is not blamed for large weights of this one.
      if (victim.peakMiB > PEAK_MIB || 'ended' in outcome) {
        victim.end();
        victim = await VictimProcess.start(program);
      }
      const seconds = (performance.now() - began) / 1000;
      if (isCrash(outcome) || done % BY_COMMAND_LINE === BY_COMMAND_LINE - 1)
        wrong ??= await wrongWithCommandLine(cli, task);
      if (wrong !== null) totals.failures.push({ ...one, what: wrong });
      rmSync(task.folder, { recursive: true });
      const message = 'message' in outcome ? outcome.message : '';
      report(
        { ...one, outcome: 'ended' in outcome ? 'ended' : outcome.kind, message, wrong, seconds },
        done + 1,
        totals,
      );
    }
  } finally {
    victim.end();
    rmSync(home, { recursive: true });
  }
  return totals;
}

/** What the watch over the memory lets weights take beside the limit (runtime/watch.ts), in MiB. */
function roomForWeights(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile());
  const sizes = files.map(({ parentPath, name }) => statSync(join(parentPath, name)).size);
  return (COPIES_OF_WEIGHTS * sizes.filter(size => size < LARGE).reduce((a, b) => a + b, 0)) / 2 ** 20;
}

const isCrash = (outcome: Outcome | Ended): boolean => 'ended' in outcome && outcome.ended === 'crashed';

/** Where the process crashed, the command line must tell. */
function wrongWith(outcome: Outcome | Ended): string | null {
  if ('ended' in outcome && outcome.ended === 'hangs') return `no answer within ${SECONDS} s`;
  if ('kind' in outcome && outcome.kind === 'error') return outcome.message;
  const isTold = 'ended' in outcome ? outcome.ended === 'told' : outcome.kind === 'refused';
  if (isTold && 'message' in outcome && !isOneSentence(outcome.message))
    return `not one sentence: ${outcome.message}`;
  return null;
}

/** Runs the case once more as a user would: null when it ends in an analysis, or tells in a sentence what happened. */
async function wrongWithCommandLine(cli: string, { folder, text }: Task): Promise<string | null> {
  const args = ['analyze', '-', '--model', folder, '--device', 'cpu', '--memory-limit', String(LIMIT_MIB)];
  let timer: NodeJS.Timeout | undefined;
  const { code, stderr } = await runCli(cli, args, {
    cwd: folder,
    input: text,
    // A step of a load may take 50 s, and other processes have the processor too.
    onStart: child => (timer = setTimeout(() => child.kill('SIGKILL'), 5 * SECONDS * 1000)),
  });
  clearTimeout(timer);
  if (code === 0) return null;
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
      one: { type: 'string' },
    },
  });
  if (!existsSync(values.fixtures)) throw new Error(`There are no model folders at ${values.fixtures}.`);
  if (values.one === undefined) console.log(`seeds from ${values.first} on`);
  const cases =
    values.one === undefined
      ? [...knownCases(), ...freshCases(Number(values.cases), Number(values.first))]
      : [namedCase(values.one)];
  const totals = await fuzz(cases, values.fixtures, (one, done, now) => {
    if (values.log) appendFileSync(values.log, `${JSON.stringify(one)}\n`);
    if (one.wrong !== null) console.log(`${one.base} ${one.damage} ${one.seed}: ${one.wrong}`);
    if (done % 50 === 0 || done === cases.length)
      console.log(
        `${done} cases: ${now.analysed} analysed, ${now.refused} refused, ${now.ended} ended the process, ${now.failures.length} failed`,
      );
  });
  console.log(`peak memory ${Math.round(totals.peakRssMiB)} MiB`);
  if (values.one !== undefined) return;
  const others = await fuzzOthers(Math.ceil(Number(values.cases) / 10), Number(values.first));
  for (const failure of others) console.log(failure);
  process.exitCode = totals.failures.length + others.length > 0 ? 1 : 0;
}

function namedCase(name: string): Case {
  const [base, damage, seed] = name.split(' ');
  return { base: base as Case['base'], damage: damage as Case['damage'], seed: Number(seed) };
}

async function fuzzOthers(count: number, first: number): Promise<string[]> {
  const seeds = Array.from({ length: count }, (_, i) => first + i);
  const root = mkdtempSync(join(tmpdir(), 'fuzz-saved-'));
  writeSmallModels(root);
  const saved = await fuzzSaved(await savedFile(join(root, 'causal')), [...knownSeeds.saved, ...seeds]);
  rmSync(root, { recursive: true });
  const hub = await fuzzHub([...knownSeeds.hub, ...seeds]);
  console.log(`${count} saved files: ${saved.length} failed; ${count} hubs: ${hub.length} failed`);
  return [...saved, ...hub];
}

if (require.main === module) void main();
