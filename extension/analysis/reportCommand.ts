import * as vscode from 'vscode';
import type { AnalysisStore } from './analysisStore';
import { EngineError, type EngineClient } from '../engine/engineClient';
import { filling } from '../workbench/progressBar';
import { tell, tellProgress } from '../workbench/tell';

/**
 * Saves the views of the shown text as one HTML file. Asks where to before minutes of work; `given` is where another
 * extension (or a test) wants it.
 */
export async function exportReport(
  { store, client }: { store: AnalysisStore; client: EngineClient },
  given?: unknown,
): Promise<void> {
  const { shown } = store;
  if (!shown?.ready) {
    void tell('information', vscode.l10n.t('Analyze a text first: then its views can be saved as a report.'));
    return;
  }
  const target = given instanceof vscode.Uri ? given : await askWhere(shown.ready.document.name);
  if (!target) return;
  // As it is now: plans and interventions may have come while the user chose.
  const { ready } = shown;
  const params = {
    id: shown.id,
    document: ready.document.name,
    text: shown.source.text,
    summary: ready.summary,
    plan: ready.plan,
    intervention: ready.interventions.result,
  };
  const html = await tellProgress({ title: vscode.l10n.t('HTML report') }, async (bar, token) => {
    const fill = filling(bar);
    const progress = client.on('analysis/progress', ({ id, phase, fraction, message }) => {
      if (id === shown.id && phase === 'mechanism') fill(fraction, message);
    });
    try {
      return (await store.request('analysis/report', params, token)).html;
    } catch (error) {
      if (error instanceof EngineError && error.cancelled) return null;
      throw error;
    } finally {
      progress.dispose();
    }
  });
  if (html === null) return;
  await vscode.workspace.fs.writeFile(target, Buffer.from(html, 'utf8'));
  const open = vscode.l10n.t('Open in Browser');
  // Not awaited: the command has done its work.
  void tell('information', vscode.l10n.t('The report was saved.'), open).then(
    choice => choice === open && vscode.env.openExternal(target),
  );
}

function askWhere(document: string): Thenable<vscode.Uri | undefined> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const name = `${document.replace(/\.[^.]*$/, '').replace(/[\\/:*?"<>|]/g, '-')}-attention.html`;
  return vscode.window.showSaveDialog({
    defaultUri: folder && vscode.Uri.joinPath(folder, name),
    filters: { HTML: ['html'] },
  });
}
