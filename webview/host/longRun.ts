import { signal, type Signal } from '@lit-labs/preact-signals';
import type { ViewMethod, ViewParams, ViewResult } from '../../shared/protocol/host';
import { store } from './store';

/** A long request that outlives the view that made it: the view may be left and opened again meanwhile. */
export abstract class LongRun {
  private readonly abort: Signal<AbortController | null> = signal(null);
  private readonly reason: Signal<string | null> = signal(null);

  get running(): boolean {
    return this.abort.value !== null;
  }

  get failure(): string | null {
    return this.reason.value;
  }

  cancel(): void {
    this.abort.peek()?.abort();
  }

  /** One at a time: a new run takes the old one's place. */
  protected async run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T | null> {
    this.cancel();
    const abort = new AbortController();
    this.abort.value = abort;
    this.reason.value = null;
    try {
      return await work(abort.signal);
    } catch (error) {
      if (!abort.signal.aborted) this.reason.value = (error as Error).message;
      return null;
    } finally {
      if (this.abort.peek() === abort) this.abort.value = null;
    }
  }
}

/** A request that takes long, whose answers are kept by what was asked for. */
export class Asking<M extends ViewMethod> extends LongRun {
  private readonly found: Signal<ReadonlyMap<string, ViewResult<M>>> = signal(new Map());
  private of = '';

  constructor(private readonly method: M) {
    super();
  }

  /** null while it is not known. */
  result(params: ViewParams<M> | null): ViewResult<M> | null {
    return this.found.value.get(JSON.stringify(params)) ?? null;
  }

  runs(params: ViewParams<M>): boolean {
    return this.running && this.of === JSON.stringify(params);
  }

  /** Why it failed, where this was asked for last. */
  failed(params: ViewParams<M>): string | null {
    return this.of === JSON.stringify(params) ? this.failure : null;
  }

  async start(params: ViewParams<M>): Promise<ViewResult<M> | null> {
    const key = JSON.stringify(params);
    this.of = key;
    const result = await this.run(abort => store.host.request(this.method, params, abort));
    const answer: [string, ViewResult<M>][] = result === null ? [] : [[key, result]];
    this.found.value = new Map([...this.found.peek(), ...answer].slice(-KEPT));
    return result;
  }
}

/** Answers kept of each request. */
const KEPT = 8;

/** What every head writes to the logits directly, on the whole text. */
export const attributionRun = new Asking('analysis/attribution');
/** What each head's output carries from one text into another. */
export const patchRun = new Asking('analysis/patch');
/** What the layers hand on of each token. */
export const patchResidualRun = new Asking('analysis/patchResidual');
/** What a head carries from one token to another. */
export const patchEdgesRun = new Asking('analysis/patchEdges');
/** What every head does on the canonical probe. */
export const probeRun = new Asking('heads/probe');
