import * as vscode from 'vscode';
import { AnalysisMemory } from './analysis/analysisMemory';
import { AnalysisStore } from './analysis/analysisStore';
import { SavedFiles } from './analysis/savedFiles';
import type { AttentionInspectorApi } from './api';
import { registerAssistantTools } from './workbench/assistantTools';
import { registerCommands } from './workbench/commands';
import { ChangeMarks } from './editor/changeMarks';
import { ContextKeys } from './workbench/contextKeys';
import { CostHints } from './editor/costHints';
import { LanguageStatus } from './workbench/languageStatus';
import { Corpora } from './analysis/corpora';
import { CostMemory } from './analysis/costMemory';
import { CutMark } from './editor/cutMark';
import { EditorMarks } from './editor/editorMarks';
import { CrashedDevices } from './engine/crashedDevices';
import { EngineClient } from './engine/engineClient';
import { EngineNews } from './engine/engineNews';
import { networkEnvironment } from './engine/networkEnvironment';
import { AttentionHover } from './editor/hover';
import { InterventionKeeper, tellFailedRun } from './interventions/interventionKeeper';
import { InterventionStatus } from './interventions/interventionStatus';
import { Ablator } from '../shared/host/ablator';
import { Intervener } from '../shared/host/intervener';
import { Planner } from '../shared/host/planner';
import { MODEL_EDITOR, ModelEditor } from './views/modelEditor';
import { SAVED_EDITOR, SavedEditor } from './views/savedEditor';
import { SelectionKeeper } from './views/selectionKeeper';
import { SelectionModel } from './views/selectionModel';
import { SampleText } from './workbench/sampleText';
import { Settings } from './workbench/settings';
import { StatusBar } from './workbench/statusBar';
import { TargetTexts } from './analysis/targetTexts';
import { TextInFront } from './workbench/textInFront';
import { Tour } from './tour/tour';
import { Views } from './views/views';

let kept: AnalysisMemory | null = null;

/** Wires the parts together; each part owns what it does. */
export function activate(context: vscode.ExtensionContext): AttentionInspectorApi {
  const own = <T extends vscode.Disposable>(part: T): T => {
    context.subscriptions.push(part);
    return part;
  };
  const { extensionUri, workspaceState: memory } = context;
  const costs = new CostMemory(context.globalState);
  const log = own(vscode.window.createOutputChannel('Attention Inspector', { log: true }));
  const settings = new Settings();
  const crashed = new CrashedDevices(context.globalState, context.extension.packageJSON.version as string);
  const client = own(
    new EngineClient({
      module: vscode.Uri.joinPath(extensionUri, 'dist', 'engine.js').fsPath,
      initialize: () => ({
        device: settings.device,
        memoryLimitMiB: settings.memoryLimitMiB,
        crashed: crashed.all,
      }),
      environment: () => networkEnvironment(process.env, vscode.workspace.getConfiguration('http')),
      log,
      t: vscode.l10n.t,
    }),
  );
  const targets = own(new TargetTexts());
  const store = own(new AnalysisStore(client, settings, targets));
  const selection = own(new SelectionModel());
  const planner = own(new Planner(store));
  const intervener = own(new Intervener(store, change => selection.select(change), tellFailedRun));
  const ablator = own(new Ablator(store));
  own(client.on('analysis/ablated', one => ablator.ablated(one)));
  own(
    client.on('analysis/progress', progress => {
      ablator.progress(progress);
      planner.progress(progress);
      intervener.progress(progress);
    }),
  );
  own(new InterventionKeeper(store, intervener));
  const front = own(new TextInFront(store));
  const profiles = vscode.Uri.joinPath(context.storageUri ?? context.globalStorageUri, 'profiles');
  const corpora = own(new Corpora(client, settings, profiles));
  const views = own(
    new Views(extensionUri, {
      memory,
      costs,
      log,
      client,
      store,
      corpora,
      planner,
      intervener,
      ablator,
      selection,
      settings,
      front,
    }),
  );
  own(new SelectionKeeper(store, selection));
  const folder = vscode.Uri.joinPath(context.storageUri ?? context.globalStorageUri, 'analyses');
  kept = own(new AnalysisMemory(new SavedFiles(folder), memory, store, selection, log));
  own(new EditorMarks(store, selection, settings));
  own(new CutMark(store, settings));
  own(new ChangeMarks(store, selection, settings));
  own(new CostHints(store, selection, settings));
  own(new InterventionStatus(store));
  own(new LanguageStatus(store));
  own(new StatusBar(store, client, settings));
  own(new ContextKeys(store, selection));
  const hover = own(new AttentionHover(store, selection, settings));
  own(new Tour({ store, selection, hover, views }));
  own(vscode.window.registerCustomEditorProvider(SAVED_EDITOR, new SavedEditor(extensionUri)));
  own(vscode.window.registerCustomEditorProvider(MODEL_EDITOR, new ModelEditor(client)));
  own(vscode.languages.registerHoverProvider('*', hover));
  own(
    registerCommands({
      client,
      store,
      corpora,
      planner,
      intervener,
      targets,
      selection,
      settings,
      sample: new SampleText(extensionUri),
      front,
      views,
      memory,
      crashed,
      log,
    }),
  );

  own(registerAssistantTools(client, settings));
  own(new EngineNews(client, crashed, () => store.recover()));
  return {
    version: 1,
    getState: uri => (uri ? store.byUri(uri)?.state : store.state) ?? { status: 'none' },
    getSelection: () => selection.current,
    whenIdle: () => store.whenIdle(),
    engineProcessId: () => client.processId,
  };
}

/** What changed last is written before the window goes. */
export const deactivate = (): Promise<void> | undefined => kept?.flush();
