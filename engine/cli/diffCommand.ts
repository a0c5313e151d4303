/** `diff`: what changed from one analysis to another. */
import { print } from './commands';
import { formatTable, intervalCell, signed } from './tables';
import { told, UsageError } from '../errors';
import { checkOutputPaths, writeWhole } from '../export/outputFile';
import { readAnalysis, type ReadAnalysis } from '../export/readAnalysis';
import { diffOf, type Changed, type Difference, type LossDifference } from '../service/diff';
import { RefusedError } from '../errors';
import { plainPercent } from '../../shared/numbers';
import { VERSION } from '../version';

const SCHEMA = 'urn:attention-inspector:diff:1';

/** Heads and tokens of the tables: those that changed most. */
const ROWS = 12;

export interface DiffOptions {
  json?: string;
  /** Nats per token. */
  failOver?: number;
}

/** A loss may grow by so many nats per token. */
export function parseFailOver(value: string): number {
  const nats = Number(value);
  if (value.trim() === '' || !Number.isFinite(nats) || nats < 0)
    throw new UsageError(told`--fail-over must be a number of nats of at least 0, not "${value}".`);
  return nats;
}

export async function diffCommand(
  fileA: string,
  fileB: string,
  { json, failOver }: DiffOptions,
): Promise<void> {
  await checkOutputPaths([json], [fileA, fileB]);
  const [a, b] = [await readAnalysis(fileA), await readAnalysis(fileB)];
  const found = diffOf(a, b);
  if (failOver !== undefined && !found.loss)
    throw new RefusedError('--fail-over needs a loss in both analyses.');
  const over = failOver === undefined ? null : worst(found, failOver);
  if (json !== undefined) {
    const head = (file: string, { model, tokens, provenance }: ReadAnalysis) => ({
      file,
      model: model.name,
      tokens,
      provenance: provenance ?? null,
    });
    const limit = failOver === undefined ? null : { nats: failOver, exceeded: over !== null };
    const whole = {
      schema: SCHEMA,
      tool: { name: 'attention-inspector', version: VERSION },
      a: head(fileA, a),
      b: head(fileB, b),
      ...found,
      failOver: limit,
    };
    await writeWhole(json, `${JSON.stringify(whole, null, 2)}\n`);
  }
  print(formatDiff(found));
  if (over === null) return;
  const { what, loss } = over;
  const sure = loss.interval ? ` (95 %: ${intervalCell(loss.interval)})` : '';
  throw new Error(
    told`${what} loses ${loss.delta.toFixed(4)} nats per token more than before${sure}, and ${failOver} are allowed.`,
  );
}

/** The loss that grew most, where it grew by more than is allowed. */
function worst(
  { loss, mechanisms }: Difference,
  failOver: number,
): { what: string; loss: LossDifference } | null {
  const all = [
    { what: 'The model', loss },
    ...mechanisms.map(one => ({ what: `The model with ${one.settings.b}`, loss: one.loss })),
  ].flatMap(({ what, loss: own }) => (own && own.delta > failOver ? [{ what, loss: own }] : []));
  return all.sort((x, y) => y.loss.delta - x.loss.delta)[0] ?? null;
}

function formatDiff({ same, loss, tokens, heads, mechanisms, notes }: Difference): string {
  const is = (alike: boolean, what: string) => `${alike ? 'the same' : 'another'} ${what}`;
  const cut = `${same.tokens ? 'the same' : 'other'} tokens`;
  const compared = [is(same.model, 'model'), is(same.text, 'text'), cut].join(', ');
  const parts = [`compared  ${compared}\nloss      ${lossLine(loss)}`];
  if (mechanisms.length > 0) parts.push(mechanismTable(mechanisms));
  if (heads) {
    const changed = mostChanged(heads, row => row.entropy.delta);
    if (changed.length > 0) parts.push(headTable(changed, heads.length));
  }
  if (tokens) {
    const changed = mostChanged(tokens, row => row.delta);
    if (changed.length > 0) parts.push(tokenTable(changed, tokens.length));
  }
  if (notes.length > 0) parts.push(notes.map(note => `note: ${note}`).join('\n'));
  return parts.join('\n\n');
}

function mostChanged<Row>(rows: readonly Row[], change: (row: Row) => number): Row[] {
  const size = (row: Row) => Math.abs(change(row));
  return rows
    .filter(row => size(row) > 0)
    .sort((x, y) => size(y) - size(x))
    .slice(0, ROWS);
}

function lossLine(loss: LossDifference | null): string {
  if (!loss) return 'not in both';
  const how = loss.paired ? 'paired' : 'unpaired';
  const interval = loss.interval
    ? `95 % ${intervalCell(loss.interval)}, ${how}`
    : `${how}, too few tokens for an interval`;
  return `${loss.a.toFixed(4)} -> ${loss.b.toFixed(4)} nats per token: ${signed(loss.delta)} (${interval})`;
}

const both = ({ a, b }: Changed, digits: number) => `${a.toFixed(digits)} -> ${b.toFixed(digits)}`;

function mechanismTable(rows: Difference['mechanisms']): string {
  return formatTable<(typeof rows)[number]>(
    [
      { title: 'mechanism', cell: ({ settings: { a, b } }) => (a === b ? a : `${a} -> ${b}`) },
      { title: 'pairs', cell: ({ pairs }) => `${plainPercent(pairs.a)} -> ${plainPercent(pairs.b)}` },
      { title: 'recall', cell: ({ recall }) => (recall ? both(recall, 3) : '-') },
      { title: 'output error', cell: ({ outputError }) => both(outputError, 3) },
      { title: 'loss (propagated)', cell: ({ loss }) => (loss ? both(loss, 4) : '-') },
      { title: 'change', align: 'right', cell: ({ loss }) => signed(loss?.delta ?? null) },
      { title: '95 % interval', cell: ({ loss }) => intervalCell(loss?.interval ?? null) },
    ],
    rows,
  );
}

function headTable(rows: NonNullable<Difference['heads']>, of: number): string {
  const title = of > rows.length ? `The ${rows.length} of ${of} heads whose entropy changed most:\n` : '';
  const measure = (name: 'entropy' | 'meanDistance' | 'span95', label: string, digits: number) => [
    { title: label, align: 'right' as const, cell: (row: (typeof rows)[number]) => both(row[name], digits) },
  ];
  const table = formatTable<(typeof rows)[number]>(
    [
      { title: 'layer', align: 'right', cell: ({ layer }) => String(layer) },
      { title: 'core.head', align: 'right', cell: ({ core, head }) => `${core}.${head}` },
      ...measure('entropy', 'entropy', 2),
      ...measure('meanDistance', 'distance', 1),
      ...measure('span95', 'span95', 1),
      { title: 'role', cell: ({ role: { a, b } }) => (a === b ? (a ?? '') : `${a ?? '-'} -> ${b ?? '-'}`) },
    ],
    rows,
  );
  return `${title}${table}`;
}

function tokenTable(rows: NonNullable<Difference['tokens']>, of: number): string {
  const title = of > rows.length ? `The ${rows.length} of ${of} tokens whose loss changed most:\n` : '';
  const table = formatTable<(typeof rows)[number]>(
    [
      { title: 'token', align: 'right', cell: ({ token }) => String(token) },
      { title: 'text', cell: ({ text }) => JSON.stringify(text.slice(0, 40)) },
      { title: 'loss', align: 'right', cell: row => both(row, 3) },
      { title: 'change', align: 'right', cell: ({ delta }) => signed(delta) },
    ],
    rows,
  );
  return `${title}${table}`;
}
