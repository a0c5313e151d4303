import { html, nothing, type TemplateResult } from 'lit';
import { customElement, query, state } from 'lit/decorators.js';
import type { LostKey, RunEffect, TokenTable } from '../../engine/protocol';
import { changeInWords, concentration } from '../draw/changeNumbers';
import { changeKey, changeSubject, explained, mechanismTitle } from '../draw/changes';
import { lutColour, massAt, niceCeiling, scaleMass, toCss, type Rgb } from '../draw/colour';
import { count, csv, exact, nats, number, percent, tokenLabel, tokens as inTokens } from '../draw/format';
import { headName, shortName } from '../draw/names';
import { leadIn, textPieces, type Piece } from '../draw/textPieces';
import { theme } from '../draw/theme';
import { Remote } from '../host/remote';
import { store, type Side } from '../host/store';
import { changeLimit, changeOf, changePerToken, effectOfChange, type ChangeSource } from '../hostProtocol';
import { inkOn, type ColouredText } from '../plots/colouredText';
import { Component } from '../ui/component';
import { choose, segmented, toggle } from '../ui/controls';
import type { LegendTick } from '../ui/legend';
import { saveMenu, type Savable } from '../ui/save';
import { emptyState, requestState } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';
import '../plots/changeStrip';
import '../plots/colouredText';
import '../ui/interventionList';
import '../ui/legend';
import { textStyles } from './textStyles';

type Show = 'change' | 'loss' | 'from' | 'to';

/** Tokens that are listed. */
const LISTED = 12;

/** What the text is coloured by: a number for each token, and how to read it. */
interface Quantity {
  side: Side;
  /** [tokens] */
  values: Float32Array;
  /** 0..1 on the colour map. */
  place(value: number): number;
  diverging: boolean;
  legend: { label: string; ticks: LegendTick[] };
  say(value: number): string;
}

/** Too little colour for a sign where the text has none. */
function isFaint({ place, diverging }: Quantity, value: number): boolean {
  return diverging ? Math.abs(place(value) - 0.5) < 0.08 : place(value) < 0.25;
}

/** The text as it is in the editor, each token coloured: what forgetting costs, and who pays. */
@customElement('ai-text')
export class TextView extends Component implements Savable {
  static override styles = [...Component.styles, stateStyles, textStyles];
  private readonly text = new Remote(this, 'host/text');
  private readonly run = new Remote(this, 'analysis/mechanism');
  private readonly row = new Remote(this, 'analysis/row', 40);
  private readonly worst = new Remote(this, 'analysis/worst', 60);
  @query('ai-coloured-text') private coloured!: ColouredText | null;
  @state() private pointed: number | null = null;
  /** The analysis of which the editor was told what is shown. */
  private told: string | null = null;
  private pieces: { text: string | null; tokens: TokenTable; list: Piece[] } | null = null;

  // ------------------------------------------------------------ what is shown

  private get show(): Show {
    const wanted = store.option<string>('text', 'show', 'change');
    if (wanted === 'loss' && !store.summary?.loss) return 'change';
    return (['change', 'loss', 'from', 'to'] as const).find(one => one === wanted) ?? 'change';
  }

  /** The change of the attention whose cost is shown: the selected one, else what there is. */
  private get change(): ChangeSource | null {
    if (store.analysis.status !== 'ready') return null;
    const chosen = changeOf(store.analysis, store.selection);
    if (chosen) return chosen;
    if (store.plan) return { kind: 'plan' };
    const first = store.mechanisms.find(one => one.scope === 'propagated') ?? store.mechanisms[0];
    return first ? { kind: 'mechanism', choice: { name: first.name, params: first.params } } : null;
  }

  private get effect(): RunEffect | null {
    const { change } = this;
    if (!change || store.analysis.status !== 'ready') return null;
    return effectOfChange(store.analysis, change, this.propagated(change));
  }

  private propagated(change: ChangeSource) {
    if (change.kind !== 'mechanism') return undefined;
    const known = store.mechanismResult(change.choice, 'propagated');
    const answered = JSON.stringify(this.run.answers?.mechanism) === JSON.stringify(change.choice);
    return known ?? (answered ? (this.run.value ?? undefined) : undefined);
  }

  /** The text that is predicted: a decoder's own, where it has one. */
  private get written(): Side {
    return store.target && store.target.source !== 'text' ? 'target' : 'text';
  }

  private get quantity(): Quantity | null {
    const { show } = this;
    if (show === 'change') return this.changeQuantity();
    if (show === 'loss') return this.lossQuantity();
    return this.massQuantity(show);
  }

  private changeQuantity(): Quantity | null {
    const { effect, written } = this;
    const tokens = store.tokensOf(written);
    if (!effect || !tokens) return null;
    const limit = changeLimit(effect.perToken);
    const { measure } = effect;
    const unit = measure === 'loss' ? ' nats' : '';
    return {
      side: written,
      values: changePerToken(effect, tokens.ids.length),
      place: value => 0.5 + 0.5 * Math.max(-1, Math.min(1, value / limit)),
      diverging: true,
      legend: {
        label: measure === 'loss' ? 'change of the loss' : 'turn of the output',
        ticks: [
          { at: 0, label: `−${number(limit)}` },
          { at: 0.5, label: '0' },
          { at: 1, label: `+${number(limit)}${unit}` },
        ],
      },
      say: value => changeInWords(value, measure),
    };
  }

  private lossQuantity(): Quantity | null {
    const loss = store.summary?.loss;
    const tokens = store.tokensOf(this.written);
    if (!loss || !tokens) return null;
    const values = new Float32Array(tokens.ids.length);
    values.set(loss.perToken, 1);
    const limit = changeLimit(loss.perToken);
    return {
      side: this.written,
      values,
      place: value => Math.max(0, Math.min(1, value / limit)),
      diverging: false,
      legend: {
        label: 'loss',
        ticks: [0, 0.5, 1].map(at => ({ at, label: `${number(at * limit)}${at === 1 ? ' nats' : ''}` })),
      },
      say: nats,
    };
  }

  private massQuantity(direction: 'from' | 'to'): Quantity | null {
    const { value, answers } = this.row;
    if (!value || answers?.direction !== direction || answers.token !== store.selection.token) return null;
    const { queries, keys } = store.sides(answers.core);
    const largest = niceCeiling(value.reduce((a, b) => Math.max(a, b), 0));
    const scale = store.settings.massScale;
    return {
      side: direction === 'from' ? keys : queries,
      values: value,
      place: mass => scaleMass(mass, largest, scale),
      diverging: false,
      legend: {
        label: 'attention',
        ticks: [0, 0.5, 1].map(at => ({ at, label: percent(massAt(at, largest, scale)) })),
      },
      say: percent,
    };
  }

  /** The tokens with the largest values, largest first. */
  private listed({ values, diverging }: Quantity): number[] {
    const { tokens } = this;
    const worth = diverging ? 1e-4 : 1e-3;
    const found = Array.from(values.keys()).filter(t => values[t]! > worth && !tokens?.special[t]);
    return found.sort((a, b) => values[b]! - values[a]!).slice(0, LISTED);
  }

  private get tokens(): TokenTable | null {
    const { quantity } = this;
    return store.tokensOf(quantity?.side ?? this.written);
  }

  // ------------------------------------------------------------ asking

  override willUpdate(): void {
    const { id, summary } = store;
    this.text.want(id && summary && !store.report ? { id } : null);
    const { change, show } = this;
    const needsRun = show === 'change' && change?.kind === 'mechanism' && !store.report && id && summary;
    const known = needsRun && store.mechanismResult(change.choice, 'propagated');
    this.run.want(needsRun && !known ? { id, mechanism: change.choice, scope: 'propagated' } : null);
    // The editor marks what is shown here, from the first time on.
    if (summary && show === 'change' && change && !store.selection.change && this.told !== id) {
      this.told = id;
      store.select({ change });
    }

    const head = store.shownHead;
    const { token } = store.selection;
    const wantsRow = (show === 'from' || show === 'to') && id && summary && head && token !== null;
    this.row.want(wantsRow ? { id, ...head, token, direction: show } : null);

    const quantity = show === 'change' ? this.quantity : null;
    const explains = quantity && change && id && !store.report;
    this.worst.want(
      explains ? { id, ...explained(change), queries: this.queriesOf(this.listed(quantity)) } : null,
    );
  }

  /** The queries that the values of these tokens come from: a token is predicted from the one before. */
  private queriesOf(tokens: number[]): number[] {
    const back = this.effect?.measure === 'loss' ? 1 : 0;
    return tokens.map(token => token - back);
  }

  private piecesOf(quantity: Quantity | null): Piece[] {
    const side = quantity?.side ?? this.written;
    const tokens = store.tokensOf(side);
    if (!tokens) return [];
    const text = side === 'target' ? (store.target?.text ?? null) : this.text.value;
    if (this.pieces?.tokens !== tokens || this.pieces.text !== text)
      this.pieces = { text, tokens, list: textPieces(text, tokens) };
    return this.pieces.list;
  }

  // ------------------------------------------------------------ drawing

  override render() {
    const empty = emptyState('text');
    if (empty) return empty;
    if (!store.summary)
      return html`<div class="state">
        <p class="muted">The text is coloured when all layers are finished.</p>
      </div>`;
    const { quantity } = this;
    const narrow = this.width < 760;
    const pieces = this.piecesOf(quantity);
    return html`
      ${this.toolbar()}
      <div id="figure" class="figure ${store.stale ? 'is-stale' : ''}">
        <div class="lead" role="status">${this.lead(quantity)}</div>
        <div class="body ${narrow ? 'narrow' : ''}">
          <div class="main">${this.main(quantity, pieces)}</div>
          <div class="side">
            <ai-interventions></ai-interventions>
            ${quantity ? this.list(quantity, pieces) : nothing}
          </div>
        </div>
      </div>
    `;
  }

  private toolbar(): TemplateResult {
    const { show } = this;
    const output = store.summary?.loss === null;
    return html`<div class="toolbar">
      ${(this.width < 560 ? choose : segmented)(
        'colour by',
        show,
        [
          { value: 'change', label: output ? 'output change' : 'loss change' },
          ...(output ? [] : [{ value: 'loss', label: 'loss' }]),
          { value: 'from', label: 'attention from pinned' },
          { value: 'to', label: 'attention to pinned' },
        ],
        value => store.setOption('text', 'show', value),
      )}
      ${show === 'change' ? this.changeChoice() : nothing}
      ${
        show === 'change' && !store.report
          ? toggle('mark in the editor', store.settings.changeMarks, on => store.setChangeMarks(on))
          : nothing
      }
      <span class="end">${saveMenu(this)}</span>
    </div>`;
  }

  private changeChoice(): TemplateResult | typeof nothing {
    const { change } = this;
    const choices: { source: ChangeSource; label: string }[] = [];
    if (store.interventions.list.length > 0)
      choices.push({ source: { kind: 'interventions' }, label: 'what was taken away' });
    if (store.plan) choices.push({ source: { kind: 'plan' }, label: 'the plan' });
    const seen = new Set<string>();
    for (const { name, params } of store.mechanisms) {
      const source: ChangeSource = { kind: 'mechanism', choice: { name, params } };
      if (seen.has(changeKey(source))) continue;
      seen.add(changeKey(source));
      choices.push({ source, label: mechanismTitle(source.choice) });
    }
    if (change && !choices.some(({ source }) => changeKey(source) === changeKey(change)))
      choices.push({ source: change, label: changeSubject(change) });
    if (!change || choices.length === 0) return nothing;
    return choose(
      'under',
      changeKey(change),
      choices.map(({ source, label }) => ({ value: changeKey(source), label })),
      key => {
        const chosen = choices.find(({ source }) => changeKey(source) === key);
        if (chosen) store.select({ change: chosen.source });
      },
    );
  }

  /** The whole point in one sentence. */
  private lead(quantity: Quantity | null): TemplateResult | typeof nothing {
    const { show } = this;
    if (show === 'change') return this.changeLead();
    if (show === 'loss') {
      const mean = store.summary?.loss?.mean ?? 0;
      return html`The model's loss is <strong title=${exact(mean, 'nats')}>${number(mean)} nats</strong> per
        token; these tokens it predicts worst.`;
    }
    const { token } = store.selection;
    const head = store.shownHead;
    if (token === null || !head) return html`Click a token of the text to pin it.`;
    if (!quantity) return html`${requestState(this.row, 'Looking.')}`;
    const name = tokenLabel(store.tokens?.text[token] ?? '');
    return show === 'from'
      ? html`Where <strong>“${name}”</strong> looks in ${headName(head)}.`
      : html`Who looks at <strong>“${name}”</strong> in ${headName(head)}.`;
  }

  private changeLead(): TemplateResult | typeof nothing {
    const { change, effect } = this;
    if (!change)
      return html`Nothing has been changed yet: take attention away (select text in the editor, then
      “Attention: Block Attention to Selection”), or list mechanisms in the settings.`;
    if (!effect) {
      if (change.kind === 'interventions')
        return html`<span class="muted"
          >${store.interventions.notice ?? 'The text runs on without it.'}</span
        >`;
      const title = change.kind === 'mechanism' ? mechanismTitle(change.choice) : 'the plan';
      return html`${requestState(this.run, `The text runs on with ${title}.`)}`;
    }
    const { delta, measure } = effect;
    const few = concentration(effect);
    const dense = store.summary?.loss?.mean;
    const verb = measure === 'output' ? 'turns the output by' : delta >= 0 ? 'costs' : 'gains';
    const size = measure === 'output' ? number(delta) : `${number(Math.abs(delta))} nats`;
    return html`${changeSubject(change)} ${verb}
      <strong title=${exact(delta, measure === 'loss' ? 'nats' : '1 - cosine')}>${size}</strong> per
      token${
        few
          ? html`; half of what is lost falls on
              <strong>${count(few.tokens)} of ${count(few.of)}</strong> tokens, and these pay most.`
          : '.'
      }
      <span class="muted"
        >(propagated${
          measure === 'loss' && dense !== undefined
            ? `: loss ${number(dense)} → ${number(dense + delta)}`
            : ', 1 − cosine'
        })</span
      >`;
  }

  private main(quantity: Quantity | null, pieces: Piece[]): TemplateResult {
    const colourOf = this.colourOf(quantity);
    const ranks = new Map(quantity ? this.listed(quantity).map((token, at) => [token, at + 1]) : []);
    const side = quantity?.side ?? this.written;
    const pinned = side === 'text' ? store.selection.token : null;
    return html`<div class="above">
        <span class="said" aria-live="polite">${this.said(quantity)}</span>
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
              .colourOf=${colourOf}
              .token=${pinned}
              @seek=${(event: CustomEvent<number>) => this.coloured?.reveal(event.detail)}
            ></ai-change-strip>`
          : nothing
      }
      <ai-coloured-text
        label=${
          side === 'text'
            ? 'The text; arrow keys go from token to token, comma and full stop between the listed ones'
            : 'The target text, which the decoder reads'
        }
        .pieces=${pieces}
        .colour=${(token: number) => (quantity ? colourOf(quantity.values[token] ?? 0) : null)}
        .words=${(token: number) => this.words(quantity, token)}
        .ranks=${ranks}
        .faint=${(token: number) => !quantity || isFaint(quantity, quantity.values[token] ?? 0)}
        .gone=${(token: number) => this.isBlocked(side, token)}
        .token=${pinned}
        @point=${(event: CustomEvent<number | null>) => this.point(side, event.detail)}
        @pin=${(event: CustomEvent<number>) => side === 'text' && this.pin(event.detail)}
      ></ai-coloured-text>`;
  }

  private colourOf(quantity: Quantity | null): (value: number) => Rgb {
    const look = theme();
    if (!quantity) return () => look.background;
    const table = quantity.diverging ? look.diverging : look.sequential;
    return value => lutColour(table, quantity.place(value));
  }

  /** A token and its numbers, on one line. */
  private words(quantity: Quantity | null, token: number): string {
    const name = `“${tokenLabel(this.tokens?.text[token] ?? '')}” (${token})`;
    if (!quantity) return name;
    const value = quantity.values[token] ?? 0;
    if (this.show !== 'change') return `${name}: ${quantity.say(value)}`;
    const loss = store.summary?.loss?.perToken[token - 1];
    if (loss === undefined || this.effect?.measure === 'output') return `${name}: ${quantity.say(value)}`;
    return `${name}: loss ${number(loss)} → ${number(loss + value)} nats (${quantity.say(value)})`;
  }

  /** What the pointer or the pin is on, and what can be done with it. */
  private said(quantity: Quantity | null): TemplateResult {
    const side = quantity?.side ?? this.written;
    const { token } = store.selection;
    const shown = this.pointed ?? (side === 'text' ? (token ?? store.previewToken) : null);
    if (shown === null)
      return html`<span class="muted">Point at a token for its numbers; click pins it.</span>`;
    const words = this.words(quantity, shown);
    const block = side === 'text' && shown === token && !store.report;
    return html`${words}
    ${
      block
        ? html` ·
            <button
              class="link"
              data-no-export
              @click=${() =>
                store.host.send({
                  type: 'intervene',
                  toggle: { kind: 'span', core: null, head: null, from: shown, to: shown + 1, queries: null },
                })}
            >
              ${this.isBlocked('text', shown) ? 'Unblock attention to it' : 'Block attention to it'}
            </button>`
        : nothing
    }`;
  }

  private isBlocked(side: Side, token: number): boolean {
    return store.interventions.list.some(
      one =>
        one.kind === 'span' &&
        token >= one.from &&
        token < one.to &&
        (one.core === null ? (one.side ?? 'text') : store.sides(one.core).keys) === side,
    );
  }

  private point(side: Side, token: number | null): void {
    if (token === this.pointed) return;
    this.pointed = token;
    if (side === 'text') store.preview(token);
  }

  private pin(token: number): void {
    store.select({ token: store.selection.token === token ? null : token });
  }

  // ------------------------------------------------------------ the list

  private list(quantity: Quantity, pieces: Piece[]): TemplateResult {
    const listed = this.listed(quantity);
    const title =
      this.show === 'change'
        ? this.effect?.measure === 'loss'
          ? 'Tokens that pay most'
          : 'Tokens whose output turns most'
        : this.show === 'loss'
          ? 'Tokens with the highest loss'
          : this.show === 'from'
            ? 'Heaviest keys'
            : 'Heaviest queries';
    if (listed.length === 0)
      return html`<h2>${title}</h2>
        <p class="muted">${this.show === 'change' ? 'No token is hurt.' : 'None.'}</p>`;
    const places = new Map(pieces.map(({ token }, at) => [token, at]));
    const lost = new Map(this.lostKeys(listed).map((found, at) => [listed[at]!, found]));
    return html`<h2>${title}</h2>
      <ol>
        ${listed.map((token, at) => this.item(quantity, pieces, places.get(token), token, at, lost.get(token)))}
      </ol>
      ${
        this.show === 'change' && this.worst.error
          ? requestState(this.worst, '')
          : this.show === 'change' && this.change?.kind !== 'interventions'
            ? html`<p class="muted">
                Lost keys are those of the dense model that the heads no longer see (local).
              </p>`
            : nothing
      }`;
  }

  /** What was found for the listed tokens, once the answer is about them. */
  private lostKeys(listed: number[]): LostKey[] {
    const { value, answers } = this.worst;
    const wanted = this.queriesOf(listed);
    if (this.show !== 'change' || !value || answers?.queries.join() !== wanted.join()) return [];
    return value;
  }

  private item(
    quantity: Quantity,
    pieces: Piece[],
    place: number | undefined,
    token: number,
    at: number,
    found: LostKey | undefined,
  ): TemplateResult {
    const value = quantity.values[token]!;
    const fill = this.colourOf(quantity)(value);
    const name = tokenLabel(this.tokens?.text[token] ?? '', 20);
    const inText = quantity.side === 'text';
    const jump = () => {
      if (inText) {
        store.select({ token });
        store.host.send({ type: 'reveal', tokens: [token] });
      } else this.coloured?.reveal(token);
    };
    return html`<li class=${inText && store.selection.token === token ? 'shown' : ''}>
      <span class="rank">${at + 1}</span>
      <span class="where"
        ><span class="before">${place === undefined ? '' : leadIn(pieces, place, 18)}</span
        ><button
          class="link"
          title=${this.words(quantity, token)}
          aria-label=${`${at + 1}: ${this.words(quantity, token)}`}
          @click=${jump}
        >
          <code>${name}</code>
        </button></span
      >
      <span
        class="number swatch"
        .style=${`background: ${toCss(fill)}; color: ${inkOn(fill, theme().foreground)}`}
        title=${exact(value)}
        >${quantity.say(value)}</span
      >
      ${found ? html`<span class="lost">${this.lostLine(found)}</span>` : nothing}
    </li>`;
  }

  /** "lost “import” 812 tokens back (34 % in L3 H5)" */
  private lostLine({ query, lost }: LostKey): TemplateResult {
    if (!lost) return html`lost no key itself: what it reads has changed`;
    const { queries, keys } = store.sides(lost.core);
    const key = tokenLabel(store.tokensOf(keys)?.text[lost.key] ?? '', 16);
    const before = tokenLabel(store.tokensOf(queries)?.text[query] ?? '', 12);
    const distance =
      lost.distance === null
        ? 'of the source text'
        : lost.distance === 0
          ? '(itself)'
          : `${inTokens(lost.distance)} ${lost.key < query ? 'back' : 'ahead'}`;
    const inText = queries === 'text' && keys === 'text';
    const show = () => {
      store.select({ core: lost.core, head: lost.head, ...(inText ? { token: query } : {}) });
      const tokens = [...(queries === 'text' ? [query] : []), ...(keys === 'text' ? [lost.key] : [])];
      if (tokens.length > 0) store.host.send({ type: 'reveal', tokens });
    };
    return html`“${before}” lost
      <button class="link" title="Select this head, and show both tokens in the editor" @click=${show}>
        “${key}” ${distance}
      </button>
      <span title=${exact(lost.mass * 100, '%')}>(${percent(lost.mass)} in ${shortName(lost)})</span>`;
  }

  // ------------------------------------------------------------ saving

  get saveName(): string {
    return 'text';
  }

  get figure(): HTMLElement | null {
    return this.renderRoot.querySelector('#figure');
  }

  /** One row per token. */
  toCsv(): string | null {
    const { quantity, tokens, change } = this;
    if (!quantity || !tokens) return null;
    const loss = quantity.side === this.written ? store.summary?.loss?.perToken : undefined;
    const column =
      this.show === 'change' && change
        ? `${this.effect?.measure === 'loss' ? 'loss change [nats]' : 'output turn [1 - cosine]'}: ${changeSubject(change)}`
        : this.show === 'loss'
          ? 'loss [nats]'
          : `attention ${this.show} token ${store.selection.token}`;
    const losses = loss && this.show === 'change';
    return csv(
      ['token', 'start', 'end', 'text', column, ...(losses ? ['loss [nats]'] : [])],
      tokens.text.map((text, t) => [
        t,
        tokens.start[t],
        tokens.end[t],
        text,
        quantity.values[t],
        ...(losses ? [t > 0 ? loss[t - 1] : null] : []),
      ]),
    );
  }
}
