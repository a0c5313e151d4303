import { computed, signal } from '@lit-labs/preact-signals';
import type { ReactiveController, ReactiveControllerHost } from 'lit';
import type { BudgetUnit, MechanismResult } from '../../shared/protocol/engine';
import { RequestError } from './requestError';
import { store } from './store';

interface Job {
  budget: number;
  unit: BudgetUnit;
  name: string;
}

/** What the engine has found for one analysis, kept while its views come and go. */
interface Found {
  id: string;
  /** By budget, its unit and mechanism; null = it has no setting for that budget. */
  results: ReadonlyMap<string, MechanismResult | null>;
}

const found = signal<Found>({ id: '', results: new Map() });
const results = computed(() => {
  const { id, results: all } = found.value;
  return id === store.id ? [...all.values()].filter(one => one !== null) : [];
});

function keep(id: string, job: Job, result: MechanismResult | null): void {
  const { id: now, results: all } = found.peek();
  if (now === id) found.value = { id, results: new Map([...all, [keyOf(job), result]]) };
}
const keyOf = ({ budget, unit, name }: Job) => `${budget} ${unit} ${name}`;

/**
 * Asks for the settings of every mechanism at some budgets, one mechanism after another, so that rows and points come as
 * they are found. Call `want` with the budgets of the moment (in `willUpdate`).
 */
export class BudgetFits implements ReactiveController {
  error: string | null = null;
  private id = '';
  private jobs: Job[] = [];
  private abort: AbortController | null = null;
  private running: Job | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private wanted = '';

  constructor(private readonly element: ReactiveControllerHost) {
    element.addController(this);
  }

  hostDisconnected(): void {
    this.want(null, []);
  }

  /** All results so far, of every budget. */
  get results(): MechanismResult[] {
    return results.value;
  }

  /** The mechanism that is being tried, with what is still to come; null when nothing is. */
  get busy(): { name: string; left: number } | null {
    const next = this.running ?? this.jobs[0];
    return next ? { name: next.name, left: this.jobs.length + (this.running ? 1 : 0) } : null;
  }

  /** @param budgets shares of what dense attention spends in this unit, the most wanted first */
  want(id: string | null, budgets: readonly number[], unit: BudgetUnit = 'pairs'): void {
    const names = store.mechanismInfos.map(info => info.name).filter(name => name !== 'dense');
    const wanted = id && budgets.length ? JSON.stringify([id, budgets, unit, names]) : '';
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    this.error = null;
    clearTimeout(this.timer);
    if (id && id !== found.peek().id) found.value = { id, results: new Map() };
    this.id = id ?? '';
    this.jobs = wanted
      ? budgets
          .flatMap(budget => names.map(name => ({ budget, unit, name })))
          .filter(job => !found.peek().results.has(keyOf(job)))
      : [];
    if (this.running && !this.jobs.some(job => keyOf(job) === keyOf(this.running!))) {
      this.abort?.abort();
      this.running = null;
    }
    this.jobs = this.jobs.filter(job => !this.running || keyOf(job) !== keyOf(this.running));
    // A slider that moves asks when it rests.
    if (this.jobs.length) this.timer = setTimeout(() => void this.work(), 350);
  }

  private async work(): Promise<void> {
    if (this.running) return;
    const job = this.jobs.shift();
    if (!job) return;
    const abort = new AbortController();
    [this.running, this.abort] = [job, abort];
    this.element.requestUpdate();
    const { id } = this;
    try {
      const params = { id, budget: job.budget, unit: job.unit, mechanisms: [job.name] };
      const [result] = await store.host.request('analysis/atBudget', params, abort.signal);
      keep(id, job, result ?? null);
    } catch (error) {
      if (abort.signal.aborted) return;
      const refused = error instanceof RequestError && error.refused;
      if (refused) keep(id, job, null);
      if (!refused) {
        this.error = (error as Error).message;
        this.jobs = [];
      }
    }
    if (abort.signal.aborted) return;
    this.running = null;
    this.element.requestUpdate();
    void this.work();
  }
}
