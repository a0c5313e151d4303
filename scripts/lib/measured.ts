/** The table "Measured" of README.md, from the figures that `npm run measured` keeps. */
import { readFileSync } from 'node:fs';
import { table } from './results';

export const MEASURED = 'docs/measured.json';

/** A process with its children. */
export interface Process {
  cpuSeconds: number;
  mib: number;
}

/** As docs/results.md has them: "+0.063 (+0.036 to +0.090)". */
export interface HeldOut {
  kind: string;
  plan: string;
  /** The plan less the best single mechanism. */
  difference: string;
}

export interface Measured {
  /** The 12-layer model of the bench: an analysis against the plain forward. */
  analysis: { tokens: number; cpuRatio: number; mib: number; plainMib: number }[];
  /** `test/bench/keep_all.py` and `analyze` on the same text. */
  notebook: { tokens: number; notebook: Process; analyze: Process };
  /** Mechanisms against the blocked dense core, CPU time; the quickest first. */
  heads: { tokens: number; factors: { name: string; factor: number }[] };
  /** The built engine, in seconds from its start; least and most of some turns. */
  first: { tokens: number; first: [number, number]; done: [number, number] };
  plans: HeldOut[];
  /** Of the bundled model, to the uncut one. */
  proof: { largest: number };
}

export const readMeasured = (): Measured => JSON.parse(readFileSync(MEASURED, 'utf8')) as Measured;

const count = (value: number) => Math.round(value).toLocaleString('en-US');
const both = <T>(all: readonly T[], word: (one: T) => string) => all.map(word).join(' / ');
const range = ([least, most]: readonly [number, number]) =>
  least.toFixed(1) === most.toFixed(1)
    ? `${least.toFixed(1)} s`
    : `${least.toFixed(1)} to ${most.toFixed(1)} s`;
/** Every signed number in it. */
const rounded = (words: string) =>
  words.replace(
    /([+-])(\d+\.\d+)/g,
    (_, sign: string, digits: string) => `${sign}${Number(digits).toFixed(2)}`,
  );
const times = (factor: number) => `${factor < 20 ? factor.toFixed(1) : factor.toFixed(0)}x`;

export function measuredTable({ analysis, notebook, heads, first, plans, proof }: Measured): string {
  const ratio = notebook.notebook.cpuSeconds / notebook.analyze.cpuSeconds;
  return table(
    ['what', 'figure'],
    [
      [
        `analysis of ${both(analysis, a => count(a.tokens))} tokens against the plain forward in ONNX Runtime, 12 layers x 12 heads x 64`,
        `${both(analysis, a => `${a.cpuRatio.toFixed(2)}x`)} the CPU time, ${both(analysis, a => count(a.mib))} MiB against ${both(analysis, a => count(a.plainMib))} MiB`,
      ],
      [
        `analysis with eight mechanisms, ${count(notebook.tokens)} tokens, bundled model, against PyTorch with all attentions kept`,
        `${ratio.toFixed(1)} times less CPU time, ${count(notebook.analyze.mib)} MiB against ${count(notebook.notebook.mib)} MiB`,
      ],
      [
        `one head of ${count(heads.tokens)} tokens against blocked dense attention, CPU time`,
        `${heads.factors.map(({ name, factor }) => `${name} ${times(factor)}`).join(', ')} less`,
      ],
      [
        `bundled model, ${count(first.tokens)} tokens, from the start of the engine`,
        `first thumbnails after ${range(first.first)}, all done after ${range(first.done)}`,
      ],
      [
        `plan at 10 % of the pairs on held-out ${plans.map(({ kind }) => kind).join(', ')}, nats per token (95 %)`,
        `${plans.map(({ plan }) => rounded(plan)).join(', ')}; less the best single mechanism ${plans.map(({ difference }) => rounded(difference)).join(', ')}`,
      ],
      [
        'proof of the bundled model',
        `largest difference to the uncut model ${proof.largest.toExponential(0)}`,
      ],
    ],
  );
}
