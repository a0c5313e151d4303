import type { AnalysisProgress, BudgetUnit, HeadAssignment } from '../protocol/engine';
import type { Planning } from '../protocol/host';
import type { ReadyState } from './analysisState';
import { isCancelled, reasonOf, type AnalysisHost } from './host';
import { changedPlan, withHead } from './planEdits';

/** Runs of the model that a search may make. */
export const MAXIMUM_RUNS = 60;
/** Of a model of which so many runs would take longer, fewer are made. */
export const MAXIMUM_SECONDS = 540;

/** Finds and changes the plans of finished analyses. One search at a time for each: a new one takes the old one's place. */
export class Planner {
  /** By the id of the analysis. */
  private readonly searches = new Map<string, AbortController>();

  constructor(private readonly host: AnalysisHost) {}

  async find(budget: number, mechanisms: string[], unit: BudgetUnit = 'pairs'): Promise<void> {
    await this.search(
      this.host.t('Trying settings in every head'),
      budget,
      async ({ id, summary }, signal) => {
        // A cache has one set of keys for all heads that share it.
        const tied = unit === 'kv' && summary.model.cores.some(({ heads, kvHeads }) => kvHeads < heads);
        const params = {
          id,
          budget,
          unit,
          tied,
          mechanisms,
          maxRuns: MAXIMUM_RUNS,
          maxSeconds: MAXIMUM_SECONDS,
        };
        return this.host.ask('analysis/plan', params, signal);
      },
    );
  }

  /** Gives one head of the plan another mechanism and measures the plan anew. */
  async change(change: HeadAssignment): Promise<void> {
    const { state, t } = this.host;
    const plan = state.status === 'ready' ? state.plan : null;
    if (!plan) return;
    await this.search(t('The text runs on with the changed plan'), plan.budget, async ({ id }, signal) => {
      const heads = withHead(plan, change);
      return changedPlan(plan, change, heads, await this.host.ask('analysis/assign', { id, heads }, signal));
    });
  }

  /** Stops the search of the shown analysis. */
  cancel(): void {
    const { state } = this.host;
    if (state.status === 'ready') this.searches.get(state.id)?.abort();
  }

  /** How far the engine is. */
  progress({ id, phase, fraction, message, secondsLeft }: AnalysisProgress): void {
    if ((phase !== 'plan' && phase !== 'propagate') || !this.searches.has(id)) return;
    const state = this.host.stateOf(id);
    const planning = state?.status === 'ready' ? state.planning : null;
    if (planning)
      this.host.tell({ type: 'planning', id, planning: { ...planning, fraction, message, secondsLeft } });
  }

  dispose(): void {
    for (const search of this.searches.values()) search.abort();
  }

  private async search(
    message: string,
    budget: number,
    work: (analysis: ReadyState, signal: AbortSignal) => Promise<ReadyState['plan']>,
  ): Promise<void> {
    const { state } = this.host;
    if (state.status !== 'ready') return;
    const { id } = state;
    this.searches.get(id)?.abort();
    const abort = new AbortController();
    this.searches.set(id, abort);
    const isLatest = () => this.searches.get(id) === abort;
    const tell = (planning: Planning | null) => {
      if (isLatest()) this.host.tell({ type: 'planning', id, planning });
    };
    tell({ budget, fraction: 0, message, error: null });
    try {
      const plan = await work(state, abort.signal);
      if (isLatest() && !abort.signal.aborted) this.host.tell({ type: 'plan', id, plan });
      tell(null);
    } catch (error) {
      const stopped = abort.signal.aborted || isCancelled(error);
      tell(stopped ? null : { budget, fraction: 0, message, error: reasonOf(error) });
    } finally {
      if (isLatest()) this.searches.delete(id);
    }
  }
}
