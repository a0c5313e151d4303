/** An analysis as it is kept for the next session: the one definition of what is kept, and the only way to read it. */
import * as v from 'valibot';
import { oneSentence, told } from '../foreign';
import { jsonBytes, unpack } from '../packed';
import type {
  Ablation,
  AnalysisSummary,
  Intervention,
  InterventionResult,
  Plan,
  TokenTable,
} from '../protocol/engine';
import type { ReportDetails } from '../reportData';
import type { DocumentInfo, Selection } from '../protocol/host';
import { details } from './details';
import * as schema from './schema';

export const FORMAT = 'attention-inspector';
/** Raised with every change that an earlier version could not read; files of other versions are refused. */
export const VERSION = 1;
/** Bytes of a file, and of what is in it. */
export const MOST_PACKED = 64 << 20;
export const MOST_UNPACKED = 512 << 20;
/** Of its JSON: parsed, it may take thirty times as much. */
export const MOST_JSON = 32 << 20;

export interface SavedAnalysis {
  format: typeof FORMAT;
  version: typeof VERSION;
  document: DocumentInfo;
  /** As it was analysed. */
  text: string;
  /** The document that was given as target text, if one was. */
  targetUri: string | null;
  summary: AnalysisSummary;
  plan: Plan | null;
  /** The budget of a search that went on. */
  searching: number | null;
  interventions: { list: Intervention[]; result: InterventionResult | null };
  /** What losing each head costs, where it was measured. */
  ablation?: Ablation;
  selection: Selection;
  /** Nobody has chosen the selected head. */
  given: boolean;
}

/** Why a file is not read, as a sentence. */
export class UnreadableError extends Error {
  override readonly name = 'UnreadableError';

  constructor(message: string) {
    super(oneSentence(message));
  }
}

const entries = {
  format: v.literal(FORMAT),
  version: v.literal(VERSION),
  document: schema.document,
  text: v.string(),
  targetUri: v.nullable(v.string()),
  summary: schema.summary,
  plan: v.nullable(schema.plan),
  searching: v.nullable(v.pipe(v.number(), v.gtValue(0), v.maxValue(1))),
  interventions: schema.taken,
  ablation: v.exactOptional(schema.ablation),
  selection: schema.selection,
  given: v.boolean(),
};

const saved: v.GenericSchema<SavedAnalysis> = v.pipe(
  v.object(entries),
  v.check(one => belongsTogether(one), 'its parts do not belong together'),
);

/** A file that is opened without the model. */
export interface SavedFile extends SavedAnalysis {
  details: ReportDetails;
}

const savedFile: v.GenericSchema<SavedFile> = v.pipe(
  v.object({ ...entries, details }),
  v.check(one => belongsTogether(one), 'its parts do not belong together'),
  v.check(
    ({ summary, details: { cores, costs } }) =>
      cores.length === summary.cores.length &&
      costs.length === cores.length &&
      cores.every(({ heads }, core) => heads.length === summary.cores[core]!.heads.length),
    'its parts do not belong together',
  ),
);

/** @throws UnreadableError */
export function readSavedFile(bytes: ArrayBuffer): SavedFile {
  return parsed(savedFile, unpacked(bytes));
}

/** @throws UnreadableError */
export function readSaved(bytes: ArrayBuffer): SavedAnalysis {
  return parsed(saved, unpacked(bytes));
}

function unpacked(bytes: ArrayBuffer): unknown {
  try {
    if (jsonBytes(bytes) > MOST_JSON) throw new RangeError();
    return unpack(bytes);
  } catch {
    throw new UnreadableError('It is damaged, or no saved analysis.');
  }
}

function parsed<T>(schema: v.GenericSchema<T>, value: unknown): T {
  const { format, version } = (value ?? {}) as { format?: unknown; version?: unknown };
  if (format !== FORMAT) throw new UnreadableError('It is no saved analysis.');
  if (version !== VERSION)
    throw new UnreadableError(
      told`It was saved by another version (format ${typeof version === 'number' ? version : 'unknown'}, not ${VERSION}).`,
    );
  const read = v.safeParse(schema, value, { abortEarly: true });
  if (read.success) return read.output;
  const [issue] = read.issues;
  const place = v.getDotPath(issue);
  const what = issue.message.replace(/\.$/, '');
  throw new UnreadableError(
    place ? told`It is damaged at ${place}: ${what}.` : told`It is damaged: ${what}.`,
  );
}

/** Whether tokens are of the text, heads of the model, and changes of the tokens. */
function belongsTogether({
  text,
  summary,
  plan,
  interventions,
  ablation,
  selection,
}: Pick<SavedAnalysis, 'text' | 'summary' | 'plan' | 'interventions' | 'ablation' | 'selection'>): boolean {
  const { tokens, target, cores, model, loss, mechanisms } = summary;
  const heads = new Map(cores.map(({ info }) => [info.core, info.heads]));
  const isHead = ({ core, head }: { core: number | null; head: number | null }) =>
    core === null ? head === null : head === null ? heads.has(core) : head < (heads.get(core) ?? 0);
  const predicted = target ? target.tokens.ids.length : tokens.ids.length;
  const fits = (values: Float32Array | undefined, rows: number) => !values || values.length === rows;
  const fitsEffect = ({ measure, perToken }: { measure: string; perToken: Float32Array }) =>
    fits(perToken, measure === 'loss' ? predicted - 1 : predicted);
  const longest = Math.max(tokens.ids.length, target?.tokens.ids.length ?? 0);
  const isPlace = (one: Intervention) =>
    isHead(one) &&
    (one.kind !== 'span' || (one.from < one.to && one.to <= longest && (one.queries?.to ?? 0) <= longest)) &&
    (one.kind !== 'edge' || (one.query < longest && one.key < longest));
  return (
    isTableOf(tokens, text) &&
    (!target || isTableOf(target.tokens, target.text)) &&
    model.cores.every(info => heads.get(info.core) === info.heads) &&
    model.cores.length === cores.length &&
    (!loss || fits(loss.perToken, predicted - 1)) &&
    mechanisms.every(
      one =>
        fits(one.deltaLossPerToken, predicted - 1) &&
        fits(one.deltaOutputPerToken, predicted) &&
        one.heads.every(isHead),
    ) &&
    (!plan ||
      (fitsEffect(plan.effect) &&
        plan.uniform.every(one => fitsEffect(one.effect)) &&
        plan.heads.every(isHead) &&
        plan.candidates.every(isHead))) &&
    interventions.list.every(isPlace) &&
    (!interventions.result ||
      (fitsEffect(interventions.result.effect) && interventions.result.interventions.every(isPlace))) &&
    (!ablation || ablation.heads.every(isHead)) &&
    isHead(selection) &&
    (selection.token === null || selection.token < tokens.ids.length)
  );
}

function isTableOf({ start, end }: TokenTable, text: string): boolean {
  return start.every((from, t) => from >= 0 && from <= end[t]! && end[t]! <= text.length);
}
