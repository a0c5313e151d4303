import type { CostMeasurement, CostPoint } from '../../shared/protocol/engine';
import type { ViewParams } from '../../shared/protocol/host';
import { store } from './store';

/** The measurement of costs that goes on: it outlives the view, which may be left and opened again meanwhile. */
class CostRun {
  /** The last one that ended, of this page. */
  result: CostMeasurement | null = null;
  failure: string | null = null;
  /** Points so far. */
  points: CostPoint[] = [];
  private abort: AbortController | null = null;

  get running(): boolean {
    return this.abort !== null;
  }

  async start(params: ViewParams<'cost/measure'>): Promise<void> {
    this.abort?.abort();
    const abort = new AbortController();
    Object.assign(this, { abort, failure: null, points: [] });
    const collect = () => {
      const { cost } = store;
      if (cost?.id === params.id && cost.point && !this.points.includes(cost.point))
        this.points = [...this.points, cost.point];
    };
    store.addEventListener('change', collect);
    try {
      this.result = await store.host.request('cost/measure', params, abort.signal);
    } catch (error) {
      if (!abort.signal.aborted) this.failure = (error as Error).message;
    } finally {
      store.removeEventListener('change', collect);
      if (this.abort === abort) Object.assign(this, { abort: null, points: [] });
      store.dispatchEvent(new Event('change'));
    }
  }

  cancel(): void {
    this.abort?.abort();
  }
}

export const costRun = new CostRun();
