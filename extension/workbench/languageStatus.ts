import * as vscode from 'vscode';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';
import { foreign } from '../../shared/foreign';
import { number } from '../../shared/numbers';
import type { AnalysisState } from '../../shared/protocol/host';
import { inLanguage } from '../../shared/sentences';

/** What is known of the text in front, among the other things that its editor says of its language. */
export class LanguageStatus extends Owner {
  private readonly item = this.register(
    vscode.languages.createLanguageStatusItem('attentionInspector.text', '*'),
  );

  constructor(private readonly store: AnalysisStore) {
    super();
    this.item.name = vscode.l10n.t('Attention');
    const show = () => this.show();
    this.register(store.onChange(show));
    this.register(store.onUpdate(show));
    this.register(vscode.window.onDidChangeActiveTextEditor(show));
    show();
  }

  private show(): void {
    const { t } = vscode.l10n;
    const document = vscode.window.activeTextEditor?.document;
    const state: AnalysisState = (document && this.store.of(document)?.state) ?? { status: 'none' };
    const { Information, Warning, Error } = vscode.LanguageStatusSeverity;
    this.item.busy = state.status === 'running';
    this.item.severity =
      state.status === 'error' ? Error : state.status === 'ready' && state.stale ? Warning : Information;
    const analyze = { title: t('Analyze'), command: 'attentionInspector.analyze' };
    switch (state.status) {
      case 'none':
        return this.say(t('Attention: not analyzed'), '', analyze);
      case 'running':
        return this.say(t('Attention: running'), foreign(inLanguage(state.progress?.message ?? '', t)), {
          title: t('Cancel'),
          command: 'attentionInspector.cancel',
        });
      case 'error': {
        const remedy = state.actions.includes('openDeviceSetting')
          ? { title: t('Choose Another Device'), command: 'attentionInspector.openDeviceSetting' }
          : { title: t('Show Log'), command: 'attentionInspector.showLog' };
        return this.say(t('Attention: failed'), foreign(state.message, 300), remedy);
      }
      case 'ready': {
        const { model, tokens, loss } = state.summary;
        const size = t('{0} tokens', tokens.ids.length);
        const detail = loss ? `${size}, ${t('loss {0} nats per token', number(loss.mean))}` : size;
        const text = state.stale
          ? t('Attention: the text has changed')
          : t('Attention: {0}', foreign(model.name));
        const open = { title: t('Open Views'), command: 'attentionInspector.openPanel' };
        return this.say(text, detail, state.stale ? analyze : open);
      }
    }
  }

  private say(text: string, detail: string, command: vscode.Command): void {
    Object.assign(this.item, { text, detail, command });
  }
}
