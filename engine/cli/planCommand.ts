/** `plan FILE...`: a mechanism for each head within a budget, fitted to some texts and tested on others. */
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { startEngine, print, ProgressLine } from './commands';
import { formatPlan } from './planTables';
import { readText } from '../readText';
import { findTexts } from '../corpus/files';
import { RefusedError, told, UsageError } from '../errors';
import { checkOutputPaths, writeWhole } from '../export/outputFile';
import { checkFormat } from '../export/planFormat';
import { planFile, type PlanCorpus } from '../export/planJson';
import { plainPercent } from '../../shared/numbers';
import { meanInterval } from '../../shared/uncertainty';
import { signed } from './tables';
import type { BudgetUnit, DeviceChoice, ExportedPlan, PlanFormat } from '../../shared/protocol/engine';
import { provenance, textInput } from '../service/provenance';
import { chooseTexts, type TextChoice } from '../corpus/chooseTexts';
import { planTexts, type NamedText, type PlanEngine, type PlanTextsOptions } from '../service/plan/texts';

export interface PlanCommandOptions {
  model: string;
  device: DeviceChoice;
  budget: number;
  /** What it is paid in. */
  budgetIn: BudgetUnit;
  mechanisms: string[];
  maxTokens: number | null;
  runs: number;
  minutes?: number;
  stability: boolean;
  /** Fit to so many of the texts; null: named texts, half of them. */
  texts: number | null;
  heldOut: number;
  choose: TextChoice;
  seed: number;
  json?: string;
  csv?: string;
  flex?: string;
  minference?: string;
  duo?: string;
}

/** Of a folder, unless told otherwise. */
const FITTED_TEXTS = 4;

/** An export has a note for each head that its format cannot hold exactly. */
const SHOWN_NOTES = 3;

export async function planCommand(
  files: readonly string[],
  options: PlanCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  const formats: PlanFormat[] = ['csv', 'flex', 'minference', 'duo'];
  const outputs = (['json', ...formats] as const).map(format => options[format]);
  await checkOutputPaths(outputs, files);
  const progress = new ProgressLine();
  const engine = await startEngine(options.device, progress);
  try {
    const { model, device, budget, budgetIn: unit, mechanisms, maxTokens, runs, minutes } = options;
    const wanted = formats.filter(format => options[format] !== undefined);
    const info = await engine.request('models/load', { ref: model, device }, signal);
    for (const format of wanted) checkFormat(info, format);
    // One setting for heads that share their keys, where the cache is paid or the format has one value for them.
    const grouped = info.cores.some(({ heads, kvHeads }) => kvHeads < heads);
    const tied = grouped && (unit === 'kv' || options.duo !== undefined);
    const own = {
      model,
      device,
      budget,
      unit,
      tied,
      mechanisms,
      maxTokens,
      maxRuns: runs,
      ...(minutes !== undefined && { maxSeconds: 60 * minutes }),
      stability: options.stability,
    };
    const step = (message: string) => progress.step(message);
    const { texts, ...chosen } = await textsOfPlan(engine, files, { ...options, ...own }, signal, step);
    const planned = await planTexts(engine, texts, { ...own, fitted: chosen.fitted }, signal, step);
    const { found, summary, id, ...rest } = planned;
    const tested = { ...rest, corpus: chosen.corpus };
    const file = planFile(
      found.plan,
      summary.model,
      provenance(
        summary.model,
        summary.device,
        texts.map(({ name, text }) => textInput(name, text)),
      ),
      summary.tokens.ids.length,
      tested,
    );
    if (options.json !== undefined) await writeWhole(options.json, `${JSON.stringify(file, null, 2)}\n`);
    const exported = [];
    for (const format of formats) {
      const path = options[format];
      if (path === undefined) continue;
      const made = await engine.request('analysis/exportPlan', { id, plan: found.plan, format }, signal);
      // At once: a later format may be refused, and this one cost minutes.
      await writeWhole(path, made.text);
      exported.push({ path, notes: [...formWords(made.form), ...made.notes] });
    }
    progress.clear();
    print(formatPlan(file, summary.model));
    for (const { path, notes } of exported) {
      for (const note of notes.slice(0, SHOWN_NOTES)) print(`note: ${path}: ${note}`);
      if (notes.length > SHOWN_NOTES) print(`note: ${path}: ${notes.length - SHOWN_NOTES} more of this kind`);
    }
  } finally {
    progress.clear();
    await engine.dispose();
  }
}

/** Named texts as they are; of folders and patterns, or where `--texts` says how many, those that are chosen. */
async function textsOfPlan(
  engine: PlanEngine,
  files: readonly string[],
  { texts, choose, heldOut, seed, ...options }: PlanCommandOptions & PlanTextsOptions,
  signal: AbortSignal,
  onStep: (message: string) => void,
): Promise<{ texts: NamedText[]; fitted?: number; corpus?: PlanCorpus }> {
  if (texts === null && !(await anyFolder(files))) return { texts: await readTexts(files) };
  if (files.includes('-')) throw new UsageError('Texts are chosen from files, not from standard input.');
  const root = process.cwd();
  const found = await findTexts(root, files);
  const read = (file: string) => readText(join(root, file), file);
  const wanted = { ...options, texts: texts ?? FITTED_TEXTS, heldOut, choose, seed };
  const chosen = await chooseTexts(engine, found, read, wanted, signal, onStep);
  const { left, skipped } = chosen;
  if (chosen.fitted.length === 0) {
    const [first] = skipped;
    throw new RefusedError(told`No text can be planned for: ${first!.name}: ${first!.why}.`);
  }
  return {
    texts: [...chosen.fitted, ...chosen.heldOut],
    fitted: chosen.fitted.length,
    corpus: { choose, seed, left, skipped },
  };
}

async function anyFolder(files: readonly string[]): Promise<boolean> {
  const found = await Promise.all(files.map(file => stat(file).catch(() => null)));
  return found.some((info, at) => (info ? info.isDirectory() : isPattern(files[at]!)));
}

const isPattern = (file: string): boolean => /[*?[{]/.test(file);

async function readTexts(files: readonly string[]): Promise<NamedText[]> {
  if (files.filter(file => file === '-').length > 1)
    throw new UsageError('Standard input can be read once only.');
  const texts = [];
  for (const file of files) {
    texts.push({ name: file === '-' ? 'standard input' : basename(file), text: await readText(file) });
  }
  return texts;
}

/** What a written form really spends, and what the model loses with it. */
function formWords(form: ExportedPlan['form']): string[] {
  if (!form) return [];
  const { spending, effect } = form;
  const share = (unit: BudgetUnit) => plainPercent(spending[unit].own / spending[unit].dense);
  const interval = meanInterval([effect.perToken]);
  const between = interval ? ` (${signed(interval.low)} to ${signed(interval.high)})` : '';
  const change = effect.measure === 'loss' ? 'the loss changes by' : 'the output turns by';
  return [
    `as it is written it spends ${share('pairs')} of the pairs, ${share('blocks')} of the blocks of 128 x 128 and ${share('kv')} of the key/value cache; ${change} ${signed(effect.delta)}${between}.`,
  ];
}
