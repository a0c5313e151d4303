import type { Analysis } from '../analysis';
import { provenance } from '../provenance';
import { headMasks } from './headMasks';
import { duoAttention } from '../../export/duoAttention';
import { flexAttention } from '../../export/flexAttention';
import { minference } from '../../export/minference';
import { planCsv } from '../../export/planCsv';
import { planFile } from '../../export/planJson';
import type { ExportedPlan, Plan, PlanFormat } from '../../../shared/protocol/engine';

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
  return { name, ...(format === 'duo' ? duoAttention : minference)(info, cores, plan.heads) };
}
