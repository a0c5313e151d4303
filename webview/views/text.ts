import { computed } from '@lit-labs/preact-signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, query, state } from 'lit/decorators.js';
import type { LostKey, RunEffect, TokenTable } from '../../shared/protocol/engine';
import { changeKey, explained } from '../model/changes';
import {
  changeQuantity,
  colourOf,
  isFaint,
  largestTokens,
  lossQuantity,
  massQuantity,
  type Quantity,
} from '../model/quantity';
import { textPieces, type Piece } from '../model/textPieces';
import { theme } from '../draw/theme';
import { Remote } from '../host/remote';
import { store, type Side } from '../host/store';
import { changeOf, effectOfChange, type ChangeSource } from '../../shared/protocol/host';
import type { ColouredText } from '../plots/colouredText';
import { Component } from '../ui/component';
import { choose, segmented, toggle } from '../ui/controls';
import { saveMenu, type Savable } from '../ui/save';
import { emptyState, requestState } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';
import '../plots/changeStrip';
import '../plots/colouredText';
import '../ui/interventionList';
import '../ui/attribution';
import '../ui/predictions';
import '../ui/legend';
import './lossGroups';
import { SHOWS, isBlocked, textCaption, textCsv, tokenWords, type Drawing, type Show } from './textDrawing';
import { attentionLead, changeChoice, changeLead, lossLead, rolloutLead, waitingLead } from './textLead';
import { tokenList } from './textList';
import { textStyles } from './textStyles';
import { t } from '../host/words';

/** Tokens that are listed. */
const LISTED = 12;

/** The text as it is in the editor, each token coloured: what forgetting costs, and who pays. */
@customElement('ai-text')
export class TextView extends Component implements Savable {
  static override styles = [...Component.styles, stateStyles, textStyles];
  private readonly text = new Remote(this, 'host/text');
  private readonly run = new Remote(this, 'analysis/mechanism');
  private readonly row = new Remote(this, 'analysis/row', 40);
  private readonly rollout = new Remote(this, 'analysis/rollout', 60);
  private readonly worst = new Remote(this, 'analysis/worst', 60);
  @query('ai-coloured-text') private coloured!: ColouredText | null;
  @state() private pointed: number | null = null;
  /** What the editor was told to show, until it shows something. */
  private told: string | null = null;

  // ------------------------------------------------------------ what is shown

  private get show(): Show {
    const wanted = store.option<string>('text', 'show', 'change');
    if (wanted === 'loss' && !store.summary?.loss) return 'change';
    if (wanted === 'rollout' && !store.asksDense) return 'change';
    return SHOWS.find(one => one === wanted) ?? 'change';
  }

  /** The change of the attention whose cost is shown: the selected one, else what there is. */
  private get change(): ChangeSource | null {
    return this.shownChange.value;
  }
  private readonly shownChange = computed((): ChangeSource | null => {
    if (!store.summary) return null;
    const chosen = changeOf(store, { change: this.chosenChange.value });
    if (chosen) return chosen;
    if (store.plan) return { kind: 'plan' };
    const first = store.mechanisms.find(one => one.scope === 'propagated') ?? store.mechanisms[0];
    return first ? { kind: 'mechanism', choice: first.setting } : null;
  });
  /** Heads and tokens are selected at every key press; this is not. */
  private readonly chosenChange = computed(() => store.selection.change);

  private get effect(): RunEffect | null {
    return this.shownEffect.value;
  }
  private readonly shownEffect = computed(() => {
    const { change } = this;
    return change && effectOfChange(store, change, this.propagated(change));
  });

  private propagated(change: ChangeSource) {
    if (change.kind !== 'mechanism') return undefined;
    const known = store.mechanismResult(change.choice, 'propagated');
    const answered = this.run.answers?.mechanism.key === change.choice.key;
    return known ?? (answered ? (this.run.value ?? undefined) : undefined);
  }

  /** The text that is predicted: a decoder's own, where it has one. */
  private get written(): Side {
    return store.target && store.target.source !== 'text' ? 'target' : 'text';
  }

  /** The text that the colours are on. */
  private get side(): Side {
    const { show } = this;
    if (show === 'change' || show === 'loss') return this.written;
    if (show === 'rollout') return 'text';
    const { queries, keys } = store.sides(store.shownHead?.core ?? null);
    return show === 'from' ? keys : queries;
  }

  private quantityOf(tokens: TokenTable | null, effect: RunEffect | null): Quantity | null {
    const { show } = this;
    if (!tokens) return null;
    if (show === 'change') return effect && changeQuantity(effect, tokens.ids.length);
    if (show === 'loss')
      return store.summary?.loss ? lossQuantity(store.summary.loss.perToken, tokens.ids.length) : null;
    const { massScale } = store.settings;
    if (show === 'rollout') {
      const { value, answers } = this.rollout;
      const row = answers?.tokens[0] === store.selection.token ? value?.rows[0] : undefined;
      return row ? massQuantity(row, massScale, t('rollout')) : null;
    }
    const { value, answers } = this.row;
    if (!value || answers?.direction !== show || answers.token !== store.selection.token) return null;
    return massQuantity(value, massScale);
  }

  private readonly tokens = computed(() => store.tokensOf(this.side));
  private readonly blocked = computed(() => store.interventions.list);
  private readonly pieces = computed((): Piece[] => {
    const tokens = this.tokens.value;
    const text = this.side === 'target' ? (store.target?.text ?? null) : this.text.value;
    return tokens ? textPieces(text, tokens) : [];
  });

  private get drawing(): Drawing {
    return this.drawn.value;
  }
  private readonly drawn = computed((): Drawing => {
    const { show, side, effect } = this;
    const tokens = this.tokens.value;
    const blocked = this.blocked.value;
    const look = theme();
    const quantity = this.quantityOf(tokens, effect);
    const listed = quantity && tokens ? largestTokens(quantity, tokens, LISTED) : [];
    const valueColour = quantity ? colourOf(quantity, look) : () => look.background;
    return {
      side,
      tokens,
      pieces: this.pieces.value,
      quantity,
      listed,
      ranks: new Map(listed.map((token, at) => [token, at + 1])),
      valueColour,
      colour: token => (quantity ? valueColour(quantity.values[token] ?? 0) : null),
      words: token => tokenWords(tokens, quantity, show === 'change' ? effect : null, token),
      faint: token => !quantity || isFaint(quantity, quantity.values[token] ?? 0),
      gone: token => isBlocked(blocked, side, token),
    };
  });

  // ------------------------------------------------------------ asking

  override willUpdate(): void {
    const { id, summary } = store;
    this.text.want(id ? { id } : null);
    const { change, show } = this;
    const needsRun = show === 'change' && change?.kind === 'mechanism' && !store.report && id && summary;
    const known = needsRun && store.mechanismResult(change.choice, 'propagated');
    this.run.want(needsRun && !known ? { id, mechanism: change.choice, scope: 'propagated' } : null);
    this.tellEditor(show === 'change' ? change : null);

    const head = store.shownHead;
    const { token } = store.selection;
    const wantsRow = (show === 'from' || show === 'to') && id && summary && head && token !== null;
    this.row.want(wantsRow ? { id, ...head, token, direction: show } : null);
    const wantsRollout = show === 'rollout' && id && summary && token !== null;
    this.rollout.want(wantsRollout ? { id, tokens: [token] } : null);

    const explains = show === 'change' && this.drawing.quantity && change && id;
    this.worst.want(
      explains ? { id, ...explained(change), queries: this.queriesOf(this.drawing.listed) } : null,
    );
  }

  /** The editor marks what is shown here, unless it shows another change already. */
  private tellEditor(change: ChangeSource | null): void {
    const { analysis } = store;
    if (!change || analysis.status !== 'ready' || store.report) return;
    const shown = changeOf(analysis, store.selection);
    const key = `${analysis.id} ${changeKey(change)}`;
    if (shown) this.told = null;
    else if (this.told !== key) {
      this.told = key;
      store.select({ change });
    }
  }

  /** The queries that the values of these tokens come from: a token is predicted from the one before. */
  private queriesOf(tokens: readonly number[]): number[] {
    const back = this.effect?.measure === 'loss' ? 1 : 0;
    return tokens.map(token => token - back);
  }

  // ------------------------------------------------------------ drawing

  override render() {
    const empty = emptyState('text');
    if (empty) return empty;
    const narrow = this.width < 760;
    return html`
      ${store.summary ? this.toolbar() : nothing}
      <div id="figure" class="figure ${narrow ? 'narrow' : ''} ${store.stale ? 'is-stale' : ''}">
        <div class="lead" role="status">${this.lead()}</div>
        <div class="body">
          <div class="main">${this.main()}</div>
          <div class="side">
            <ai-interventions></ai-interventions>
            <ai-predictions .change=${this.show === 'change' ? this.change : null}></ai-predictions>
            <ai-attribution></ai-attribution>
            ${this.list()}
          </div>
        </div>
        ${this.show === 'loss' && store.summary ? html`<ai-loss-groups></ai-loss-groups>` : nothing}
      </div>
    `;
  }

  private toolbar(): TemplateResult {
    const { show } = this;
    const output = store.summary?.loss === null;
    return html`<div class="toolbar">
      ${(this.width < 560 ? choose : segmented)(
        t('colour by'),
        show,
        [
          { value: 'change', label: output ? t('output change') : t('loss change') },
          ...(output ? [] : [{ value: 'loss', label: t('loss') }]),
          { value: 'from', label: t('attention from pinned') },
          { value: 'to', label: t('attention to pinned') },
          ...(!store.asksDense ? [] : [{ value: 'rollout', label: t('rollout from pinned') }]),
        ],
        value => store.setOption('text', 'show', value),
      )}
      ${show === 'change' ? changeChoice(this.change) : nothing}
      ${
        show === 'change' && !store.report
          ? toggle(t('mark in the editor'), store.settings.changeMarks, on => store.setChangeMarks(on))
          : nothing
      }
      <span class="end">${saveMenu(this)}</span>
    </div>`;
  }

  /** The whole point in one sentence. */
  private lead(): TemplateResult | typeof nothing {
    const { show, change, effect } = this;
    if (!store.summary)
      return html`<span class="muted">${t('The text is coloured when all layers are finished.')}</span>`;
    if (show === 'loss') return store.summary.loss ? lossLead(store.summary.loss) : html``;
    if (show === 'change')
      return effect && change ? changeLead(change, effect) : waitingLead(change, this.run);
    if (show === 'rollout') return rolloutLead(this.drawing.quantity !== null, this.rollout);
    return attentionLead(show, this.drawing.quantity !== null, this.row);
  }

  private main(): TemplateResult {
    const { side, quantity, valueColour, pieces, colour, words, ranks, faint, gone } = this.drawing;
    const pinned = side === 'text' ? store.selection.token : null;
    return html`<div class="above">
        <span class="said" aria-live="polite">${this.said()}</span>
        ${
          quantity
            ? html`<ai-legend
                .label=${quantity.legend.label}
                .lut=${quantity.diverging ? theme().diverging : theme().sequential}
                .ticks=${quantity.legend.ticks}
              ></ai-legend>`
            : nothing
        }
      </div>
      ${
        quantity
          ? html`<ai-change-strip
              .values=${quantity.values}
              .colourOf=${valueColour}
              .token=${pinned}
              @seek=${(event: CustomEvent<number>) => this.coloured?.reveal(event.detail)}
            ></ai-change-strip>`
          : nothing
      }
      <ai-coloured-text
        label=${
          side === 'text'
            ? t('The text; arrow keys go from token to token, comma and full stop between the listed ones')
            : t('The target text, which the decoder reads')
        }
        .pieces=${pieces}
        .colour=${colour}
        .words=${words}
        .ranks=${ranks}
        .faint=${faint}
        .gone=${gone}
        .token=${pinned}
        @point=${(event: CustomEvent<number | null>) => this.point(event.detail)}
        @pin=${(event: CustomEvent<number>) => this.pin(event.detail)}
      ></ai-coloured-text>`;
  }

  /** What the pointer or the pin is on, and what can be done with it. */
  private said(): TemplateResult {
    const { side, words } = this.drawing;
    const { token } = store.selection;
    const shown = this.pointed ?? (side === 'text' ? (token ?? store.previewToken) : null);
    if (shown === null)
      return html`<span class="words muted">${t('Point at a token for its numbers; click pins it.')}</span>`;
    if (side !== 'text' || shown !== token || store.report || !store.summary)
      return html`<span class="words">${words(shown)}</span>`;
    const toggle = {
      kind: 'span',
      core: null,
      head: null,
      from: shown,
      to: shown + 1,
      queries: null,
    } as const;
    return html`<span class="words">${words(shown)} ·</span>
      <button class="link" data-no-export @click=${() => store.host.send({ type: 'intervene', toggle })}>
        ${isBlocked(this.blocked.value, 'text', shown) ? t('Unblock attention to it') : t('Block attention to it')}
      </button>`;
  }

  private point(token: number | null): void {
    if (token === this.pointed) return;
    this.pointed = token;
    if (this.drawing.side === 'text') store.preview(token);
  }

  private pin(token: number): void {
    if (this.drawing.side === 'text') store.select({ token: store.selection.token === token ? null : token });
  }

  private list(): TemplateResult | typeof nothing {
    const { show, drawing } = this;
    const { quantity, tokens } = drawing;
    if (!quantity || !tokens) return nothing;
    const titles: Record<Show, string> = {
      change:
        this.effect?.measure === 'output' ? t('Tokens whose output turns most') : t('Tokens that pay most'),
      loss: t('Tokens with the highest loss'),
      from: t('Heaviest keys'),
      to: t('Heaviest queries'),
      rollout: t('Where it came from'),
    };
    const list = {
      ...drawing,
      title: titles[show],
      quantity,
      tokens,
      lost: this.lostKeys(),
      reveal: (token: number) => this.coloured?.reveal(token),
    };
    const local = show === 'change' && list.lost.length > 0;
    return html`${tokenList(list)}
    ${show === 'change' && this.worst.error && !store.report ? requestState(this.worst, '') : nothing}
    ${
      local
        ? html`<p class="muted">
            ${t("Lost keys: what the model's own heads look at, and no longer see (local).")}
          </p>`
        : nothing
    }`;
  }

  /** What was found for the listed tokens, once the answer is about them. */
  private lostKeys(): readonly LostKey[] {
    const { value, answers } = this.worst;
    const wanted = this.queriesOf(this.drawing.listed).join();
    return this.show === 'change' && value && answers?.queries.join() === wanted ? value : [];
  }

  // ------------------------------------------------------------ saving

  get saveName(): string {
    return 'text';
  }

  get caption(): string {
    return textCaption(this.show, this.change, this.effect);
  }

  get figure(): HTMLElement | null {
    return this.renderRoot.querySelector('#figure');
  }

  /** One row per token. */
  toCsv(): string | null {
    const loss = this.drawing.side === this.written ? store.summary?.loss?.perToken : undefined;
    return textCsv(this.show, this.drawing, this.change, this.effect, loss);
  }
}
