import * as vscode from 'vscode';

/** A short story that ships with the extension, for those who have no text at hand. */
export class SampleText {
  private document: vscode.TextDocument | null = null;

  constructor(private readonly extensionUri: vscode.Uri) {}

  /** Opens it as a text that belongs to no file, once; again, it comes to the front with what was written into it. */
  async open(): Promise<vscode.TextEditor> {
    if (!this.document || this.document.isClosed) {
      const file = vscode.Uri.joinPath(this.extensionUri, 'media', 'sample.txt');
      const content = new TextDecoder().decode(await vscode.workspace.fs.readFile(file));
      this.document = await vscode.workspace.openTextDocument({ language: 'plaintext', content });
    }
    // Where it is in sight already, rather than once more in the group that is active.
    const editor = vscode.window.visibleTextEditors.find(({ document }) => document === this.document);
    return vscode.window.showTextDocument(this.document, { preview: false, viewColumn: editor?.viewColumn });
  }

  isIn(document: vscode.TextDocument): boolean {
    return document === this.document;
  }

  /** Where a word stands in it, unless it was taken out. */
  find(word: string, occurrence: number): vscode.Range | null {
    const { document } = this;
    const found = [...(document?.getText() ?? '').matchAll(new RegExp(`\\b${word}\\b`, 'g'))][occurrence - 1];
    if (!document || !found) return null;
    return new vscode.Range(document.positionAt(found.index), document.positionAt(found.index + word.length));
  }
}
