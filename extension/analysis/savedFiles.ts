import { createHash } from 'node:crypto';
import * as vscode from 'vscode';
import { MOST_PACKED, readSaved } from '../../shared/saved/analysis';
import type { SavedAnalysis } from '../../shared/saved/analysis';
import { compressed, uncompressed } from './savedBytes';

/** Files kept of one workspace, and their bytes: the oldest go first. */
const MOST_FILES = 32;
const MOST_BYTES = 128 << 20;

/** One file for each document, in a folder of the workspace's own; what stands there is read as a stranger's. */
export class SavedFiles {
  constructor(private readonly folder: vscode.Uri) {}

  /** null when there is none. @throws UnreadableError */
  async read(document: string): Promise<SavedAnalysis | null> {
    let bytes: Uint8Array;
    try {
      bytes = await vscode.workspace.fs.readFile(this.fileOf(document));
    } catch {
      return null;
    }
    const saved = readSaved(await uncompressed(bytes));
    return saved.document.uri === document ? saved : null;
  }

  async write(saved: SavedAnalysis): Promise<void> {
    const bytes = await compressed(saved);
    if (bytes.length > MOST_PACKED) return this.delete(saved.document.uri);
    await vscode.workspace.fs.createDirectory(this.folder);
    const file = this.fileOf(saved.document.uri);
    // Whole or not at all: a window that closes meanwhile leaves the earlier one.
    const partial = file.with({ path: `${file.path}.partial` });
    await vscode.workspace.fs.writeFile(partial, bytes);
    await vscode.workspace.fs.rename(partial, file, { overwrite: true });
    await this.prune();
  }

  async delete(document: string): Promise<void> {
    await vscode.workspace.fs.delete(this.fileOf(document)).then(undefined, () => undefined);
  }

  private async prune(): Promise<void> {
    const names = (await vscode.workspace.fs.readDirectory(this.folder)).map(([name]) => name);
    const files = await Promise.all(
      names.map(async name => {
        const uri = vscode.Uri.joinPath(this.folder, name);
        const { mtime, size } = await vscode.workspace.fs.stat(uri);
        return { uri, mtime, size };
      }),
    );
    files.sort((a, b) => b.mtime - a.mtime);
    let bytes = 0;
    for (const [at, { uri, size }] of files.entries()) {
      bytes += size;
      if (at >= MOST_FILES || bytes > MOST_BYTES) await vscode.workspace.fs.delete(uri);
    }
  }

  private fileOf(document: string): vscode.Uri {
    const name = createHash('sha256').update(document).digest('hex').slice(0, 32);
    return vscode.Uri.joinPath(this.folder, `${name}.attention`);
  }
}
