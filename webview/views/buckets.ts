import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { Buckets, HeadProfile, Setting, MechanismInfo } from '../../shared/protocol/engine';
import { agreement, bucketBackground, coverage, imbalance, tellingWords, untaken } from '../model/buckets';
import { bucketNames } from '../model/bucketNames';
import { massAt, niceCeiling } from '../draw/colour';
import { ownSetting } from '../../shared/native';
import { count, csv, number, percent, tokenLabel } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { mechanismTitle } from '../model/mechanismLook';
import { coreInfo, headName } from '../model/names';
import { isNative, standing } from '../model/standing';
import { describeSetting } from '../../shared/setting';
import { theme } from '../draw/theme';
import { Remote } from '../host/remote';
import { store, type Side } from '../host/store';
import { Component } from '../ui/component';
import { choose, segmented } from '../ui/controls';
import { parameterForm } from '../ui/parameterForm';
import { saveMenu, type Savable } from '../ui/save';
import { emptyState, requestState } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';
import '../plots/bucketMapPlot';
import '../plots/bucketSizes';
import '../plots/bucketText';
import '../plots/projection';
import '../ui/legend';
import { bucketsStyles } from './bucketsStyles';
import { rich, t } from '../host/words';

/** Stands in the list for what the model itself does. */
const OWN = 'own';

/** Which tokens LSH or routing puts together, and what attention that misses. */
@customElement('ai-buckets')
export class BucketsView extends Component implements Savable {
  static override styles = [...Component.styles, stateStyles, bucketsStyles];
  /** The bucket that is looked at; null: all of them; undefined: nobody has chosen one. */
  @state() private chosen: number | null | undefined = undefined;
  private readonly buckets = new Remote(this, 'analysis/buckets', 250);
  private readonly map = new Remote(this, 'analysis/bucketMap', 250);
  private agreed: { of: Buckets; values: Float32Array } | null = null;

  // ------------------------------------------------------------ what is shown

  private get infos(): MechanismInfo[] {
    return store.offeredMechanisms.filter(m => m.view === 'buckets');
  }

  /** What the model itself does in the shown head's layer, where that has buckets. */
  private get own(): Setting | null {
    const head = store.shownHead;
    const core = head && coreInfo(head.core);
    const own = core && ownSetting(core, this.infos);
    return own && (!store.report || store.mechanismResult(own)) ? own : null;
  }

  /** The selected mechanism if it has buckets, else the model's own, else the one last looked at here. */
  private get choice(): Setting | null {
    const { mechanism } = store.selection;
    const { infos, own } = this;
    if (mechanism && infos.some(m => m.name === mechanism.name)) return mechanism;
    if (own) return own;
    const kept = store.option<string>('buckets', 'mechanism', '');
    const name = infos.find(m => m.name === kept)?.name ?? infos[0]?.name;
    return name ? store.choiceOf(name) : null;
  }

  /** A round, or null for all of them. */
  private roundOf(buckets: Buckets): number | null {
    const wanted = store.option('buckets', 'round', 0);
    return wanted < 0 && buckets.rounds > 1 ? null : Math.max(0, Math.min(buckets.rounds - 1, wanted));
  }

  private get side(): 'query' | 'key' {
    return store.option<string>('buckets', 'side', 'query') === 'key' ? 'key' : 'query';
  }

  override willUpdate(): void {
    const { id } = store;
    const head = store.shownHead;
    const { choice } = this;
    const params = id && head && choice && store.summary ? { id, ...head, mechanism: choice } : null;
    this.buckets.want(params);
    const found = this.buckets.value;
    this.map.want(params && found ? { ...params, round: this.roundOf(found) ?? 0, size: 256 } : null);
    if (found && (this.chosen ?? 0) >= found.count) this.chosen = undefined;
  }

  override render() {
    const empty = emptyState('buckets');
    if (empty) return empty;
    if (!store.summary)
      return html`<div class="state">
        <p class="muted">${t('Buckets are made when all layers are finished.')}</p>
      </div>`;
    const head = store.shownHead;
    const profile = head && store.profile(head);
    const { choice } = this;
    if (!profile || !choice)
      return html`<div class="state">
        <p>
          ${store.report ? t('This report holds no mechanism with buckets.') : t('No mechanism with buckets is known to this engine.')}
        </p>
      </div>`;
    // The last answer stays until the next one is there: it is named by what it answers, not by what is chosen now.
    const { value: found, answers } = this.buckets;
    return html`
      ${this.toolbar(choice, found)}
      ${
        found
          ? this.figureOf((answers && store.profile(answers)) ?? profile, answers?.mechanism ?? choice, found)
          : html`<div class="state">
              ${requestState(this.buckets, t('Putting the tokens into buckets with {0}.', choice.name))}
            </div>`
      }
    `;
  }

  private toolbar(choice: Setting, found: Buckets | null): TemplateResult {
    const info = this.infos.find(m => m.name === choice.name)!;
    const { own } = this;
    const set = (mechanism: Setting) => {
      this.chosen = undefined;
      store.setOption('buckets', 'mechanism', mechanism.name);
      store.select({ mechanism });
    };
    return html`<div class="toolbar">
      ${choose(
        t('Mechanism'),
        choice.key === own?.key ? OWN : choice.name,
        [
          ...(own ? [{ value: OWN, label: t('{0} (native)', mechanismTitle(own.name, this.infos)) }] : []),
          ...this.infos.map(m => ({ value: m.name, label: m.title })),
        ],
        name => set(own && name === OWN ? own : store.choiceOf(name)),
      )}
      ${parameterForm(info, choice, set, choice.key === own?.key ? found?.settled : undefined)}
      ${
        found && found.rounds > 1
          ? segmented(
              t('Round'),
              String(this.roundOf(found) ?? -1),
              [
                ...Array.from({ length: found.rounds }, (_, r) => ({
                  value: String(r),
                  label: String(r + 1),
                })),
                { value: '-1', label: t('all rounds') },
              ],
              value => store.setOption('buckets', 'round', Number(value)),
            )
          : nothing
      }
      ${segmented(
        t('Tokens as'),
        this.side,
        [
          { value: 'query', label: t('queries') },
          { value: 'key', label: t('keys') },
        ],
        value => store.setOption('buckets', 'side', value),
      )}
      <span class="end">${saveMenu(this)}</span>
    </div>`;
  }

  private figureOf(profile: HeadProfile, choice: Setting, found: Buckets): TemplateResult {
    const sides = store.sides(profile.core);
    const tokens = store.tokensOf(this.side === 'key' ? sides.keys : sides.queries);
    const round = this.roundOf(found);
    const painted = (this.side === 'key' ? found.keyBucket : found.queryBucket)[round ?? 0]!;
    const names = this.namesOf(profile, choice, found, round ?? 0);
    const focus = round === null ? null : this.focusOf(painted, found.sizes[round]!);
    const onBucket = (event: CustomEvent<number>) => {
      const bucket = event.detail;
      this.chosen = bucket < 0 || bucket === focus ? null : bucket;
    };
    const telling = tellingWords(tokens?.text ?? [], painted, found.count, 5);
    const stale = store.stale || this.buckets.loading;
    const learned = isNative(choice, profile.core);
    return html`<div id="figure" class=${stale ? 'is-stale' : ''}>
      <div class="lead" role="status">
        ${this.lead(profile, choice, found)}
        ${round !== null && painted.includes(-1) ? html`<span class="muted">${t('Dashed words are in no bucket.')}</span>` : nothing}
      </div>
      ${round === null ? nothing : this.bucketList(found.sizes[round]!, names, telling, focus)}
      ${this.buckets.error ? requestState(this.buckets, '') : nothing}
      <ai-bucket-text
        .tokens=${tokens}
        .pinnable=${(this.side === 'key' ? sides.keys : sides.queries) === 'text'}
        .buckets=${painted}
        .names=${names}
        .agreement=${round === null ? this.agreementOf(found) : null}
        .focusBucket=${focus}
        .token=${store.previewToken ?? store.selection.token}
        @bucket=${onBucket}
      ></ai-bucket-text>
      <div class="parts ${this.width < 820 ? 'narrow' : this.width < 1300 || learned ? '' : 'wide'}">
        ${learned ? nothing : this.missed(found, sides)}
        <section aria-label=${t('The map sorted by bucket')}>
          ${this.mapOf(names, telling, learned, focus, onBucket)}
        </section>
        <section aria-label=${t('Sizes')}>
          ${this.sizes(found, round, names, learned, focus, onBucket)}
        </section>
      </div>
      <details
        ?open=${store.option('buckets', 'projection', false)}
        @toggle=${(event: Event) => store.setOption('buckets', 'projection', (event.target as HTMLDetailsElement).open)}
      >
        <summary>${t('Queries and keys in two dimensions')}</summary>
        ${
          store.option('buckets', 'projection', false)
            ? html`<section aria-label=${t('Queries and keys in two dimensions')}>
                <div class="heading">
                  <span class="shapes"
                    ><span>${t('● query')}</span
                    ><span>${t('△ key')}</span
                    >${found.projection.centers.length ? html`<span>${t('✚ centre')}${learned ? t(', learned') : nothing}</span>` : nothing}</span
                  >
                  <span class="muted"
                    >${rich('two dimensions with {0} of the variance', percent(found.projection.explained))}</span
                  >
                </div>
                <ai-projection
                  .buckets=${found}
                  .queryTokens=${store.tokensOf(sides.queries)}
                  .keyTokens=${store.tokensOf(sides.keys)}
                  .names=${names}
                  .round=${round ?? 0}
                  .focusBucket=${focus}
                ></ai-projection>
              </section>`
            : nothing
        }
      </details>
    </div>`;
  }

  /** The numbers of the buckets, which stay with their words across small edits. */
  private namesOf({ core, head }: HeadProfile, choice: Setting, found: Buckets, round: number): Int32Array {
    const { analysis } = store;
    const tokens = store.tokensOf(store.sides(core).queries);
    const uri = 'document' in analysis ? (analysis.document?.uri ?? '') : '';
    if (!tokens) return Int32Array.from({ length: found.count }, (_, bucket) => bucket);
    const key = [uri, core, head, choice.key, round].join('|');
    return bucketNames(key, tokens, found.queryBucket[round]!, found.count);
  }

  /** The bucket that is looked at: the chosen one, else that of the pinned token, else the largest. */
  private focusOf(painted: Int32Array, sizes: Int32Array): number | null {
    if (this.chosen !== undefined) return this.chosen;
    const pinned = store.selection.token === null ? -1 : (painted[store.selection.token] ?? -1);
    return pinned >= 0 ? pinned : sizes.indexOf(Math.max(...sizes));
  }

  /** Each bucket by its words, the largest first; one of them stands out of the text below. */
  private bucketList(
    sizes: Int32Array,
    names: Int32Array,
    telling: readonly (readonly string[])[],
    focus: number | null,
  ): TemplateResult {
    const look = theme();
    const order = [...sizes.keys()]
      .filter(bucket => sizes[bucket]! > 0)
      .sort((a, b) => sizes[b]! - sizes[a]!);
    return html`<div class="list" role="group" aria-label=${t('Buckets, the largest first')}>
      <button type="button" aria-pressed=${focus === null} @click=${() => (this.chosen = null)}>
        ${t('all')}
      </button>
      ${order.map(bucket => {
        const words = telling[bucket]!.map(word => tokenLabel(word, 14)).join(' ');
        return html`<button
          type="button"
          aria-pressed=${bucket === focus}
          title=${t('bucket {0}: {1} tokens', names[bucket]!, count(sizes[bucket]!))}
          @click=${() => (this.chosen = bucket)}
        >
          <i .style=${`background: ${bucketBackground(names[bucket]!, look)}`}></i
          ><strong>${names[bucket]}</strong> <span class="words">${words}</span>
          <span class="muted">${count(sizes[bucket]!)}</span>
        </button>`;
      })}
    </div>`;
  }

  /** The whole point in one sentence. */
  private lead(profile: HeadProfile, choice: Setting, found: Buckets): TemplateResult {
    const words = standing(choice, profile.core);
    if (isNative(choice, profile.core)) return this.ownLead(profile, found);
    const better = found.chanceRecall > 0 ? found.recall / found.chanceRecall : null;
    return html`${rich('In {0}, {1} keeps {2} of the mass, where buckets of the same size filled by chance would keep {3}{4}. {5}', headName(profile), choice.name, html`<strong title=${exact(found.recall * 100, '%')}>${percent(found.recall)}</strong>`, html`<strong title=${exact(found.chanceRecall * 100, '%')}>${percent(found.chanceRecall)}</strong>`, better !== null ? html` ${rich('({0} times as much)', number(better))}` : nothing, html`<span class="muted">${rich('(local, {0})', words)}</span>`)}`;
  }

  /** Of the model's own buckets: they lose nothing, for there was nothing else. */
  private ownLead(profile: HeadProfile, found: Buckets): TemplateResult {
    const none = untaken(found);
    const head = headName(profile);
    const native = html`<span class="muted">${t('(native)')}</span>`;
    if (none === 0)
      return html`${rich("The buckets of {0} are the model's own, and hold every token. {1}", head, native)}`;
    const share = html`<strong title=${exact(none * 100, '%')}>${percent(none)}</strong>`;
    return html`${rich("The buckets of {0} are the model's own; none of them takes {1} of the tokens. {2}", head, share, native)}`;
  }

  private agreementOf(found: Buckets): Float32Array {
    const list = this.side === 'key' ? found.keyBucket : found.queryBucket;
    // One computation per answer and side.
    if (this.agreed?.of !== found || this.agreedSide !== this.side) {
      this.agreed = { of: found, values: agreement(list, found.count) };
      this.agreedSide = this.side;
    }
    return this.agreed.values;
  }
  private agreedSide = '';

  private sizes(
    found: Buckets,
    round: number | null,
    names: Int32Array,
    own: boolean,
    focus: number | null,
    onBucket: (event: CustomEvent<number>) => void,
  ): TemplateResult {
    const sizes = found.sizes[round ?? 0]!;
    const { none, several } = coverage(found);
    const n = found.multiplicity.length;
    const bar = (label: string, value: number, chance: boolean) =>
      html`<span>${label}</span
        ><span class="track ${chance ? 'chance' : ''}"><div .style=${`width: ${value * 100}%`}></div></span
        ><span class="number" title=${exact(value * 100, '%')}>${percent(value)}</span>`;
    return html`<div class="heading">
        <h2>${t('Sizes')}</h2>
        <span class="muted"
          >${rich('{0} buckets{1}, the largest {2} times the even size', count(found.count), round === null ? t(' (round 1)') : nothing, number(imbalance(sizes)))}</span
        >
      </div>
      <ai-bucket-sizes
        .sizes=${sizes}
        .names=${names}
        .focusBucket=${focus}
        @bucket=${onBucket}
      ></ai-bucket-sizes>
      ${
        own
          ? nothing
          : html`<div class="against">
              ${bar(t('mass kept'), found.recall, false)} ${bar(t('by chance'), found.chanceRecall, true)}
            </div>`
      }
      <p>
        ${
          found.uncovered || none
            ? html`${rich('{0} of {1} tokens see no key at all: their output is 0.', html`<strong>${count(Math.max(found.uncovered, none))}</strong>`, count(n))}`
            : t('Every token sees at least one key.')
        }
        ${several ? html`${rich('{0} are in more than one bucket: their outputs are averaged.', html`<strong>${count(several)}</strong>`)}` : nothing}
      </p>`;
  }

  private mapOf(
    names: Int32Array,
    telling: readonly (readonly string[])[],
    own: boolean,
    focus: number | null,
    onBucket: (event: CustomEvent<number>) => void,
  ): TemplateResult {
    const map = this.map.value;
    const largest = map ? niceCeiling(map.mass.reduce((a, b) => Math.max(a, b), 0)) : 1;
    const ticks = [0, 1].map(at => ({ at, label: percent(massAt(at, largest, store.settings.massScale)) }));
    return html`<div class="heading">
        <h2>${t('The map sorted by bucket')}</h2>
        <span class="muted"
          >${own ? t('boxes: same bucket') : t('boxes: same bucket; orange: what they miss')}</span
        >
      </div>
      ${map ? nothing : requestState(this.map, t('Sorting the map.'))}
      <ai-bucket-map
        .map=${map}
        .names=${names}
        .telling=${telling}
        .largest=${largest}
        .focusBucket=${focus}
        @bucket=${onBucket}
      ></ai-bucket-map>
      <div class="legends">
        <ai-legend
          label=${own ? t('mass') : t('kept')}
          .lut=${theme().sequential}
          .ticks=${ticks}
        ></ai-legend>
        ${own ? nothing : html`<ai-legend label=${t('lost')} .lut=${upperHalf(theme().diverging)} .ticks=${ticks}></ai-legend>`}
      </div>`;
  }

  private missed(found: Buckets, sides: { queries: Side; keys: Side }): TemplateResult {
    const link = (token: number, side: Side) => {
      const name = `“${tokenLabel(store.tokensOf(side)?.text[token] ?? '', 18)}”`;
      const shown =
        side === 'text'
          ? html`<button class="link" @click=${() => store.select({ token })}>${name}</button>`
          : name;
      return html`${shown} <span class="muted">${token}</span>`;
    };
    const shown = (pair: { query: number; key: number }) => [
      ...(sides.queries === 'text' ? [pair.query] : []),
      ...(sides.keys === 'text' ? [pair.key] : []),
    ];
    return html`<section class="missed" aria-label=${t('Heaviest missed pairs')}>
      <h2>
        ${found.rounds > 1 ? t('What no round caught, heaviest first') : t('What the buckets miss, heaviest first')}
      </h2>
      ${
        found.missed.length
          ? html`<table>
              <tr>
                <th>${t('query')}</th>
                <th>${t('key')}</th>
                <th class="number">${t('distance, tokens')}</th>
                <th class="number">${t('mass')}</th>
                <th></th>
              </tr>
              ${found.missed.slice(0, 6).map(
                pair =>
                  html`<tr>
                    <td>${link(pair.query, sides.queries)}</td>
                    <td>${link(pair.key, sides.keys)}</td>
                    <td class="number">${count(Math.abs(pair.query - pair.key))}</td>
                    <td class="number" title=${exact(pair.mass * 100, '%')}>${percent(pair.mass)}</td>
                    <td data-no-export>
                      <button
                        class="link"
                        @click=${() => store.host.send({ type: 'reveal', tokens: shown(pair) })}
                      >
                        ${store.report ? t('Pin') : t('Show in the text')}
                      </button>
                    </td>
                  </tr>`,
              )}
            </table>`
          : html`<p>${t('None: every pair with mass was caught.')}</p>`
      }
    </section>`;
  }

  // ------------------------------------------------------------ saving

  get saveName(): string {
    return `buckets-${this.choice?.name ?? ''}`;
  }

  get caption(): string {
    const head = store.shownHead;
    const { choice } = this;
    return head && choice ? t('Buckets of {0} by {1}.', headName(head), describeSetting(choice)) : '';
  }

  get figure(): HTMLElement | null {
    return this.renderRoot.querySelector('#figure');
  }

  toCsv(): string | null {
    const found = this.buckets.value;
    const core = store.shownHead?.core ?? null;
    const tokens = store.tokensOf(this.side === 'key' ? store.sides(core).keys : store.sides(core).queries);
    if (!found || !tokens) return null;
    const rounds = [...Array(found.rounds).keys()];
    return csv(
      [
        'token',
        'text',
        ...rounds.map(r => `query bucket, round ${r + 1}`),
        ...rounds.map(r => `key bucket, round ${r + 1}`),
        'buckets that hold it',
        'query x',
        'query y',
        'key x',
        'key y',
      ],
      tokens.text.map((text, i) => [
        i,
        text,
        ...rounds.map(r => found.queryBucket[r]![i]),
        ...rounds.map(r => found.keyBucket[r]![i]),
        found.multiplicity[i],
        found.projection.queries[i * 2],
        found.projection.queries[i * 2 + 1],
        found.projection.keys[i * 2],
        found.projection.keys[i * 2 + 1],
      ]),
    );
  }
}

const halves = new WeakMap<Uint8Array, Uint8Array>();

/** The part of a diverging map above zero, as a map of its own. */
function upperHalf(lut: Uint8Array): Uint8Array {
  let half = halves.get(lut);
  if (!half) {
    half = new Uint8Array(1024);
    for (let i = 0; i < 256; i++)
      half.set(lut.subarray((128 + (i >> 1)) * 4, (128 + (i >> 1)) * 4 + 4), i * 4);
    halves.set(lut, half);
  }
  return half;
}
