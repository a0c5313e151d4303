import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import type { AttentionInspectorApi } from '../../../extension/api';
import type { AnalysisState } from '../../../shared/protocol/host';

export const ID = 'attention-inspector.attention-inspector';

export async function api(): Promise<AttentionInspectorApi> {
  const extension = vscode.extensions.getExtension<AttentionInspectorApi>(ID);
  assert.ok(extension, `${ID} is installed`);
  return extension.activate();
}

export const run = (command: string, ...args: unknown[]): Thenable<unknown> =>
  vscode.commands.executeCommand(`attentionInspector.${command}`, ...args);

let files = 0;

/** A new file of the workspace, open in the active editor. */
export async function openText(text: string): Promise<vscode.TextEditor> {
  const folder = vscode.workspace.workspaceFolders![0]!.uri;
  const file = vscode.Uri.joinPath(folder, `text-${++files}.txt`);
  await vscode.workspace.fs.writeFile(file, Buffer.from(text, 'utf8'));
  // Not openTextDocument: what an extension opens stays in memory for minutes after its editor is closed.
  await vscode.commands.executeCommand('vscode.open', file);
  return until('the editor', () => {
    const { activeTextEditor } = vscode.window;
    return activeTextEditor?.document.uri.toString() === file.toString() && activeTextEditor;
  });
}

/** Makes the other open text the target text of the active one. */
export async function pickOtherText(): Promise<void> {
  const picking = run('setTarget');
  // The list is there a moment after its command. Its first entry lets the model write; the second is the other text.
  await new Promise(resolve => setTimeout(resolve, 500));
  await vscode.commands.executeCommand('workbench.action.quickOpenSelectNext');
  await vscode.commands.executeCommand('workbench.action.acceptSelectedQuickOpenItem');
  await picking;
}

export async function closeAll(): Promise<void> {
  await run('cancel');
  const { activeTextEditor } = vscode.window;
  if (activeTextEditor?.document.isDirty)
    await vscode.commands.executeCommand('workbench.action.files.revert');
  await vscode.commands.executeCommand('workbench.action.closeAllEditors');
}

/** Waits until `probe` gives something; fails with what was waited for. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | null | false | Promise<T | undefined | null | false>,
  seconds = 45,
): Promise<T> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`Waited ${seconds} s for ${what}.`);
    await new Promise(resolve => setTimeout(resolve, 25));
  }
}

export type Ready = Extract<AnalysisState, { status: 'ready' }>;

/** Analyzes the active text and gives its finished analysis. */
export async function analyze(editor: vscode.TextEditor): Promise<Ready> {
  await run('analyze');
  const state = (await api()).getState(editor.document.uri);
  assert.equal(state.status, 'ready', state.status === 'error' ? state.message : undefined);
  return state as Ready;
}

/** What our hover says at an offset: its Markdown and its range; undefined when it says nothing. */
export async function hoverAt(
  document: vscode.TextDocument,
  offset: number,
): Promise<{ text: string; range: vscode.Range } | undefined> {
  const hovers = await vscode.commands.executeCommand<vscode.Hover[]>(
    'vscode.executeHoverProvider',
    document.uri,
    document.positionAt(offset),
  );
  for (const hover of hovers) {
    const text = hover.contents.map(part => (typeof part === 'string' ? part : part.value)).join('\n');
    if (text.includes('attentionInspector.pinToken')) return { text, range: hover.range! };
  }
  return undefined;
}

/** The hover at an offset stands on this word and tells where it looks: the engine answers for it. */
export async function saysOf(document: vscode.TextDocument, offset: number, word: string): Promise<void> {
  const hover = await hoverAt(document, offset);
  assert.ok(hover, `a hover on ${word}`);
  assert.equal(document.getText(hover.range), word);
  assert.match(hover.text, /Looks at: /);
}

/** Changes settings for the time of one test. */
export async function withSettings(
  settings: Record<string, unknown>,
  body: () => Promise<void>,
): Promise<void> {
  const configuration = vscode.workspace.getConfiguration('attentionInspector');
  const { Global } = vscode.ConfigurationTarget;
  for (const [key, value] of Object.entries(settings)) await configuration.update(key, value, Global);
  try {
    await body();
  } finally {
    for (const key of Object.keys(settings)) await configuration.update(key, undefined, Global);
  }
}
