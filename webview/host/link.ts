import type { StateMessage } from '../../shared/host/hostState';
import type {
  HostMessage,
  ViewMessage,
  ViewMethod,
  ViewParams,
  ViewResult,
} from '../../shared/protocol/host';
import { RequestError } from './requestError';

/** What a webview is given to speak with its extension. */
export interface HostApi {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  getState(): unknown;
  setState(state: unknown): void;
}

declare global {
  function acquireVsCodeApi(): HostApi;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Messages to and from the extension; requests become promises that can be aborted. */
export class HostLink {
  private nextId = 1;
  private readonly pending = new Map<number, Pending>();

  private readonly listeners: ((message: StateMessage) => void)[] = [];

  constructor(private readonly api: HostApi) {
    window.addEventListener('message', event => this.receive(event.data as HostMessage));
  }

  /** Everything that is no answer to a request. */
  onMessage(listener: (message: StateMessage) => void): void {
    this.listeners.push(listener);
  }

  send(message: ViewMessage): void {
    this.api.postMessage(message);
  }

  request<M extends ViewMethod>(
    method: M,
    params: ViewParams<M>,
    signal?: AbortSignal,
  ): Promise<ViewResult<M>> {
    const id = this.nextId++;
    return new Promise<ViewResult<M>>((resolve, reject) => {
      this.pending.set(id, { resolve: value => resolve(value as ViewResult<M>), reject });
      signal?.addEventListener('abort', () => {
        if (!this.pending.delete(id)) return;
        this.send({ type: 'cancelRequest', id });
        reject(new DOMException('cancelled', 'AbortError'));
      });
      this.send({ type: 'request', id, method, params } as ViewMessage);
    });
  }

  private receive(message: HostMessage): void {
    if (typeof message?.type !== 'string') return;
    if (message.type !== 'response') {
      for (const listener of this.listeners) listener(message);
      return;
    }
    const pending = this.pending.get(message.id);
    if (!pending) return;
    this.pending.delete(message.id);
    if (message.ok) pending.resolve(message.result);
    else pending.reject(new RequestError(message.error.message, message.error.code));
  }
}
