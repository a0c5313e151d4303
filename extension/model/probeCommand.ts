/** `Probe the Heads`: what the heads of the model do on the canonical probe, as a document, and as files that others read. */
import * as vscode from 'vscode';
import type { EngineClient } from '../engine/engineClient';
import { probeDocument } from '../../shared/probe/document';
import { probeCsv, probeJson } from '../../shared/probe/files';
import type { HeadProbe } from '../../shared/protocol/engine';
import { fillingWhile } from '../workbench/progressBar';
import type { Settings } from '../workbench/settings';
import { tell, tellProgress } from '../workbench/tell';

/** Its progress goes by this id. */
const PROBE = 'probe';

interface ProbeContext {
  client: EngineClient;
  settings: Settings;
}

export async function probeHeads({ client, settings }: ProbeContext): Promise<void> {
  const { model, device } = settings;
  const found = await tellProgress(
    { title: vscode.l10n.t('The heads of {0} on repeated random words', model) },
    async (bar, cancel) => {
      try {
        return await fillingWhile(
          bar,
          client,
          ({ id }) => id === PROBE,
          () => client.request('heads/probe', { model, device }, cancel),
        );
      } catch (error) {
        if (cancel.isCancellationRequested) return null;
        throw error;
      }
    },
  );
  if (!found) return;
  const content = probeDocument(found, vscode.l10n.t);
  await vscode.window.showTextDocument(
    await vscode.workspace.openTextDocument({ language: 'markdown', content }),
  );
  // Not awaited: the command has done its work.
  void offerFiles(found);
}

async function offerFiles(found: HeadProbe): Promise<void> {
  const texts: Record<string, () => string> = {
    CSV: () => probeCsv(found),
    JSON: () => `${JSON.stringify(probeJson(found), null, 2)}\n`,
  };
  const saveAs = new Map(Object.keys(texts).map(kind => [vscode.l10n.t('Save as {0}', kind), kind]));
  const told = vscode.l10n.t('The probe can be saved with all its figures.');
  const kind = saveAs.get((await tell('information', told, ...saveAs.keys())) ?? '');
  if (kind === undefined) return;
  const ends = kind.toLowerCase();
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const target = await vscode.window.showSaveDialog({
    defaultUri: folder && vscode.Uri.joinPath(folder, `heads.${ends}`),
    filters: { [kind]: [ends] },
  });
  if (target) await vscode.workspace.fs.writeFile(target, Buffer.from(texts[kind]!(), 'utf8'));
}
