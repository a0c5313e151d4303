import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, query } from 'lit/decorators.js';
import type { HeadProfile, Setting, ValueWeights } from '../../shared/protocol/engine';
import { changeOf } from '../../shared/protocol/host';
import { massAt } from '../draw/colour';
import { percent, tokenLabel } from '../../shared/numbers';
import { exact, nats, tokens as inTokens } from '../model/amounts';
import { headName, rolesInWords, rolesWhere } from '../model/names';
import { nativeOf, standing, withoutMechanism, withoutRecall } from '../model/standing';
import { describeSetting } from '../../shared/setting';
import { theme } from '../draw/theme';
import { Remote } from '../host/remote';
import { store, type HeadId } from '../host/store';
import type { MapElement } from '../map/mapElement';
import { Component } from '../ui/component';
import { choose, segmented } from '../ui/controls';
import { parameterForm } from '../ui/parameterForm';
import { saveMenu, type Savable } from '../ui/save';
import { emptyState, requestState } from '../ui/states';
import { rolloutWords, wholeModel, wholeModelSwitch } from '../ui/wholeModel';
import { byValue, weighingSwitch, weighingWords, weightName } from '../ui/weighing';
import { stateStyles } from '../ui/stateStyles';
import '../map/mapElement';
import '../ui/legend';
import '../ui/predictions';
import '../ui/tokenPanel';
import './headWords';
import type { HeadWords } from './headWords';
import { rich, said, t } from '../host/words';

/** One head: its whole map, and what a mechanism would keep of it. */
@customElement('ai-head')
export class HeadView extends Component implements Savable {
  static override styles = [
    ...Component.styles,
    stateStyles,
    css`
      :host {
        height: 100%;
        min-height: 420px;
        display: flex;
        flex-direction: column;
      }
      .figure {
        flex: 1;
        min-height: 340px;
        display: flex;
        flex-direction: column;
      }
      .line {
        display: flex;
        flex-wrap: wrap;
        gap: 2px 16px;
        align-items: baseline;
        min-height: 1.5em;
      }
      .line ai-legend {
        margin-left: auto;
      }
      .kept strong {
        font-size: 1.15em;
      }
      .swatch {
        display: inline-block;
        width: 22px;
        height: 10px;
        vertical-align: baseline;
        outline: 1px solid var(--line);
        background: repeating-linear-gradient(135deg, var(--vscode-foreground) 0 1px, transparent 1px 4px);
        opacity: 0.6;
      }
      .body {
        flex: 1;
        min-height: 0;
        display: flex;
        gap: 20px;
        container-type: size;
      }
      /* The map is as wide as it is high, with its margins; words take the rest. */
      ai-map {
        flex: 0 1 calc(100cqh + 36px);
        min-width: 0;
      }
      .body.narrow ai-map {
        flex-grow: 1;
      }
      ai-predictions {
        max-width: 420px;
        margin: 16px auto 0;
      }
      ai-token {
        flex: 1 0 250px;
        max-width: 380px;
        overflow-y: auto;
        padding: 20px 4px 0 0;
      }
    `,
  ];
  @query('ai-map') private map!: MapElement | null;
  @query('ai-head-words') private wordsList!: HeadWords | null;
  private readonly wantedMechanism = new Remote(this, 'analysis/mechanism', 400);
  private readonly weights = new Remote(this, 'analysis/valueWeights');

  private get head(): HeadId | null {
    return store.previewHead ?? store.shownHead;
  }

  /** Those of the head that is shown. */
  private get knownWeights(): ValueWeights | null {
    const { head } = this;
    const { value, answers } = this.weights;
    return answers?.core === head?.core && answers?.head === head?.head ? value : null;
  }

  private get mechanism(): Setting | null {
    return store.selection.mechanism;
  }

  override willUpdate(): void {
    const { mechanism } = this;
    const { id } = store;
    const missing = id && mechanism && store.summary && !store.mechanismResult(mechanism);
    this.wantedMechanism.want(missing ? { id, mechanism, scope: 'local' } : null);
    const { head } = this;
    this.weights.want(id && head && store.summary && byValue() ? { id, ...head } : null);
  }

  override updated(): void {
    const { map } = this;
    if (store.focusAsked.peek() !== 'head') return;
    if (!map) return this.choose('matrix');
    store.focusAsked.value = null;
    void map.updateComplete.then(() => map.takeFocus());
  }

  /** One begins with words as soon as one is pinned; where one goes on working is remembered. */
  private get mode(): 'words' | 'matrix' {
    const chosen = store.option<string>('head', 'mode', '');
    if (chosen === 'words' || chosen === 'matrix') return chosen;
    return store.selection.token === null ? 'matrix' : 'words';
  }

  private choose(mode: string): void {
    if (store.option<string>('head', 'mode', '') !== mode) store.setOption('head', 'mode', mode);
  }

  override render() {
    void store.focusAsked.value;
    const empty = emptyState('head');
    if (empty) return empty;
    const { head } = this;
    const profile = head && store.profile(head);
    if (!profile)
      return html`<div class="state"><p class="muted">${t('The first heads are being computed.')}</p></div>`;
    const { massScale } = store.settings;
    const reduce = store.option<string>('head', 'reduce', 'max') === 'mean' ? 'mean' : 'max';
    if (this.mode === 'words')
      return html`
        <div class="toolbar">
          ${this.modes()} ${wholeModelSwitch()} ${wholeModel() ? nothing : weighingSwitch()}<span class="end"
            >${saveMenu(this)}</span
          >
        </div>
        <div class=${store.stale ? 'is-stale' : ''} id="figure">
          ${
            wholeModel()
              ? html`<h2>${t('The whole model')}</h2>
                  <span class="muted">${rolloutWords()}</span>`
              : html`<div class="line">${this.heading(profile)}</div>
                  ${weighingWords(this.knownWeights)}`
          }
          <ai-head-words></ai-head-words>
          <ai-predictions .change=${changeOf(store, store.selection)}></ai-predictions>
        </div>
      `;
    return html`
      ${this.toolbar(profile.core, reduce)}
      <div class="figure ${store.stale ? 'is-stale' : ''}" id="figure">
        <div class="line">${this.heading(profile)}</div>
        ${this.keptLine(profile)} ${weighingWords(this.knownWeights)}
        <div class="line">
          <span role="status" aria-live="polite"
            >${this.map?.readout ?? html`<span class="muted" data-no-export>${rich('Point at the map to read it; click pins a query{0}.', store.report ? '' : t(', double-click shows both tokens in the text'))}</span>`}</span
          >
          ${this.massLegend(massScale)}
        </div>
        ${this.map?.failure ? html`<p role="alert">${this.map.failure}</p>` : nothing}
        <div class=${this.width < 820 ? 'body narrow' : 'body'}>
          <ai-map
            .head=${{ core: profile.core, head: profile.head }}
            .mechanism=${this.mechanism}
            .reduce=${reduce}
            .weights=${this.knownWeights}
            @colours=${() => this.requestUpdate()}
            @pointerdown=${() => this.choose('matrix')}
            @keydown=${() => this.choose('matrix')}
          ></ai-map
          >${this.width >= 820 ? html`<ai-token></ai-token>` : nothing}
        </div>
      </div>
    `;
  }

  private toolbar(core: number, reduce: string): TemplateResult {
    const { mechanism } = this;
    const info = mechanism && store.mechanismInfos.find(m => m.name === mechanism.name);
    return html`<div class="toolbar">
      ${this.modes()} ${weighingSwitch()}
      ${segmented(
        t('A pixel shows the'),
        reduce,
        [
          { value: 'max', label: t('largest') },
          { value: 'mean', label: t('mean') },
        ],
        value => store.setOption('head', 'reduce', value),
      )}
      ${segmented(
        t('Mass'),
        store.settings.massScale,
        [
          { value: 'sqrt', label: '√' },
          { value: 'log', label: t('log') },
          { value: 'linear', label: t('linear') },
        ],
        value => store.setMassScale(value as 'sqrt'),
      )}
      ${choose(
        t('Mechanism'),
        mechanism?.name ?? '',
        [
          { value: '', label: withoutMechanism(core) },
          ...store.offeredMechanisms.map(m => ({ value: m.name, label: m.title })),
        ],
        name => store.select({ mechanism: name ? store.choiceOf(name) : null }),
      )}
      ${info && mechanism ? parameterForm(info, mechanism, mechanism => store.select({ mechanism })) : nothing}
      <span class="end">${saveMenu(this)}</span>
    </div>`;
  }

  private modes(): TemplateResult {
    return segmented(
      t('Show'),
      this.mode,
      [
        { value: 'words', label: t('words') },
        { value: 'matrix', label: t('matrix') },
      ],
      mode => this.choose(mode),
    );
  }

  private heading(profile: HeadProfile): TemplateResult {
    const native = nativeOf(profile);
    return html`<h2>
        ${headName(profile)}${native ? html` <small class="muted">${native}</small>` : nothing}
      </h2>
      <span
        >${rolesInWords(profile)}${profile.roles.length ? html` <span class="muted">(${rolesWhere()})</span>` : nothing}</span
      >
      <span class="muted"
        >${rich('entropy {0}, mean distance {1}, 95 % within {2}', html`<span title=${exact(profile.entropy, 'nats')}>${nats(profile.entropy)}</span>`, html`<span title=${exact(profile.meanDistance, 'tokens')}>${inTokens(profile.meanDistance)}</span>`, html`<span title=${exact(profile.span95, 'tokens')}>${inTokens(profile.span95)}</span>`)}</span
      >
      ${this.sampled(profile)}`;
  }

  /** Without a dense pass: what the figures of the head rest on. */
  private sampled({ sampled }: HeadProfile): TemplateResult | typeof nothing {
    if (!sampled) return nothing;
    const { queries, pairs, densePairs, missed } = sampled;
    const seen =
      missed && pairs !== null
        ? t(
            '; {0} of the pairs ran, {1} of the mass is left out (95 %: {2} to {3})',
            percent(pairs / densePairs),
            ...[missed.mean, missed.low, missed.high].map(percent),
          )
        : '';
    return html`<span class="muted">${rich('from the exact rows of {0} queries{1}', queries, seen)}</span>`;
  }

  /** "keeps 93.1 % of the mass with 6.2 % of the pairs" */
  private keptLine(profile: HeadProfile): TemplateResult | typeof nothing {
    const { mechanism } = this;
    if (!mechanism) return nothing;
    // While the answer for new parameters is on its way, that for the old ones says nothing of them.
    const { value, answers } = this.wantedMechanism;
    const asked = value && answers && answers.mechanism.key === mechanism.key ? value : null;
    const result = store.mechanismResult(mechanism) ?? asked;
    const mine = result?.heads.find(h => h.core === profile.core && h.head === profile.head);
    if (!mine)
      return html`<div class="line">
        ${requestState(this.wantedMechanism, t('Computing {0} for all heads.', mechanism.name))}
      </div>`;
    const pairs = mine.pairs / mine.densePairs;
    return html`<div class="line kept">
      <span
        >${rich(
          '{0} {1} with {2} of the pairs; output error {3} (local, {4})',
          mechanism.name,
          mine.recall === null
            ? withoutRecall(mechanism, profile.core)
            : html`${rich('keeps {0} of the mass', html`<strong title=${exact(mine.recall * 100, '%')}>${percent(mine.recall)}</strong>`)}`,
          html`<strong title=${t('{0} of {1} pairs', exact(mine.pairs), exact(mine.densePairs))}
            >${percent(pairs)}</strong
          >`,
          html`<span title=${exact(mine.outputError * 100, '%')}>${percent(mine.outputError)}</span>`,
          standing(mechanism, profile.core),
        )}</span
      >
      <span class="muted">${rich('{0} dropped', html`<span class="swatch"></span>`)}</span>
      ${mine.uncovered ? html`<span class="muted">${rich('{0} queries without any key', mine.uncovered)}</span>` : nothing}
      ${(result?.notes ?? []).map(note => html`<span class="muted">${said(note.text)}</span>`)}
    </div>`;
  }

  private massLegend(scale: 'linear' | 'sqrt' | 'log'): TemplateResult {
    const largest = this.map?.largest ?? 1;
    const sampled = this.map?.sampled;
    return html`${sampled ? html`<span class="muted">${sampled}</span>` : nothing}<ai-legend
        label=${weightName()}
        .lut=${theme().sequential}
        .ticks=${[0, 0.5, 1].map(at => ({ at, label: percent(massAt(at, largest, scale)) }))}
      ></ai-legend>`;
  }

  // ------------------------------------------------------------ saving

  get saveName(): string {
    const head = store.shownHead;
    return head ? `core${head.core}-head${head.head}` : 'head';
  }

  get caption(): string {
    const head = store.shownHead;
    if (!head) return '';
    const { mechanism } = this;
    const token = store.selection.token;
    const text = token === null ? undefined : store.tokens?.text[token];
    if (this.mode === 'words') {
      const names = [tokenLabel(text ?? ''), token ?? '', headName(head)] as const;
      if (wholeModel())
        return t(
          'Where what “{0}” (token {1}) holds came from, by attention rollout over all layers.',
          ...names,
        );
      return byValue()
        ? t('Where “{0}” (token {1}) looks in {2}, and what looks at it, in value-weighted shares.', ...names)
        : t('Where “{0}” (token {1}) looks in {2}, and what looks at it, in shares of attention.', ...names);
    }
    const cells = store.option<string>('head', 'reduce', 'max') === 'mean' ? t('means') : t('largest values');
    const kept = mechanism ? t(' Hatched: dropped by {0}.', describeSetting(mechanism)) : '';
    const sampled = this.map?.sampled;
    const beside = kept + (sampled ? ` (${sampled})` : '');
    const words = [headName(head), cells, beside] as const;
    if (byValue())
      return t(
        'Value-weighted attention of {0}: queries downwards, keys to the right; each pixel shows {1} of its pairs.{2}',
        ...words,
      );
    return t(
      'Attention of {0}: queries downwards, keys to the right; each pixel shows {1} of its pairs.{2}',
      ...words,
    );
  }

  get figure(): HTMLElement | null {
    return this.renderRoot.querySelector('#figure');
  }

  toCsv(): string | null {
    return (this.mode === 'words' ? this.wordsList?.toCsv() : this.map?.toCsv()) ?? null;
  }
}
