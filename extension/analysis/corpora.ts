import { createHash } from 'node:crypto';
import * as vscode from 'vscode';
import type { CorpusProfile } from '../../shared/protocol/corpus';
import type { CorpusState } from '../../shared/protocol/host';
import { Owner } from '../disposable';
import { asEngineError, EngineError, type EngineClient } from '../engine/engineClient';
import type { Settings } from '../workbench/settings';
import { chosen, writeReport } from './reportCommand';
import { pageLanguage } from '../views/pageLanguage';
import { filling } from '../workbench/progressBar';
import { tellOfDevice } from '../workbench/deviceSetting';
import { tell, tellProgress } from '../workbench/tell';

/** Of each text, as on the command line. */
const TOKENS = 512;

/** The profile of a folder that was asked for last. What was profiled before is kept on disk and gone on with. */
export class Corpora extends Owner {
  private current: CorpusState = { status: 'none' };
  /** What was profiled last, and where it is kept. */
  private latest: { profile: CorpusProfile; kept: string } | null = null;
  private runs = 0;
  private cancellation: vscode.CancellationTokenSource | null = null;
  private readonly changed = this.register(new vscode.EventEmitter<CorpusState>());
  readonly onChange = this.changed.event;

  constructor(
    private readonly client: EngineClient,
    private readonly settings: Settings,
    private readonly storage: vscode.Uri,
  ) {
    super();
  }

  get state(): CorpusState {
    return this.current;
  }

  /** What the state `ready` of this id is about. */
  profile(id: number): CorpusProfile {
    if (this.current.status === 'ready' && this.current.id === id && this.latest) return this.latest.profile;
    throw new EngineError('That profile is no longer shown.', null);
  }

  /** Profiles the texts below a folder; one that still runs is stopped. */
  async run(folder: vscode.Uri): Promise<void> {
    this.cancellation?.cancel();
    const cancellation = (this.cancellation = new vscode.CancellationTokenSource());
    const name = vscode.workspace.asRelativePath(folder);
    const { model, device } = this.settings;
    const place = createHash('sha256')
      .update(`${folder.toString()}\n${model}\n${device}`)
      .digest('hex')
      .slice(0, 16);
    const kept = vscode.Uri.joinPath(this.storage, place).fsPath;
    const tellState = (state: CorpusState) => this.cancellation === cancellation && this.become(state);
    tellState({ status: 'running', folder: name, done: 0, of: 0 });
    await tellProgress({ title: vscode.l10n.t('Profile of {0}', name) }, async (bar, cancel) => {
      const fill = filling(bar);
      const listeners = [
        cancel.onCancellationRequested(() => cancellation.cancel()),
        this.client.on('corpus/progress', ({ folder: of, done, of: texts, text }) => {
          if (of !== kept) return;
          fill(done / texts, text.file);
          tellState({ status: 'running', folder: name, done, of: texts });
        }),
      ];
      try {
        const params = { root: folder.fsPath, paths: ['.'], folder: kept, model, device, maxTokens: TOKENS };
        const profile = await this.client.request('corpus/profile', params, cancellation.token);
        if (this.cancellation !== cancellation) return;
        this.latest = { profile, kept };
        tellState({ status: 'ready', id: ++this.runs, folder: name, root: folder.toString() });
      } catch (error) {
        const failure = asEngineError(error);
        tellState(
          failure.cancelled
            ? { status: 'none' }
            : { status: 'error', folder: name, message: failure.message },
        );
        if (failure.isOfDevice) tellOfDevice(failure.message);
        else if (!failure.cancelled) void tell('error', failure.message);
      } finally {
        for (const listener of listeners) listener.dispose();
      }
    });
  }

  /** What was profiled last as one HTML file; null where nothing was, or when the user thinks better of it. */
  async report(document: string, token: vscode.CancellationToken): Promise<{ html: string } | null> {
    if (!this.latest) return null;
    try {
      const language = pageLanguage();
      const asked = { folder: this.latest.kept, document, ...(language && { language }) };
      return await this.client.request('corpus/report', asked, token);
    } catch (error) {
      if (asEngineError(error).cancelled) return null;
      throw error;
    }
  }

  override dispose(): void {
    this.cancellation?.cancel();
    super.dispose();
  }

  private become(state: CorpusState): void {
    this.current = state;
    this.changed.fire(state);
  }
}

/** Asks for a folder (unless one is given), opens the view and profiles the texts below it. */
export async function profileFolder(
  { corpora, views }: { corpora: Corpora; views: { openPanel(tab: 'corpus'): void } },
  given?: unknown,
): Promise<void> {
  const folder = given instanceof vscode.Uri ? given : await askFolder();
  if (!folder) return;
  if (folder.scheme !== 'file') {
    void tell('information', vscode.l10n.t('Only folders on this disk can be profiled.'));
    return;
  }
  views.openPanel('corpus');
  await corpora.run(folder);
}

/** Saves the shown profile as one HTML file. Asks where to first; `given` is where another extension (or a test) wants it. */
export async function exportCorpus({ corpora }: { corpora: Corpora }, given?: unknown): Promise<void> {
  const { state } = corpora;
  if (state.status !== 'ready') {
    void tell('information', vscode.l10n.t('Profile a folder first: then its profile can be saved.'));
    return;
  }
  const name = state.folder.split('/').at(-1)!;
  const target = await chosen(name, given, 'HTML', 'html');
  if (!target) return;
  const report = await tellProgress({ title: vscode.l10n.t('HTML report') }, (_, token) =>
    corpora.report(state.folder, token),
  );
  if (report) await writeReport(target, report);
}

async function askFolder(): Promise<vscode.Uri | undefined> {
  const picked = await vscode.window.showOpenDialog({
    canSelectFolders: true,
    canSelectFiles: false,
    openLabel: vscode.l10n.t('Profile'),
    defaultUri: vscode.workspace.workspaceFolders?.[0]?.uri,
  });
  return picked?.[0];
}
