import type { Analysis, CoreTensors } from '../analysis';
import { assignedRun, compareHead, coresOf } from '../changedRun';
import { provenance } from '../provenance';
import { headMasks } from './headMasks';
import { duoAttention } from '../../export/duoAttention';
import { flexAttention } from '../../export/flexAttention';
import { minference } from '../../export/minference';
import { planCsv } from '../../export/planCsv';
import { planFile } from '../../export/planJson';
import { totalSpending } from '../../measure/spending';
import { checkpoint } from '../../runtime/cancellation';
import type {
  ExportedPlan,
  HeadAssignment,
  Plan,
  PlanFormat,
  Spending,
} from '../../../shared/protocol/engine';

export const PLAN_FILES: Record<PlanFormat, string> = {
  json: 'plan.json',
  csv: 'plan.csv',
  flex: 'flex_attention_plan.py',
  minference: 'best_pattern.json',
  duo: 'full_attention_heads.tsv',
};

/** A plan as a file that other programs read. Tables that a mechanism makes from the text are those of the analysed text. */
export async function exportPlan(
  analysis: Analysis,
  plan: Plan,
  format: PlanFormat,
  signal: AbortSignal,
): Promise<ExportedPlan> {
  const { info } = analysis.model;
  const name = PLAN_FILES[format];
  if (format === 'csv') return { name, text: planCsv(info, plan.heads), notes: [] };
  if (format === 'json') {
    const source = provenance(info, analysis.runtime.report, analysis.inputs);
    const file = planFile(plan, info, source, analysis.tokens.ids.length);
    return { name, text: `${JSON.stringify(file, null, 2)}\n`, notes: [] };
  }
  const cores = await headMasks(analysis, plan.heads, signal);
  if (format === 'flex') return { name, ...flexAttention(info, cores) };
  const { written, ...file } = (format === 'duo' ? duoAttention : minference)(info, cores, plan.heads);
  return { name, ...file, form: await formOf(analysis, written, signal) };
}

/** What a written form spends and changes on the analysed text. */
async function formOf(
  analysis: Analysis,
  written: readonly HeadAssignment[],
  signal: AbortSignal,
): Promise<NonNullable<ExportedPlan['form']>> {
  const spending: Spending[] = [];
  const visit = async (core: number, tensors: CoreTensors) => {
    for (const one of written) {
      if (one.core !== core) continue;
      await checkpoint(signal);
      spending.push((await compareHead(analysis, one, tensors, signal, true)).spending!);
    }
  };
  await analysis.visitAlone(coresOf(written), visit, signal);
  return { spending: totalSpending(spending), effect: await assignedRun(analysis, written, signal) };
}
