/** `heads --probe`: roles of all heads on repeated random words, and what the model loses without each. */
import { print, ProgressLine, startEngine } from './commands';
import { describeRole, formatTable, signed } from './tables';
import { checkOutputPaths, writeWhole } from '../export/outputFile';
import { probeCsv, probeJson } from '../../shared/probe/files';
import type {
  Change,
  DeviceChoice,
  HeadProbe,
  InductionCircuit,
  ProbedHead,
} from '../../shared/protocol/engine';

export interface HeadsOptions {
  model: string;
  device: DeviceChoice;
  seed: number;
  resample: boolean;
  json?: string;
  csv?: string;
}

export async function headsCommand(options: HeadsOptions, signal: AbortSignal): Promise<void> {
  const { model, device, seed, resample, json, csv } = options;
  await checkOutputPaths([json, csv], []);
  const progress = new ProgressLine();
  const engine = await startEngine(device, progress);
  try {
    const found = await engine.request('heads/probe', { model, device, seed, resample }, signal);
    if (json !== undefined) await writeWhole(json, `${JSON.stringify(probeJson(found), null, 2)}\n`);
    if (csv !== undefined) await writeWhole(csv, probeCsv(found));
    progress.clear();
    print(formatProbe(found));
  } finally {
    progress.clear();
    await engine.dispose();
  }
}

const changeWords = ({ delta, low, high }: Change) => `${signed(delta)} (${signed(low)} to ${signed(high)})`;

/** "induction circuit: without its previous-token head 2.5 of layer 2 it loses most, ...". */
function circuitLines({ heads, lead }: InductionCircuit): string[] {
  const name = ({ core, head }: ProbedHead) => `${core}.${head}`;
  const list = (part: 'previous' | 'induction') =>
    heads
      .filter(one => one.part === part)
      .map(one => `${name(one)} (layer ${one.layer})`)
      .join(', ');
  const [most] = heads as [InductionCircuit['heads'][number]];
  const kind = most.part === 'previous' ? 'previous-token' : 'induction';
  return [
    `induction circuit: previous-token ${list('previous')}; induction ${list('induction')}`,
    `          without its ${kind} head ${name(most)} of layer ${most.layer} it loses most: ${changeWords(most.ablation.zero)}, ${changeWords(lead)} more than without the next`,
  ];
}

/** "1 of 8, previous": the one that costs most is the first. */
function placeIn({ heads }: InductionCircuit, { core, head }: ProbedHead): string {
  const at = heads.findIndex(one => one.core === core && one.head === head);
  return at < 0 ? '' : `${at + 1} of ${heads.length}, ${heads[at]!.part}`;
}

function formatProbe({ model, probe, loss, measure, heads, circuit }: HeadProbe): string {
  const what = measure === 'loss' ? 'loss change' : 'output turned';
  const change = (title: string, of: (head: ProbedHead) => Change) => ({
    title: `${what}, ${title} (95 %)`,
    align: 'right' as const,
    cell: (row: ProbedHead) => changeWords(of(row)),
  });
  const table = formatTable<ProbedHead>(
    [
      { title: 'layer', align: 'right', cell: row => String(row.layer) },
      { title: 'core.head', align: 'right', cell: row => `${row.core}.${row.head}` },
      change('zero', row => row.ablation.zero),
      change('mean', row => row.ablation.mean),
      ...(heads.some(({ ablation }) => ablation.resample)
        ? [change('resampled', row => row.ablation.resample!)]
        : []),
      ...(circuit ? [{ title: 'of the circuit', cell: (row: ProbedHead) => placeIn(circuit, row) }] : []),
      {
        title: 'roles on the probe',
        cell: ({ roles }) => roles.map(one => `${describeRole(one)} ${one.score.toFixed(2)}`).join(', '),
      },
    ],
    heads,
  );
  const lines = [
    `model     ${model.name}`,
    `probe     ${probe.tokens} tokens: random words, the same ${probe.repeats} times (seed ${probe.seed})`,
    ...(loss
      ? [
          `loss      ${loss.first.toFixed(3)} nats per token the first time, ${loss.repeated.toFixed(3)} of what was said before`,
        ]
      : []),
    ...(circuit ? circuitLines(circuit) : []),
  ];
  return `${lines.join('\n')}\n\n${table}`;
}
