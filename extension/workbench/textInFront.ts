import * as vscode from 'vscode';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';

/** Which open text a command means: the one in front, else one in sight, else the one that was in front last. */
export class TextInFront extends Owner {
  private last: string | null = null;

  constructor(private readonly store: AnalysisStore) {
    super();
    this.follow(vscode.window.activeTextEditor);
    this.register(vscode.window.onDidChangeActiveTextEditor(editor => this.follow(editor)));
  }

  /** Its editor; undefined where a text is open behind another tab, or none is. */
  get editor(): vscode.TextEditor | undefined {
    const { activeTextEditor, visibleTextEditors } = vscode.window;
    if (activeTextEditor) return activeTextEditor;
    const of = (uri?: string | null) =>
      visibleTextEditors.find(({ document }) => document.uri.toString() === uri);
    return of(this.store.shown?.uri) ?? of(this.last) ?? visibleTextEditors.find(isText);
  }

  async document(): Promise<vscode.TextDocument | undefined> {
    const found = this.editor?.document ?? this.store.shown?.document;
    if (found) return found;
    const tabs = textTabs();
    const behind = tabs.find(uri => uri.toString() === this.last) ?? tabs[0];
    // A tab may show a file that is too large for extensions.
    return behind && vscode.workspace.openTextDocument(behind).then(undefined, () => undefined);
  }

  private follow(editor: vscode.TextEditor | undefined): void {
    if (editor && isText(editor)) this.last = editor.document.uri.toString();
  }
}

const isText = ({ document }: vscode.TextEditor) => document.uri.scheme !== 'output';

/** Texts behind other tabs, the one in front of its group first. */
function textTabs(): vscode.Uri[] {
  const tabs = vscode.window.tabGroups.all.flatMap(group => group.tabs);
  return tabs
    .sort((a, b) => Number(b.isActive) - Number(a.isActive))
    .flatMap(({ input }) => (input instanceof vscode.TabInputText ? [input.uri] : []));
}
