import { FORMAT, VERSION, type SavedAnalysis } from '../../shared/saved/analysis';
import type { SelectionModel } from '../views/selectionModel';
import type { Analysis } from './analysis';

/** What is kept of a finished analysis; `selection` is that of the shown one, null for another. */
export function savedOf(analysis: Analysis, selection: SelectionModel | null): SavedAnalysis | null {
  const { ready, source, target } = analysis;
  const looked = selection?.state ?? analysis.looked;
  if (!ready || !looked) return null;
  const { document, summary, plan, planning, interventions, ablation } = ready;
  return {
    format: FORMAT,
    version: VERSION,
    document,
    text: source.text,
    targetUri: target?.document.uri.toString() ?? null,
    summary,
    plan,
    searching: planning && !planning.error ? planning.budget : null,
    interventions: { list: interventions.list, result: interventions.result },
    ...(ablation && { ablation: { measure: ablation.measure, heads: ablation.heads } }),
    selection: looked.selection,
    given: looked.given,
  };
}
