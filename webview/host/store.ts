import { computed, signal, type ReadonlySignal } from '@lit-labs/preact-signals';
import {
  sidesOf,
  type AnalysisProgress,
  type AnalysisSummary,
  type CoreResult,
  type CostProgress,
  type HeadProbe,
  type HeadProfile,
  type Setting,
  type MechanismInfo,
  type MechanismResult,
  type ModelInfo,
  type Plan,
  type TargetText,
  type TokenTable,
} from '../../shared/protocol/engine';
import {
  type Ablating,
  type AnalysisState,
  type CorpusState,
  type HostSettings,
  type Interventions,
  type OtherAnalysis,
  type Place,
  type ReportInfo,
  type Planning,
  type Selection,
  type ViewName,
  type ViewState,
} from '../../shared/protocol/host';
import { clearestHead } from '../../shared/host/clearestHead';
import { INITIAL_STATE, told, type HostState, type StateMessage } from '../../shared/host/hostState';
import { HostLink, type HostApi } from './link';
import { mechanismWords } from './mechanismWords';
import { withRoles } from '../model/probed';
import { analysisPartsOf, partsOf } from './stateSignals';
import { denseIsWhatIf } from '../../shared/native';
import { DENSE, readSetting } from '../../shared/setting';

export interface HeadId {
  core: number;
  head: number;
}

/** The analysed text, or the decoder's own. */
export type Side = 'text' | 'target';

type OptionValue = string | number | boolean | null;

/**
 * What a view knows: the state as the extension told it, and what only this view knows (previews, a notice). Each reading is
 * a signal: a component renders again when something changes that it has read, and for nothing else.
 */
export class Store {
  private readonly state = signal<HostState>(INITIAL_STATE);
  private readonly ownPreviewHead = signal<HeadId | null>(null);
  private readonly ownNotice = signal<string | null>(null);
  private readonly ownProbe = signal<HeadProbe | null>(null);
  private readonly options = new Map<string, ReadonlySignal<OptionValue | undefined>>();
  private previewedAt = 0;
  readonly host: HostLink;

  constructor(api: HostApi) {
    this.host = new HostLink(api);
    this.host.onMessage(message => this.receive(message));
  }

  private readonly parts = partsOf(this.state);
  private readonly analysisParts = analysisPartsOf(this.parts.analysis);

  // ------------------------------------------------------------ reading

  get connected(): boolean {
    return this.parts.connected.value;
  }

  get place(): Place {
    return this.parts.place.value;
  }

  get analysis(): AnalysisState {
    return this.parts.analysis.value;
  }

  get selection(): Selection {
    return this.parts.selection.value;
  }

  get settings(): HostSettings {
    return this.parts.settings.value;
  }

  get mechanismInfos(): MechanismInfo[] {
    return this.infos.value;
  }
  private readonly infos = computed(() => mechanismWords(this.parts.mechanisms.value));

  /** The view that is open. */
  get view(): ViewName {
    return this.openView.value;
  }
  private readonly openView = computed(() => this.parts.view.value.view);

  /** The token under the pointer, here or in the editor. */
  get inFront(): string | null {
    return this.parts.inFront.value;
  }

  get previewToken(): number | null {
    return this.parts.previewToken.value;
  }

  /** The head under the pointer in this view. */
  get previewHead(): HeadId | null {
    return this.ownPreviewHead.value;
  }

  /** One sentence on what was just done, or why it was not; goes with the next change of view. */
  get notice(): string | null {
    return this.ownNotice.value;
  }

  /** The profile of a folder that was asked for last. */
  get corpus(): CorpusState {
    return this.parts.corpus.value;
  }

  /** Finished analyses that the shown one can be held against. */
  get others(): OtherAnalysis[] {
    return this.parts.others.value;
  }

  /** A measurement of costs that goes on. */
  get cost(): CostProgress | null {
    return this.parts.cost.value;
  }

  /** What the engine last said of its work on an analysis. */
  get work(): AnalysisProgress | null {
    return this.parts.work.value;
  }

  /** In an HTML report: what it holds. The views offer nothing that would need an engine. */
  get report(): ReportInfo | null {
    return this.parts.report.value;
  }

  /** Whether an engine can be asked what needs every query of the text: in a report there is none, and not all texts had a dense pass. */
  get asksDense(): boolean {
    return !this.report && !this.summary?.sparse;
  }

  get id(): string | null {
    return this.analysisParts.id.value;
  }

  get summary(): AnalysisSummary | null {
    return this.analysisParts.summary.value;
  }

  get stale(): boolean {
    return this.analysisParts.stale.value;
  }

  /** The latest plan for this text, or null. */
  get plan(): Plan | null {
    return this.analysisParts.plan.value;
  }

  get interventions(): Interventions {
    return this.analysisParts.interventions.value;
  }

  /** What losing each head costs, as far as it was measured. */
  get ablation(): Ablating | null {
    return this.analysisParts.ablation.value;
  }

  get planning(): Planning | null {
    return this.analysisParts.planning.value;
  }

  get progress(): AnalysisProgress | null {
    return this.analysisParts.progress.value;
  }

  get model(): ModelInfo | null {
    return this.analysisParts.model.value;
  }

  get tokens(): TokenTable | null {
    return this.analysisParts.tokens.value;
  }

  /** What the decoder of an encoder-decoder reads. */
  get target(): TargetText | null {
    return this.analysisParts.target.value;
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

  /** Finished cores, in execution order; with the roles that are shown. */
  get cores(): CoreResult[] {
    return this.shownCores.value;
  }
  private readonly shownCores = computed(() => {
    const cores = this.analysisParts.cores.value;
    return this.probe ? withRoles(cores, this.probe) : cores;
  });

  /** The canonical probe, while it is its roles that are shown of the heads of this model, and not those that they have on the text. */
  get probe(): HeadProbe | null {
    const probe = this.ownProbe.value;
    return probe && probe.model.ref === this.model?.ref ? probe : null;
  }

  showRolesOf(probe: HeadProbe | null): void {
    this.ownProbe.value = probe;
  }

  get heads(): HeadProfile[] {
    return this.cores.flatMap(core => core.heads);
  }

  get mechanisms(): MechanismResult[] {
    return this.analysisParts.mechanisms.value;
  }

  profile({ core, head }: HeadId): HeadProfile | null {
    return this.cores.find(c => c.info.core === core)?.heads.find(h => h.head === head) ?? null;
  }

  /** The head that the detail views show: the selected one, else the one whose role is clearest. */
  get shownHead(): HeadId | null {
    return this.shown.value;
  }
  private readonly shownProfile = computed(() => this.findShown());
  private readonly shown = computed(() => {
    const profile = this.shownProfile.value;
    return profile && { core: profile.core, head: profile.head };
  });

  private findShown(): HeadProfile | null {
    const core = this.selectedCore.value;
    const head = this.selectedHead.value;
    const chosen = core !== null && head !== null ? this.profile({ core, head }) : null;
    if (chosen) return chosen;
    return clearestHead(core === null ? this.cores : this.cores.filter(({ info }) => info.core === core));
  }
  private readonly selectedCore = computed(() => this.selection.core);
  private readonly selectedHead = computed(() => this.selection.head);

  /** The mechanisms that can be looked at: all, or those that a report holds; dense where the model was made with another. */
  get offeredMechanisms(): MechanismInfo[] {
    const held = new Set(this.mechanisms.map(m => m.setting.name));
    const made = denseIsWhatIf(this.model?.cores ?? []);
    return this.mechanismInfos.filter(
      ({ name }) => (name !== DENSE.name || made) && (!this.report || held.has(name)),
    );
  }

  /** Result of a mechanism in this analysis, or undefined while it has none. */
  mechanismResult(choice: Setting, scope: MechanismResult['scope'] = 'local'): MechanismResult | undefined {
    return this.mechanisms.find(m => m.scope === scope && m.setting.key === choice.key);
  }

  /** Parameters that this analysis (or the settings) used for a mechanism; its defaults otherwise. */
  choiceOf(name: string): Setting {
    const used = this.mechanisms.find(m => m.setting.name === name)?.setting;
    const wanted = used ?? this.settings.mechanisms.find(m => m.name === name);
    return wanted ?? readSetting({ name, params: {} }, this.mechanismInfos);
  }

  option<T extends OptionValue>(view: string, name: string, fallback: T): T {
    const key = `${view}.${name}`;
    const found = this.options.get(key) ?? computed(() => this.parts.view.value.options[view]?.[name]);
    this.options.set(key, found);
    const { value } = found;
    return typeof value === typeof fallback || value === null ? (value as T) : fallback;
  }

  /** The view that the keyboard is to go to, until it has. */
  readonly focusAsked = signal<ViewName | null>(null);

  // ------------------------------------------------------------ asking

  select(selection: Partial<Selection>): void {
    this.host.send({ type: 'select', selection });
  }

  preview(token: number | null): void {
    if (token === this.state.peek().previewToken) return;
    this.previewedAt = Date.now();
    this.host.send({ type: 'preview', token });
    this.become({ previewToken: token });
  }

  previewOf(head: HeadId | null): void {
    const before = this.ownPreviewHead.peek();
    if (head?.core === before?.core && head?.head === before?.head) return;
    this.ownPreviewHead.value = head;
  }

  say(notice: string | null): void {
    this.ownNotice.value = notice;
  }

  show(view: ViewName): void {
    const { view: before } = this.state.peek();
    if (view === before.view) return;
    this.say(null);
    this.keep({ ...before, view });
  }

  setOption(view: string, name: string, value: OptionValue): void {
    const { view: before } = this.state.peek();
    const { options } = before;
    this.keep({ ...before, options: { ...options, [view]: { ...options[view], [name]: value } } });
  }

  setChangeMarks(changeMarks: boolean): void {
    this.host.send({ type: 'setChangeMarks', changeMarks });
    this.become({ settings: { ...this.state.peek().settings, changeMarks } });
  }

  setMassScale(massScale: HostSettings['massScale']): void {
    this.host.send({ type: 'setMassScale', massScale });
    this.become({ settings: { ...this.state.peek().settings, massScale } });
  }

  // ------------------------------------------------------------ hearing

  private keep(view: ViewState): void {
    this.host.send({ type: 'viewState', view });
    this.become({ view });
  }

  /** What is seen at once, before the host says so. */
  private become(change: Partial<HostState>): void {
    this.state.value = { ...this.state.peek(), ...change };
  }

  private receive(message: StateMessage): void {
    // While the pointer moves here, what comes back is where it was.
    if (message.type === 'preview' && Date.now() - this.previewedAt < 400) return;
    if (message.type === 'show') {
      if (message.focus) this.focusAsked.value = message.view;
      return this.show(message.view);
    }
    this.state.value = told(this.state.peek(), message);
  }
}

export const store = new Store(acquireVsCodeApi());
