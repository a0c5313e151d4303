import { html, nothing, type TemplateResult } from 'lit';
import { customElement, query } from 'lit/decorators.js';
import type { AnalysisSummary } from '../../shared/protocol/engine';
import { csv } from '../../shared/numbers';
import { exact, nats } from '../model/amounts';
import { Remote } from '../host/remote';
import { store } from '../host/store';
import { t } from '../host/words';
import { counterparts, lossPair, mapDifference, sameHeads, shiftPerRow, type LossPair } from '../model/pair';
import { attentionChange, elsewhere, lossChange, type Titled } from '../model/pairQuantity';
import {
  PAIR_KINDS,
  chosenSetting,
  headTitle,
  lossesOf,
  mapRequest,
  otherHead,
  otherTitle,
  settings,
  tokensOfSide,
  type PairKind,
  type PairSide,
} from '../model/pairSides';
import { headKey } from '../model/tried';
import type { ColouredText } from '../plots/colouredText';
import { Component } from '../ui/component';
import { button, choose, segmented } from '../ui/controls';
import { saveMenu, type Savable } from '../ui/save';
import { emptyState, requestState } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';
import { headLead, lossLead } from './pairLead';
import './pairPatching';
import { pairMaps, type PairTiles } from './pairMaps';
import { pairStyles } from './pairStyles';
import { headGrid, headsCsv, measureRows, numbersTable, settingRows, type PairRow } from './pairTables';
import { mostDifferent, pairText } from './pairText';

/** Two heads, two settings or two texts side by side, and the difference between them. */
@customElement('ai-pair')
export class PairView extends Component implements Savable {
  static override styles = [...Component.styles, stateStyles, pairStyles];
  private readonly other = new Remote(this, 'host/analysis');
  private readonly first = new Remote(this, 'analysis/tile', 60);
  private readonly second = new Remote(this, 'analysis/tile', 60);
  private readonly firstRow = new Remote(this, 'analysis/row', 40);
  private readonly secondRow = new Remote(this, 'analysis/row', 40);
  private readonly runA = new Remote(this, 'analysis/mechanism');
  private readonly runB = new Remote(this, 'analysis/mechanism');
  private readonly text = new Remote(this, 'host/text');
  @query('ai-coloured-text') private coloured!: ColouredText | null;
  private matched: { a: AnalysisSummary; b: AnalysisSummary; of: Int32Array } | null = null;

  // ------------------------------------------------------------ the two sides

  private get kind(): PairKind {
    const wanted = store.option<string>('pair', 'kind', 'head');
    return PAIR_KINDS.find(kind => kind === wanted) ?? 'head';
  }

  private get a(): PairSide | null {
    const { summary, shownHead } = store;
    const profile = shownHead && store.profile(shownHead);
    if (!summary || !profile) return null;
    const base = { id: summary.id, summary, profile };
    switch (this.kind) {
      case 'head':
        return { ...base, title: headTitle(profile), change: null };
      case 'setting': {
        const chosen = this.setting('a');
        return { ...base, title: chosen.label, change: chosen.change };
      }
      case 'text': {
        const { analysis, model } = store;
        const name = analysis.status === 'ready' ? analysis.document.name : '';
        return { ...base, title: t('{0} in {1}', name, model?.name ?? ''), change: null };
      }
    }
  }

  private get b(): PairSide | null {
    const { a } = this;
    if (!a) return null;
    switch (this.kind) {
      case 'head': {
        const key = store.option<string>('pair', 'head', '');
        const chosen = store.heads.find(head => headKey(head) === key && key !== headKey(a.profile));
        const profile = chosen ?? otherHead(a.profile, store.heads);
        return profile && { ...a, profile, title: headTitle(profile) };
      }
      case 'setting': {
        const chosen = this.setting('b');
        return { ...a, title: chosen.label, change: chosen.change };
      }
      case 'text': {
        const chosen = this.otherChosen;
        const { value } = this.other;
        if (!chosen || !value || this.other.answers?.id !== chosen.id) return null;
        const of = value.cores.find(({ info }) => info.core === a.profile.core);
        const profile = of?.heads[a.profile.head];
        const title = otherTitle(chosen);
        // Of a model with other heads only the losses are told, which belong to no head.
        return { id: chosen.id, summary: value, profile: profile ?? a.profile, title, change: null };
      }
    }
  }

  private setting(side: 'a' | 'b') {
    const key = store.option<string>('pair', `setting-${side}`, side === 'a' ? 'none' : '');
    const all = settings();
    const wanted = side === 'a' && !all.some(one => one.key === key) ? 'none' : chosenSetting(key);
    return all.find(one => one.key === wanted) ?? all[0]!;
  }

  private get otherChosen() {
    const id = store.option<string>('pair', 'text', '');
    return store.others.find(one => one.id === id) ?? store.others[0] ?? null;
  }

  private get comparable(): boolean {
    const { a, b } = this;
    return !!a && !!b && (a.summary === b.summary || sameHeads(a.summary, b.summary));
  }

  // ------------------------------------------------------------ asking

  override willUpdate(): void {
    const { kind } = this;
    const chosen = kind === 'text' && store.summary ? this.otherChosen : null;
    this.other.want(chosen ? { id: chosen.id } : null);
    const { a, b, comparable } = this;
    this.text.want(a ? { id: a.id } : null);
    const [one, two] = [a && comparable ? mapRequest(a) : null, b && comparable ? mapRequest(b) : null];
    const level = Math.max(one?.level ?? 0, two?.level ?? 0);
    this.first.want(a && one ? mapRequest(a, level) : null);
    this.second.want(b && two ? mapRequest(b, level) : null);
    const run = (side: PairSide | null) => {
      const change = kind === 'setting' ? side?.change : null;
      const known = change?.kind === 'mechanism' && store.mechanismResult(change.choice, 'propagated');
      return side && change?.kind === 'mechanism' && !known && !store.report
        ? ({ id: side.id, mechanism: change.choice, scope: 'propagated' } as const)
        : null;
    };
    this.runA.want(run(a));
    this.runB.want(run(b));
    this.wantRows(a, b);
  }

  /** What the pinned token looks at on both sides, where it is in both. */
  private wantRows(a: PairSide | null, b: PairSide | null): void {
    const { token } = store.selection;
    const there = a && b && token !== null && this.kind !== 'setting' ? this.tokenInB(a, b, token) : -1;
    const asks = (side: PairSide) => tokensOfSide(side, 'queries') === side.summary.tokens;
    const wanted = a && b && this.comparable && token !== null && there >= 0 && asks(a) && asks(b);
    const row = ({ id, profile: { core, head } }: PairSide, token: number) =>
      ({ id, core, head, token, direction: 'from' }) as const;
    this.firstRow.want(wanted ? row(a, token) : null);
    this.secondRow.want(wanted ? row(b, there) : null);
  }

  private tokenInB(a: PairSide, b: PairSide, token: number): number {
    return a.summary === b.summary ? token : (this.pairsOf(a.summary, b.summary)[token] ?? -1);
  }

  private pairsOf(a: AnalysisSummary, b: AnalysisSummary): Int32Array {
    if (this.matched?.a !== a || this.matched.b !== b)
      this.matched = { a, b, of: counterparts(a.tokens.ids, b.tokens.ids) };
    return this.matched.of;
  }

  // ------------------------------------------------------------ what is found

  private get tiles(): PairTiles {
    const [a, b] = [this.first.value, this.second.value];
    const level = this.first.answers?.level ?? 0;
    const alike = a && b && this.first.answers?.level === this.second.answers?.level;
    const difference = alike && this.sameTokens ? mapDifference(a, b) : null;
    return { a, b, level, difference };
  }

  private get sameTokens(): boolean {
    const { a, b } = this;
    if (!a || !b || a.summary === b.summary) return true;
    const pairs = this.pairsOf(a.summary, b.summary);
    return a.summary.tokens.ids.length === b.summary.tokens.ids.length && pairs.every((to, at) => to === at);
  }

  private get losses(): LossPair | null {
    const { a, b } = this;
    if (!a || !b || this.kind === 'head') return null;
    const [one, two] = [lossesOf(a), lossesOf(b)];
    if (!one || !two || a.summary.target || b.summary.target) return null;
    return lossPair(
      { perToken: one, ids: a.summary.tokens.ids },
      { perToken: two, ids: b.summary.tokens.ids },
    );
  }

  /** B - A of each key of the pinned token. */
  private get rowDifference(): Float32Array | null {
    const { a, b } = this;
    const [one, two] = [this.firstRow.value, this.secondRow.value];
    if (!a || !b || !one || !two || tokensOfSide(a, 'keys') !== a.summary.tokens) return null;
    const same = a.summary === b.summary;
    const pairs = same ? null : this.pairsOf(a.summary, b.summary);
    return one.map((mass, key) => {
      const there = pairs ? pairs[key]! : key;
      return there < 0 ? 0 : (two[there] ?? 0) - mass;
    });
  }

  /** What the text is coloured by. */
  private get quantity(): Titled | null {
    const { a, b, losses } = this;
    if (!a || !b) return null;
    if (losses) return losses.paired > 0 ? lossChange(losses.perToken) : null;
    const row = this.rowDifference;
    if (row) return attentionChange(row);
    const { a: one, b: two, level } = this.tiles;
    const shift = one && two && this.sameTokens && shiftPerRow(one, two, level);
    if (!shift || tokensOfSide(a, 'queries') !== a.summary.tokens) return null;
    const tokens = a.summary.tokens.ids.length;
    return elsewhere(Float32Array.from({ length: tokens }, (_, at) => shift[at >> level] ?? 0));
  }

  // ------------------------------------------------------------ drawing

  override render() {
    const empty = emptyState('pair');
    if (empty) return empty;
    if (!store.summary)
      return html`<div class="state">
        <p class="muted">${t('Two sides are compared when all layers are finished.')}</p>
      </div>`;
    const { a, b } = this;
    return html`
      ${this.toolbar(a)}
      <div id="figure" class=${store.stale ? 'is-stale' : ''}>
        ${a && b ? this.found(a, b) : this.missing()}
      </div>
    `;
  }

  private toolbar(a: PairSide | null): TemplateResult {
    const { kind } = this;
    return html`<div class="toolbar">
      ${segmented(
        t('Side by side'),
        kind,
        [
          { value: 'head', label: t('two heads') },
          { value: 'setting', label: t('two settings') },
          ...(store.report ? [] : [{ value: 'text', label: t('two texts or models') }]),
        ],
        value => store.setOption('pair', 'kind', value),
      )}
      ${a ? this.choices(a) : nothing}
      <span class="end">${saveMenu(this)}</span>
    </div>`;
  }

  private choices(a: PairSide): TemplateResult | typeof nothing {
    switch (this.kind) {
      case 'head': {
        const heads = (but: string | null) =>
          store.heads
            .filter(head => headKey(head) !== but)
            .map(head => ({ value: headKey(head), label: headTitle(head) }));
        const mine = headKey(a.profile);
        return html`${choose('A', mine, heads(null), key => store.select(headOf(key)))}
        ${
          this.b
            ? html`${choose('B', headKey(this.b.profile), heads(mine), key => store.setOption('pair', 'head', key))}
              ${button(t('Swap'), () => this.swap(mine), { secondary: true })}`
            : nothing
        }`;
      }
      case 'setting': {
        const all = settings().map(({ key, label }) => ({ value: key, label }));
        return html`${(['a', 'b'] as const).map(side =>
          choose(side.toUpperCase(), this.setting(side).key, all, key =>
            store.setOption('pair', `setting-${side}`, key),
          ),
        )}`;
      }
      case 'text': {
        const chosen = this.otherChosen;
        const all = store.others.map(one => ({ value: one.id, label: otherTitle(one) }));
        return chosen
          ? html`${choose('B', chosen.id, all, id => store.setOption('pair', 'text', id))}`
          : nothing;
      }
    }
  }

  private swap(mine: string): void {
    const { b } = this;
    if (!b) return;
    store.setOption('pair', 'head', mine);
    store.select({ core: b.profile.core, head: b.profile.head });
  }

  private missing(): TemplateResult {
    const waits = requestState(this.other, t('Reading the other analysis.'));
    const none =
      this.kind === 'text'
        ? t(
            'Nothing to put beside it yet. Analyze another text, or this one after an edit or with another model: then both stand here.',
          )
        : t('The model has one head only.');
    return html`<div class="state">
      ${this.otherChosen && this.kind === 'text' ? waits : html`<p>${none}</p>`}
    </div>`;
  }

  private found(a: PairSide, b: PairSide): TemplateResult {
    const { quantity, tiles, sameTokens } = this;
    const shown = { a, b, tiles, sameTokens, narrow: this.width < 620, waits: this.second };
    return html`<div class="lead" role="status">${this.lead(a, b)}</div>
      ${this.comparable ? pairMaps(shown) : html`<p class="muted">${t('The models have other heads: only their losses are compared.')}</p>`}
      <div class=${this.width < 760 || !quantity ? 'parts narrow' : 'parts'}>
        <section>${quantity ? pairText(a, this.text.value, quantity) : this.nothingInCommon()}</section>
        <section>
          ${numbersTable(a, b, this.rows(a, b))}${quantity ? mostDifferent(a, quantity, token => this.coloured?.reveal(token)) : nothing}
        </section>
      </div>
      ${this.comparable && this.kind !== 'head' ? headGrid(a, b) : nothing}
      ${this.kind === 'text' ? html`<ai-patching .a=${a} .b=${b}></ai-patching>` : nothing}`;
  }

  private rows(a: PairSide, b: PairSide): PairRow[] {
    const { losses, kind } = this;
    const loss: PairRow[] = losses
      ? [{ what: t('loss'), a: losses.a, b: losses.b, write: nats, exact: value => exact(value, 'nats') }]
      : [];
    if (kind === 'setting') return [...loss, ...settingRows(a, b)];
    return [...loss, ...(this.comparable ? measureRows(a, b) : [])];
  }

  /** The whole point in one sentence. */
  private lead(a: PairSide, b: PairSide): TemplateResult {
    const { first, second, runA, runB, losses } = this;
    if (this.kind === 'head')
      return headLead(a, b, this.tiles) ?? html`${requestState(first.error ? first : second, t('Looking.'))}`;
    if (losses) return lossLead(losses);
    const asked = runA.loading || runA.error ? runA : runB;
    return asked.loading || asked.error
      ? html`${requestState(asked, t('The text runs on with it.'))}`
      : html`${t('The losses of the two are not known, so only where they look is compared.')}`;
  }

  private nothingInCommon(): TemplateResult {
    return html`<p class="muted">
      ${this.kind === 'text' && this.losses?.paired === 0 ? t('The two texts have too little in common to be compared word by word.') : nothing}
    </p>`;
  }

  // ------------------------------------------------------------ saving

  get saveName(): string {
    return `a-and-b-${this.kind}`;
  }

  get caption(): string {
    const { a, b } = this;
    return a && b ? t('A: {0}; B: {1}. Differences are B − A.', a.title, b.title) : '';
  }

  get figure(): HTMLElement | null {
    return this.renderRoot.querySelector('#figure');
  }

  /** A row for each token, or for each head where the text has no difference of its own. */
  toCsv(): string | null {
    const { a, b, quantity } = this;
    if (!a || !b) return null;
    if (!quantity) return headsCsv(a, b);
    const { tokens } = a.summary;
    return csv(
      ['token', 'text', `${quantity.legend.label}: A ${a.title}, B ${b.title}`],
      tokens.text.map((text, token) => [token, text, quantity.values[token]]),
    );
  }
}

function headOf(key: string): { core: number; head: number } {
  const [core, head] = key.split('.').map(Number) as [number, number];
  return { core, head };
}
