import * as vscode from 'vscode';
import { readSavedFile, UnreadableError, type SavedFile } from '../../shared/saved/analysis';
import type { ReportData } from '../../shared/reportData';
import { compressed, uncompressed } from '../analysis/savedBytes';
import { pageOf } from './page';

export const SAVED_EDITOR = 'attentionInspector.saved';

/** A saved analysis that is opened: its views, answered from the file alone. Nothing in it runs, no model is needed. */
export class SavedEditor implements vscode.CustomReadonlyEditorProvider {
  constructor(private readonly extensionUri: vscode.Uri) {}

  openCustomDocument(uri: vscode.Uri): vscode.CustomDocument {
    return { uri, dispose: () => undefined };
  }

  async resolveCustomEditor({ uri }: vscode.CustomDocument, { webview, title }: vscode.WebviewPanel) {
    const page = pageOf(webview, this.extensionUri, 'panel', title);
    try {
      const bytes = await vscode.workspace.fs.readFile(uri);
      const saved = readSavedFile(await uncompressed(bytes));
      const data = await compressed(reportOf(saved));
      webview.html = page(Buffer.from(data).toString('base64'));
    } catch (error) {
      if (!(error instanceof UnreadableError)) throw error;
      throw new Error(vscode.l10n.t('This analysis cannot be opened. {0}', error.message), { cause: error });
    }
  }
}

/** A saved file as its page reads it. */
function reportOf({
  details,
  document,
  text,
  summary,
  plan,
  interventions,
  ablation,
  selection,
}: SavedFile): ReportData {
  return {
    ...details,
    document: document.name,
    text,
    summary,
    plan,
    intervention: interventions.result,
    ...(ablation && { ablation }),
    selection,
  };
}
