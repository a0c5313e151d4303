import * as vscode from 'vscode';
import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';
import type { AttentionHover } from '../editor/hover';
import type { SelectionModel } from '../views/selectionModel';
import type { Views } from '../views/views';
import { changeOf } from '../../shared/protocol/host';
import type { HeadProfile } from '../../shared/protocol/engine';

/** What the steps of the walkthrough are ticked by: `attentionInspector.tour.<step>`. */
type Step = 'induction' | 'hovered' | 'ablated' | 'failed' | 'window' | 'ownModel';

/** A token that is predicted so much worse fails, in nats. */
const FAILS = 1;

interface Parts {
  store: AnalysisStore;
  selection: SelectionModel;
  hover: AttentionHover;
  views: Views;
}

/** Watches what really happens, for the walkthrough: a step is done when its result is there, however it was reached. */
export class Tour extends Owner {
  private readonly ticked = new Set<Step>();

  constructor(private readonly parts: Parts) {
    super();
    const { store, selection, hover, views } = parts;
    const look = () => this.look();
    this.register(store.onChange(look));
    this.register(store.onUpdate(({ type }) => ['interventions', 'mechanism'].includes(type) && look()));
    this.register(selection.onChange(look));
    this.register(views.onSeen(look));
    this.register(hover.onShown(() => this.selectedInduction() && this.tick('hovered')));
  }

  private look(): void {
    const { store, selection, views } = this.parts;
    const analysis = store.shown;
    const ready = analysis?.ready;
    if (!analysis || !ready) return;
    if (ready.summary.model.ref !== 'bundled') this.tick('ownModel');
    if (this.selectedInduction() && !selection.isGiven) this.tick('induction');
    const { list, result } = ready.interventions;
    const ablated = result && list.some(one => one.kind === 'head' && isInduction(headOf(analysis, one)));
    if (ablated) this.tick('ablated');
    if (views.seen !== 'text') return;
    const shown = changeOf(ready, selection.current);
    const fails = result?.effect.measure === 'loss' && result.effect.perToken.some(change => change >= FAILS);
    if (ablated && fails && shown?.kind === 'interventions') this.tick('failed');
    if (shown?.kind !== 'mechanism' || shown.choice.name !== 'local') return;
    const { key } = shown.choice;
    if (ready.summary.mechanisms.some(({ setting, scope }) => setting.key === key && scope === 'propagated'))
      this.tick('window');
  }

  private selectedInduction(): boolean {
    const { store, selection } = this.parts;
    return isInduction(store.shown ? headOf(store.shown, selection.current) : undefined);
  }

  private tick(step: Step): void {
    if (this.ticked.has(step)) return;
    this.ticked.add(step);
    void vscode.commands.executeCommand('setContext', `attentionInspector.tour.${step}`, true);
  }
}

function headOf(
  { cores }: Analysis,
  { core, head }: { core: number | null; head: number | null },
): HeadProfile | undefined {
  return cores.find(({ info }) => info.core === core)?.heads[head ?? -1];
}

const isInduction = (head: HeadProfile | undefined): boolean =>
  head?.roles.some(({ role }) => role === 'induction') ?? false;
