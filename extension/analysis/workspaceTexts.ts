import * as vscode from 'vscode';
import type { LensDocument } from '../../shared/protocol/engine';

/** Bounds of what is read for a search: files, bytes of each, and characters in all. */
const FILES = 60;
const FILE_BYTES = 128 << 10;
const CHARACTERS = 1 << 20;
const TEXTS =
  '**/*.{md,markdown,txt,rst,adoc,tex,html,py,js,jsx,ts,tsx,c,h,cc,cpp,hpp,java,go,rs,rb,cs,kt,swift,sh,json,yaml,yml,toml}';
const LEFT_OUT = '**/{node_modules,.git,dist,out,build,target,.venv,venv,__pycache__}/**';

/**
 * Texts of a trusted workspace to look for similar passages in: files of the same kind as `like` first, then the
 * others, within bounds. `like` itself is left out, and so is what is no text.
 */
export async function workspaceTexts(
  like: vscode.Uri,
  token: vscode.CancellationToken,
): Promise<LensDocument[]> {
  if (!vscode.workspace.isTrusted) return [];
  const found = await vscode.workspace.findFiles(TEXTS, LEFT_OUT, 4 * FILES, token);
  const kind = (uri: vscode.Uri) => uri.path.slice(uri.path.lastIndexOf('.'));
  const same = (uri: vscode.Uri) => Number(kind(uri) === kind(like));
  const files = found
    .filter(uri => uri.toString() !== like.toString())
    .sort((a, b) => same(b) - same(a) || (a.path < b.path ? -1 : 1));
  const documents: LensDocument[] = [];
  let characters = 0;
  for (const uri of files) {
    if (documents.length >= FILES || characters >= CHARACTERS || token.isCancellationRequested) break;
    const text = await readText(uri);
    if (!text) continue;
    characters += text.length;
    documents.push({ name: vscode.workspace.asRelativePath(uri), uri: uri.toString(), text });
  }
  return documents;
}

async function readText(uri: vscode.Uri): Promise<string | null> {
  try {
    const { size } = await vscode.workspace.fs.stat(uri);
    if (size === 0 || size > FILE_BYTES) return null;
    // What the user sees goes before what is saved.
    const open = vscode.workspace.textDocuments.find(document => document.uri.toString() === uri.toString());
    const text = open?.getText() ?? new TextDecoder().decode(await vscode.workspace.fs.readFile(uri));
    return text.includes('\0') ? null : text;
  } catch {
    return null;
  }
}

/** Shows a range of a file of the workspace beside the text; other files a view may not open. */
export async function showRange(uri: vscode.Uri, start: number, end: number): Promise<void> {
  if (!vscode.workspace.getWorkspaceFolder(uri)) return;
  const document = await vscode.workspace.openTextDocument(uri);
  const range = new vscode.Range(document.positionAt(start), document.positionAt(end));
  await vscode.window.showTextDocument(document, {
    viewColumn: vscode.ViewColumn.Beside,
    preserveFocus: true,
    selection: range,
  });
}
