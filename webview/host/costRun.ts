import { signal, type Signal } from '@lit-labs/preact-signals';
import type { CostMeasurement, CostPoint, CostProgress, ForwardTimes } from '../../shared/protocol/engine';
import { FORWARD_RUNS } from '../../shared/costLengths';
import type { ViewParams } from '../../shared/protocol/host';
import { LongRun } from './longRun';
import { store } from './store';

/** The measurement of costs that goes on. */
class CostRun extends LongRun {
  private readonly latest: Signal<CostMeasurement | null> = signal(null);
  private readonly soFar: Signal<CostPoint[]> = signal([]);
  private of = '';

  /** The last one that ended, of this page. */
  get result(): CostMeasurement | null {
    return this.latest.value;
  }

  /** What was measured of an analysis by a run that goes on, or was stopped before its end. */
  pointsOf(id: string | null): CostPoint[] {
    return id === this.of ? this.soFar.value : [];
  }

  async start(params: ViewParams<'cost/measure'>): Promise<void> {
    this.of = params.id;
    this.soFar.value = [];
    const found = await this.run(abort => store.host.request('cost/measure', params, abort));
    if (!found) return;
    this.latest.value = found;
    this.soFar.value = [];
  }

  /** A point has been measured. */
  collect({ id, point }: CostProgress): void {
    if (this.running && id === this.of && point) this.soFar.value = [...this.soFar.peek(), point];
  }
}

/** A forward of the dense model that is timed. */
class ForwardRun extends LongRun {
  private readonly found: Signal<ReadonlyMap<string, ForwardTimes>> = signal(new Map());
  private of = '';

  /** What was found for an analysis, or null. */
  times(id: string | null): ForwardTimes | null {
    return this.found.value.get(id ?? '') ?? null;
  }

  runs(id: string | null): boolean {
    return this.running && this.of === id;
  }

  async start(id: string): Promise<void> {
    this.of = id;
    const times = await this.run(abort =>
      store.host.request('cost/forward', { id, runs: FORWARD_RUNS }, abort),
    );
    if (times) this.found.value = new Map([...this.found.peek(), [id, times]]);
  }
}

export const costRun = new CostRun();
export const forwardRun = new ForwardRun();
store.host.onMessage(message => message.type === 'cost' && costRun.collect(message.progress));
