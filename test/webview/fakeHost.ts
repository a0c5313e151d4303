/** Plays the extension for a page with our webview: the host model that all hosts share, in front of an engine. */
import type { Page } from 'playwright-core';
import { readyState } from '../../shared/host/analysisState';
import { INITIAL_SETTINGS, type StateMessage } from '../../shared/host/hostState';
import { MemoryHost } from '../../shared/host/memoryHost';
import type { HostWish } from '../../shared/host/viewSession';
import {
  ErrorCode,
  type Ablation,
  type AnalysisSummary,
  type EngineMethod,
  type EngineParams,
  type EngineResult,
  type MechanismInfo,
  type MechanismResult,
} from '../../shared/protocol/engine';
import type { CorpusProfile } from '../../shared/protocol/corpus';
import {
  ENGINE_METHODS,
  NO_SELECTION,
  type AnalysisState,
  type HostMessage,
  type OtherAnalysis,
  type Place,
  type Selection,
  type ViewMessage,
  type ViewMethod,
  type ViewParams,
  type ViewState,
} from '../../shared/protocol/host';
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
  /** The profile of a folder, shown at once. */
  corpus?: CorpusProfile;
  /** What the shown analysis can be held against, with what answers for each. */
  others?: { told: OtherAnalysis; summary: AnalysisSummary; engine: EngineLike }[];
  /** Called with every request before it is answered; throw to fail it. */
  beforeAnswer?: (method: string) => void | Promise<void>;
}

export function ready(summary: AnalysisSummary, stale = false): AnalysisState {
  const document = { uri: 'file:///sample.txt', name: 'sample.txt', length: 1, selectionStart: null };
  return readyState(document, summary, { stale });
}

export class FakeHost extends MemoryHost {
  readonly received: ViewMessage[] = [];
  private posted = Promise.resolve();

  private constructor(
    readonly page: Page,
    private readonly options: HostOptions,
  ) {
    super(options.place, message => this.post(message), {
      analysis: options.analysis,
      mechanisms: options.mechanisms,
      selection: { ...NO_SELECTION, ...options.selection },
      settings: {
        ...INITIAL_SETTINGS,
        themeKind: options.theme,
        model: 'bundled',
        reduceMotion: true,
      },
      ...(options.others && { others: options.others.map(({ told }) => told) }),
      ...(options.view && { view: options.view }),
      ...(options.corpus && {
        corpus: { status: 'ready', id: 1, folder: 'texts', root: 'file:///work space/texts' },
      }),
    });
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

  /** Tells the page, and waits until it has heard. */
  async send(message: StateMessage): Promise<void> {
    this.tell(message);
    await this.posted;
  }

  async setTheme(name: ThemeName): Promise<void> {
    // As the editor does, which leaves other classes as they are.
    await this.page.evaluate(
      `document.documentElement.setAttribute('style', ${JSON.stringify(themeStyle(name))});
      document.body.className = [...document.body.classList].filter(one => !one.startsWith('vscode-')).join(' ') + ' ' + ${JSON.stringify(THEMES[name].bodyClass)};`,
    );
  }

  async ask<M extends EngineMethod>(method: M, params: EngineParams<M>): Promise<EngineResult<M>> {
    await this.options.beforeAnswer?.(method);
    try {
      const other = this.options.others?.find(({ told }) => told.id === (params as { id?: string }).id);
      const result = (await (other ?? this.options).engine.request(method, params)) as EngineResult<M>;
      // As the engine says it to everyone.
      if (method === 'analysis/mechanism')
        this.hear('analysis/mechanismDone', {
          id: (params as { id: string }).id,
          result: result as MechanismResult,
        });
      if (method === 'analysis/ablate') {
        const { measure, heads } = result as Ablation;
        for (const head of heads) {
          this.hear('analysis/ablated', { id: (params as { id: string }).id, measure, head });
          await this.options.beforeAnswer?.('analysis/ablated');
        }
      }
      return result;
    } catch (error) {
      const refused = (error as Error).name === 'RefusedError';
      throw Object.assign(error as Error, { code: refused ? ErrorCode.refused : null });
    }
  }

  async answer<M extends ViewMethod>(method: M, params: ViewParams<M>): Promise<unknown> {
    if ((ENGINE_METHODS as readonly string[]).includes(method))
      return this.ask(method as EngineMethod, params as never);
    await this.options.beforeAnswer?.(method);
    if (method === 'host/analysis')
      return this.options.others?.find(({ told }) => told.id === (params as { id: string }).id)?.summary;
    if (method === 'host/corpus') return this.options.corpus;
    return method === 'host/text' ? (this.options.text ?? null) : null;
  }

  perform(wish: HostWish): void {
    if (wish.type === 'log') console.error(`webview ${wish.level}: ${wish.message}`);
  }

  private receive(message: ViewMessage): Promise<void> {
    this.received.push(message);
    return this.session.receive(message);
  }

  private post(message: HostMessage): void {
    if (this.page.isClosed()) return;
    // Made from text: a function of ours would bring names along that the page does not have.
    const post = new Function('message', 'postMessage(message, "*")') as (message: HostMessage) => void;
    this.posted = this.page.evaluate(post, message).catch((error: Error) => {
      if (!this.page.isClosed()) throw error;
    });
  }
}
