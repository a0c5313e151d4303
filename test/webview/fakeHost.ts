/** Plays the extension for a page with our webview: keeps the state, passes engine requests on, remembers the rest. */
import type { Page } from 'playwright-core';
import { ErrorCode } from '../../shared/protocol/engine';
import type {
  AnalysisSummary,
  AssignResult,
  EngineMethod,
  EngineParams,
  HeadAssignment,
  Intervention,
  InterventionResult,
  MechanismInfo,
  MechanismResult,
  Plan,
} from '../../shared/protocol/engine';
import { changedPlan, withHead } from '../../extension/plan/planEdits';
import {
  ENGINE_METHODS,
  NO_INTERVENTIONS,
  NO_SELECTION,
  type AnalysisState,
  type HostMessage,
  type HostSettings,
  type Place,
  type Selection,
  type ViewMessage,
  type ViewState,
} from '../../shared/protocol/host';
import { readyState } from '../../shared/host/analysisState';
import { THEMES, themeStyle, type ThemeName } from './themes';

export interface EngineLike {
  request<M extends EngineMethod>(method: M, params: EngineParams<M>): Promise<unknown>;
}

export interface HostOptions {
  place: Place;
  theme: ThemeName;
  engine: EngineLike;
  mechanisms: MechanismInfo[];
  analysis: AnalysisState;
  selection?: Partial<Selection>;
  /** The analysed text. */
  text?: string;
  view?: ViewState;
  /** Called with every request before it is answered; throw to fail it. */
  beforeAnswer?: (method: string) => void | Promise<void>;
}

export function ready(summary: AnalysisSummary, stale = false): AnalysisState {
  const document = { uri: 'file:///sample.txt', name: 'sample.txt', length: 1, selectionStart: null };
  return readyState(document, summary, { stale });
}

export class FakeHost {
  readonly received: ViewMessage[] = [];
  selection: Selection;
  private settings: HostSettings;
  private plan: Plan | null;
  private interventions: Intervention[] = [];

  private constructor(
    readonly page: Page,
    private readonly options: HostOptions,
  ) {
    this.selection = { ...NO_SELECTION, ...options.selection };
    this.plan = options.analysis.status === 'ready' ? options.analysis.plan : null;
    this.settings = {
      massScale: 'sqrt',
      changeMarks: true,
      themeKind: options.theme,
      mechanisms: [],
      model: 'bundled',
      locale: 'en',
      reduceMotion: true,
    };
  }

  /** Puts the built webview into a page and answers it. */
  static async open(
    page: Page,
    bundle: { script: string; style: string },
    options: HostOptions,
  ): Promise<FakeHost> {
    const host = new FakeHost(page, options);
    await page.exposeFunction('toHost', (message: ViewMessage) => void host.receive(message));
    const { bodyClass } = THEMES[options.theme];
    await page.setContent(`<!DOCTYPE html><html lang="en" style="${themeStyle(options.theme)}"><head><meta charset="utf-8">
      <title>Attention</title><style>${bundle.style}</style></head>
      <body class="${bodyClass}"><attention-app data-place="${options.place}"></attention-app>
      <script>globalThis.acquireVsCodeApi = () => ({ postMessage: m => void toHost(m), getState() {}, setState() {} })</script>
      <script>${bundle.script.replaceAll('</script', '<\\/script')}</script></body></html>`);
    return host;
  }

  async send(message: HostMessage): Promise<void> {
    if (this.page.isClosed()) return;
    // Made from text, for the same reason.
    const post = new Function('message', 'postMessage(message, "*")') as (message: HostMessage) => void;
    await this.page.evaluate(post, message).catch((error: Error) => {
      if (!this.page.isClosed()) throw error;
    });
  }

  async setTheme(name: ThemeName): Promise<void> {
    await this.page.evaluate(
      `document.documentElement.setAttribute('style', ${JSON.stringify(themeStyle(name))}); document.body.className = ${JSON.stringify(THEMES[name].bodyClass)};`,
    );
  }

  private async receive(message: ViewMessage): Promise<void> {
    this.received.push(message);
    switch (message.type) {
      case 'ready':
        return this.send({
          type: 'state',
          place: this.options.place,
          analysis: this.options.analysis,
          selection: this.selection,
          settings: this.settings,
          mechanisms: this.options.mechanisms,
          view: this.options.view ?? null,
        });
      case 'select':
        this.selection = { ...this.selection, ...message.selection };
        return this.send({ type: 'selection', selection: this.selection });
      case 'setChangeMarks':
        this.settings = { ...this.settings, changeMarks: message.changeMarks };
        return this.send({ type: 'settings', settings: this.settings });
      case 'intervene':
        return this.intervene(message.toggle);
      case 'run':
        if (message.command === 'clearInterventions') this.interventions = [];
        if (message.command === 'undoIntervention') this.interventions = this.interventions.slice(0, -1);
        return this.intervene();
      case 'setMassScale':
        this.settings = { ...this.settings, massScale: message.massScale };
        return this.send({ type: 'settings', settings: this.settings });
      case 'request':
        return this.send(await this.answer(message));
      case 'findPlan':
        return this.findPlan(message.budget, message.mechanisms);
      case 'changePlan':
        return this.changePlan(message.change);
      case 'log':
        console.error(`webview ${message.level}: ${message.message}`);
    }
  }

  private async intervene(toggle?: Intervention): Promise<void> {
    const same = (one: Intervention) => JSON.stringify(one) === JSON.stringify(toggle);
    const rest = this.interventions.filter(one => !same(one));
    if (toggle) this.interventions = rest.length < this.interventions.length ? rest : [...rest, toggle];
    const { id, interventions: list } = this;
    const result =
      list.length > 0
        ? ((await this.options.engine.request('analysis/intervene', {
            id,
            interventions: list,
          })) as InterventionResult)
        : null;
    this.selection = { ...this.selection, change: list.length > 0 ? { kind: 'interventions' } : null };
    await this.send({ type: 'interventions', id, interventions: { ...NO_INTERVENTIONS, list, result } });
    await this.send({ type: 'selection', selection: this.selection });
  }

  private async findPlan(budget: number, mechanisms: string[]): Promise<void> {
    const { id } = this;
    const planning = { budget, fraction: 0.3, message: 'Trying settings in every head', error: null };
    await this.send({ type: 'planning', id, planning });
    try {
      await this.options.beforeAnswer?.('analysis/plan');
      const params = { id, budget, mechanisms, maxRuns: 40 };
      this.plan = (await this.options.engine.request('analysis/plan', params)) as Plan;
      await this.send({ type: 'plan', id, plan: this.plan });
      await this.send({ type: 'planning', id, planning: null });
    } catch (error) {
      await this.send({ type: 'planning', id, planning: { ...planning, error: (error as Error).message } });
    }
  }

  private async changePlan(change: HeadAssignment): Promise<void> {
    const { id, plan } = this;
    if (!plan) return;
    const heads = withHead(plan, change);
    const found = (await this.options.engine.request('analysis/assign', { id, heads })) as AssignResult;
    this.plan = changedPlan(plan, change, heads, found);
    await this.send({ type: 'plan', id, plan: this.plan });
  }

  private get id(): string {
    const { analysis } = this.options;
    return 'id' in analysis ? analysis.id : '';
  }

  private async answer({ id, method, params }: ViewMessage & { type: 'request' }): Promise<HostMessage> {
    try {
      await this.options.beforeAnswer?.(method);
      if (method === 'host/text')
        return { type: 'response', id, ok: true, result: this.options.text ?? null };
      if (!(ENGINE_METHODS as readonly string[]).includes(method))
        return { type: 'response', id, ok: true, result: null };
      const result = await this.options.engine.request(method as EngineMethod, params as never);
      if (method === 'analysis/mechanism')
        await this.send({ type: 'mechanism', id: this.id, result: result as MechanismResult });
      return { type: 'response', id, ok: true, result };
    } catch (error) {
      return {
        type: 'response',
        id,
        ok: false,
        error: {
          code: (error as Error).name === 'RefusedError' ? ErrorCode.refused : null,
          message: (error as Error).message,
        },
      };
    }
  }
}
