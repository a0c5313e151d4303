import type { ReactiveController, ReactiveControllerHost } from 'lit';
import type { ViewMethod, ViewParams, ViewResult } from '../../shared/protocol/host';
import { store } from './store';

/** Answers kept per method, so that a view that is opened again has its picture at once. */
const KEPT = 12;
/** By method, then by parameters; ids of analyses are never used again, so nothing in here goes out of date. */
const kept = new Map<ViewMethod, Map<string, unknown>>();

function keep(method: ViewMethod, key: string, value: unknown): void {
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
  value: ViewResult<M> | null = null;
  /** The parameters that `value` answers. */
  answers: ViewParams<M> | null = null;
  error: string | null = null;
  loading = false;
  private key = '';
  private timer: ReturnType<typeof setTimeout> | undefined;
  private abort: AbortController | null = null;

  /** @param delay milliseconds of quiet before a request goes out (sliders, pointer moves) */
  constructor(
    private readonly element: ReactiveControllerHost,
    private readonly method: M,
    private readonly delay = 0,
  ) {
    element.addController(this);
  }

  hostDisconnected(): void {
    this.want(null);
  }

  want(params: ViewParams<M> | null): void {
    const key = params ? JSON.stringify(params) : '';
    if (key === this.key) return;
    this.key = key;
    clearTimeout(this.timer);
    this.abort?.abort();
    this.abort = null;
    this.error = null;
    const known = kept.get(this.method)?.get(key) as ViewResult<M> | undefined;
    this.loading = params !== null && known === undefined;
    if (known !== undefined) {
      this.value = known;
      this.answers = params;
    } else if (!params) {
      this.value = null;
      this.answers = null;
    } else if (this.delay && this.value) {
      this.timer = setTimeout(() => void this.ask(params), this.delay);
    } else {
      void this.ask(params);
    }
  }

  retry(): void {
    const { key } = this;
    this.key = '';
    if (key) this.want(JSON.parse(key) as ViewParams<M>);
    this.element.requestUpdate();
  }

  private async ask(params: ViewParams<M>): Promise<void> {
    const abort = new AbortController();
    this.abort = abort;
    try {
      const value = await store.host.request(this.method, params, abort.signal);
      if (abort.signal.aborted) return;
      this.value = value;
      this.answers = params;
      keep(this.method, JSON.stringify(params), value);
    } catch (error) {
      if (abort.signal.aborted) return;
      this.error = (error as Error).message;
    }
    this.loading = false;
    this.element.requestUpdate();
  }
}
