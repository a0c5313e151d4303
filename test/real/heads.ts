/**
 * What the heads of a real model do, as tables of docs/results.md: `heads.ts PROBE.json TEXT.json [--print]`, from `analyze --json` of probe.txt
 * (make.py: random words, said four times) and of a text with `--mechanisms streaming,vertical-slash,top-k,local --budget 10%`.
 */
import { readFileSync } from 'node:fs';
import type { AnalysisJson } from '../../engine/export/json';
import { shareInterval95 } from '../../engine/measure/binomial';
import { mean } from '../../engine/statistics';
import { percent, putResults, table } from '../../scripts/lib/results';

/** A head is a sink's where so much of its mass, on average over queries, goes to the first token. */
const SINK = 0.5;
/** A mechanism does for a head where it keeps so much of its mass. */
const DOES = 0.9;
const NAMED = 6;
/** It looks at every score, so it is no choice but the floor of the others' errors. */
const FLOOR = 'top-k';

const [probeFile, textFile] = process.argv.slice(2).filter(argument => !argument.startsWith('--'));
const read = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as AnalysisJson;
const [probe, text] = [read(probeFile!), read(textFile!)];

const headsOf = ({ layers }: AnalysisJson) =>
  layers.flatMap(({ layer, heads }) => heads.map(head => ({ ...head, name: `${layer}.${head.head}` })));

function shareOf(heads: number, all: number): string {
  const { low, high } = shareInterval95(heads, all);
  return `${percent(heads / all)} (${percent(low)} to ${percent(high)})`;
}

function rolesTable(): string {
  const heads = headsOf(probe);
  const roles = [...new Set(heads.flatMap(head => head.roles[0]?.role ?? []))];
  const rows = roles.map(role => {
    const found = heads
      .filter(head => head.roles[0]?.role === role)
      .sort((a, b) => b.roles[0]!.score - a.roles[0]!.score);
    const clearest = found.slice(0, NAMED).map(head => `${head.name} ${head.roles[0]!.score.toFixed(2)}`);
    return {
      count: found.length,
      cells: [role, String(found.length), shareOf(found.length, heads.length), clearest.join(', ')],
    };
  });
  const none = heads.filter(head => head.roles.length === 0).length;
  rows.push({ count: none, cells: ['none', String(none), shareOf(none, heads.length), ''] });
  const sorted = rows.sort((a, b) => b.count - a.count).map(({ cells }) => cells);
  return table(['first role on the probe', 'heads', 'share (95 %)', 'clearest (layer.head score)'], sorted);
}

function sinksTable(): string {
  const rows = [0, 10, 20].map(from => {
    const cells = [probe, text].flatMap(of => {
      const heads = headsOf({ ...of, layers: of.layers.slice(from, from + 10) });
      const sinks = heads.filter(head => head.to.first! >= SINK).length;
      return [percent(mean(heads.map(head => head.to.first!))), shareOf(sinks, heads.length)];
    });
    return [`${from} to ${from + 9}`, ...cells];
  });
  return table(
    [
      'layers',
      'probe: mass on the first token',
      `heads that give it ${percent(SINK)}`,
      'text: mass',
      'heads',
    ],
    rows,
  );
}

function mechanismsTable(): string {
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

putResults('real-heads', [
  rolesTable(),
  sinksTable(),
  ...(text.mechanisms.length > 0 ? [mechanismsTable()] : []),
]);
