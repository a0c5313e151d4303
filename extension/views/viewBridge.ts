import * as vscode from 'vscode';
import type { Place, ViewName } from '../../shared/protocol/host';
import { ViewSession } from '../../shared/host/viewSession';
import { Owner } from '../disposable';
import { ExtensionHost, type HostParts } from './extensionHost';
import { isViewMessage } from './viewMessage';
import { pageOf } from './page';

/** Joins one webview with the extension: its page, what it is told of, and a check of what it says. */
export class ViewBridge extends Owner {
  private readonly session: ViewSession;

  constructor(
    webview: vscode.Webview,
    place: Place,
    title: string,
    extensionUri: vscode.Uri,
    private readonly parts: HostParts,
  ) {
    super();
    const { store, selection, settings, client } = parts;
    const session = new ViewSession(
      new ExtensionHost(parts),
      place,
      message => void webview.postMessage(message),
    );
    this.session = session;
    const page = pageOf(webview, extensionUri, place, title);
    const sendSettings = () =>
      session.send({
        type: 'settings',
        settings: settings.forViews(client.capabilities?.mechanisms ?? null),
      });
    this.register(webview.onDidReceiveMessage((message: unknown) => this.receive(message)));
    this.register(store.onChange(() => session.sendState()));
    this.register(store.onUpdate(update => session.send(update)));
    this.register(selection.onChange(current => session.send({ type: 'selection', selection: current })));
    this.register(parts.corpora.onChange(corpus => session.send({ type: 'corpus', corpus })));
    this.register(store.onOthers(() => session.send({ type: 'others', others: store.others })));
    this.register(client.on('analysis/progress', progress => session.send({ type: 'work', progress })));
    this.register(client.on('cost/progress', progress => session.send({ type: 'cost', progress })));
    this.register(parts.front.onUnanalysed(name => session.send({ type: 'inFront', name })));
    this.register(selection.onPreview(token => session.send({ type: 'preview', token })));
    this.register(client.onState(state => state === 'running' && session.sendState()));
    this.register(vscode.window.onDidChangeActiveColorTheme(sendSettings));
    this.register(
      vscode.workspace.onDidChangeConfiguration(
        event => event.affectsConfiguration('attentionInspector') && sendSettings(),
      ),
    );
    webview.html = page();
  }

  /** Shows a view, as soon as the page listens. */
  show(view: ViewName, focus = false): void {
    this.session.show(view, focus);
  }

  override dispose(): void {
    this.session.dispose();
    super.dispose();
  }

  private receive(message: unknown): void {
    const { log } = this.parts;
    if (!isViewMessage(message)) {
      log.warn(`A view sent a message of no known kind: ${JSON.stringify(message)?.slice(0, 200)}`);
      return;
    }
    this.session
      .receive(message)
      .catch((error: unknown) => log.error(`View message "${message.type}": ${String(error)}`));
  }
}
