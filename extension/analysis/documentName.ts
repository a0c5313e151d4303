import * as vscode from 'vscode';

/** What a text is called: its path in the workspace; a cell by its notebook, whose cells have no names. */
export function documentName(uri: vscode.Uri): string {
  const { asRelativePath, notebookDocuments } = vscode.workspace;
  if (uri.scheme !== 'vscode-notebook-cell') return asRelativePath(uri);
  for (const notebook of notebookDocuments) {
    const at = notebook.getCells().findIndex(({ document }) => document.uri.toString() === uri.toString());
    if (at >= 0) return vscode.l10n.t('{0}, cell {1}', asRelativePath(notebook.uri), at + 1);
  }
  return asRelativePath(uri.with({ fragment: '' }));
}
