/** What the command line prints of an analysis. */
import { carried, plain, plainPercent } from '../../shared/numbers';
import { carriersOf, meanInterval } from '../../shared/uncertainty';
import type {
  AnalysisSummary,
  DeviceReport,
  EmbeddingChange,
  HeadProfile,
  InterventionResult,
  Interval,
  ModelInfo,
  RoleScore,
} from '../../shared/protocol/engine';
import { visible } from '../../shared/foreign';
import { textOf } from '../../shared/protocol/notes';
import { nativeWords, standingWords } from '../../shared/native';
import { otherLayersLine } from '../../shared/otherLayers';
import { verifiedLine } from '../../shared/verified';
import { mechanismInfos } from '../attention/registry';
import { formatWithout } from './interventions';
import { sum } from '../statistics';

interface Column<Row> {
  title: string;
  align?: 'right';
  cell(row: Row): string;
}

/** Rows under their titles, columns as wide as their widest cell. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = [
    columns.map(column => column.title),
    ...rows.map(row => columns.map(c => visible(c.cell(row)))),
  ];
  const widths = columns.map((_, c) => Math.max(...cells.map(line => line[c]!.length)));
  const pad = (text: string, c: number): string =>
    columns[c]!.align === 'right' ? text.padStart(widths[c]!) : text.padEnd(widths[c]!);
  return cells.map(line => line.map(pad).join('  ').trimEnd()).join('\n');
}

const deviceLine = ({ device, adapter }: DeviceReport) =>
  adapter === null ? device : `${device} (${adapter})`;

export function formatAnalysis(
  summary: AnalysisSummary,
  interventions: readonly InterventionResult[] = [],
): string {
  const { model, tokens, verified } = summary;
  const total = `${tokens.estimated ? 'about ' : ''}${integer(tokens.total)}`;
  const parts = [
    [
      modelLine(model),
      `verified  ${verified.holds ? '' : 'NO: '}${verifiedLine(verified)}`,
      `text      ${counted(tokens.ids.length, 'token')}${tokens.total > tokens.ids.length ? ` of ${total}` : ''}` +
        (summary.loss
          ? `, loss ${summary.loss.mean.toFixed(3)} nats per ${summary.loss.masked ? 'masked token' : 'token'}`
          : ''),
      `device    ${deviceLine(summary.device)}`,
      `time      ${(sum(Object.values(summary.timings)) / 1000).toFixed(1)} s, peak memory ${integer(summary.peakRssMiB)} MiB`,
    ].join('\n'),
    formatHeads(summary),
  ];
  if (summary.mechanisms.length > 0) parts.push(formatMechanisms(summary));
  if (interventions.length > 0) parts.push(formatInterventions(summary, interventions));
  const notes = [
    ...summary.notes,
    ...sharedNotes(summary.mechanisms),
    ...interventions.flatMap(result => result.notes),
  ];
  if (notes.length > 0) parts.push([...new Set(notes)].map(note => `note: ${note}`).join('\n'));
  return parts.join('\n\n');
}

/** The mechanisms' notes, each once, after the names that it is about. */
function sharedNotes(mechanisms: AnalysisSummary['mechanisms']): string[] {
  const names = new Map<string, Set<string>>();
  for (const { setting, notes } of mechanisms) {
    for (const note of notes.map(textOf)) names.set(note, (names.get(note) ?? new Set()).add(setting.name));
  }
  return [...names].map(([note, about]) => `${[...about].join(', ')}: ${note}`);
}

export function formatModel(model: ModelInfo): string {
  const { maxAbsDiff, maxRelDiff, reference } = model.verified;
  return [
    modelLine(model),
    `verified  largest difference ${scientific(maxAbsDiff)} (${scientific(maxRelDiff)} of the largest output) against ${reference}`,
  ].join('\n');
}

function modelLine(model: ModelInfo): string {
  const context = model.context === null ? 'no limit' : `${integer(model.context)} tokens`;
  const others = otherLayersLine(model);
  const hidden = others === null ? '' : `\nbeside    ${others}`;
  return `model     ${model.name}: ${model.kind}, ${model.layers} layers, ${model.heads} heads, ${integer(model.parameters)} parameters, context ${context}${hidden}`;
}

/** What the attention that ran leaves out of a head's dense mass, from a sample of queries. */
const missedColumn: Column<{ head: HeadProfile }> = {
  title: 'missed',
  align: 'right',
  cell: ({ head: { sampled } }) => {
    if (!sampled?.missed) return '';
    const { mean, low, high } = sampled.missed;
    return `${plainPercent(mean)} (${plainPercent(low)} to ${plainPercent(high)})`;
  },
};

const ranColumn: Column<{ head: HeadProfile }> = {
  title: 'pairs',
  align: 'right',
  cell: ({ head: { sampled } }) =>
    sampled?.pairs == null ? '' : plainPercent(sampled.pairs / sampled.densePairs),
};

function formatHeads(summary: AnalysisSummary): string {
  const kinds = new Set(summary.cores.map(core => core.info.kind));
  const rows = summary.cores.flatMap(({ info, heads }) => heads.map(head => ({ info, head })));
  type Row = (typeof rows)[number];
  const number = (title: string, value: (head: HeadProfile) => number, digits: number): Column<Row> => ({
    title,
    align: 'right',
    cell: ({ head }) => value(head).toFixed(digits),
  });
  const columns: Column<Row>[] = [
    { title: 'layer', align: 'right', cell: ({ info }) => String(info.layer) },
    ...(kinds.size > 1 ? [{ title: 'kind', cell: ({ info }: Row) => info.kind }] : []),
    { title: 'head', align: 'right', cell: ({ head }) => String(head.head) },
    ...(summary.model.cores.some(core => core.attention?.native)
      ? [{ title: 'attention', cell: ({ info }: Row) => nativeWords(info.attention) ?? 'dense' }]
      : []),
    number('entropy', head => head.entropy, 2),
    number('distance', head => head.meanDistance, 1),
    number('span95', head => head.span95, 1),
    ...(summary.sparse ? [ranColumn, missedColumn] : []),
    {
      title: 'role',
      cell: ({ head: { roles } }) =>
        roles[0] ? `${describeRole(roles[0])} ${roles[0].score.toFixed(2)}` : '',
    },
  ];
  return formatTable(columns, rows);
}

function formatMechanisms(summary: AnalysisSummary): string {
  type Row = AnalysisSummary['mechanisms'][number];
  const effect: Column<Row>[] = summary.mechanisms.some(row => row.scope === 'propagated')
    ? summary.loss
      ? [
          { title: 'loss change (propagated)', align: 'right', cell: row => signed(row.deltaLoss) },
          ...certainty<Row>(row => row.deltaLossPerToken),
        ]
      : [
          { title: 'output turned (propagated)', align: 'right', cell: row => signed(row.deltaOutput) },
          ...certainty<Row>(row => row.deltaOutputPerToken),
          ...embedding<Row>(summary.mechanisms, row => row.embedding),
        ]
    : [];
  const of = (
    title: string,
    value: (row: Row) => number | null | undefined,
    shown: (value: number) => string,
  ) => ({
    title,
    align: 'right' as const,
    cell: (row: Row) => {
      const found = value(row);
      return typeof found === 'number' ? shown(found) : '-';
    },
  });
  const measured: Column<Row>[] = [
    of('of the entmax graph', row => row.measures?.entmaxRecall, plainPercent),
    of('of the top 95 %', row => row.measures?.topPRecall, plainPercent),
    of(
      'KL (nats)',
      row => row.measures?.kl,
      kl => kl.toFixed(3),
    ),
  ];
  const columns: Column<Row>[] = [
    { title: 'mechanism', cell: row => row.setting.name },
    { title: 'it is', cell: row => standingWords(row.setting, summary.model.cores, mechanismInfos) },
    {
      title: 'parameters',
      cell: row =>
        Object.entries(row.settled)
          .map(([key, value]) => `${key}=${value}`)
          .join(' '),
    },
    { title: 'pairs', align: 'right', cell: row => plainPercent(row.pairs / row.densePairs) },
    {
      title: 'recall (local)',
      align: 'right',
      cell: row => (row.recall === null ? '-' : plainPercent(row.recall)),
    },
    { title: 'output error (local)', align: 'right', cell: row => row.outputError.toFixed(3) },
    ...effect,
    ...(summary.mechanisms.some(row => row.measures) ? measured : []),
    { title: 'time', align: 'right', cell: row => `${(row.milliseconds / 1000).toFixed(2)} s` },
  ];
  return formatTable(columns, summary.mechanisms);
}

/** How sure a mean change is, and on how few tokens it rests. */
function certainty<Row>(perToken: (row: Row) => Float32Array | undefined): Column<Row>[] {
  return [
    { title: '95 % interval', cell: row => intervalCell(meanInterval([perToken(row) ?? []])) },
    {
      title: 'carried by',
      cell: row => {
        const few = carriersOf(perToken(row) ?? []);
        return few ? plain(carried(few)) : '-';
      },
    },
  ];
}

/** What becomes of the text's embedding; no columns where the model makes none. */
function embedding<Row>(rows: readonly Row[], of: (row: Row) => EmbeddingChange | undefined): Column<Row>[] {
  if (!rows.some(of)) return [];
  return [
    { title: 'embedding: cosine', align: 'right', cell: row => of(row)?.cosine.toFixed(4) ?? '-' },
    { title: 'length', align: 'right', cell: row => (of(row) ? `x ${of(row)!.length.toFixed(3)}` : '-') },
  ];
}

/** "cosine 0.9987, length x 1.003 (mean of the rows)". */
export function embeddingWords({ pooling, cosine, length }: EmbeddingChange): string {
  const rows = { mean: 'mean of the rows', first: 'first row', last: 'last row' }[pooling];
  return `cosine ${cosine.toFixed(4)}, length x ${length.toFixed(3)} (${rows})`;
}

export function intervalCell(interval: Interval | null): string {
  return interval ? `${signed(interval.low)} to ${signed(interval.high)}` : '-';
}

function formatInterventions(summary: AnalysisSummary, results: readonly InterventionResult[]): string {
  const { measure } = results[0]!.effect;
  const columns: Column<InterventionResult>[] = [
    {
      title: 'without',
      cell: ({ interventions }) =>
        interventions.length === 1 ? formatWithout(interventions[0]!) : `all ${interventions.length} at once`,
    },
    {
      title: measure === 'loss' ? 'loss change (propagated)' : 'output turned (propagated)',
      align: 'right',
      cell: ({ effect }) => signed(effect.perToken.length === 0 ? null : effect.delta),
    },
    ...certainty<InterventionResult>(({ effect }) => effect.perToken),
    ...embedding<InterventionResult>(results, ({ effect }) => effect.embedding),
    { title: 'most at', cell: result => mostChanged(summary, result) },
  ];
  return formatTable(columns, results);
}

/** The token whose loss grows most (or whose output turns most). */
function mostChanged({ target, tokens }: AnalysisSummary, { effect }: InterventionResult): string {
  const { perToken, measure } = effect;
  let worst = 0;
  perToken.forEach((change, t) => {
    if (change > perToken[worst]!) worst = t;
  });
  if (perToken.length === 0) return '';
  // The loss is that of the token that is predicted.
  const token = measure === 'loss' ? worst + 1 : worst;
  const text = (target?.tokens ?? tokens).text[token] ?? '';
  return `${JSON.stringify(text)} (token ${token}) ${signed(perToken[worst]!)}`;
}

export function signed(value: number | null): string {
  if (value === null) return '-';
  const digits = Math.abs(value).toFixed(4);
  return `${value < 0 && Number(digits) > 0 ? '-' : '+'}${digits}`;
}

function counted(count: number, unit: string): string {
  return `${integer(count)} ${unit}${count === 1 ? '' : 's'}`;
}

function integer(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function scientific(value: number): string {
  return value === 0 ? '0' : value.toExponential(1);
}

/** `offset -37`: 37 tokens back. */
export function describeRole({ role, distance, ahead }: RoleScore): string {
  return distance === undefined ? role : `${role} ${ahead ? '+' : '-'}${distance}`;
}
