import * as vscode from 'vscode';
import type { Place } from '../../shared/protocol/host';
import { pageLanguage } from './pageLanguage';
import { webviewHtml } from './webviewHtml';

/** Makes a webview ours, and gives what writes its page. */
export function pageOf(
  webview: vscode.Webview,
  extensionUri: vscode.Uri,
  place: Place,
  title: string,
): (data?: string) => string {
  const dist = vscode.Uri.joinPath(extensionUri, 'dist');
  webview.options = { enableScripts: true, localResourceRoots: [dist] };
  const language = pageLanguage();
  return data =>
    webviewHtml({
      place,
      title,
      language: vscode.env.language,
      ...(language && { words: JSON.stringify(language.words) }),
      script: webview.asWebviewUri(vscode.Uri.joinPath(dist, 'webview.js')).toString(),
      style: webview.asWebviewUri(vscode.Uri.joinPath(dist, 'webview.css')).toString(),
      source: webview.cspSource,
      ...(data === undefined ? {} : { data }),
    });
}
