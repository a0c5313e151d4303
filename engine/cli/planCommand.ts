/** `plan FILE...`: a mechanism for each head within a budget, fitted to some texts and tested on others. */
import { basename } from 'node:path';
import { startEngine, print, ProgressLine } from './commands';
import { formatPlan } from './planTables';
import { readText } from '../readText';
import { UsageError } from '../errors';
import { checkOutputPaths, writeWhole } from '../export/outputFile';
import { checkFormat } from '../export/planFormat';
import { planFile } from '../export/planJson';
import type { DeviceChoice, PlanFormat } from '../../shared/protocol/engine';
import { provenance, textInput } from '../service/provenance';
import { planTexts } from '../service/plan/texts';

export interface PlanCommandOptions {
  model: string;
  device: DeviceChoice;
  budget: number;
  mechanisms: string[];
  maxTokens: number | null;
  runs: number;
  stability: boolean;
  json?: string;
  csv?: string;
  flex?: string;
  minference?: string;
  duo?: string;
}

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
  if (files.filter(file => file === '-').length > 1)
    throw new UsageError('Standard input can be read once only.');
  const texts = [];
  for (const file of files) {
    texts.push({ name: file === '-' ? 'standard input' : basename(file), text: await readText(file) });
  }
  const progress = new ProgressLine();
  const engine = await startEngine(options.device, progress);
  try {
    const { model, device, budget, mechanisms, maxTokens, runs } = options;
    const wanted = formats.filter(format => options[format] !== undefined);
    const info = await engine.request('models/load', { ref: model, device }, signal);
    for (const format of wanted) checkFormat(info, format);
    const planned = await planTexts(
      engine,
      texts,
      { model, device, budget, mechanisms, maxTokens, maxRuns: runs, stability: options.stability },
      signal,
      message => progress.step(message),
    );
    const { found, summary, id, ...tested } = planned;
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
      exported.push({ path, notes: made.notes });
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
