import {
  ErrorCode,
  type EngineMethod,
  type EngineParams,
  type EngineResult,
} from '../../shared/protocol/engine';
import { readyState } from '../../shared/host/analysisState';
import { reasonOf } from '../../shared/host/host';
import { INITIAL_SETTINGS } from '../../shared/host/hostState';
import { MemoryHost } from '../../shared/host/memoryHost';
import type { HostWish } from '../../shared/host/viewSession';
import {
  NO_INTERVENTIONS,
  type AnalysisState,
  type HostSettings,
  type SaveFileParams,
  type ViewMessage,
  type ViewMethod,
  type ViewParams,
} from '../../shared/protocol/host';
import type { CorpusProfile } from '../../shared/protocol/corpus';
import type { CorpusReport, ReportData, ReportPage } from '../../shared/reportData';
import { type HostApi } from '../host/link';
import { t } from '../host/words';
import { RequestError } from '../host/requestError';
import { Report } from './report';
import { readReport } from './unpack';

/** Plays the extension inside a report: answers requests from the page's own data. */
export class ReportHost extends MemoryHost implements HostApi {
  private report: Report | null = null;
  private profile: CorpusProfile | null = null;
  private readonly loaded: Promise<void>;

  constructor(base64: string) {
    const settings = {
      ...INITIAL_SETTINGS,
      changeMarks: false,
      locale: navigator.language,
      reduceMotion: matchMedia('(prefers-reduced-motion: reduce)').matches,
    };
    super('panel', data => window.dispatchEvent(new MessageEvent('message', { data })), { settings });
    if (themeOfEditor()) {
      new MutationObserver(() => this.followEditor()).observe(document.body, { attributeFilter: ['class'] });
      this.followEditor();
    } else {
      darkPreferred.addEventListener('change', () => this.followTheme());
      this.followTheme();
    }
    this.loaded = readReport(base64).then(
      data => this.load(data),
      (error: unknown) => this.show(unreadable(reasonOf(error))),
    );
  }

  getState(): unknown {
    return this.recall();
  }

  setState(): void {
    // A report is a page: it starts anew when it is loaded anew.
  }

  postMessage(message: unknown): void {
    void this.loaded.then(() => this.session.receive(message as ViewMessage));
  }

  async ask<M extends EngineMethod>(method: M, params: EngineParams<M>): Promise<EngineResult<M>> {
    return this.answer(method as ViewMethod, params as never) as Promise<EngineResult<M>>;
  }

  async answer<M extends ViewMethod>(method: M, params: ViewParams<M>): Promise<unknown> {
    if (method === 'host/saveFile') return download(params as SaveFileParams);
    if (method === 'host/corpus') return this.profile;
    try {
      return this.report!.answer(method, params as object);
    } catch (error) {
      throw new RequestError(reasonOf(error), ErrorCode.refused);
    }
  }

  perform(wish: HostWish): void {
    switch (wish.type) {
      case 'reveal':
        // There is no editor to show them in: the first is pinned instead.
        return this.select({ token: wish.tokens[0] ?? null });
      case 'openView':
        return this.tell({ type: 'show', view: wish.view });
      case 'copy':
        return void navigator.clipboard.writeText(wish.text);
      case 'log':
        console[wish.level](wish.message);
    }
  }

  private load(page: ReportPage): void {
    if ('profile' in page) this.loadCorpus(page);
    else this.loadAnalysis(page);
  }

  private loadCorpus({ profile, document, made, version }: CorpusReport): void {
    this.profile = profile;
    this.tell({ type: 'corpus', corpus: { status: 'ready', id: 0, folder: document, root: '' } });
    this.show({ status: 'none' }, { report: { made, version, maps: null } });
  }

  private loadAnalysis(data: ReportData): void {
    this.report = new Report(data);
    const { summary, document, plan, infos, level, links, made, version, intervention, selection } = data;
    const ablation = data.ablation ? { ...data.ablation, running: null, error: null } : null;
    const interventions = {
      ...NO_INTERVENTIONS,
      list: intervention?.interventions ?? [],
      result: intervention,
    };
    const name = { uri: '', name: document, length: 0, selectionStart: null };
    this.show(readyState(name, summary, { plan, interventions, ablation }), {
      mechanisms: infos,
      report: { made, version, maps: { level, links } },
    });
    if (selection) this.select(selection);
  }

  private followEditor(): void {
    const themeKind = themeOfEditor();
    if (themeKind && themeKind !== this.all.settings.themeKind) this.set({ themeKind });
  }

  /** The class that VS Code would give the body; the views read their colours anew when it changes. */
  private followTheme(): void {
    const dark = darkPreferred.matches;
    document.body.classList.toggle('vscode-dark', dark);
    document.body.classList.toggle('vscode-light', !dark);
    this.set({ themeKind: dark ? 'dark' : 'light' });
  }
}

/** null outside of VS Code. */
function themeOfEditor(): HostSettings['themeKind'] | null {
  const kinds = ['high-contrast-light', 'high-contrast', 'light', 'dark'] as const;
  return kinds.find(kind => document.body.classList.contains(`vscode-${kind}`)) ?? null;
}

function unreadable(reason: string): AnalysisState {
  const message = t(
    'This report cannot be read: it may be cut off, or the browser is too old. ({0})',
    reason,
  );
  return { status: 'error', document: null, message, actions: [] };
}

const darkPreferred = matchMedia('(prefers-color-scheme: dark)');

const TYPES: Record<SaveFileParams['kind'], string> = {
  svg: 'image/svg+xml',
  png: 'image/png',
  pdf: 'application/pdf',
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
