import * as vscode from 'vscode';
import type { LensDocument } from '../../shared/protocol/engine';
import {
  ENGINE_METHODS,
  HOST_COMMANDS,
  type HostCommand,
  type HostSettings,
  type Place,
  type SaveFileParams,
  type Selection,
  type ViewEngineMethod,
  type ViewMethod,
  type ViewName,
  type ViewParams,
  type ViewResult,
  type ViewState,
} from '../../shared/protocol/host';
import type { Ablator } from '../../shared/host/ablator';
import type { Intervener } from '../../shared/host/intervener';
import type { Planner } from '../../shared/host/planner';
import type { HostWish, ViewHost } from '../../shared/host/viewSession';
import type { AnalysisStore } from '../analysis/analysisStore';
import type { Corpora } from '../analysis/corpora';
import type { CostMemory } from '../analysis/costMemory';
import { showRange, workspaceTexts } from '../analysis/workspaceTexts';
import { tokenOf } from '../engine/abort';
import { Kept } from '../kept';
import { EngineError, type EngineClient, type Log } from '../engine/engineClient';
import { exportPlan } from '../plan/planCommands';
import type { Settings } from '../workbench/settings';
import type { TextInFront } from '../workbench/textInFront';
import type { SelectionModel } from './selectionModel';
import { viewState } from './viewState';

/** The parts of the extension that its views are about. */
export interface HostParts {
  memory: vscode.Memento;
  costs: CostMemory;
  corpora: Corpora;
  log: Log;
  client: EngineClient;
  store: AnalysisStore;
  planner: Planner;
  intervener: Intervener;
  ablator: Ablator;
  selection: SelectionModel;
  settings: Settings;
  front: TextInFront;
  openView(view: ViewName): void;
  /** A view came in front in the panel. */
  saw(view: ViewName): void;
}

/** Commands that a view may run, and what they are called in the palette's registry. */
const COMMANDS: Record<HostCommand, string> = {
  analyze: 'attentionInspector.analyze',
  analyzeInFront: 'attentionInspector.analyze',
  trySample: 'attentionInspector.trySample',
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
  openDeviceSetting: 'attentionInspector.openDeviceSetting',
  manageTrust: 'workbench.trust.manage',
  undoIntervention: 'attentionInspector.undoIntervention',
  clearInterventions: 'attentionInspector.clearInterventions',
  profileFolder: 'attentionInspector.profileFolder',
  exportCorpus: 'attentionInspector.exportCorpus',
};

/** The extension as its views see it. */
export class ExtensionHost implements ViewHost {
  constructor(private readonly parts: HostParts) {}

  get planner(): Planner {
    return this.parts.planner;
  }

  get intervener(): Intervener {
    return this.parts.intervener;
  }

  get ablator(): Ablator {
    return this.parts.ablator;
  }

  whole() {
    const { store, selection, settings, client } = this.parts;
    return {
      analysis: store.state,
      selection: selection.current,
      settings: settings.forViews(client.capabilities?.mechanisms ?? null),
      mechanisms: client.capabilities?.mechanisms ?? [],
      inFront: this.parts.front.unanalysed?.name ?? null,
      corpus: this.parts.corpora.state,
      others: store.others,
    };
  }

  recall(place: Place): ViewState | null {
    return this.kept(place).value;
  }

  remember(place: Place, view: ViewState): void {
    void this.kept(place).keep(view);
    if (place === 'panel') this.parts.saw(view.view);
  }

  private kept(place: Place): Kept<ViewState> {
    return new Kept(this.parts.memory, `view.${place}`, viewState);
  }

  select(change: Partial<Selection>): void {
    this.parts.selection.select(change);
  }

  async set({ massScale, changeMarks }: Partial<HostSettings>): Promise<void> {
    const { settings } = this.parts;
    if (massScale !== undefined) await settings.setMassScale(massScale);
    if (changeMarks !== undefined) await settings.setChangeMarks(changeMarks);
  }

  async answer<M extends ViewMethod>(
    method: M,
    params: ViewParams<M>,
    signal: AbortSignal,
  ): Promise<unknown> {
    const { costs, store } = this.parts;
    switch (method) {
      case 'host/saveFile':
        return saveFile(params as ViewParams<'host/saveFile'>);
      case 'host/text':
        return store.textOf((params as ViewParams<'host/text'>).id);
      case 'host/analysis':
        return store.finished((params as ViewParams<'host/analysis'>).id);
      case 'host/corpus':
        return this.parts.corpora.profile((params as ViewParams<'host/corpus'>).id);
      case 'host/costs': {
        const { device, shape } = params as ViewParams<'host/costs'>;
        return costs.recall(device, shape);
      }
      case 'cost/measure': {
        const measured = await this.askEngine(method, params as ViewParams<'cost/measure'>, signal);
        await costs.keep(measured as ViewResult<'cost/measure'>);
        return measured;
      }
      case 'heads/probe': {
        // A view names no models itself.
        const { model } = params as ViewParams<'heads/probe'>;
        if (store.shown?.ready?.summary.model.ref !== model)
          throw new EngineError('Views may ask for a probe of the shown model only.', null);
        return this.askEngine(method, params as ViewParams<'heads/probe'>, signal);
      }
      case 'analysis/lens': {
        const given = params as ViewParams<'analysis/lens'>;
        const documents = await this.documentsFor(given, signal);
        return this.askEngine(method, { ...given, documents }, signal);
      }
      default:
        return this.askEngine(method as ViewEngineMethod, params as ViewParams<ViewEngineMethod>, signal);
    }
  }

  perform(wish: HostWish, place: Place): unknown {
    const { selection, log } = this.parts;
    switch (wish.type) {
      case 'preview':
        return selection.preview(wish.token);
      case 'reveal':
        return this.reveal(wish.tokens);
      case 'openFile':
        return showRange(vscode.Uri.parse(wish.uri, true), wish.start, wish.end);
      case 'run':
        return HOST_COMMANDS.includes(wish.command)
          ? vscode.commands.executeCommand(COMMANDS[wish.command], ...this.meant(wish.command))
          : undefined;
      case 'openView':
        return this.parts.openView(wish.view);
      case 'exportPlan':
        return exportPlan(this.parts, wish.format);
      case 'copy':
        return vscode.env.clipboard.writeText(wish.text);
      case 'log':
        return log[wish.level](`View (${place}): ${wish.message}`);
    }
  }

  /** What a command is about, where it is not what is shown. */
  private meant(command: HostCommand): unknown[] {
    return command === 'analyzeInFront' ? [this.parts.front.unanalysed?.uri] : [];
  }

  /** A view names no files itself: what a lens may search is decided here. */
  private documentsFor(
    { id, searchWorkspace }: ViewParams<'analysis/lens'>,
    signal: AbortSignal,
  ): Promise<LensDocument[]> {
    const { shown } = this.parts.store;
    if (!searchWorkspace || shown?.id !== id) return Promise.resolve([]);
    return workspaceTexts(shown.document.uri, tokenOf(signal));
  }

  private askEngine(method: ViewEngineMethod, params: ViewParams<ViewEngineMethod>, signal: AbortSignal) {
    if (!ENGINE_METHODS.includes(method)) throw new EngineError(`Views may not ask for "${method}".`, null);
    return this.parts.store.ask(method, params as never, signal);
  }

  /** Selects the tokens in the text's editor and scrolls to the first. */
  private async reveal(tokens: readonly number[]): Promise<void> {
    const analysis = this.parts.store.shown;
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
  pdf: { PDF: ['pdf'] },
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
