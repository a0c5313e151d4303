import { ErrorCode, type ReportData } from '../../shared/protocol/engine';
import type { HostApi } from '../host/link';
import {
  NO_INTERVENTIONS,
  NO_SELECTION,
  type HostMessage,
  type HostSettings,
  type SaveFileParams,
  type Selection,
  type ViewMessage,
  type ViewState,
} from '../../shared/protocol/host';
import { readyState } from '../../shared/host/analysisState';
import { Report } from './report';
import { readReport } from './unpack';

/** Plays the extension inside a report: keeps selection and settings, answers requests from the page's own data. */
export class ReportHost implements HostApi {
  private readonly data: Promise<ReportData>;
  private report: Report | null = null;
  private selection: Selection = NO_SELECTION;
  private view: ViewState | null = null;
  private settings: HostSettings = {
    massScale: 'sqrt',
    themeKind: darkPreferred.matches ? 'dark' : 'light',
    changeMarks: false,
    mechanisms: [],
    model: '',
    locale: navigator.language,
    reduceMotion: matchMedia('(prefers-reduced-motion: reduce)').matches,
  };

  constructor(base64: string) {
    this.data = readReport(base64);
    darkPreferred.addEventListener('change', () => this.followTheme());
    this.followTheme();
  }

  getState(): unknown {
    return this.view;
  }

  setState(): void {
    // A report is a page: it starts anew when it is loaded anew.
  }

  postMessage(message: unknown): void {
    void this.handle(message as ViewMessage);
  }

  private send(message: HostMessage): void {
    window.dispatchEvent(new MessageEvent('message', { data: message }));
  }

  /** The class that VS Code would give the body; the views read their colours anew when it changes. */
  private followTheme(): void {
    const dark = darkPreferred.matches;
    document.body.classList.toggle('vscode-dark', dark);
    document.body.classList.toggle('vscode-light', !dark);
    this.settings = { ...this.settings, themeKind: dark ? 'dark' : 'light' };
  }

  private async handle(message: ViewMessage): Promise<void> {
    switch (message.type) {
      case 'ready':
        return this.sendState();
      case 'request':
        return this.answer(message);
      case 'select':
        this.selection = { ...this.selection, ...message.selection };
        return this.send({ type: 'selection', selection: this.selection });
      case 'reveal': {
        // There is no editor to show them in: the first is pinned instead.
        const [token = null] = message.tokens;
        this.selection = { ...this.selection, token };
        return this.send({ type: 'selection', selection: this.selection });
      }
      case 'openView':
        return this.send({ type: 'show', view: message.view });
      case 'setMassScale':
        this.settings = { ...this.settings, massScale: message.massScale };
        return this.send({ type: 'settings', settings: this.settings });
      case 'viewState':
        this.view = message.view;
        return;
      case 'log':
        console[message.level](message.message);
    }
  }

  private async sendState(): Promise<void> {
    const data = await this.data.catch((error: unknown) => String(error));
    const base = {
      type: 'state',
      place: 'panel',
      selection: this.selection,
      settings: this.settings,
      view: this.view,
    } as const;
    if (typeof data === 'string') {
      const message = `This report cannot be read: it may be cut off, or the browser is too old. (${data})`;
      const analysis = { status: 'error', document: null, message, actions: [] } as const;
      return this.send({ ...base, analysis: { ...analysis, actions: [] }, mechanisms: [] });
    }
    this.report = new Report(data);
    const { summary, document: name, infos, level, links, made, version, intervention } = data;
    this.send({
      ...base,
      analysis: readyState({ uri: '', name, length: 0, selectionStart: null }, summary, {
        plan: data.plan,
        interventions: {
          ...NO_INTERVENTIONS,
          list: intervention?.interventions ?? [],
          result: intervention,
        },
      }),
      mechanisms: infos,
      report: { level, links, made, version },
    });
  }

  private async answer({ id, method, params }: ViewMessage & { type: 'request' }): Promise<void> {
    // Replies come later than the request, as an extension's do.
    await Promise.resolve();
    try {
      const result =
        method === 'host/saveFile' ? download(params) : this.report!.answer(method, params as object);
      this.send({ type: 'response', id, ok: true, result });
    } catch (error) {
      const { message } = error as Error;
      this.send({ type: 'response', id, ok: false, error: { code: ErrorCode.refused, message } });
    }
  }
}

const darkPreferred = matchMedia('(prefers-color-scheme: dark)');

const TYPES: Record<SaveFileParams['kind'], string> = {
  svg: 'image/svg+xml',
  png: 'image/png',
  csv: 'text/csv',
  json: 'application/json',
  py: 'text/x-python',
  tsv: 'text/tab-separated-values',
};

/** Hands a file to the browser, which asks where to or puts it among the downloads. */
function download({ name, kind, data }: SaveFileParams): string {
  const url = URL.createObjectURL(new Blob([data as BlobPart], { type: TYPES[kind] }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  return name;
}
