import * as vscode from 'vscode';
import { EngineError, type EngineClient } from '../engine/engineClient';
import { tokenOf } from '../engine/abort';
import { ErrorCode } from '../../shared/protocol/engine';
import { Toolbox, TOOLS, type ToolHost } from '../../shared/tools/tools';
import type { Settings } from './settings';

/** The tools that an assistant in the editor can call: those of the MCP server, with the editor's engine, model and folders. */
export function registerAssistantTools(client: EngineClient, settings: Settings): vscode.Disposable {
  const host: ToolHost = {
    get model() {
      return settings.model;
    },
    get device() {
      return settings.device;
    },
    get folders() {
      const folders = vscode.workspace.workspaceFolders ?? [];
      return folders.filter(({ uri }) => uri.scheme === 'file').map(({ uri }) => uri.fsPath);
    },
    ask: (method, params, signal) => client.request(method, params, tokenOf(signal)),
    isLost: error => error instanceof EngineError && error.code === ErrorCode.unknownAnalysis,
    // As it stands in the editor, saved or not.
    readText: async path => (await vscode.workspace.openTextDocument(path)).getText(),
  };
  const toolbox = new Toolbox(host);
  return vscode.Disposable.from(
    ...TOOLS.map(({ name }) =>
      vscode.lm.registerTool<object>(name, {
        invoke: async ({ input }, token) => {
          if (!vscode.workspace.isTrusted)
            throw new Error(vscode.l10n.t('Attention Inspector loads models only in a trusted workspace.'));
          const answer = await toolbox.call(name, input, signalOf(token));
          return new vscode.LanguageModelToolResult([
            new vscode.LanguageModelTextPart(JSON.stringify(answer)),
          ]);
        },
      }),
    ),
  );
}

function signalOf(token: vscode.CancellationToken): AbortSignal {
  const abort = new AbortController();
  if (token.isCancellationRequested) abort.abort();
  token.onCancellationRequested(() => abort.abort());
  return abort.signal;
}
