/**
 * What the heads of a real model do, as tables of docs/results.md: `heads.ts [--probe FILE] [--words FILE] [--text FILE] [--plan FILE] [--print]`.
 * `--probe`: of `heads --probe --json`; `--words`: of `analyze --json` of probe.txt (make.py: random words, said four times); `--text`: of a text
 * with `--mechanisms streaming,vertical-slash,top-k,local --budget 10%`; `--plan`: of plan.ts. Each makes its own tables.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { AnalysisJson } from '../../engine/export/json';
import type { PlanFile } from '../../engine/export/planJson';
import { shareInterval95 } from '../../engine/measure/binomial';
import { studentInterval } from '../../engine/measure/student';
import { mean } from '../../engine/statistics';
import { intervalWords, percent, putResults, signed, table } from '../../scripts/lib/results';
import { planPicture } from './planPicture';
import type { Change, HeadProbe, ProbedHead } from '../../shared/protocol/engine';

const PICTURE = 'media/results/smollm2-plan.svg';
/** A head is a sink's where so much of its mass, on average over queries, goes to the first token. */
const SINK = 0.5;
/** A mechanism does for a head where it keeps so much of its mass. */
const DOES = 0.9;
const NAMED = 6;
/** It looks at every score, so it is no choice but the floor of the others' errors. */
const FLOOR = 'top-k';

/** Layers that are told together. */
const LAYERS = 10;

const file = { type: 'string' } as const;
const { values } = parseArgs({
  options: { probe: file, words: file, text: file, plan: file, print: { type: 'boolean' } },
});
const read = <T>(of: string) => JSON.parse(readFileSync(of, 'utf8')) as T;

const headsOf = ({ layers }: AnalysisJson) =>
  layers.flatMap(({ layer, heads }) => heads.map(head => ({ ...head, name: `${layer}.${head.head}` })));
const nameOf = ({ layer, head }: { layer: number; head: number }) => `${layer}.${head}`;

function shareOf(heads: number, all: number): string {
  const { low, high } = shareInterval95(heads, all);
  return `${percent(heads / all)} (${percent(low)} to ${percent(high)})`;
}

type Probed = Pick<HeadProbe, 'probe' | 'loss' | 'heads' | 'circuit'>;

const changeWords = ({ delta, low, high }: Change) => `${signed(delta)} (${signed(low)} to ${signed(high)})`;

/** Of each first role: its heads, and what the model loses without one of them (mean over heads, and the costliest). */
function rolesTable({ heads }: Probed): string {
  const roleOf = ({ roles }: ProbedHead) => roles[0]?.role ?? 'none';
  const rows = [...new Set(heads.map(roleOf))].map(role => {
    // The costliest first.
    const found = heads.filter(head => roleOf(head) === role);
    const clearest = [...found].sort((a, b) => (b.roles[0]?.score ?? 0) - (a.roles[0]?.score ?? 0));
    const named = clearest
      .slice(0, NAMED)
      .map(head => `${nameOf(head)} ${head.roles[0]?.score.toFixed(2)}`)
      .join(', ');
    const costs = found.map(({ ablation }) => ablation.zero.delta);
    return [
      role,
      String(found.length),
      shareOf(found.length, heads.length),
      role === 'none' ? '' : named,
      `${signed(mean(costs))} (${intervalWords(studentInterval(costs))})`,
      `${nameOf(found[0]!)}: ${changeWords(found[0]!.ablation.zero)}`,
    ];
  });
  return table(
    [
      'first role on the probe',
      'heads',
      'share (95 %)',
      'clearest (layer.head score)',
      'loss without one (95 % over heads)',
      'costliest (95 % over tokens)',
    ],
    rows.sort((a, b) => Number(b[1]) - Number(a[1])),
  );
}

/** The heads without which the model loses most on the probe. */
function costliestTable({ heads }: Probed): string {
  const rows = heads.slice(0, 2 * NAMED).map(head => {
    const [role] = head.roles;
    return [
      nameOf(head),
      role ? `${role.role} ${role.score.toFixed(2)}` : 'none',
      changeWords(head.ablation.zero),
      changeWords(head.ablation.mean),
    ];
  });
  return table(['head', 'role', 'without it (95 %)', 'with its mean (95 %)'], rows);
}

function sinksTable(of: readonly { name: string; from: AnalysisJson }[]): string {
  const layers = of[0]!.from.layers.length;
  const rows = Array.from({ length: Math.ceil(layers / LAYERS) }, (_, part) => part * LAYERS).map(from => {
    const cells = of.flatMap(({ from: one }) => {
      const heads = headsOf({ ...one, layers: one.layers.slice(from, from + LAYERS) });
      const sinks = heads.filter(head => head.to.first! >= SINK).length;
      return [percent(mean(heads.map(head => head.to.first!))), shareOf(sinks, heads.length)];
    });
    return [`${from} to ${Math.min(layers, from + LAYERS) - 1}`, ...cells];
  });
  const titles = of.flatMap(({ name }) => [
    `${name}: mass on the first token`,
    `heads that give it ${percent(SINK)}`,
  ]);
  return table(['layers', ...titles], rows);
}

/** What the plan gives the heads, and where. */
function planTable({ heads }: PlanFile): string {
  const layers = Math.max(...heads.map(({ layer }) => layer)) + 1;
  const parts = Array.from({ length: Math.ceil(layers / LAYERS) }, (_, part) => part * LAYERS);
  const rows = [...new Set(heads.map(({ mechanism }) => mechanism))].map(name => {
    const found = heads.filter(({ mechanism }) => mechanism === name);
    return [
      name,
      String(found.length),
      shareOf(found.length, heads.length),
      percent(mean(found.map(({ pairs, densePairs }) => pairs / densePairs))),
      percent(mean(found.map(({ recall }) => recall ?? NaN))),
      ...parts.map(from =>
        String(found.filter(({ layer }) => layer >= from && layer < from + LAYERS).length),
      ),
    ];
  });
  const of = parts.map(from => `layers ${from} to ${Math.min(layers, from + LAYERS) - 1}`);
  return table(
    ['mechanism', 'heads', 'share (95 %)', 'pairs', 'mass kept', ...of],
    rows.sort((a, b) => Number(b[1]) - Number(a[1])),
  );
}

/** The plan beside the best simple choices, where it was fitted and on the other text. */
function planCosts(plan: PlanFile): string {
  const spent = percent(plan.pairs / plan.densePairs);
  const fitted = [
    ['the plan', spent, `${signed(plan.delta)} (${intervalWords(plan.interval)})`],
    ...plan.uniform.slice(0, NAMED / 2).map(one => [one.mechanism, percent(one.share), signed(one.delta)]),
    ...(plan.floor
      ? [[`${plan.floor.mechanism} (the floor)`, percent(plan.floor.share), signed(plan.floor.delta)]]
      : []),
    ['drawn at random, the best', spent, signed(plan.random.least)],
  ];
  const [other] = plan.texts;
  const tested = new Map(other?.uniform.map(one => [one.mechanism, one]));
  const rows = fitted.map(([name, ...cells], at) => {
    const one = tested.get(name!);
    const own = other && at === 0 ? `${signed(other.delta)} (${intervalWords(other.interval)})` : '';
    return [name!, ...cells, one ? signed(one.delta) : own, one ? changeWords(one.difference) : ''];
  });
  return table(
    [
      'in every head',
      'pairs',
      'loss change, fitted',
      'loss change, another text',
      'the plan less it there (95 %)',
    ],
    rows,
  );
}

function mechanismsTable(text: AnalysisJson): string {
  const count = headsOf(text).length;
  const choices = text.mechanisms.filter(({ name }) => name !== FLOOR);
  const best = Array.from({ length: count }, (_, at) =>
    choices.reduce((a, b) => (b.heads[at]!.outputError! < a.heads[at]!.outputError! ? b : a)),
  );
  const rows = text.mechanisms.map(mechanism => {
    const does = mechanism.heads.filter(head => head.recall! >= DOES).length;
    return [
      mechanism.setting,
      percent(mechanism.pairs / mechanism.densePairs),
      percent(mechanism.recall!),
      mechanism.outputError!.toFixed(3),
      shareOf(does, count),
      mechanism.name === FLOOR ? 'the floor' : shareOf(best.filter(one => one === mechanism).length, count),
    ];
  });
  return table(
    [
      'mechanism',
      'pairs',
      'mass kept',
      'output error',
      `heads that keep ${percent(DOES)}`,
      'heads for which it errs least',
    ],
    rows,
  );
}

if (values.probe) {
  const probed = read<Probed>(values.probe);
  putResults('real-roles', [rolesTable(probed), costliestTable(probed)]);
}
const [words, text] = [values.words, values.text].map(of => (of ? read<AnalysisJson>(of) : null));
if (words && text)
  putResults('real-heads', [
    sinksTable([
      { name: 'probe', from: words },
      { name: 'text', from: text },
    ]),
    mechanismsTable(text),
  ]);
if (values.plan) {
  const plan = read<PlanFile>(values.plan);
  putResults('real-plan', [planTable(plan), planCosts(plan)]);
  if (!values.print) writeFileSync(PICTURE, planPicture(plan));
}
