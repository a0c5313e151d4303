import { ErrorCode, type AnalysisProgress, type Intervention } from '../protocol/engine';
import { NO_INTERVENTIONS, type Interventions, type Selection } from '../protocol/host';
import { codeOf, isCancelled, reasonOf, type AnalysisHost } from './host';

/** What is taken away from the attention of the shown text: keeps the list, and runs it through the engine. */
export class Intervener {
  /** By the id of the analysis. */
  private readonly runs = new Map<string, AbortController>();

  /** @param failed makes the sentence on a run that failed, and may tell the user of it */
  constructor(
    private readonly host: AnalysisHost,
    private readonly select: (change: Partial<Selection>) => void,
    private readonly failed: (error: unknown) => string = reasonOf,
  ) {}

  /** Takes something away, or gives it back when it is taken away already. */
  async toggle(...toggled: Intervention[]): Promise<void> {
    const { shown } = this;
    if (!shown || toggled.length === 0) return;
    let { list } = shown.interventions;
    for (const one of toggled) {
      const rest = list.filter(other => !sameIntervention(other, one));
      list = rest.length < list.length ? rest : [...list, one];
    }
    const run = this.run(shown.id, list, null);
    // After the views know of the list: a change that is not there would be replaced by one that is.
    this.select({ change: list.length > 0 ? { kind: 'interventions' } : null });
    await run;
  }

  /** Gives back what was taken away last. */
  async undo(): Promise<void> {
    const { shown } = this;
    const list = shown?.interventions.list ?? [];
    if (list.length === 1) return this.clear();
    if (shown && list.length > 0) await this.run(shown.id, list.slice(0, -1), null);
  }

  /** Gives everything back; no other change takes its place on the text unasked. */
  async clear(): Promise<void> {
    if (!this.shown) return;
    const run = this.run(this.shown.id, [], null);
    this.select({ change: null });
    await run;
  }

  /** Takes exactly this away. */
  async run(id: string, list: Intervention[], notice: string | null): Promise<void> {
    this.stop(id);
    const tell = (state: Partial<Interventions>) =>
      this.host.tell({
        type: 'interventions',
        id,
        interventions: { ...NO_INTERVENTIONS, list, notice, ...state },
      });
    if (list.length === 0) return tell({});
    const abort = new AbortController();
    this.runs.set(id, abort);
    const isLatest = () => this.runs.get(id) === abort;
    tell({ running: 0 });
    try {
      const result = await this.host.ask('analysis/intervene', { id, interventions: list }, abort.signal);
      if (isLatest()) tell({ result });
    } catch (error) {
      if (!isLatest() || isCancelled(error)) return;
      // What the engine has lost is analysed again, and then the list runs with it.
      if (codeOf(error) === ErrorCode.unknownAnalysis) return;
      tell({ notice: this.failed(error) });
    } finally {
      if (isLatest()) this.runs.delete(id);
    }
  }

  stop(id: string): void {
    this.runs.get(id)?.abort();
    this.runs.delete(id);
  }

  /** How far the engine is. While a run waits its turn, other work on the same text tells of its progress. */
  progress({ id, phase, fraction }: AnalysisProgress): void {
    if (phase !== 'propagate' || !this.runs.has(id)) return;
    const state = this.host.stateOf(id);
    if (state?.status !== 'ready') return;
    this.host.tell({
      type: 'interventions',
      id,
      interventions: { ...state.interventions, running: fraction },
    });
  }

  dispose(): void {
    for (const run of this.runs.values()) run.abort();
  }

  private get shown() {
    const { state } = this.host;
    return state.status === 'ready' ? state : null;
  }
}

function sameIntervention(a: Intervention, b: Intervention): boolean {
  const key = (one: Intervention) => JSON.stringify(Object.entries(one).sort(([x], [y]) => (x < y ? -1 : 1)));
  return key(a) === key(b);
}
