import * as vscode from 'vscode';
import type { AnalysisStore } from '../analysis/analysisStore';
import type { CrashedDevices } from '../engine/crashedDevices';
import type { EngineClient } from '../engine/engineClient';
import { wordAround } from '../editor/hover';
import { pickHead, pickModel } from './pickers';
import { showModelCache } from '../model/modelCache';
import { useModel } from '../model/modelChoice';
import { probeHeads } from '../model/probeCommand';
import { exportPlan, findPlan } from '../plan/planCommands';
import { exportCorpus, profileFolder, type Corpora } from '../analysis/corpora';
import { exportReport, saveAnalysis } from '../analysis/reportCommand';
import type { AnalysisState } from '../../shared/protocol/host';
import type { Intervener } from '../../shared/host/intervener';
import { blockSelection, knockOutHead } from '../interventions/interventionCommands';
import type { Planner } from '../../shared/host/planner';
import type { SelectionModel } from '../views/selectionModel';
import type { SampleText } from './sampleText';
import type { Settings } from './settings';
import type { TextInFront } from './textInFront';
import type { TargetTexts } from '../analysis/targetTexts';
import { askWindow, findInduction, openGuide, showCostliest, showHover } from '../tour/tourCommands';
import type { Views } from '../views/views';
import { openDeviceSetting, tellOfDevice } from './deviceSetting';
import { tell } from './tell';

export interface CommandContext {
  client: EngineClient;
  store: AnalysisStore;
  planner: Planner;
  corpora: Corpora;
  intervener: Intervener;
  targets: TargetTexts;
  selection: SelectionModel;
  settings: Settings;
  sample: SampleText;
  front: TextInFront;
  views: Views;
  memory: vscode.Memento;
  crashed: CrashedDevices;
  log: vscode.LogOutputChannel;
}

/** Registers every command. Each is a few lines that call others; what they take part in lives elsewhere. */
export function registerCommands(context: CommandContext): vscode.Disposable {
  const { client, store, intervener, targets, selection, settings, views, memory, log } = context;
  const commands: { [name: string]: (...args: never[]) => unknown } = {
    analyze: (uri?: unknown) => analyzeInView(context, false, uri),
    trySample: async () => {
      if (!trusted()) return;
      await context.sample.open();
      const analysis = analyzeInView(context, false);
      await openGuide(context);
      await analysis;
    },
    findInduction: () => findInduction(context),
    showHover: () => showHover(context),
    showCostliest: () => showCostliest(context),
    askWindow: () => {
      if (trusted()) return askWindow(context);
    },
    analyzeSelection: () => analyzeInView(context, true),
    compareMechanisms: () => openAnalysed(context, () => views.openPanel('compare')),
    profileFolder: (folder?: unknown) => {
      if (trusted()) return profileFolder(context, folder);
    },
    probeHeads: () => {
      if (trusted()) return probeHeads(context);
    },
    exportCorpus: (target?: unknown) => exportCorpus(context, target),
    findPlan: (budget?: unknown) => {
      if (trusted()) return findPlan(context, budget);
    },
    exportPlan: (format?: unknown, target?: unknown) => exportPlan(context, format, target),
    exportReport: (target?: unknown) => exportReport(context, target),
    saveAnalysis: (target?: unknown) => saveAnalysis(context, target),
    openPanel: () => views.openPanel(),
    showText: () => openAnalysed(context, () => views.openPanel('text')),
    blockSelection: () => blockSelection(context),
    knockOutHead: () => knockOutHead(context),
    undoIntervention: () => intervener.undo(),
    clearInterventions: () => intervener.clear(),
    showSpans: () => openAnalysed(context, () => views.openPanel('spans')),
    showBuckets: () => openAnalysed(context, () => views.openPanel('buckets')),
    openHead: (uri?: unknown, token?: unknown) => {
      pinAt(context, uri, token);
      views.openPanel('head', true);
    },
    pinToken: (uri?: unknown, token?: unknown) => {
      if (uri !== undefined) pinAt(context, uri, token);
      else pinAtCursor(context);
    },
    unpinToken: () => selection.select({ token: null }),
    selectHead: () => pickHead(store, selection),
    selectModel: async (model?: unknown) => {
      if (!trusted()) return;
      const given = model instanceof vscode.Uri ? model.fsPath : model;
      const ref = typeof given === 'string' ? given : await pickModel(client, settings, memory);
      if (ref !== undefined) await useModel(ref, context);
    },
    showModelCache: () => {
      if (trusted()) return showModelCache(client);
    },
    setTarget: () => {
      const document = vscode.window.activeTextEditor?.document ?? store.shown?.document;
      if (document) return targets.pick(document);
      return tell('information', vscode.l10n.t('Open the text to analyze first.'));
    },
    clear: () => {
      selection.clear();
      store.forget();
    },
    cancel: () => {
      store.cancel();
      context.planner.cancel();
    },
    restartEngine: async () => {
      if (!trusted()) return;
      await context.crashed.forget();
      await client.restart();
      store.beginAgain();
    },
    showLog: () => log.show(),
    openSettings: () =>
      vscode.commands.executeCommand(
        'workbench.action.openSettings',
        '@ext:attention-inspector.attention-inspector',
      ),
    openDeviceSetting,
  };
  return vscode.Disposable.from(
    ...Object.entries(commands).map(([name, run]) =>
      vscode.commands.registerCommand(`attentionInspector.${name}`, async (...args: never[]) => {
        try {
          return await run(...args);
        } catch (error) {
          const message = error instanceof Error ? error.message : String(error);
          log.error(`${name}: ${message}`);
          void tell('error', message);
        }
      }),
    ),
  );
}

/** Nothing is loaded or run before the workspace is trusted. */
function trusted(): boolean {
  if (vscode.workspace.isTrusted) return true;
  const manage = vscode.l10n.t('Manage Workspace Trust');
  void tell(
    'warning',
    vscode.l10n.t('Attention Inspector loads models only in a trusted workspace.'),
    manage,
  ).then(choice => choice === manage && vscode.commands.executeCommand('workbench.trust.manage'));
  return false;
}

/** Analyzes the active text, or its selection; with a view in front, the text that it shows. */
async function analyze(
  context: CommandContext,
  part: boolean,
  began = () => undefined as void,
  given?: unknown,
) {
  if (!trusted()) return;
  const { client, store, settings, front, log } = context;
  const { editor } = front;
  const document = (await givenText(given)) ?? (await front.document());
  if (!document) return offerSample();
  if (part && (!editor || editor.selection.isEmpty)) {
    void tell('information', vscode.l10n.t('Select some text first.'));
    return;
  }
  for (const problem of settings.mechanisms(client.capabilities?.mechanisms ?? null).problems)
    log.warn(`Setting attentionInspector.mechanisms: ${problem}`);
  const finished = store.analyze(document, part ? editor?.selection : undefined);
  began();
  await finished;
  const state = store.of(document)?.state;
  if (state?.status === 'error') tellError(state);
}

/** The text of a file of the explorer, of a tab, or of a notebook's cell. */
async function givenText(given: unknown): Promise<vscode.TextDocument | null> {
  if (given instanceof vscode.Uri) return vscode.workspace.openTextDocument(given);
  const cells = vscode.workspace.notebookDocuments.flatMap(notebook => notebook.getCells());
  return cells.find(cell => cell === given)?.document ?? null;
}

/** As `analyze`, with the panel open to fill while the layers finish. */
async function analyzeInView(context: CommandContext, part: boolean, given?: unknown): Promise<void> {
  const open = () => {
    if (context.store.state.status === 'running') context.views.openPanel();
  };
  await analyze(context, part, open, given);
}

/** No text is open: the sample is one click away. Not awaited, as all that is told. */
function offerSample(): void {
  const sample = vscode.l10n.t('Try the Sample');
  const sentence = vscode.l10n.t('No text is open. (Files over 50 MB are hidden from extensions.)');
  void tell('information', sentence, sample).then(
    choice => choice === sample && vscode.commands.executeCommand('attentionInspector.trySample'),
  );
}

/** Told once, not awaited: the progress notification must not stay up behind it. */
function tellError({ message, actions }: Extract<AnalysisState, { status: 'error' }>): void {
  if (actions.includes('openDeviceSetting')) return tellOfDevice(message);
  const showLog = vscode.l10n.t('Show Log');
  void tell('error', message, showLog).then(
    choice => choice === showLog && vscode.commands.executeCommand('attentionInspector.showLog'),
  );
}

/** Opens a view at once; it fills as the analysis that is started for it goes on. */
async function openAnalysed(context: CommandContext, open: () => void): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  const needed = editor ? !context.store.of(editor.document) : !context.store.shown;
  const analysis = needed ? analyze(context, false) : undefined;
  open();
  await analysis;
}

/** Pins a token named by a hover's link. */
function pinAt({ store, selection }: CommandContext, uri: unknown, token: unknown): void {
  const analysis = store.shown;
  if (!analysis?.began || analysis.uri !== uri || typeof token !== 'number') return;
  if (Number.isInteger(token) && token >= 0 && token < analysis.began.tokens.ids.length)
    selection.select({ token });
}

/** Pins the first token of the word at the cursor; again on the same word, unpins it. */
function pinAtCursor({ store, selection }: CommandContext): void {
  const editor = vscode.window.activeTextEditor;
  const analysis = editor && store.of(editor.document);
  const word = editor && wordAround(editor.document, editor.selection.active);
  const tokens =
    analysis && word
      ? analysis.tokensAt(editor.document.offsetAt(word.start), editor.document.offsetAt(word.end))
      : [];
  const token = tokens[0];
  if (token === undefined) {
    void tell('information', vscode.l10n.t('Put the cursor on a word of an analyzed text to pin its token.'));
    return;
  }
  selection.select({ token: selection.current.token === token ? null : token });
}
