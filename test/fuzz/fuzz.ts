/**
 * Feeds damaged models, tokenizers and configurations to an engine process:
 * `npm run fuzz [-- --cases 10000] [--first SEED] [--fixtures DIR]`.
 *
 * Every case must end in an analysis or in a refusal of one sentence, within its time and memory. Where the process ends, it
 * must have written why, or the command line must tell it: the case is run there again.
 * The seeds of cases that once failed are in `seeds.json` and always run first.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { LAST_WORDS } from '../../engine/runtime/supervised';
import { buildCli, buildProgram, runCli } from '../fixtures/cli';
import { damageModel } from './graphs';
import { changeJson } from './json';
import { mutate } from './mutate';
import { oneOf, seeded } from './random';
import type { Outcome } from './victim';

const SECONDS = 60;
const LIMIT_MIB = 1024;
const PEAK_MIB = 1.25 * LIMIT_MIB;

/** Of bytes wherever they are, or of what the file says. */
export type Damage = 'bytes' | 'structure';

export interface Case {
  seed: number;
  damage: Damage;
}

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

/** Runs the cases over the model folders in `fixtures`. */
export async function fuzz(
  cases: readonly Case[],
  fixtures: string,
  report: (done: number, totals: Totals) => void = () => undefined,
): Promise<Totals> {
  const models = readdirSync(fixtures).sort();
  const home = mkdtempSync(join(tmpdir(), 'fuzz-'));
  const totals: Totals = { analysed: 0, refused: 0, ended: 0, failures: [], peakRssMiB: 0 };
  const [program, cli] = [await buildVictim(), await buildCli()];
  let victim = await Victim.start(program);
  try {
    for (const [done, one] of cases.entries()) {
      const folder = prepare(home, fixtures, models, one);
      const outcome = await victim.ask(folder);
      totals.peakRssMiB = Math.max(totals.peakRssMiB, victim.peakMiB);
      let wrong: string | null;
      if ('ended' in outcome) {
        totals.ended++;
        wrong = outcome.ended ?? (await toldByCommandLine(cli, folder));
        if (victim.peakMiB > PEAK_MIB) wrong ??= `peak memory ${Math.round(victim.peakMiB)} MiB`;
        victim.end();
        victim = await Victim.start(program);
      } else {
        wrong = wrongWith(outcome, victim.peakMiB);
        if (outcome.kind === 'analysed') totals.analysed++;
        else if (outcome.kind === 'refused') totals.refused++;
      }
      if (wrong !== null) totals.failures.push({ ...one, what: wrong });
      rmSync(folder, { recursive: true });
      report(done + 1, totals);
    }
  } finally {
    victim.end();
    rmSync(home, { recursive: true });
  }
  return totals;
}

/** A copy of a model folder in which one file is damaged. */
function prepare(home: string, fixtures: string, models: readonly string[], { seed, damage }: Case): string {
  const random = seeded(seed ^ 0x5eed);
  const folder = join(home, String(seed));
  cpSync(join(fixtures, oneOf(random, models)), folder, { recursive: true });
  const onnx = join(
    folder,
    'onnx',
    readdirSync(join(folder, 'onnx')).find(name => name.endsWith('.onnx'))!,
  );
  const draw = random();
  const file = draw < 0.7 ? onnx : join(folder, draw < 0.9 ? 'tokenizer.json' : 'config.json');
  const bytes = readFileSync(file);
  const damaged =
    damage === 'bytes'
      ? mutate(bytes, seed)
      : file === onnx
        ? damageModel(bytes, seed)
        : JSON.stringify(changeJson(JSON.parse(bytes.toString('utf8')), seeded(seed)));
  rmSync(file);
  writeFileSync(file, damaged);
  return folder;
}

function wrongWith({ kind, message }: Outcome, peakMiB: number): string | null {
  if (kind === 'error') return message;
  if (kind === 'refused' && !isOneSentence(message)) return `not one sentence: ${message}`;
  return peakMiB > PEAK_MIB ? `peak memory ${Math.round(peakMiB)} MiB` : null;
}

export const isOneSentence = (text: string): boolean =>
  text.length <= 300 && /^\S.*\.$/.test(text) && !/[.!?]\s/.test(text);

/** Runs the case once more as a user would: null when it is told what happened. */
async function toldByCommandLine(cli: string, folder: string): Promise<string | null> {
  const args = ['models', 'verify', folder, '--device', 'cpu'];
  let timer: NodeJS.Timeout | undefined;
  const { code, stderr } = await runCli(cli, args, {
    cwd: folder,
    onStart: child => (timer = setTimeout(() => child.kill('SIGINT'), SECONDS * 1000)),
  });
  clearTimeout(timer);
  if (code === 0 && stderr === '') return null;
  if ((code === 2 || code === 3) && isOneSentence(stderr.replace(/\n$/, ''))) return null;
  return `the command line ends with ${code}: ${stderr}`;
}

/** An engine process, its memory watched from outside. */
class Victim {
  peakMiB = 0;
  private words = '';

  private constructor(private readonly child: ChildProcess) {
    child.stdio[LAST_WORDS]?.on('data', (text: Buffer) => (this.words += text.toString('utf8')));
  }

  static async start(program: string): Promise<Victim> {
    const child = fork(program, [String(LIMIT_MIB)], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc', 'pipe'],
    });
    const victim = new Victim(child);
    await new Promise((resolve, reject) => {
      child.once('message', resolve);
      child.once('close', () => reject(new Error('the engine process did not start')));
    });
    child.removeAllListeners();
    return victim;
  }

  /** The outcome; or that the process ended, and what is wrong with how it did: null = that remains to be seen. */
  ask(folder: string): Promise<Outcome | { ended: string | null }> {
    return new Promise(resolve => {
      const watch = setInterval(() => this.lookAtMemory(), 100);
      const finish = (outcome: Outcome | { ended: string | null }) => {
        clearTimeout(timer);
        clearInterval(watch);
        this.child.removeAllListeners();
        resolve(outcome);
      };
      const timer = setTimeout(() => finish({ ended: `no answer within ${SECONDS} s` }), SECONDS * 1000);
      this.child.once('message', message => {
        this.lookAtMemory();
        finish(message as Outcome);
      });
      this.child.once('close', () => finish({ ended: null }));
      this.child.send({ folder });
    });
  }

  /** What the process has taken at most; Linux only. */
  private lookAtMemory(): void {
    try {
      const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
      const peak = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024;
      this.peakMiB = Math.max(this.peakMiB, peak);
    } catch {
      // It has ended.
    }
  }

  end(): void {
    this.child.kill('SIGKILL');
  }
}

/** Bundled as the engine is: TypeScript's loader would take memory of its own. */
const buildVictim = () => buildProgram('victim', 'test/fuzz/victim.ts');

/** Cases that failed before they were mended. */
export function knownCases(): Case[] {
  const seeds = JSON.parse(readFileSync(join(__dirname, 'seeds.json'), 'utf8')) as Record<Damage, number[]>;
  return (['bytes', 'structure'] as const).flatMap(damage => seeds[damage].map(seed => ({ seed, damage })));
}

/** So many new ones: three of four are damaged in their structure. */
export function freshCases(count: number, first: number): Case[] {
  return Array.from({ length: count }, (_, i) => ({
    seed: first + i,
    damage: i % 4 === 0 ? 'bytes' : 'structure',
  }));
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
    },
  });
  if (!existsSync(values.fixtures)) throw new Error(`There are no model folders at ${values.fixtures}.`);
  console.log(`seeds from ${values.first} on`);
  const cases = [...knownCases(), ...freshCases(Number(values.cases), Number(values.first))];
  const totals = await fuzz(cases, values.fixtures, (done, now) => {
    const last = now.failures.at(-1);
    if (done % 50 === 0 || done === cases.length)
      console.log(
        `${done} cases: ${now.analysed} analysed, ${now.refused} refused, ${now.ended} ended the process, ${now.failures.length} failed`,
      );
    if (last && last.seed === cases[done - 1]!.seed) console.log(`${last.damage} ${last.seed}: ${last.what}`);
  });
  console.log(`peak memory ${Math.round(totals.peakRssMiB)} MiB`);
  process.exitCode = totals.failures.length > 0 ? 1 : 0;
}

if (require.main === module) void main();
