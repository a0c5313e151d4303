import * as vscode from 'vscode';
import type { AnalysisStore } from '../analysis/analysisStore';
import { fractionOf, notesOnText } from '../../shared/host/analysisState';
import { inLanguage } from '../../shared/sentences';
import { foreign, markdown } from '../../shared/foreign';
import { VERIFIED_MEANS, verifiedLine } from '../../shared/verified';
import { Owner } from '../disposable';
import type { EngineClient } from '../engine/engineClient';
import { tokenCode } from '../editor/hoverText';
import { modelName } from '../model/modelChoice';
import { number } from '../../shared/numbers';
import type { Settings } from './settings';
import { tooltip } from './tell';

interface Content {
  text: string;
  /** Markdown. */
  hint: string;
  command: string;
  problem?: boolean;
}

/** Model, device and state at a glance; a click does what the state asks for. */
export class StatusBar extends Owner {
  private readonly item = this.register(
    vscode.window.createStatusBarItem('attentionInspector.status', vscode.StatusBarAlignment.Right, 90),
  );

  constructor(
    private readonly store: AnalysisStore,
    private readonly client: EngineClient,
    private readonly settings: Settings,
  ) {
    super();
    this.item.name = vscode.l10n.t('Attention Inspector');
    this.register(store.onChange(() => this.show()));
    this.register(store.onUpdate(() => this.show()));
    this.register(client.onState(() => this.show()));
    this.register(
      vscode.workspace.onDidChangeConfiguration(event => {
        if (event.affectsConfiguration('attentionInspector.model')) this.show();
      }),
    );
    this.show();
    this.item.show();
  }

  private show(): void {
    const { text, hint, command, problem } = this.content();
    this.item.text = text;
    this.item.tooltip = tooltip(hint);
    this.item.command = command;
    this.item.backgroundColor = problem
      ? new vscode.ThemeColor('statusBarItem.warningBackground')
      : undefined;
    this.item.accessibilityInformation = {
      label: `Attention Inspector: ${text.replace(/\$\([^)]*\) ?/g, '')}`,
    };
  }

  private content(): Content {
    const { t } = vscode.l10n;
    const { state } = this.store;
    if (!vscode.workspace.isTrusted) {
      return {
        text: `$(workspace-untrusted) ${t('Attention')}`,
        hint: t('Models are loaded only in a trusted workspace. Click to manage its trust.'),
        command: 'workbench.trust.manage',
      };
    }
    if (this.client.state === 'failed') {
      return {
        text: `$(error) ${t('Attention: engine stopped')}`,
        hint: t('The engine stopped too often. Click to restart it.'),
        command: 'attentionInspector.restartEngine',
        problem: true,
      };
    }
    switch (state.status) {
      case 'none': {
        const model = modelName(this.settings.model);
        return {
          text: `$(eye) ${foreign(model)}`,
          hint: t('Attention Inspector, model {0}. Click to analyze the open text.', tokenCode(model)),
          command: 'attentionInspector.analyze',
        };
      }
      case 'running': {
        const fraction = fractionOf(state.progress);
        const progress = fraction === null ? '' : ` ${Math.floor(fraction * 100)} %`;
        return {
          text: `$(loading~spin) ${t('Attention')}${progress}`,
          hint: `${tokenCode(state.document.name)}: ${markdown(state.progress ? inLanguage(state.progress.message, t) : t('starting the engine'))}\n\n${t('Click to cancel.')}`,
          command: 'attentionInspector.cancel',
        };
      }
      case 'ready': {
        const { model, device, tokens, cores, timings, peakRssMiB, verified } = state.summary;
        const total = Object.values(timings).reduce((sum, one) => sum + one, 0);
        const lines = [
          t('Model {0}: {1} layers, {2} heads', tokenCode(model.name), model.layers, model.heads),
          t('Device {0}', device.adapter ? `${device.device} (${tokenCode(device.adapter)})` : device.device),
          ...device.notes.map(note => markdown(inLanguage(note, t))),
          t(
            '{0} tokens of {1}, {2} attention cores',
            tokens.ids.length,
            tokenCode(state.document.name),
            cores.length,
          ),
          t('{0} s, peak {1} MiB', number((timings.total ?? total) / 1000), Math.round(peakRssMiB)),
          verified.holds ? t('Verified: {0}', markdown(verifiedLine(verified, t))) : t('**Not verified**'),
          ...notesOnText(state.summary).map(note => markdown(inLanguage(note, t))),
          ...VERIFIED_MEANS.map(sentence => t(sentence)),
          state.stale
            ? t('The text has changed since. Click to analyze again.')
            : t('Click to open the views.'),
        ];
        return {
          text: `${state.stale ? '$(history)' : '$(eye)'} ${foreign(model.name)} · ${device.device}`,
          hint: lines.join('\n\n'),
          command: state.stale ? 'attentionInspector.analyze' : 'attentionInspector.openPanel',
        };
      }
      case 'error':
        return {
          text: `$(warning) ${t('Attention')}`,
          hint: `${markdown(state.message)}\n\n${t('Click to show the log.')}`,
          command: 'attentionInspector.showLog',
          problem: true,
        };
    }
  }
}
