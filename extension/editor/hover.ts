import * as vscode from 'vscode';
import type { MechanismInfo, Setting, Side, TokenAttention } from '../../shared/protocol/engine';
import type { Analysis } from '../analysis/analysis';
import type { AnalysisStore } from '../analysis/analysisStore';
import { Owner } from '../disposable';
import { describeHead, hoverText, predictionText, type HeadChoice } from './hoverText';
import { interval, percent, signed } from '../../shared/numbers';
import { roleTitle } from '../../shared/roleTitles';
import { REFUSALS } from '../../shared/refusals';
import { inLanguage } from '../../shared/sentences';
import { distinct } from '../../shared/setting';
import type { SelectionModel } from '../views/selectionModel';
import type { Settings } from '../workbench/settings';
import { tooltip } from '../workbench/tell';
import { wordAt } from '../analysis/tokenLocator';

/** Tokens of a word that are asked for, and links of each, from which the heaviest words are found. */
const MAXIMUM_TOKENS = 12;
const TOP = 40;

/** Of longer texts the model may have to run again, which a hover is not worth. */
const RUN_FOR = 4096;

/** What the hover's links may run. */
const LINKED_COMMANDS = [
  'attentionInspector.pinToken',
  'attentionInspector.openHead',
  'attentionInspector.analyze',
];

interface Hovered {
  analysis: Analysis;
  side: Side;
}

/** Hover on a word of an analysed document: its tokens, where they look, who looks at them, what is kept. */
export class AttentionHover extends Owner implements vscode.HoverProvider {
  private readonly shown = this.register(new vscode.EventEmitter<void>());
  readonly onShown = this.shown.event;

  constructor(
    private readonly store: AnalysisStore,
    private readonly selection: SelectionModel,
    private readonly settings: Settings,
  ) {
    super();
  }

  async provideHover(
    document: vscode.TextDocument,
    position: vscode.Position,
    cancel: vscode.CancellationToken,
  ): Promise<vscode.Hover | undefined> {
    const hovered = this.settings.hover ? this.hovered(document) : null;
    const word = hovered && wordAround(document, position);
    if (!hovered || !word) return undefined;
    const { analysis, side } = hovered;
    const tokens = analysis.tokensAt(document.offsetAt(word.start), document.offsetAt(word.end), side);
    if (tokens.length === 0) return undefined;
    try {
      const { core, head } = this.selection.current;
      const planned = plannedFor(analysis, { core, head });
      // Without a list, the engine takes all that were computed.
      const mechanisms =
        planned && planned.name !== 'dense' ? [...computedBeside(analysis, planned), planned] : [];
      const keptOnly = analysis.began!.tokens.ids.length > RUN_FOR;
      const question = {
        id: analysis.id,
        core,
        head,
        side,
        tokens: tokens.slice(0, MAXIMUM_TOKENS),
        keptOnly,
      };
      const shown = await this.store.request('analysis/token', { ...question, top: TOP, mechanisms }, cancel);
      if (planned) for (const one of shown) addChange(analysis, planned, side, one);
      const likely = await this.predicted(analysis, side, tokens.at(-1)!, cancel);
      const text =
        describe(analysis, side, shown, { core, head }, planned, this.store.mechanismInfos) + likely;
      this.shown.fire();
      return new vscode.Hover(tooltip(text, LINKED_COMMANDS), word);
    } catch (error) {
      const { t } = vscode.l10n;
      const { message } = error as Error;
      // Else cancelled, or not computed yet; the status bar tells of real trouble.
      if (message !== inLanguage(REFUSALS.notKept, t)) return undefined;
      const open = link(t('Open map'), 'attentionInspector.openHead', [analysis.uri, tokens[0]!]);
      return new vscode.Hover(tooltip(`${message}\n\n${open}`, LINKED_COMMANDS), word);
    }
  }

  /** What the model predicts behind the word, as it is and without what was taken away; nothing where it predicts no tokens. */
  private async predicted(
    analysis: Analysis,
    side: Side,
    token: number,
    cancel: vscode.CancellationToken,
  ): Promise<string> {
    const { summary, interventions } = analysis.ready ?? {};
    const written = summary?.target ? 'target' : 'text';
    if (!summary?.loss || side !== written || summary.tokens.ids.length > RUN_FOR) return '';
    const question = { id: analysis.id, tokens: [token], interventions: interventions?.list ?? [] };
    const [found] = await this.store.request('analysis/predictions', question, cancel);
    return found ? `\n\n${predictionText(found, vscode.l10n.t)}` : '';
  }

  /** A document may be an analysed text and the target text of another: what the views show decides. */
  private hovered(document: vscode.TextDocument): Hovered | null {
    const own = this.store.of(document);
    const target = this.store.ofTarget(document);
    if (target && (!own || target === this.store.shown)) return { analysis: target, side: 'target' };
    return own?.began ? { analysis: own, side: 'text' } : null;
  }
}

/** What the plan gives the selected head; null without a plan or a head. */
function plannedFor(analysis: Analysis, { core, head }: HeadChoice): Setting | null {
  return analysis.ready?.plan?.heads.find(one => one.core === core && one.head === head)?.choice ?? null;
}

function computedBeside({ mechanisms }: Analysis, planned: Setting): Setting[] {
  return distinct(mechanisms.map(({ setting }) => setting)).filter(({ key }) => key !== planned.key);
}

/** The change of this token's loss when the text runs on with the plan. */
function addChange(analysis: Analysis, planned: Setting, side: Side, { token, kept }: TokenAttention): void {
  const effect = analysis.ready?.plan?.effect;
  const written = analysis.ready?.summary.target ? 'target' : 'text';
  const row = kept.find(({ mechanism }) => mechanism.key === planned.key);
  if (row && effect?.measure === 'loss' && side === written)
    row.deltaLoss = effect.perToken[token - 1] ?? null;
}

function describe(
  analysis: Analysis,
  side: Side,
  word: readonly TokenAttention[],
  choice: HeadChoice,
  planned: Setting | null,
  mechanisms: readonly MechanismInfo[],
): string {
  const { tokens: source, model, target } = analysis.began!;
  const { t } = vscode.l10n;
  const own = { text: analysis.source.text, tokens: source };
  const read = target && { text: target.text, tokens: target.tokens };
  const pin = (token: number, words: string) =>
    link(words, 'attentionInspector.pinToken', [analysis.uri, token]);
  const open = (token: number) =>
    link(t('Open map'), 'attentionInspector.openHead', side === 'target' ? [] : [analysis.uri, token]);
  return hoverText(word, {
    ...(side === 'target' && read ? read : own),
    side,
    other: side === 'target' ? own : read,
    of: describeHead(choice, model.cores, t),
    about: aboutHead(analysis, choice),
    cores: choice.core === null ? model.cores : model.cores.filter(({ core }) => core === choice.core),
    mechanisms,
    stale: analysis.textChanged,
    planned,
    // A token of the target text cannot be pinned: what is pinned is of the analysed text.
    links: token => (side === 'target' ? open(token) : `${pin(token, t('Pin'))} · ${open(token)}`),
    pin: (token, words, of) => (of === 'target' ? words : pin(token, words)),
    t,
  });
}

/** What a head does, and what losing it costs where that was measured. */
function aboutHead(analysis: Analysis, { core, head }: HeadChoice): string[] {
  const { t } = vscode.l10n;
  const isIt = (one: { core: number; head: number }) => one.core === core && one.head === head;
  const [role] = analysis.cores.flatMap(({ heads }) => heads).find(isIt)?.roles ?? [];
  const ablation = analysis.ready?.ablation;
  const lost = ablation?.measure === 'loss' ? ablation.heads.find(isIt)?.zero : undefined;
  return [
    ...(role ? [`${roleTitle(role, vscode.l10n.t)} ${percent(role.score)}`] : []),
    ...(lost
      ? [t('without it the loss changes by {0} nats ({1})', signed(lost.delta), interval(lost, t))]
      : []),
  ];
}

/** The word under a position, by our own rule: the editor's word pattern is slow on very long lines. */
export function wordAround(
  document: vscode.TextDocument,
  position: vscode.Position,
): vscode.Range | undefined {
  const word = wordAt(document.lineAt(position.line).text, position.character);
  return word ? new vscode.Range(position.line, word.start, position.line, word.end) : undefined;
}

function link(label: string, command: string, args: unknown[]): string {
  return `[${label}](command:${command}?${encodeURIComponent(JSON.stringify(args))})`;
}
