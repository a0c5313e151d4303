import * as vscode from 'vscode';
import { documentName } from '../analysis/documentName';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';

/** Which open text a command means: the one in front, else one in sight, else the one that was in front last. */
export class TextInFront extends Owner {
  private last: string | null = null;
  private lastText: vscode.TextDocument | null = null;
  private foreign: { uri: vscode.Uri; name: string } | null = null;
  private readonly changed = this.register(new vscode.EventEmitter<string | null>());
  readonly onUnanalysed = this.changed.event;

  constructor(private readonly store: AnalysisStore) {
    super();
    this.follow(vscode.window.activeTextEditor);
    this.register(vscode.window.onDidChangeActiveTextEditor(editor => this.follow(editor)));
    this.register(store.onChange(() => this.follow(undefined)));
  }

  /** The text in front, while the views show another and it was never analyzed itself; else null. */
  get unanalysed(): { uri: vscode.Uri; name: string } | null {
    return this.foreign;
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
    // With a view in front, the text before it is still meant.
    if (editor && isText(editor)) this.lastText = editor.document;
    this.last = this.lastText?.uri.toString() ?? null;
    const { shown } = this.store;
    const text = this.lastText?.isClosed ? null : this.lastText;
    const known = !text || !shown || shown.target?.document === text || this.store.of(text);
    const foreign = known ? null : { uri: text.uri, name: documentName(text.uri) };
    if (foreign?.uri.toString() === this.foreign?.uri.toString()) return;
    this.foreign = foreign;
    this.changed.fire(foreign?.name ?? null);
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
