import { signal } from '@lit-labs/preact-signals';
import { Task, TaskStatus, initialState } from '@lit/task';
import type { ReactiveController, ReactiveControllerHost } from 'lit';
import type { ViewMethod, ViewParams, ViewResult } from '../../shared/protocol/host';
import { RequestError } from './requestError';
import { store } from './store';

/** Answers kept per method, so that a view that is opened again has its picture at once. */
const KEPT = 12;
/** By method, then by parameters; ids of analyses are never used again, so nothing in here goes out of date. */
const kept = new Map<ViewMethod, Map<string, unknown>>();

/** What the next measurement changes. */
const NEVER_KEPT: ReadonlySet<ViewMethod> = new Set(['host/costs']);

function keep(method: ViewMethod, key: string, value: unknown): void {
  if (NEVER_KEPT.has(method)) return;
  const answers = kept.get(method) ?? new Map<string, unknown>();
  kept.set(method, answers);
  answers.delete(key);
  answers.set(key, value);
  if (answers.size > KEPT) answers.delete(answers.keys().next().value!);
}

/**
 * One answer of the engine that a component shows. Call `want` with the parameters of the moment (in `willUpdate`):
 * a change aborts the request under way and asks anew, and the last answer stays until the next is there.
 */
export class Remote<M extends ViewMethod> implements ReactiveController {
  private readonly answer = signal<{ value: ViewResult<M>; params: ViewParams<M> } | null>(null);
  private key = '';
  /** What a request is made for; null when nothing is wanted, or the answer is known. */
  private asked: ViewParams<M> | null = null;
  private readonly task: Task<[ViewParams<M> | null], ViewResult<M>>;

  /** @param delay milliseconds of quiet before a request goes out (sliders, pointer moves) */
  constructor(
    element: ReactiveControllerHost,
    private readonly method: M,
    private readonly delay = 0,
  ) {
    element.addController(this);
    this.task = new Task(element, {
      args: () => [this.asked],
      task: ([asked], { signal }) => (asked ? this.ask(asked, signal) : initialState),
    });
  }

  get value(): ViewResult<M> | null {
    return this.answer.value?.value ?? null;
  }

  /** The parameters that `value` answers. */
  get answers(): ViewParams<M> | null {
    return this.answer.value?.params ?? null;
  }

  get loading(): boolean {
    return this.asked !== null && this.task.status === TaskStatus.PENDING;
  }

  get error(): string | null {
    return this.failure?.message ?? null;
  }

  /** Another try would end the same. */
  get final(): boolean {
    return this.failure instanceof RequestError && this.failure.final;
  }

  private get failure(): Error | null {
    const failed = this.asked !== null && this.task.status === TaskStatus.ERROR;
    return failed ? (this.task.error as Error) : null;
  }

  hostDisconnected(): void {
    this.want(null);
    this.task.abort();
  }

  want(params: ViewParams<M> | null): void {
    const key = params ? JSON.stringify(params) : '';
    if (key === this.key) return;
    this.key = key;
    const known = kept.get(this.method)?.get(key) as ViewResult<M> | undefined;
    this.asked = known === undefined ? params : null;
    if (this.asked) return;
    this.answer.value = params && known !== undefined ? { value: known, params } : null;
  }

  retry(): void {
    void this.task.run();
  }

  private async ask(params: ViewParams<M>, signal: AbortSignal): Promise<ViewResult<M>> {
    if (this.delay && this.answer.peek()) await pause(this.delay, signal);
    const value = await store.host.request(this.method, params, signal);
    this.answer.value = { value, params };
    keep(this.method, JSON.stringify(params), value);
    return value;
  }
}

/** Rejects as soon as nobody waits any more. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(new DOMException('cancelled', 'AbortError'));
    });
  });
}
