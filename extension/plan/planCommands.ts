import * as vscode from 'vscode';
import type { Planner } from '../../shared/host/planner';
import type { PlanFormat } from '../../shared/protocol/engine';
import type { AnalysisStore } from '../analysis/analysisStore';
import { number, percent } from '../../shared/numbers';
import { filling } from '../workbench/progressBar';
import { tell, tellProgress } from '../workbench/tell';

interface PlanContext {
  store: AnalysisStore;
  planner: Planner;
  views: { openPanel(tab: 'compare'): void };
}

/** Asks for a budget (unless it is given), opens Compare and searches a plan for the shown text. */
export async function findPlan({ store, planner, views }: PlanContext, given?: unknown): Promise<void> {
  if (!store.shown?.ready) {
    void tell('information', vscode.l10n.t('Analyze a text first: then a plan for its heads can be found.'));
    return;
  }
  const budget = typeof given === 'number' ? given : await askBudget(store.shown.ready.plan?.budget ?? 0.1);
  if (budget === null) return;
  views.openPanel('compare');
  await tellProgress(
    { title: vscode.l10n.t('Plan for {0} of the pairs', percent(budget)) },
    async (bar, cancel) => {
      const fill = filling(bar);
      const listeners = [
        cancel.onCancellationRequested(() => planner.cancel()),
        store.onUpdate(update => {
          if (update.type !== 'planning' || !update.planning) return;
          const { message, fraction } = update.planning;
          fill(fraction, message);
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
  if (error) void tell('error', error);
}

const FORMATS: { format: PlanFormat; label: string; ends: string; detail: () => string }[] = [
  {
    format: 'flex',
    label: 'FlexAttention',
    ends: 'py',
    detail: () => vscode.l10n.t('PyTorch mask_mod functions, one per head'),
  },
  {
    format: 'minference',
    label: 'MInference',
    ends: 'json',
    detail: () => vscode.l10n.t('best_pattern: the nearest of its patterns for each head'),
  },
  {
    format: 'duo',
    label: 'DuoAttention',
    ends: 'tsv',
    detail: () => vscode.l10n.t('full_attention_heads: which heads need everything'),
  },
  {
    format: 'json',
    label: 'JSON',
    ends: 'json',
    detail: () => vscode.l10n.t('The whole plan with its schema, as the command line writes it'),
  },
  { format: 'csv', label: 'CSV', ends: 'csv', detail: () => vscode.l10n.t('A row per head') },
];

/** Saves the plan of the shown text in a format that other programs read; asks for what it is not told. */
export async function exportPlan(
  { store }: { store: AnalysisStore },
  wanted?: unknown,
  place?: unknown,
): Promise<void> {
  const { shown } = store;
  const plan = shown?.ready?.plan;
  if (!shown || !plan) {
    void tell('information', vscode.l10n.t('Find a plan first: then it can be exported.'));
    return;
  }
  const chosen = wanted
    ? FORMATS.find(({ format }) => format === wanted)
    : await vscode.window.showQuickPick(
        FORMATS.map(one => ({ ...one, detail: one.detail() })),
        { title: vscode.l10n.t('Export the plan') },
      );
  if (!chosen) return;
  const { format, label, ends } = chosen;
  const { name, text, notes } = await store.request('analysis/exportPlan', { id: shown.id, plan, format });
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const target =
    place instanceof vscode.Uri
      ? place
      : await vscode.window.showSaveDialog({
          defaultUri: folder && vscode.Uri.joinPath(folder, name),
          filters: { [label]: [ends] },
        });
  if (!target) return;
  await vscode.workspace.fs.writeFile(target, Buffer.from(text, 'utf8'));
  const open = vscode.l10n.t('Open');
  const told = [vscode.l10n.t('The plan was saved.'), ...notes].join(' ');
  // Not awaited: the command has done its work.
  void tell('information', told, open).then(choice => {
    if (choice === open) void vscode.window.showTextDocument(target);
  });
}

async function askBudget(usual: number): Promise<number | null> {
  const asked = await vscode.window.showInputBox({
    title: vscode.l10n.t('Find a plan: a mechanism for each head'),
    prompt: vscode.l10n.t('Share of the query-key pairs that all heads together may spend, in per cent'),
    value: number(usual * 100),
    validateInput: text =>
      readPercent(text) === null ? vscode.l10n.t('A number over 0 and up to 100.') : undefined,
  });
  return asked === undefined ? null : readPercent(asked);
}

/** "10", "10 %", "2,5": a share of 1, or null. */
function readPercent(text: string): number | null {
  const number = Number(text.replace('%', '').replace(',', '.').trim() || NaN);
  return number > 0 && number <= 100 ? number / 100 : null;
}
