/** What each command does, once its arguments are read. */
import { basename } from 'node:path';
import { attend } from '../attend';
import { Engine, type Notify } from '../engine';
import { RefusedError, told } from '../errors';
import { headsCsv } from '../export/headsCsv';
import { analysisJson } from '../export/json';
import { verifyJson } from '../export/verifyJson';
import { checkOutputPaths, resultOnStandardOutput, writeWhole } from '../export/outputFile';
import { readSafetensors, writeSafetensors } from '../export/safetensors';
import { cachedModels, cacheRoot, clearCache } from '../model/source/hubCache';
import { listHubVariants, listModels } from '../model/source/source';
import type {
  AnalysisProgress,
  BudgetUnit,
  ChosenAttention,
  CostProgress,
  DeviceChoice,
  Intervention,
  InterventionResult,
  MechanismResult,
  Note,
} from '../../shared/protocol/engine';
import { DENSE, distinct } from '../../shared/setting';
import { findMechanism } from '../attention/registry';
import type { NamedMechanism } from './arguments';
import { visible, visibleLines } from '../../shared/foreign';
import { fileSize, plain, progressWords } from '../../shared/numbers';
import { defaultLimitMiB } from '../runtime/memory';
import { createRuntime } from '../runtime/ort';
import { TensorsFile } from './analyzeTensors';
import { readText } from '../readText';
import { hashOfFile } from '../hash';
import { estimateWords, type RunEstimate } from '../service/estimate';
import { provenance } from '../service/provenance';
import { formatPredictions, runPredict, type PredictedToken } from './predict';
import { formatAnalysis, formatModel, formatTable } from './tables';

export interface AnalyzeOptions {
  target?: string;
  model: string;
  device: DeviceChoice;
  maxTokens: number | null;
  mechanisms: NamedMechanism[];
  /** Share of the dense pairs that bare mechanisms may spend. */
  budget?: number;
  /** What it is paid in. */
  budgetIn: BudgetUnit;
  propagate: boolean;
  /** Runs in every core without a dense pass. */
  attention?: ChosenAttention;
  without: Intervention[];
  /** Tokens at which predictions are told. */
  predict: PredictedToken[];
  compare: boolean;
  json?: string;
  csv?: string;
  html?: string;
  tensors?: string;
  weights: boolean;
}

export async function analyzeCommand(
  file: string,
  options: AnalyzeOptions,
  signal: AbortSignal,
): Promise<void> {
  const { json, csv, html } = options;
  const inputs = options.target === undefined ? [file] : [file, options.target];
  await checkOutputPaths([json, csv, html, options.tensors], inputs);
  const text = await readText(file);
  const target = options.target === undefined ? null : await readText(options.target);
  const weights = options.weights ? await createRuntime('cpu') : null;
  const tensors =
    options.tensors === undefined ? null : await TensorsFile.create(options.tensors, weights, signal);
  const progress = new ProgressLine();
  const engine = await startEngine(options.device, progress);
  try {
    const { model, device, maxTokens, budget, budgetIn: unit, propagate, attention } = options;
    const id = 'cli';
    const searched = options.mechanisms.filter(one => budget !== undefined && takesBudget(one));
    const mechanisms = options.mechanisms
      .filter(one => !searched.includes(one))
      .map(({ setting }) => setting);
    const params = { id, model, text, target, device, maxTokens, mechanisms, propagate, attention };
    // The report, the comparison, the budget and the interventions ask for details of every head afterwards.
    const asksMore =
      options.compare || [options.without, options.predict, searched].some(({ length }) => length > 0);
    const forget = html === undefined && !asksMore;
    const onEstimate = (estimate: RunEstimate) =>
      process.stderr.write(`${estimateWords(estimate, '--attention block-search')}\n`);
    const summary = await engine.analyze(params, signal, { ...tensors?.hooks, forget, onEstimate });
    const { results: found, refused } = await searchBudget(
      engine,
      { id, searched, budget, unit, propagate },
      signal,
    );
    summary.notes.push(...refused.map(({ message }) => message));
    if (options.compare) {
      summary.mechanisms = await engine.request('analysis/compare', { id, mechanisms: [] }, signal);
    } else summary.mechanisms.push(...found);
    if (budget !== undefined) summary.mechanisms = asNamed(options.mechanisms, summary.mechanisms, found);
    const interventions = await runWithout(engine, id, options.without, signal);
    const predictions = await runPredict(engine, id, options.predict, summary, interventions, signal);
    const { provenance: source, loss, target: read } = summary;
    await tensors?.finish(source, loss?.perToken ?? null, read?.tokens.ids ?? null);
    if (json !== undefined)
      await writeWhole(
        json,
        `${JSON.stringify(analysisJson(summary, interventions, predictions), null, 2)}\n`,
      );
    if (csv !== undefined) await writeWhole(csv, headsCsv(summary));
    if (html !== undefined) {
      const intervention = interventions.at(-1) ?? null;
      const document = file === '-' ? 'standard input' : basename(file);
      const request = { id, document, text, summary, plan: null, intervention };
      const report = await engine.request('analysis/report', request, signal);
      await writeWhole(html, report.html);
    }
    progress.clear();
    print(formatAnalysis(summary, interventions));
    if (predictions.length > 0) print(`\n${formatPredictions(predictions)}`);
  } catch (error) {
    await tensors?.abort();
    throw error;
  } finally {
    progress.clear();
    await engine.dispose();
    await weights?.dispose();
  }
}

/** Whether the mechanism keeps a set of pairs that a budget can choose, and was left to choose it. */
function takesBudget({ setting, bare }: NamedMechanism): boolean {
  return bare && setting.name !== DENSE.name && findMechanism(setting.name).settings !== undefined;
}

/**
 * The setting of each mechanism that comes nearest to the budget, filed as if it had been named. Those that have
 * none within it are left out, and it is said why; where none has, that is refused.
 */
async function searchBudget(
  engine: Engine,
  {
    id,
    searched,
    budget,
    unit,
    propagate,
  }: Pick<AnalyzeOptions, 'budget' | 'propagate'> & {
    id: string;
    unit: BudgetUnit;
    searched: readonly NamedMechanism[];
  },
  signal: AbortSignal,
): Promise<{ results: MechanismResult[]; refused: RefusedError[] }> {
  const results: MechanismResult[] = [];
  const refused: RefusedError[] = [];
  if (budget === undefined) return { results, refused };
  for (const setting of distinct(searched.map(one => one.setting))) {
    const asked = { id, budget, unit, mechanisms: [setting.name] };
    const [found] = await engine.request('analysis/atBudget', asked, signal).catch((error: unknown) => {
      if (!(error instanceof RefusedError)) throw error;
      refused.push(error);
      return [];
    });
    if (!found) continue;
    const run = { id, mechanism: found.setting, scope: propagate ? 'propagated' : 'local' } as const;
    const result = await engine.request('analysis/mechanism', run, signal);
    const { spending, notes } = found;
    results.push({ ...result, ...(spending && { spending }), notes });
  }
  if (results.length === 0 && refused[0]) throw refused[0];
  return { results, refused };
}

const FREE: Note = {
  kind: 'budget',
  text: 'Keeps no set of pairs that a budget could choose: it stands here with its defaults.',
};

/** Results in the order in which their mechanisms were named, with what there is to say of the budget. */
function asNamed(
  named: readonly NamedMechanism[],
  results: readonly MechanismResult[],
  searched: readonly MechanismResult[],
): MechanismResult[] {
  const nameOf = ({ setting }: MechanismResult) =>
    named.find(one => one.setting.key === setting.key && !takesBudget(one)) ??
    named.find(one => one.setting.name === setting.name && takesBudget(one));
  const noted = (result: MechanismResult): MechanismResult => {
    const own = searched.find(({ setting }) => setting.key === result.setting.key);
    const one = nameOf(result);
    const free = one?.bare && !takesBudget(one) && one.setting.name !== DENSE.name;
    const notes = own?.notes.filter(({ kind }) => kind === 'budget') ?? (free ? [FREE] : []);
    return { ...result, notes: [...result.notes.filter(({ kind }) => kind !== 'budget'), ...notes] };
  };
  const place = (result: MechanismResult) => named.indexOf(nameOf(result)!);
  return [...results].sort((a, b) => place(a) - place(b)).map(noted);
}

/** Each intervention alone; of several also all at once, last. */
async function runWithout(
  engine: Engine,
  id: string,
  without: readonly Intervention[],
  signal: AbortSignal,
): Promise<InterventionResult[]> {
  const sets = without.map(one => [one]);
  if (sets.length > 1) sets.push([...without]);
  const results: InterventionResult[] = [];
  for (const interventions of sets) {
    results.push(await engine.request('analysis/intervene', { id, interventions }, signal));
  }
  return results;
}

export interface AttendCommandOptions {
  mechanism: string;
  params: Record<string, string>;
  causal: boolean;
  weights: boolean;
  output: string;
  device: DeviceChoice;
}

export async function attendCommand(
  file: string,
  { output, device, ...options }: AttendCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  await checkOutputPaths([output], [file]);
  const tensors = await readSafetensors(file);
  const runtime = await createRuntime(device);
  try {
    const input = { name: basename(file), sha256: await hashOfFile(file) };
    const source = provenance(null, runtime.report, [input]);
    const attended = await attend(tensors, { ...options, runtime, signal });
    await writeSafetensors(output, attended.tensors, {
      mechanism: JSON.stringify({ name: options.mechanism, settled: attended.settled }),
      provenance: JSON.stringify(source),
    });
  } finally {
    await runtime.dispose();
  }
}

/** Bundled models, those below the current folder and those downloaded; with a hub id: its variants. */
export async function listCommand(id: string | undefined, signal: AbortSignal): Promise<void> {
  const models =
    id === undefined
      ? await listModels([process.cwd()])
      : await listHubVariants(id, { signal, onProgress: () => undefined });
  print(
    formatTable(
      [
        { title: 'model', cell: model => model.ref },
        { title: 'from', cell: model => model.source },
        { title: 'what', cell: model => model.detail },
      ],
      models,
    ),
  );
}

/** Shows, or empties, the place where models of the hub are kept. */
export async function cacheCommand({ clear }: { clear: boolean }): Promise<void> {
  const models = await cachedModels();
  const bytes = models.reduce((sum, model) => sum + model.bytes, 0);
  const count = `${models.length} ${models.length === 1 ? 'model' : 'models'}, ${fileSize(bytes)}`;
  if (clear) {
    await clearCache();
    return print(`${count} removed from ${cacheRoot()}`);
  }
  for (const { id, bytes } of models) print(`${id}  ${fileSize(bytes)}`);
  print(`${count} in ${cacheRoot()}`);
}

/** Loads a model, proves it, and says how near the cut model is to the uncut one. */
export async function verifyCommand(
  ref: string,
  { device, json }: { device: DeviceChoice; json?: string },
  signal: AbortSignal,
): Promise<void> {
  await checkOutputPaths([json], []);
  const progress = new ProgressLine();
  const engine = await startEngine(device, progress);
  try {
    const model = await engine.request('models/load', { ref, device }, signal);
    progress.clear();
    const identical = model.verified.bitEqual ? 'identical bits' : 'not identical in bits';
    print(`${formatModel(model)}\ncut       ${identical} when ONNX Runtime runs the cores`);
    print(
      formatTable(
        [
          { title: 'core', align: 'right', cell: core => String(core.core) },
          { title: 'kind', cell: core => core.kind },
          { title: 'layer', align: 'right', cell: core => String(core.layer) },
          { title: 'heads', align: 'right', cell: core => String(core.heads) },
          { title: 'key/value heads', align: 'right', cell: core => String(core.kvHeads) },
          { title: 'dim', align: 'right', cell: core => String(core.dim) },
          { title: 'mask', cell: core => core.mask },
          {
            title: 'attention',
            cell: ({ attention }) => (attention ? `${attention.name} (native)` : 'dense'),
          },
        ],
        model.cores,
      ),
    );
    if (!Number.isFinite(model.verified.maxAbsDiff)) {
      throw new RefusedError(told`${ref} gives values that are not finite.`);
    }
    const source = provenance(model, await engine.device(device), []);
    if (json !== undefined) await writeWhole(json, `${JSON.stringify(verifyJson(model, source), null, 2)}\n`);
  } finally {
    progress.clear();
    await engine.dispose();
  }
}

export async function startEngine(device: DeviceChoice, progress: ProgressLine): Promise<Engine> {
  const notify: Notify = (name, params) => {
    if (name !== 'analysis/progress' && name !== 'cost/progress') return;
    const { fraction, message, secondsLeft } = params as
      AnalysisProgress | (CostProgress & { secondsLeft?: number });
    progress.show(fraction, message, secondsLeft);
  };
  const engine = new Engine(notify);
  await engine.request('initialize', { device, memoryLimitMiB: defaultLimitMiB() });
  return engine;
}

/** One line on stderr that is written over; nothing when stderr is not a terminal. */
export class ProgressLine {
  private shown = false;
  private prefix = '';

  /** One of several jobs: goes before the messages of what it is made of. */
  step(message: string): void {
    this.prefix = `${message}: `;
  }

  show(fraction: number, message: string, secondsLeft?: number): void {
    if (!process.stderr.isTTY) return;
    const done = plain(progressWords(fraction, secondsLeft));
    const line = visible(`${done}  ${this.prefix}${message}`).slice(0, (process.stderr.columns ?? 80) - 1);
    process.stderr.write(`\r\x1b[2K${line}`);
    this.shown = true;
  }

  clear(): void {
    if (this.shown) process.stderr.write('\r\x1b[2K');
    this.shown = false;
  }
}

/** Lines on stdout, or on stderr while a result has stdout; what a model, a file or a text brought into them only shows. */
export function print(text: string): void {
  (resultOnStandardOutput ? process.stderr : process.stdout).write(`${visibleLines(text)}\n`);
}
