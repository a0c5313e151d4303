import * as vscode from 'vscode';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';
import type { SelectionModel } from '../views/selectionModel';

/** Tells menus and key bindings what there is: `attentionInspector.state`, `.analyzed`, `.analyzedEditor`, `.pinned`, `.interventions`. */
export class ContextKeys extends Owner {
  private readonly known = new Map<string, unknown>();

  constructor(store: AnalysisStore, selection: SelectionModel) {
    super();
    const update = () => {
      const editor = vscode.window.activeTextEditor;
      this.set('state', store.shown?.state.status ?? 'none');
      // Once an analysis has finished, it stays: the walkthrough ticks its first step by it.
      if (store.shown?.ready) this.set('analyzed', true);
      this.set('analyzedEditor', !!editor && !!store.of(editor.document)?.began);
      this.set('interventions', (store.shown?.ready?.interventions.list.length ?? 0) > 0);
      this.set('plan', !!store.shown?.ready?.plan);
      this.set('pinned', selection.current.token !== null);
    };
    this.register(store.onChange(update));
    this.register(
      store.onUpdate(message => ['began', 'interventions', 'plan'].includes(message.type) && update()),
    );
    this.register(selection.onChange(update));
    this.register(vscode.window.onDidChangeActiveTextEditor(update));
    update();
  }

  private set(key: string, value: unknown): void {
    if (this.known.get(key) === value) return;
    this.known.set(key, value);
    void vscode.commands.executeCommand('setContext', `attentionInspector.${key}`, value);
  }
}
