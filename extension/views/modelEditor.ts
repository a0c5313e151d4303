import * as vscode from 'vscode';
import { asEngineError, type EngineClient } from '../engine/engineClient';
import { modelName } from '../model/modelChoice';
import { modelPage, type ModelPageParts, type PageAction } from './modelPage';

export const MODEL_EDITOR = 'attentionInspector.model';

const USE = 'attentionInspector.selectModel';
const TRUST = 'workbench.trust.manage';

/**
 * An .onnx file that is opened: its attention cores and how they were verified. The engine looks at it in a process of its
 * own, which ends when the tab is closed; in Restricted Mode nothing is read.
 */
export class ModelEditor implements vscode.CustomReadonlyEditorProvider {
  constructor(private readonly client: EngineClient) {}

  openCustomDocument(uri: vscode.Uri): vscode.CustomDocument {
    return { uri, dispose: () => undefined };
  }

  resolveCustomEditor({ uri }: vscode.CustomDocument, panel: vscode.WebviewPanel): void {
    const { webview } = panel;
    webview.options = { enableScripts: false, enableCommandUris: [USE, TRUST], localResourceRoots: [] };
    const closed = new vscode.CancellationTokenSource();
    const listeners: vscode.Disposable[] = [];
    panel.onDidDispose(() => {
      closed.cancel();
      for (const listener of listeners) listener.dispose();
    });
    const show = (state: ModelPageParts['state']) => {
      if (closed.token.isCancellationRequested) return;
      webview.html = modelPage({
        name: modelName(uri.path),
        language: vscode.env.language,
        source: webview.cspSource,
        state,
        t: vscode.l10n.t,
      });
    };
    if (vscode.workspace.isTrusted) return void this.look(uri, closed.token, show);
    const manage = { label: vscode.l10n.t('Manage Workspace Trust'), command: TRUST, args: [] };
    show({ note: vscode.l10n.t('Models are loaded only in a trusted workspace.'), actions: [manage] });
    listeners.push(vscode.workspace.onDidGrantWorkspaceTrust(() => void this.look(uri, closed.token, show)));
  }

  private async look(
    uri: vscode.Uri,
    closed: vscode.CancellationToken,
    show: (state: ModelPageParts['state']) => void,
  ): Promise<void> {
    if (uri.scheme !== 'file')
      return show({ note: vscode.l10n.t('Only models on the disk can be loaded.'), actions: [] });
    show({
      note: vscode.l10n.t('The model is read, cut at its attention and compared with itself…'),
      actions: [],
    });
    try {
      const inspection = await this.client.request('models/inspect', { ref: uri.fsPath }, closed);
      const use: PageAction = {
        label: vscode.l10n.t('Use as Model'),
        command: USE,
        args: [uri.fsPath],
        primary: true,
      };
      show({ inspection, actions: inspection.info ? [use] : [] });
    } catch (error) {
      show({ note: asEngineError(error).message, actions: [] });
    }
  }
}
