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
  NO_SELECTION,
  type AnalysisState,
  type HostMessage,
  type HostSettings,
  type Interventions,
  type Place,
  type ReportInfo,
  type Planning,
  type Selection,
  type ViewName,
  type ViewState,
} from '../../shared/protocol/host';
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

const INITIAL_SETTINGS: HostSettings = {
  massScale: 'sqrt',
  changeMarks: true,
  themeKind: 'dark',
  mechanisms: [],
  model: '',
  locale: 'en',
  reduceMotion: false,
};

/**
 * The one truth of a view: the analysis, the selection and the settings as the extension told them,
 * plus what only this view knows (previews, its own options). Fires `change` after every change.
 */
export class Store extends EventTarget {
  connected = false;
  place: Place = 'panel';
  analysis: AnalysisState = { status: 'none' };
  selection: Selection = NO_SELECTION;
  settings: HostSettings = INITIAL_SETTINGS;
  mechanismInfos: MechanismInfo[] = [];
  viewState: ViewState = { view: 'overview', options: {} };
  /** The token under the pointer, here or in the editor. */
  previewToken: number | null = null;
  /** The head under the pointer in this view. */
  previewHead: HeadId | null = null;
  /** One sentence on what was just done, or why it was not; goes with the next change of view. */
  notice: string | null = null;
  /** A measurement of costs that goes on. */
  cost: CostProgress | null = null;
  /** In an HTML report: what it holds. The views offer nothing that would need an engine. */
  report: ReportInfo | null = null;
  private previewedAt = 0;
  readonly host: HostLink;

  constructor(api: HostApi) {
    super();
    this.host = new HostLink(api, message => this.receive(message));
  }

  // ------------------------------------------------------------ reading

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
    if (this.analysis.status === 'ready') return this.analysis.summary.model;
    return this.analysis.status === 'running' ? (this.analysis.began?.model ?? null) : null;
  }

  get tokens(): TokenTable | null {
    if (this.analysis.status === 'ready') return this.analysis.summary.tokens;
    return this.analysis.status === 'running' ? (this.analysis.began?.tokens ?? null) : null;
  }

  /** What the decoder of an encoder-decoder reads. */
  get target(): TargetText | null {
    if (this.analysis.status === 'ready') return this.analysis.summary.target;
    return this.analysis.status === 'running' ? (this.analysis.began?.target ?? null) : null;
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
    if (this.analysis.status === 'ready') return this.analysis.summary.mechanisms;
    return this.analysis.status === 'running' ? this.analysis.mechanisms : [];
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
    this.previewToken = token;
    this.previewedAt = Date.now();
    this.host.send({ type: 'preview', token });
    this.changed();
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
    this.viewState = { ...this.viewState, view };
    this.keepViewState();
  }

  setOption(view: string, name: string, value: OptionValue): void {
    const { options } = this.viewState;
    this.viewState = {
      ...this.viewState,
      options: { ...options, [view]: { ...options[view], [name]: value } },
    };
    this.keepViewState();
  }

  setChangeMarks(changeMarks: boolean): void {
    this.settings = { ...this.settings, changeMarks };
    this.host.send({ type: 'setChangeMarks', changeMarks });
    this.changed();
  }

  setMassScale(massScale: HostSettings['massScale']): void {
    this.settings = { ...this.settings, massScale };
    this.host.send({ type: 'setMassScale', massScale });
    this.changed();
  }

  // ------------------------------------------------------------ hearing

  private keepViewState(): void {
    this.host.send({ type: 'viewState', view: this.viewState });
    this.changed();
  }

  private changed(): void {
    this.dispatchEvent(new Event('change'));
  }

  private receive(message: HostMessage): void {
    switch (message.type) {
      case 'state':
        this.connected = true;
        this.place = message.place;
        this.analysis = message.analysis;
        this.selection = message.selection;
        this.settings = message.settings;
        this.mechanismInfos = message.mechanisms;
        this.report = message.report ?? null;
        if (message.view) this.viewState = message.view;
        break;
      case 'progress':
        if (this.analysis.status !== 'running' || this.analysis.id !== message.progress.id) return;
        this.analysis = { ...this.analysis, progress: message.progress };
        break;
      case 'began':
        if (this.analysis.status !== 'running' || this.analysis.id !== message.id) return;
        this.analysis = { ...this.analysis, began: message.began };
        break;
      case 'core':
        if (this.analysis.status !== 'running' || this.analysis.id !== message.id) return;
        this.analysis = { ...this.analysis, cores: [...this.analysis.cores, message.result] };
        break;
      case 'mechanism':
        if (this.id !== message.id) return;
        this.addMechanism(message.result);
        break;
      case 'stale':
        if (this.analysis.status !== 'ready' || this.analysis.id !== message.id) return;
        this.analysis = { ...this.analysis, stale: message.stale };
        break;
      case 'plan':
        if (this.analysis.status !== 'ready' || this.analysis.id !== message.id) return;
        this.analysis = { ...this.analysis, plan: message.plan };
        break;
      case 'planning':
        if (this.analysis.status !== 'ready' || this.analysis.id !== message.id) return;
        this.analysis = { ...this.analysis, planning: message.planning };
        break;
      case 'interventions':
        if (this.analysis.status !== 'ready' || this.analysis.id !== message.id) return;
        this.analysis = { ...this.analysis, interventions: message.interventions };
        break;
      case 'cost':
        this.cost = message.progress;
        break;
      case 'selection':
        this.selection = message.selection;
        break;
      case 'preview':
        // While the pointer moves here, what comes back is where it was.
        if (Date.now() - this.previewedAt < 400) return;
        this.previewToken = message.token;
        break;
      case 'settings':
        this.settings = message.settings;
        break;
      case 'show':
        this.show(message.view);
        break;
      case 'response':
        return;
    }
    this.changed();
  }

  private addMechanism(result: MechanismResult): void {
    const replace = (list: MechanismResult[]) => [
      ...list.filter(m => m.scope !== result.scope || !sameMechanism(m, result)),
      result,
    ];
    if (this.analysis.status === 'running') {
      this.analysis = { ...this.analysis, mechanisms: replace(this.analysis.mechanisms) };
    } else if (this.analysis.status === 'ready') {
      const { summary } = this.analysis;
      this.analysis = { ...this.analysis, summary: { ...summary, mechanisms: replace(summary.mechanisms) } };
    }
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
