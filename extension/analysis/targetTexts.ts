import * as vscode from 'vscode';
import { foreign } from '../../shared/foreign';
import { Owner } from '../disposable';
import { tell } from '../workbench/tell';

interface TargetItem extends vscode.QuickPickItem {
  /** null: the model writes the target text itself; 'other': a file that is not open yet. */
  uri: vscode.Uri | null | 'other';
}

/**
 * Which document is the target text of which: what the decoder of an encoder-decoder reads beside the analysed text.
 * Kept for the session; a document that is closed is the target of none.
 */
export class TargetTexts extends Owner {
  private readonly targets = new Map<string, vscode.TextDocument>();
  /** Names of closed targets, by the document they were the target of, until its next analysis has told of it. */
  private readonly lost = new Map<string, string>();

  constructor() {
    super();
    this.register(
      vscode.window.tabGroups.onDidChangeTabs(({ closed }) => closed.length && this.forgetClosed()),
    );
    this.register(vscode.workspace.onDidCloseTextDocument(() => this.forgetClosed()));
  }

  of(document: vscode.TextDocument): vscode.TextDocument | null {
    return this.targets.get(document.uri.toString()) ?? null;
  }

  /** null: the model writes its own. */
  set(document: vscode.TextDocument, target: vscode.TextDocument | null): void {
    const key = document.uri.toString();
    this.lost.delete(key);
    if (target) this.targets.set(key, target);
    else this.targets.delete(key);
  }

  /** Told once, in the first analysis without it: the sentence on a target text that was closed. */
  noteOnLost(document: vscode.TextDocument): string | null {
    const name = this.lost.get(document.uri.toString());
    this.lost.delete(document.uri.toString());
    if (name === undefined) return null;
    return vscode.l10n.t('The target text {0} was closed: the analysis is without it.', name);
  }

  /** Lets the user choose among the open documents, or none. Takes effect at the next analysis of `document`. */
  async pick(document: vscode.TextDocument): Promise<void> {
    const { t } = vscode.l10n;
    const current = this.of(document)?.uri.toString() ?? null;
    const own = document.uri.toString();
    const mark = (uri: string | null) => (uri === current ? t('current') : undefined);
    const uris = openUris().filter(uri => uri.toString() !== own && uri.scheme !== 'output');
    const items: TargetItem[] = [
      { label: t('Let the model write it'), description: mark(null), uri: null },
      ...uris.map(uri => ({
        label: foreign(vscode.workspace.asRelativePath(uri)),
        description: mark(uri.toString()),
        uri,
      })),
      { label: t('Open a file…'), uri: 'other' },
    ];
    const chosen = await vscode.window.showQuickPick(items, {
      title: t('Target text of {0}', vscode.workspace.asRelativePath(document.uri)),
      placeHolder: t('What the decoder of an encoder-decoder reads, from the next analysis on'),
    });
    const uri = chosen?.uri === 'other' ? await openOther() : chosen?.uri;
    if (uri === undefined) return;
    this.set(document, uri && (await vscode.workspace.openTextDocument(uri)));
    const analyze = t('Analyze Now');
    const sentence = uri
      ? t('{0} is the target text from the next analysis on.', vscode.workspace.asRelativePath(uri))
      : t('The model writes the target text from the next analysis on.');
    // Not awaited: the choice is made.
    void tell('information', sentence, analyze).then(
      choice =>
        choice === analyze && vscode.commands.executeCommand('attentionInspector.analyze', document.uri),
    );
  }

  /** A document without a tab is closed to the user, though it may stay in memory for minutes. */
  private forgetClosed(): void {
    const open = new Set(openUris().map(uri => uri.toString()));
    // The source may stand in another kind of tab: it is gone when VS Code has let go of it.
    const known = new Set(vscode.workspace.textDocuments.map(({ uri }) => uri.toString()));
    for (const [key, target] of this.targets) {
      if (!known.has(key)) this.targets.delete(key);
      else if (!open.has(target.uri.toString())) {
        this.targets.delete(key);
        this.lost.set(key, vscode.workspace.asRelativePath(target.uri));
      }
    }
    for (const key of this.lost.keys()) if (!known.has(key)) this.lost.delete(key);
  }
}

/** In a tab of its own: a target text is there as long as its tab is. */
async function openOther(): Promise<vscode.Uri | undefined> {
  const [uri] = (await vscode.window.showOpenDialog({ canSelectMany: false })) ?? [];
  if (uri)
    await vscode.window.showTextDocument(uri, {
      preview: false,
      preserveFocus: true,
      viewColumn: vscode.ViewColumn.Beside,
    });
  return uri;
}

/** The texts that have a tab, each once. */
function openUris(): vscode.Uri[] {
  const found = new Map<string, vscode.Uri>();
  for (const { input } of vscode.window.tabGroups.all.flatMap(({ tabs }) => tabs))
    if (input instanceof vscode.TabInputText) found.set(input.uri.toString(), input.uri);
  return [...found.values()];
}
