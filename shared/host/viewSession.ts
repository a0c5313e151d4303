import type {
  HostCommand,
  HostMessage,
  HostSettings,
  Place,
  Selection,
  ViewMessage,
  ViewMethod,
  ViewName,
  ViewParams,
  ViewState,
} from '../protocol/host';
import { codeOf, reasonOf } from './host';
import type { StateMessage } from './hostState';
import type { Ablator } from './ablator';
import type { Intervener } from './intervener';
import type { Planner } from './planner';

/** What a view can wish for that the host alone knows how to do: it is about its editor, its files, its log. */
export type HostWish = Extract<
  ViewMessage,
  { type: 'preview' | 'reveal' | 'openFile' | 'run' | 'openView' | 'exportPlan' | 'copy' | 'log' }
>;

/** What stands behind the views of one host. */
export interface ViewHost {
  /** The whole truth, but for what belongs to one place. */
  whole(): Omit<Extract<StateMessage, { type: 'state' }>, 'type' | 'place' | 'view'>;
  recall(place: Place): ViewState | null;
  remember(place: Place, view: ViewState): void;
  select(change: Partial<Selection>): void;
  set(change: Partial<Pick<HostSettings, 'massScale' | 'changeMarks'>>): unknown;
  readonly planner: Planner;
  readonly intervener: Intervener;
  readonly ablator: Ablator;
  answer<M extends ViewMethod>(method: M, params: ViewParams<M>, signal: AbortSignal): Promise<unknown>;
  perform(wish: HostWish, place: Place): unknown;
}

/** Commands that are the same in every host. */
const SHARED_COMMANDS: Partial<Record<HostCommand, (host: ViewHost) => Promise<void>>> = {
  undoIntervention: ({ intervener }) => intervener.undo(),
  clearInterventions: ({ intervener }) => intervener.clear(),
};

/** The host's end of the conversation with one page: tells it the state and what follows, does what it wishes for. */
export class ViewSession {
  /** Nothing is sent before the page has said that it listens. */
  private listening = false;
  private wanted: { view: ViewName; focus: boolean } | null = null;
  /** A hidden page is thrown away and loaded anew; replies for the earlier one must not reach it. */
  private page = 0;
  private readonly requests = new Map<number, AbortController>();

  constructor(
    private readonly host: ViewHost,
    private readonly place: Place,
    private readonly post: (message: HostMessage) => void,
  ) {}

  send(message: StateMessage): void {
    if (this.listening) this.post(message);
  }

  sendState(): void {
    const { host, place } = this;
    this.send({ type: 'state', place, view: host.recall(place), ...host.whole() });
  }

  /** Shows a view, as soon as the page listens. */
  show(view: ViewName, focus = false): void {
    if (this.listening) this.send({ type: 'show', view, focus });
    else this.wanted = { view, focus };
  }

  dispose(): void {
    this.listening = false;
    this.cancelAll();
  }

  async receive(message: ViewMessage): Promise<void> {
    const { host } = this;
    switch (message.type) {
      case 'ready':
        return this.begin();
      case 'request':
        return this.answer(message);
      case 'cancelRequest':
        return this.requests.get(message.id)?.abort();
      case 'viewState':
        return host.remember(this.place, message.view);
      case 'select':
        return host.select(message.selection);
      case 'setMassScale':
        return void (await host.set({ massScale: message.massScale }));
      case 'setChangeMarks':
        return void (await host.set({ changeMarks: message.changeMarks }));
      case 'intervene':
        return host.intervener.toggle(message.toggle);
      case 'ablate':
        return host.ablator.start();
      case 'cancelAblation':
        return host.ablator.cancel();
      case 'findPlan':
        return host.planner.find(message.budget, message.mechanisms, message.unit);
      case 'cancelPlan':
        return host.planner.cancel();
      case 'changePlan':
        return host.planner.change(message.change);
      case 'run': {
        const shared = SHARED_COMMANDS[message.command];
        return shared ? shared(host) : void (await host.perform(message, this.place));
      }
      default:
        await host.perform(message, this.place);
    }
  }

  private begin(): void {
    this.page++;
    this.cancelAll();
    this.listening = true;
    this.sendState();
    if (this.wanted) this.send({ type: 'show', ...this.wanted });
    this.wanted = null;
  }

  private cancelAll(): void {
    for (const request of this.requests.values()) request.abort();
    this.requests.clear();
  }

  private async answer({ id, method, params }: Extract<ViewMessage, { type: 'request' }>): Promise<void> {
    const abort = new AbortController();
    const { page } = this;
    const reply = (message: HostMessage) => page === this.page && this.listening && this.post(message);
    this.requests.set(id, abort);
    try {
      const result: unknown = await this.host.answer(method, params as never, abort.signal);
      reply({ type: 'response', id, ok: true, result });
    } catch (error) {
      reply({ type: 'response', id, ok: false, error: { code: codeOf(error), message: reasonOf(error) } });
    } finally {
      if (page === this.page) this.requests.delete(id);
    }
  }
}
