import type { AnalysisProgress, EngineNotifications, HeadAblation } from '../protocol/engine';
import type { Ablating } from '../protocol/host';
import { isCancelled, reasonOf, type AnalysisHost } from './host';

/** What losing each head costs, on the shown text: heads come one by one, and what came stays when it is stopped. */
export class Ablator {
  /** By the id of the analysis. */
  private readonly runs = new Map<string, AbortController>();

  constructor(private readonly host: AnalysisHost) {}

  async start(): Promise<void> {
    const { state } = this.host;
    if (state.status !== 'ready' || this.runs.has(state.id)) return;
    const { id } = state;
    const abort = new AbortController();
    this.runs.set(id, abort);
    this.tell(id, { running: 0, error: null });
    try {
      const { measure, heads } = await this.host.ask('analysis/ablate', { id }, abort.signal);
      this.tell(id, { measure, heads, running: null });
    } catch (error) {
      const stopped = abort.signal.aborted || isCancelled(error);
      this.tell(id, { running: null, error: stopped ? null : reasonOf(error) });
    } finally {
      this.runs.delete(id);
    }
  }

  /** Stops the run on the shown analysis. */
  cancel(): void {
    const { state } = this.host;
    if (state.status === 'ready') this.runs.get(state.id)?.abort();
  }

  /** A head is done. */
  ablated({ id, measure, head }: EngineNotifications['analysis/ablated']): void {
    if (!this.runs.has(id)) return;
    const others = this.of(id).heads.filter(one => !isSameHead(one, head));
    this.tell(id, { measure, heads: [...others, head] });
  }

  /** How far the engine is. While the run waits its turn, other work on the same text tells of its progress. */
  progress({ id, phase, fraction, secondsLeft }: AnalysisProgress): void {
    if (phase === 'propagate' && this.runs.has(id)) this.tell(id, { running: fraction, secondsLeft });
  }

  dispose(): void {
    for (const run of this.runs.values()) run.abort();
  }

  private of(id: string): Ablating {
    const state = this.host.stateOf(id);
    const ready = state?.status === 'ready' ? state : null;
    // Known before the first head is: a chosen measure's name does not change under the reader.
    const measure = ready?.summary.loss ? 'loss' : 'output';
    return ready?.ablation ?? { measure, heads: [], running: null, error: null };
  }

  private tell(id: string, change: Partial<Ablating>): void {
    this.host.tell({ type: 'ablation', id, ablation: { ...this.of(id), ...change } });
  }
}

const isSameHead = (a: HeadAblation, b: HeadAblation) => a.core === b.core && a.head === b.head;
