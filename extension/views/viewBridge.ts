import * as vscode from 'vscode';
import type { LensDocument } from '../../shared/protocol/engine';
import {
  ENGINE_METHODS,
  HOST_COMMANDS,
  type HostCommand,
  type HostMessage,
  type Place,
  type Response,
  type SaveFileParams,
  type ViewEngineMethod,
  type ViewMethod,
  type ViewMessage,
  type ViewName,
  type ViewParams,
  type ViewResult,
} from '../../shared/protocol/host';
import type { AnalysisStore } from '../analysis/analysisStore';
import type { Intervener } from '../interventions/intervener';
import { exportPlan } from '../plan/planCommands';
import type { Planner } from '../plan/planner';
import type { CostMemory } from '../analysis/costMemory';
import { Owner } from '../disposable';
import { EngineError, type EngineClient, type Log } from '../engine/engineClient';
import type { SelectionModel } from './selectionModel';
import type { Settings } from '../workbench/settings';
import { webviewHtml } from './webviewHtml';
import { showRange, workspaceTexts } from '../analysis/workspaceTexts';
import { isViewMessage } from './viewMessage';

/** What every view shares. */
export interface ViewHost {
  extensionUri: vscode.Uri;
  memory: vscode.Memento;
  costs: CostMemory;
  log: Log;
  client: EngineClient;
  store: AnalysisStore;
  planner: Planner;
  intervener: Intervener;
  selection: SelectionModel;
  settings: Settings;
  openView(view: ViewName): void;
}

/** Commands that a view may run, and what they are called in the palette's registry. */
const COMMANDS: Record<HostCommand, string> = {
  analyze: 'attentionInspector.analyze',
  analyzeSelection: 'attentionInspector.analyzeSelection',
  cancel: 'attentionInspector.cancel',
  clear: 'attentionInspector.clear',
  selectModel: 'attentionInspector.selectModel',
  selectHead: 'attentionInspector.selectHead',
  compare: 'attentionInspector.compareMechanisms',
  restartEngine: 'attentionInspector.restartEngine',
  showLog: 'attentionInspector.showLog',
  openPanel: 'attentionInspector.openPanel',
  openSettings: 'attentionInspector.openSettings',
  undoIntervention: 'attentionInspector.undoIntervention',
  clearInterventions: 'attentionInspector.clearInterventions',
};

/** One webview's end of the conversation: sends it the state and what follows, does what it asks for. */
export class ViewBridge extends Owner {
  /** Nothing is sent before the page has said that it listens. */
  private listening = false;
  private wanted: ViewName | null = null;
  /** A hidden page is thrown away and loaded anew; replies for the earlier one must not reach it. */
  private page = 0;
  private readonly requests = new Map<number, vscode.CancellationTokenSource>();

  constructor(
    private readonly webview: vscode.Webview,
    private readonly place: Place,
    title: string,
    private readonly host: ViewHost,
  ) {
    super();
    const { extensionUri, store, selection } = host;
    const dist = vscode.Uri.joinPath(extensionUri, 'dist');
    webview.options = { enableScripts: true, localResourceRoots: [dist] };
    this.register(webview.onDidReceiveMessage((message: unknown) => this.receive(message)));
    this.register(store.onChange(() => this.sendState()));
    this.register(store.onUpdate(update => this.send(update)));
    this.register(selection.onChange(current => this.send({ type: 'selection', selection: current })));
    this.register(host.client.on('cost/progress', progress => this.send({ type: 'cost', progress })));
    this.register(selection.onPreview(token => this.send({ type: 'preview', token })));
    this.register(host.client.onState(state => state === 'running' && this.sendState()));
    this.register(vscode.window.onDidChangeActiveColorTheme(() => this.sendSettings()));
    this.register(
      vscode.workspace.onDidChangeConfiguration(event => {
        if (event.affectsConfiguration('attentionInspector')) this.sendSettings();
      }),
    );
    webview.html = webviewHtml({
      place,
      title,
      language: vscode.env.language,
      script: webview.asWebviewUri(vscode.Uri.joinPath(dist, 'webview.js')).toString(),
      style: webview.asWebviewUri(vscode.Uri.joinPath(dist, 'webview.css')).toString(),
      source: webview.cspSource,
    });
  }

  /** Shows a view, as soon as the page listens. */
  show(view: ViewName): void {
    if (this.listening) this.send({ type: 'show', view });
    else this.wanted = view;
  }

  override dispose(): void {
    for (const request of this.requests.values()) request.cancel();
    super.dispose();
  }

  private send(message: HostMessage): void {
    if (this.listening) void this.webview.postMessage(message);
  }

  private sendState(): void {
    const { store, selection, settings, client, memory } = this.host;
    this.send({
      type: 'state',
      place: this.place,
      analysis: store.state,
      selection: selection.current,
      settings: settings.forViews(),
      mechanisms: client.capabilities?.mechanisms ?? [],
      view: memory.get(this.memoryKey) ?? null,
    });
  }

  private sendSettings(): void {
    this.send({ type: 'settings', settings: this.host.settings.forViews() });
  }

  private get memoryKey(): string {
    return `view.${this.place}`;
  }

  private receive(message: unknown): void {
    if (!isViewMessage(message)) {
      this.host.log.warn(`A view sent a message of no known kind: ${JSON.stringify(message)?.slice(0, 200)}`);
      return;
    }
    void Promise.resolve(this.handle(message)).catch((error: unknown) =>
      this.host.log.error(`View message "${message.type}": ${String(error)}`),
    );
  }

  private async handle(message: ViewMessage): Promise<unknown> {
    const { selection, settings, memory, planner, intervener, log } = this.host;
    switch (message.type) {
      case 'ready':
        this.page++;
        for (const request of this.requests.values()) request.cancel();
        this.requests.clear();
        this.listening = true;
        this.sendState();
        if (this.wanted) this.send({ type: 'show', view: this.wanted });
        this.wanted = null;
        return;
      case 'request':
        return this.answer(message);
      case 'cancelRequest':
        return this.requests.get(message.id)?.cancel();
      case 'select':
        return selection.select(message.selection);
      case 'preview':
        return selection.preview(message.token);
      case 'reveal':
        return this.reveal(message.tokens);
      case 'openFile':
        return showRange(vscode.Uri.parse(message.uri, true), message.start, message.end);
      case 'run':
        return HOST_COMMANDS.includes(message.command)
          ? vscode.commands.executeCommand(COMMANDS[message.command])
          : undefined;
      case 'openView':
        return this.host.openView(message.view);
      case 'setMassScale':
        return settings.setMassScale(message.massScale);
      case 'setChangeMarks':
        return settings.setChangeMarks(message.changeMarks);
      case 'intervene':
        return intervener.toggle(message.toggle);
      case 'findPlan':
        return planner.find(message.budget, message.mechanisms);
      case 'cancelPlan':
        return planner.cancel();
      case 'changePlan':
        return planner.change(message.change);
      case 'exportPlan':
        return exportPlan(this.host, message.format);
      case 'viewState':
        return memory.update(this.memoryKey, message.view);
      case 'log':
        return log[message.level](`View (${this.place}): ${message.message}`);
    }
  }

  private async answer(message: Extract<ViewMessage, { type: 'request' }>): Promise<void> {
    const { id, method, params } = message;
    const cancellation = new vscode.CancellationTokenSource();
    const { page } = this;
    const reply = (response: Response) => page === this.page && this.send(response);
    this.requests.set(id, cancellation);
    try {
      const result = await this.result(method, params as never, cancellation.token);
      reply({ type: 'response', id, ok: true, result });
    } catch (error) {
      const code = error instanceof EngineError ? error.code : null;
      const text = error instanceof Error ? error.message : String(error);
      reply({ type: 'response', id, ok: false, error: { code, message: text } });
    } finally {
      if (page === this.page) this.requests.delete(id);
      cancellation.dispose();
    }
  }

  private async result<M extends ViewMethod>(
    method: M,
    params: ViewParams<M>,
    token: vscode.CancellationToken,
  ): Promise<unknown> {
    const { costs } = this.host;
    switch (method) {
      case 'host/saveFile':
        return saveFile(params as ViewParams<'host/saveFile'>);
      case 'host/text': {
        const { id } = params as ViewParams<'host/text'>;
        return this.host.store.textOf(id);
      }
      case 'host/costs': {
        const { device, shape } = params as ViewParams<'host/costs'>;
        return costs.recall(device, shape);
      }
      case 'cost/measure': {
        const measured = await this.askEngine(method, params as ViewParams<'cost/measure'>, token);
        await costs.keep(measured as ViewResult<'cost/measure'>);
        return measured;
      }
      case 'analysis/lens': {
        const given = params as ViewParams<'analysis/lens'>;
        return this.askEngine(method, { ...given, documents: await this.documentsFor(given, token) }, token);
      }
      default:
        return this.askEngine(method as ViewEngineMethod, params as ViewParams<ViewEngineMethod>, token);
    }
  }

  /** A view names no files itself: what a lens may search is decided here. */
  private documentsFor(
    { id, searchWorkspace }: ViewParams<'analysis/lens'>,
    token: vscode.CancellationToken,
  ): Promise<LensDocument[]> {
    const shown = this.host.store.shown;
    if (!searchWorkspace || shown?.id !== id) return Promise.resolve([]);
    return workspaceTexts(shown.document.uri, token);
  }

  private askEngine(
    method: ViewEngineMethod,
    params: ViewParams<ViewEngineMethod>,
    token: vscode.CancellationToken,
  ) {
    if (!ENGINE_METHODS.includes(method)) throw new EngineError(`Views may not ask for "${method}".`, null);
    return this.host.store.request(method, params as never, token);
  }

  /** Selects the tokens in the text's editor and scrolls to the first. */
  private async reveal(tokens: readonly number[]): Promise<void> {
    const analysis = this.host.store.shown;
    const ranges = tokens.map(token => analysis?.rangeOfToken(token)).filter(range => !!range);
    const first = ranges[0];
    if (!analysis || !first) return;
    const visible = vscode.window.visibleTextEditors.find(editor => editor.document === analysis.document);
    const editor = await vscode.window.showTextDocument(analysis.document, {
      viewColumn: visible?.viewColumn ?? vscode.ViewColumn.Beside,
      preserveFocus: true,
    });
    editor.selections = ranges.map(range => new vscode.Selection(range.start, range.end));
    editor.revealRange(first, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
  }
}

const FILE_KINDS: Record<SaveFileParams['kind'], { [name: string]: string[] }> = {
  svg: { SVG: ['svg'] },
  png: { PNG: ['png'] },
  csv: { CSV: ['csv'] },
  json: { JSON: ['json'] },
  py: { Python: ['py'] },
  tsv: { TSV: ['tsv'] },
};

async function saveFile({ name, kind, data }: SaveFileParams): Promise<string | null> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const target = await vscode.window.showSaveDialog({
    defaultUri: folder && vscode.Uri.joinPath(folder, name.replace(/[\\/:*?"<>|]/g, '-')),
    filters: FILE_KINDS[kind],
  });
  if (!target) return null;
  await vscode.workspace.fs.writeFile(target, typeof data === 'string' ? Buffer.from(data, 'utf8') : data);
  return target.fsPath;
}
