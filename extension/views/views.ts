import * as vscode from 'vscode';
import type { ViewName } from '../../shared/protocol/host';
import { Owner } from '../disposable';
import type { HostParts } from './extensionHost';
import { ViewBridge } from './viewBridge';

const SIDE_VIEW = 'attentionInspector.side';
const PANEL = 'attentionInspector.panel';

/** The two places where views live: the side panel, and the wide panel in an editor tab. */
export class Views extends Owner implements vscode.WebviewViewProvider, vscode.WebviewPanelSerializer {
  private panel: { tab: vscode.WebviewPanel; bridge: ViewBridge } | null = null;
  private readonly parts: HostParts;
  private latest: ViewName | null = null;
  private readonly sawView = this.register(new vscode.EventEmitter<ViewName>());
  /** Another view is in front in the panel. */
  readonly onSeen = this.sawView.event;

  constructor(
    private readonly extensionUri: vscode.Uri,
    parts: Omit<HostParts, 'openView' | 'saw'>,
  ) {
    super();
    this.parts = { ...parts, openView: view => this.openPanel(view), saw: view => this.saw(view) };
    this.register(vscode.window.registerWebviewViewProvider(SIDE_VIEW, this));
    this.register(vscode.window.registerWebviewPanelSerializer(PANEL, this));
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    const bridge = new ViewBridge(
      view.webview,
      'side',
      vscode.l10n.t('Attention'),
      this.extensionUri,
      this.parts,
    );
    view.onDidDispose(() => bridge.dispose());
  }

  /** Opens the panel, or brings it to the front, at a view; `focus`: one goes on working there, not in the text. */
  openPanel(view?: ViewName, focus = false): void {
    if (!this.panel) {
      // Beside the text, which keeps the focus: one goes on working in it.
      const place = { viewColumn: this.beside ?? vscode.ViewColumn.Active, preserveFocus: !focus };
      this.adopt(vscode.window.createWebviewPanel(PANEL, vscode.l10n.t('Attention'), place));
    } else {
      const { tab } = this.panel;
      const covers = !tab.visible && tab.viewColumn === this.text?.viewColumn;
      tab.reveal(covers ? this.beside : undefined, !focus);
    }
    if (!view) return;
    this.panel?.bridge.show(view, focus);
    this.saw(view);
  }

  /** The view in front in the panel; null before any was. */
  get seen(): ViewName | null {
    return this.panel && this.latest;
  }

  private saw(view: ViewName): void {
    this.latest = view;
    this.sawView.fire(view);
  }

  /** The editor of the text that the views are about. */
  private get text(): vscode.TextEditor | undefined {
    const { shown } = this.parts.store;
    const own = vscode.window.visibleTextEditors.find(({ document }) => document === shown?.document);
    return own ?? this.parts.front.editor;
  }

  private get beside(): vscode.ViewColumn | undefined {
    const column = this.text?.viewColumn;
    return column === undefined ? undefined : column + 1;
  }

  /** After a reload of the window: the page asks for its state as it always does, so the saved one may be missing. */
  async deserializeWebviewPanel(tab: vscode.WebviewPanel): Promise<void> {
    if (this.panel) tab.dispose();
    else this.adopt(tab);
  }

  override dispose(): void {
    this.panel?.bridge.dispose();
    super.dispose();
  }

  private adopt(tab: vscode.WebviewPanel): void {
    const icon = (name: string) => vscode.Uri.joinPath(this.extensionUri, 'media', name);
    tab.iconPath = { light: icon('panel-light.svg'), dark: icon('panel-dark.svg') };
    const bridge = new ViewBridge(tab.webview, 'panel', tab.title, this.extensionUri, this.parts);
    this.panel = { tab, bridge };
    const entitle = () => {
      const name = this.parts.store.shown?.documentInfo.name;
      tab.title = name ? vscode.l10n.t('Attention: {0}', name) : vscode.l10n.t('Attention');
    };
    entitle();
    const following = this.parts.store.onChange(entitle);
    tab.onDidDispose(() => {
      following.dispose();
      bridge.dispose();
      this.panel = null;
      // What a view had marked in the editor goes with the view, which was its legend.
      this.parts.selection.select({ change: null });
    });
  }
}
