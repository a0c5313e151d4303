import type {
  EngineMethod,
  EngineNotifications,
  EngineParams,
  EngineResult,
  InitializeResult,
} from '../protocol/engine';
import type {
  AnalysisState,
  HostMessage,
  HostSettings,
  Place,
  Selection,
  ViewMethod,
  ViewParams,
  ViewState,
} from '../protocol/host';
import { Ablator } from './ablator';
import { updateFrom, type AnalysisHost, type Translate } from './host';
import { INITIAL_STATE, told, type HostState, type StateMessage } from './hostState';
import { Intervener } from './intervener';
import { Planner } from './planner';
import { changedSelection } from './selection';
import { ViewSession, type HostWish, type ViewHost } from './viewSession';

/** A host of one analysis and one page, that keeps all in memory: an HTML report's, and the tests'. */
export abstract class MemoryHost implements AnalysisHost, ViewHost {
  private now: HostState;
  readonly planner: Planner;
  readonly intervener: Intervener;
  readonly ablator: Ablator;
  protected readonly session: ViewSession;

  constructor(place: Place, post: (message: HostMessage) => void, start: Partial<HostState> = {}) {
    this.now = { ...INITIAL_STATE, connected: true, place, ...start };
    this.session = new ViewSession(this, place, post);
    this.planner = new Planner(this);
    this.intervener = new Intervener(this, change => this.select(change));
    this.ablator = new Ablator(this);
  }

  /** Everything, as the page was told. */
  get all(): HostState {
    return this.now;
  }

  get state(): AnalysisState {
    return this.now.analysis;
  }

  get selection(): Selection {
    return this.now.selection;
  }

  stateOf(id: string): AnalysisState | undefined {
    return 'id' in this.state && this.state.id === id ? this.state : undefined;
  }

  tell(message: StateMessage): void {
    this.now = told(this.now, message);
    this.session.send(message);
  }

  /** What the engine says unasked. */
  hear<N extends keyof EngineNotifications>(name: N, params: EngineNotifications[N]): void {
    const update = updateFrom(name, params);
    if (update?.type === 'progress') {
      this.planner.progress(update.progress);
      this.intervener.progress(update.progress);
      this.ablator.progress(update.progress);
      this.tell({ type: 'work', progress: update.progress });
    }
    if (update) this.tell(update);
    if (name === 'analysis/ablated') this.ablator.ablated(params as EngineNotifications['analysis/ablated']);
    if (name === 'cost/progress')
      this.tell({ type: 'cost', progress: params as EngineNotifications['cost/progress'] });
  }

  /** Another analysis, or another stage of it: all is told anew. */
  show(analysis: AnalysisState, more: Partial<Pick<HostState, 'report'> & InitializeResult> = {}): void {
    const { mechanisms = this.now.mechanisms, report = this.now.report } = more;
    this.now = { ...this.now, analysis, mechanisms, report };
    this.session.sendState();
  }

  // ------------------------------------------------------------ what a view wishes for

  whole() {
    const { analysis, selection, settings, mechanisms, report, corpus, others } = this.now;
    return { analysis, selection, settings, mechanisms, corpus, others, ...(report && { report }) };
  }

  recall(): ViewState | null {
    return this.now.view;
  }

  remember(_place: Place, view: ViewState): void {
    this.now = { ...this.now, view };
  }

  select(change: Partial<Selection>): void {
    const selection = changedSelection(this.selection, change);
    if (selection !== this.selection) this.tell({ type: 'selection', selection });
  }

  set(change: Partial<HostSettings>): void {
    this.tell({ type: 'settings', settings: { ...this.now.settings, ...change } });
  }

  readonly t: Translate = (sentence, ...values) =>
    sentence.replace(/\{(\d+)\}/g, (_, at: string) => String(values[Number(at)]));

  abstract ask<M extends EngineMethod>(
    method: M,
    params: EngineParams<M>,
    signal: AbortSignal,
  ): Promise<EngineResult<M>>;
  abstract answer<M extends ViewMethod>(
    method: M,
    params: ViewParams<M>,
    signal: AbortSignal,
  ): Promise<unknown>;
  abstract perform(wish: HostWish, place: Place): unknown;
}
