import * as vscode from 'vscode';
import type { HeadAssignment } from '../../shared/protocol/engine';
import type { Planning } from '../../shared/protocol/host';
import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';
import { EngineError, type EngineClient } from '../engine/engineClient';
import { changedPlan, withHead } from './planEdits';

/** Runs of the model that a search may make. */
const MAXIMUM_RUNS = 60;

/** Finds and changes the plans of finished analyses. One search at a time for each: a new one takes the old one's place. */
export class Planner extends Owner {
  private readonly searches = new Map<Analysis, vscode.CancellationTokenSource>();

  constructor(
    private readonly client: EngineClient,
    private readonly store: AnalysisStore,
  ) {
    super();
    this.register(
      client.on('analysis/progress', ({ id, phase, fraction, message }) => {
        if (phase !== 'plan' && phase !== 'propagate') return;
        const analysis = [...this.searches.keys()].find(one => one.id === id);
        const planning = analysis?.ready?.planning;
        if (planning) store.tell({ type: 'planning', id, planning: { ...planning, fraction, message } });
      }),
    );
  }

  /** Searches a plan; the engine tells of the result (`analysis/planDone`). */
  async find(budget: number, mechanisms: string[]): Promise<void> {
    const message = vscode.l10n.t('Trying settings in every head');
    await this.search(message, budget, async (analysis, token) => {
      const params = { id: analysis.id, budget, mechanisms, maxRuns: MAXIMUM_RUNS };
      await this.client.request('analysis/plan', params, token);
    });
  }

  /** Gives one head of the plan another mechanism and measures the plan anew. */
  async change(change: HeadAssignment): Promise<void> {
    const plan = this.store.shown?.ready?.plan;
    if (!plan) return;
    const message = vscode.l10n.t('The text runs on with the changed plan');
    await this.search(message, plan.budget, async (analysis, token) => {
      const heads = withHead(plan, change);
      const found = await this.client.request('analysis/assign', { id: analysis.id, heads }, token);
      this.store.tell({ type: 'plan', id: analysis.id, plan: changedPlan(plan, change, heads, found) });
    });
  }

  cancel(): void {
    const { shown } = this.store;
    if (shown) this.searches.get(shown)?.cancel();
  }

  override dispose(): void {
    for (const search of this.searches.values()) search.cancel();
    super.dispose();
  }

  private async search(
    message: string,
    budget: number,
    work: (analysis: Analysis, token: vscode.CancellationToken) => Promise<void>,
  ): Promise<void> {
    const analysis = this.store.shown;
    if (!analysis?.ready) return;
    this.searches.get(analysis)?.cancel();
    const cancellation = new vscode.CancellationTokenSource();
    this.searches.set(analysis, cancellation);
    const tell = (planning: Planning | null) => {
      if (this.searches.get(analysis) === cancellation)
        this.store.tell({ type: 'planning', id: analysis.id, planning });
    };
    tell({ budget, fraction: 0, message, error: null });
    try {
      await work(analysis, cancellation.token);
      tell(null);
    } catch (error) {
      const cancelled = error instanceof EngineError && error.cancelled;
      const reason = error instanceof Error ? error.message : String(error);
      tell(cancelled ? null : { budget, fraction: 0, message, error: reason });
    } finally {
      if (this.searches.get(analysis) === cancellation) this.searches.delete(analysis);
      cancellation.dispose();
    }
  }
}
