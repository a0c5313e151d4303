import * as vscode from 'vscode';
import type { AnalysisStore } from './analysisStore';
import { percent } from './numbers';
import type { Planner } from './planner';
import type { Views } from './views';

interface PlanContext {
  store: AnalysisStore;
  planner: Planner;
  views: Views;
}

/** Asks for a budget, opens Compare and searches a plan for the shown text. */
export async function findPlan({ store, planner, views }: PlanContext): Promise<void> {
  if (!store.shown?.ready) {
    void vscode.window.showInformationMessage(
      vscode.l10n.t('Analyze a text first: then a plan for its heads can be found.'),
    );
    return;
  }
  const asked = await vscode.window.showInputBox({
    title: vscode.l10n.t('Find a plan: a mechanism for each head'),
    prompt: vscode.l10n.t('Share of the query-key pairs that all heads together may spend, in per cent'),
    value: String((store.shown.ready.plan?.budget ?? 0.1) * 100),
    validateInput: text =>
      readPercent(text) === null ? vscode.l10n.t('A number over 0 and up to 100.') : undefined,
  });
  const budget = asked === undefined ? null : readPercent(asked);
  if (budget === null) return;
  views.openPanel('compare');
  await vscode.window.withProgress(
    {
      location: vscode.ProgressLocation.Notification,
      title: vscode.l10n.t('Plan for {0} of the pairs', percent(budget)),
      cancellable: true,
    },
    async (bar, cancel) => {
      let shown = 0;
      const listeners = [
        cancel.onCancellationRequested(() => planner.cancel()),
        store.onUpdate(update => {
          if (update.type !== 'planning' || !update.planning) return;
          const { message, fraction } = update.planning;
          bar.report({ message, increment: Math.max(0, fraction * 100 - shown) });
          shown = Math.max(shown, fraction * 100);
        }),
      ];
      try {
        await planner.find(budget, []);
      } finally {
        for (const listener of listeners) listener.dispose();
      }
    },
  );
  const error = store.shown?.ready?.planning?.error;
  if (error) void vscode.window.showErrorMessage(error);
}

/** "10", "10 %", "2,5": a share of 1, or null. */
export function readPercent(text: string): number | null {
  const number = Number(text.replace('%', '').replace(',', '.').trim() || NaN);
  return number > 0 && number <= 100 ? number / 100 : null;
}
