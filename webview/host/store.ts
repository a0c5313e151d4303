import type { ReactiveController, ReactiveControllerHost } from 'lit';
import {
  sidesOf,
  type AnalysisProgress,
  type AnalysisSummary,
  type CoreResult,
  type CostProgress,
  type HeadProfile,
  type MechanismChoice,
  type MechanismInfo,
  type MechanismResult,
  type ModelInfo,
  type Plan,
  type TargetText,
  type TokenTable,
} from '../../shared/protocol/engine';
import {
  NO_INTERVENTIONS,
  type AnalysisState,
  type HostSettings,
  type Interventions,
  type Place,
  type ReportInfo,
  type Planning,
  type Selection,
  type ViewName,
  type ViewState,
} from '../../shared/protocol/host';
import { begun, resultsOf } from '../../shared/host/analysisState';
import { INITIAL_STATE, told, type HostState, type StateMessage } from '../../shared/host/hostState';
import { HostLink, type HostApi } from './link';
import { sameMechanism } from './mechanisms';

export { sameMechanism };

export interface HeadId {
  core: number;
  head: number;
}

/** The analysed text, or the decoder's own. */
export type Side = 'text' | 'target';

type OptionValue = string | number | boolean | null;

/**
 * The one truth of a view: the analysis, the selection and the settings as the extension told them,
 * plus what only this view knows (previews, its own options). Fires `change` after every change.
 */
export class Store extends EventTarget {
  private state: HostState = INITIAL_STATE;
  /** The head under the pointer in this view. */
  previewHead: HeadId | null = null;
  /** One sentence on what was just done, or why it was not; goes with the next change of view. */
  notice: string | null = null;
  private previewedAt = 0;
  readonly host: HostLink;

  constructor(api: HostApi) {
    super();
    this.host = new HostLink(api, message => this.receive(message));
  }

  // ------------------------------------------------------------ reading

  get connected(): boolean {
    return this.state.connected;
  }

  get place(): Place {
    return this.state.place;
  }

  get analysis(): AnalysisState {
    return this.state.analysis;
  }

  get selection(): Selection {
    return this.state.selection;
  }

  get settings(): HostSettings {
    return this.state.settings;
  }

  get mechanismInfos(): MechanismInfo[] {
    return this.state.mechanisms;
  }

  get viewState(): ViewState {
    return this.state.view;
  }

  /** The token under the pointer, here or in the editor. */
  get previewToken(): number | null {
    return this.state.previewToken;
  }

  /** A measurement of costs that goes on. */
  get cost(): CostProgress | null {
    return this.state.cost;
  }

  /** In an HTML report: what it holds. The views offer nothing that would need an engine. */
  get report(): ReportInfo | null {
    return this.state.report;
  }

  get id(): string | null {
    return this.analysis.status === 'running' || this.analysis.status === 'ready' ? this.analysis.id : null;
  }

  get summary(): AnalysisSummary | null {
    return this.analysis.status === 'ready' ? this.analysis.summary : null;
  }

  get stale(): boolean {
    return this.analysis.status === 'ready' && this.analysis.stale;
  }

  /** The latest plan for this text, or null. */
  get plan(): Plan | null {
    return this.analysis.status === 'ready' ? this.analysis.plan : null;
  }

  get interventions(): Interventions {
    return this.analysis.status === 'ready' ? this.analysis.interventions : NO_INTERVENTIONS;
  }

  get planning(): Planning | null {
    return this.analysis.status === 'ready' ? this.analysis.planning : null;
  }

  get progress(): AnalysisProgress | null {
    return this.analysis.status === 'running' ? this.analysis.progress : null;
  }

  get model(): ModelInfo | null {
    return begun(this.analysis)?.model ?? null;
  }

  get tokens(): TokenTable | null {
    return begun(this.analysis)?.tokens ?? null;
  }

  /** What the decoder of an encoder-decoder reads. */
  get target(): TargetText | null {
    return begun(this.analysis)?.target ?? null;
  }

  /** The tokens of one text: the analysed one, or what the decoder of an encoder-decoder reads. */
  tokensOf(side: Side): TokenTable | null {
    return side === 'text' ? this.tokens : (this.target?.tokens ?? null);
  }

  /** Which text the queries and the keys of a core come from. */
  sides(core: number | null): { queries: Side; keys: Side } {
    const info = this.model?.cores.find(c => c.core === core);
    return info ? sidesOf(info.kind) : { queries: 'text', keys: 'text' };
  }

  /** Finished cores, in execution order. */
  get cores(): CoreResult[] {
    if (this.analysis.status === 'ready') return this.analysis.summary.cores;
    if (this.analysis.status !== 'running') return [];
    return [...this.analysis.cores].sort((a, b) => a.info.core - b.info.core);
  }

  get heads(): HeadProfile[] {
    return this.cores.flatMap(core => core.heads);
  }

  get mechanisms(): MechanismResult[] {
    return resultsOf(this.analysis);
  }

  profile({ core, head }: HeadId): HeadProfile | null {
    return this.cores.find(c => c.info.core === core)?.heads.find(h => h.head === head) ?? null;
  }

  /** The head that the detail views show: the selected one, else the one whose role is clearest. */
  get shownHead(): HeadId | null {
    const { core, head } = this.selection;
    if (core !== null && head !== null && this.profile({ core, head })) return { core, head };
    const candidates = core === null ? this.heads : this.heads.filter(h => h.core === core);
    let best: HeadProfile | null = null;
    for (const h of candidates) if (!best || roleStrength(h) > roleStrength(best)) best = h;
    return best && { core: best.core, head: best.head };
  }

  /** The mechanisms that can be looked at: all, or those that a report holds. */
  get offeredMechanisms(): MechanismInfo[] {
    const held = new Set(this.mechanisms.map(m => m.name));
    return this.mechanismInfos.filter(({ name }) => name !== 'dense' && (!this.report || held.has(name)));
  }

  /** Result of a mechanism in this analysis, or undefined while it has none. */
  mechanismResult(
    choice: MechanismChoice,
    scope: MechanismResult['scope'] = 'local',
  ): MechanismResult | undefined {
    return this.mechanisms.find(m => m.scope === scope && sameMechanism(m, choice));
  }

  /** Parameters that this analysis (or the settings) used for a mechanism; its defaults otherwise. */
  choiceOf(name: string): MechanismChoice {
    const used = this.mechanisms.find(m => m.name === name);
    if (used) return { name, params: used.params };
    return this.settings.mechanisms.find(m => m.name === name) ?? { name, params: {} };
  }

  option<T extends OptionValue>(view: string, name: string, fallback: T): T {
    const value = this.viewState.options[view]?.[name];
    return typeof value === typeof fallback || value === null ? (value as T) : fallback;
  }

  // ------------------------------------------------------------ asking

  select(selection: Partial<Selection>): void {
    this.host.send({ type: 'select', selection });
  }

  preview(token: number | null): void {
    if (token === this.previewToken) return;
    this.previewedAt = Date.now();
    this.host.send({ type: 'preview', token });
    this.become({ previewToken: token });
  }

  previewOf(head: HeadId | null): void {
    if (head?.core === this.previewHead?.core && head?.head === this.previewHead?.head) return;
    this.previewHead = head;
    this.changed();
  }

  say(notice: string | null): void {
    this.notice = notice;
    this.changed();
  }

  show(view: ViewName): void {
    if (view === this.viewState.view) return;
    this.notice = null;
    this.keep({ ...this.viewState, view });
  }

  setOption(view: string, name: string, value: OptionValue): void {
    const { options } = this.viewState;
    this.keep({ ...this.viewState, options: { ...options, [view]: { ...options[view], [name]: value } } });
  }

  setChangeMarks(changeMarks: boolean): void {
    this.host.send({ type: 'setChangeMarks', changeMarks });
    this.become({ settings: { ...this.settings, changeMarks } });
  }

  setMassScale(massScale: HostSettings['massScale']): void {
    this.host.send({ type: 'setMassScale', massScale });
    this.become({ settings: { ...this.settings, massScale } });
  }

  // ------------------------------------------------------------ hearing

  private keep(view: ViewState): void {
    this.host.send({ type: 'viewState', view });
    this.become({ view });
  }

  /** What is seen at once, before the host says so. */
  private become(change: Partial<HostState>): void {
    this.state = { ...this.state, ...change };
    this.changed();
  }

  private changed(): void {
    this.dispatchEvent(new Event('change'));
  }

  private receive(message: StateMessage): void {
    // While the pointer moves here, what comes back is where it was.
    if (message.type === 'preview' && Date.now() - this.previewedAt < 400) return;
    if (message.type === 'show') return this.show(message.view);
    const before = this.state;
    this.state = told(before, message);
    if (this.state !== before) this.changed();
  }
}

/** How clearly a head has a role, for choosing what to show first: looking nearby or everywhere is no discovery. */
function roleStrength(head: HeadProfile): number {
  const best = head.roles[0];
  if (!best) return 0;
  return ['broad', 'self', 'local'].includes(best.role) ? best.score / 4 : best.score;
}

// ---------------------------------------------------------------- the instance, and Lit's way to it

export const store = new Store(acquireVsCodeApi());

/** Re-renders a component on every change of the store. */
export class StoreController implements ReactiveController {
  constructor(private readonly element: ReactiveControllerHost) {
    element.addController(this);
  }
  private readonly update = () => this.element.requestUpdate();
  hostConnected(): void {
    store.addEventListener('change', this.update);
  }
  hostDisconnected(): void {
    store.removeEventListener('change', this.update);
  }
}
