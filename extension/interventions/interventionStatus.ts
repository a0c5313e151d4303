import * as vscode from 'vscode';
import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { markdown } from '../../shared/foreign';
import { Owner } from '../disposable';
import { describeIntervention } from './interventionText';
import { interval, signed } from '../../shared/numbers';
import { meanInterval } from '../../shared/uncertainty';
import { tooltip } from '../workbench/tell';

/** What is taken away from the shown text, and what that costs; there only while something is. */
export class InterventionStatus extends Owner {
  private readonly item = this.register(
    vscode.window.createStatusBarItem(
      'attentionInspector.interventions',
      vscode.StatusBarAlignment.Right,
      89.9,
    ),
  );

  constructor(private readonly store: AnalysisStore) {
    super();
    this.item.name = vscode.l10n.t('Attention Inspector: Interventions');
    this.item.command = 'attentionInspector.showText';
    this.register(store.onChange(() => this.show()));
    this.register(store.onUpdate(({ type }) => type === 'interventions' && this.show()));
    this.show();
  }

  private show(): void {
    const analysis = this.store.shown;
    const { list = [], running = null, notice = null } = analysis?.ready?.interventions ?? {};
    if (!analysis || list.length === 0) return this.item.hide();
    const { t } = vscode.l10n;
    const icon = running !== null ? '$(loading~spin)' : notice ? '$(warning)' : '$(circle-slash)';
    const effect = effectInWords(analysis);
    this.item.text = `${icon} ${list.length}${effect ? ` · ${effect}` : ''}`;
    const lines = [
      t('Taken away from the attention:'),
      ...interventionsOf(analysis).map(line => `- ${markdown(line)}`),
      '',
      effect
        ? t('{0}, propagated. Click to show it on the text.', effect)
        : t('Click to show it on the text.'),
      ...(notice ? ['', markdown(notice)] : []),
    ];
    this.item.tooltip = tooltip(lines.join('\n'));
    this.item.accessibilityInformation = {
      label: t('{0} interventions on the attention, {1}', list.length, effect ?? t('running')),
    };
    this.item.show();
  }
}

/** Each intervention of an analysis in words. */
function interventionsOf(analysis: Analysis): string[] {
  const { summary, interventions } = analysis.ready!;
  const names = {
    cores: summary.model.cores,
    text: summary.tokens,
    target: summary.target?.tokens ?? null,
  };
  return interventions.list.map(one => describeIntervention(one, names, vscode.l10n.t));
}

/** "loss +0.12 (+0.05 to +0.2) nats per token", with the 95 % interval; null while it is not known. */
function effectInWords(analysis: Analysis): string | null {
  const effect = analysis.ready?.interventions.result?.effect;
  if (!effect) return null;
  const range = meanInterval([effect.perToken]);
  const change = `${signed(effect.delta)}${range ? ` (${interval(range, vscode.l10n.t)})` : ''}`;
  return effect.measure === 'loss'
    ? vscode.l10n.t('loss {0} nats per token', change)
    : vscode.l10n.t('output turned by {0}', change);
}
