import * as vscode from 'vscode';
import type { EngineMethod, EngineParams, EngineResult } from '../../shared/protocol/engine';
import type { Analysis } from './analysis';
import type { AnalysisStore } from './analysisStore';
import { compressed } from './savedBytes';
import { savedOf } from './saving';
import { EngineError, type EngineClient } from '../engine/engineClient';
import { pageLanguage } from '../views/pageLanguage';
import { SAVED_EDITOR } from '../views/savedEditor';
import type { SelectionModel } from '../views/selectionModel';
import { fillingWhile } from '../workbench/progressBar';
import { tell, tellProgress } from '../workbench/tell';

interface Context {
  store: AnalysisStore;
  client: EngineClient;
  selection: SelectionModel;
}

/**
 * Saves the views of the shown text as one HTML file. Asks where to before minutes of work; `given` is where another
 * extension (or a test) wants it.
 */
export async function exportReport(context: Context, given?: unknown): Promise<void> {
  const shown = finished(context.store);
  const target = shown && (await chosen(shown.documentInfo.name, given, 'HTML', 'html'));
  if (!shown || !target) return;
  const report = await gathered(context, shown, 'analysis/report', vscode.l10n.t('HTML report'));
  if (!report) return;
  await writeReport(target, report);
}

/** Writes it and offers to open it. */
export async function writeReport(target: vscode.Uri, { html }: { html: string }): Promise<void> {
  await vscode.workspace.fs.writeFile(target, Buffer.from(html, 'utf8'));
  const open = vscode.l10n.t('Open in Browser');
  // Not awaited: the command has done its work.
  void tell('information', vscode.l10n.t('The report was saved.'), open).then(
    choice => choice === open && vscode.env.openExternal(target),
  );
}

/** Saves the shown analysis with all that its views show, as a file that opens without the model. */
export async function saveAnalysis(context: Context, given?: unknown): Promise<void> {
  const shown = finished(context.store);
  const target =
    shown && (await chosen(shown.documentInfo.name, given, vscode.l10n.t('Attention analysis'), 'attention'));
  if (!shown || !target) return;
  const details = await gathered(context, shown, 'analysis/details', vscode.l10n.t('Saving the analysis'));
  const saved = savedOf(shown, shown === context.store.shown ? context.selection : null);
  if (!details || !saved) return;
  await vscode.workspace.fs.writeFile(target, await compressed({ ...saved, details }));
  const open = vscode.l10n.t('Open');
  void tell('information', vscode.l10n.t('The analysis was saved.'), open).then(
    choice => choice === open && vscode.commands.executeCommand('vscode.openWith', target, SAVED_EDITOR),
  );
}

function finished({ shown }: AnalysisStore): Analysis | null {
  if (shown?.ready) return shown;
  void tell('information', vscode.l10n.t('Analyze a text first: then its views can be saved.'));
  return null;
}

/** null when the user thinks better of it. */
async function gathered<M extends 'analysis/report' | 'analysis/details'>(
  { store, client }: Context,
  shown: Analysis,
  method: M,
  title: string,
): Promise<EngineResult<M> | null> {
  // As it is now: plans and interventions may have come while the user chose.
  const ready = shown.ready!;
  const language = pageLanguage();
  const params: EngineParams<'analysis/report'> = {
    id: shown.id,
    document: ready.document.name,
    text: shown.source.text,
    summary: ready.summary,
    plan: ready.plan,
    intervention: ready.interventions.result,
    ...(language && { language }),
  };
  return tellProgress({ title }, async (bar, token) => {
    try {
      return await fillingWhile(
        bar,
        client,
        ({ id, phase }) => id === shown.id && phase === 'mechanism',
        () => store.request<EngineMethod & M>(method, params as never, token),
      );
    } catch (error) {
      if (error instanceof EngineError && error.cancelled) return null;
      throw error;
    }
  });
}

/** Where to: what was given, or what the user says. */
export async function chosen(
  name: string,
  given: unknown,
  kind: string,
  ends: string,
): Promise<vscode.Uri | undefined> {
  if (given instanceof vscode.Uri) return given;
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const stem = name.replace(/\.[^.]*$/, '').replace(/[\\/:*?"<>|]/g, '-');
  const file = ends === 'html' ? `${stem}-attention.html` : `${stem}.${ends}`;
  return vscode.window.showSaveDialog({
    defaultUri: folder && vscode.Uri.joinPath(folder, file),
    filters: { [kind]: [ends] },
  });
}
