/** Plays the extension for a page with our webview: keeps the state, passes engine requests on, remembers the rest. */
import type { Page } from 'playwright-core';
import type { AnalysisSummary, EngineMethod, EngineParams, MechanismInfo } from '../../engine/protocol';
import {
  ENGINE_METHODS,
  NO_SELECTION,
  type AnalysisState,
  type HostMessage,
  type HostSettings,
  type Place,
  type Selection,
  type ViewMessage,
  type ViewState,
} from '../../webview/hostProtocol';
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
  view?: ViewState;
  /** Called with every request before it is answered; throw to fail it. */
  beforeAnswer?: (method: string) => void | Promise<void>;
}

export function ready(summary: AnalysisSummary, stale = false): AnalysisState {
  return {
    status: 'ready',
    id: summary.id,
    document: { uri: 'file:///sample.txt', name: 'sample.txt', length: 1, selectionStart: null },
    summary,
    stale,
    plan: null,
    planning: null,
  };
}

export class FakeHost {
  readonly received: ViewMessage[] = [];
  selection: Selection;
  private settings: HostSettings;

  private constructor(
    readonly page: Page,
    private readonly options: HostOptions,
  ) {
    this.selection = { ...NO_SELECTION, ...options.selection };
    this.settings = {
      massScale: 'sqrt',
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
      case 'setMassScale':
        this.settings = { ...this.settings, massScale: message.massScale };
        return this.send({ type: 'settings', settings: this.settings });
      case 'request':
        return this.send(await this.answer(message));
      case 'log':
        console.error(`webview ${message.level}: ${message.message}`);
    }
  }

  private async answer({ id, method, params }: ViewMessage & { type: 'request' }): Promise<HostMessage> {
    try {
      await this.options.beforeAnswer?.(method);
      if (!(ENGINE_METHODS as readonly string[]).includes(method))
        return { type: 'response', id, ok: true, result: null };
      const result = await this.options.engine.request(method as EngineMethod, params as never);
      return { type: 'response', id, ok: true, result };
    } catch (error) {
      return { type: 'response', id, ok: false, error: { code: null, message: (error as Error).message } };
    }
  }
}
