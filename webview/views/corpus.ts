import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import {
  CRITERIA,
  type CorpusHead,
  type CorpusProfile,
  type HeadExcerpt,
  type Projection,
} from '../../shared/protocol/corpus';
import type { CorpusState } from '../../shared/protocol/host';
import { count, number, percent, tokenLabel } from '../../shared/numbers';
import { bucketColour, lutColour, toCss } from '../draw/colour';
import { theme } from '../draw/theme';
import { Remote } from '../host/remote';
import { store } from '../host/store';
import { t } from '../host/words';
import {
  differencesOf,
  distributionOf,
  facetName,
  facetsOf,
  lossesOf,
  measuresOf,
  pointsOf,
  type HeadPoint,
} from '../model/corpus';
import { spelled } from '../model/corpusNames';
import { layOut, LAYOUTS, type Layout } from '../model/projection';
import { rangeOf, type ScatterPoint } from '../plots/scatter';
import '../plots/scatter';
import { Component } from '../ui/component';
import { button, choose } from '../ui/controls';
import { requestState, run } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';

const keyOf = ({ core, head }: { core: number; head: number }): string => `${core}.${head}`;

const PLACES = ['most', 'least', 'deciles'] as const;
/** Measures whose difference between kinds is shown. */
const DIFFERENCES = 4;

/** A model's heads over a folder of texts: all heads by any measures, one head's excerpts, and how it differs by kind of text. */
@customElement('ai-corpus')
export class Corpus extends Component {
  static override styles = [
    ...Component.styles,
    stateStyles,
    css`
      h3 {
        margin: 16px 0 4px;
        font-size: 1em;
      }
      .excerpt {
        border-top: 1px solid var(--line);
        padding: 6px 0;
      }
      .excerpt pre {
        margin: 2px 0;
        white-space: pre-wrap;
        overflow-wrap: anywhere;
        font-family: var(--vscode-editor-font-family, monospace);
      }
      .query {
        outline: 1px solid var(--focus);
      }
      .muted {
        color: var(--muted);
      }
      td {
        padding: 0 12px 0 0;
      }
      .legend {
        margin: 0 0 8px 60px;
        color: var(--muted);
      }
      .ramp {
        display: inline-block;
        width: 120px;
        height: 10px;
        border: 1px solid var(--muted);
      }
      .swatch {
        display: inline-block;
        width: 10px;
        height: 10px;
        border-radius: 5px;
        margin-left: 8px;
      }
    `,
  ];
  private readonly profile = new Remote(this, 'host/corpus');

  override willUpdate(changed: PropertyValues): void {
    super.willUpdate(changed);
    const { corpus } = store;
    this.profile.want(corpus.status === 'ready' ? { id: corpus.id } : null);
  }

  override render() {
    const { corpus } = store;
    if (corpus.status !== 'ready') return this.notReady(corpus);
    const profile = this.profile.value;
    if (!profile) return requestState(this.profile, 'Reading the profile …');
    const head = this.shownHead(profile);
    return html`${this.about(profile, corpus.folder)} ${this.scatter(profile, head)}
    ${
      head
        ? html`${this.headLine(head)} ${this.kinds(head, profile)}
          ${this.projection(head, profile, corpus.root)} ${this.excerpts(head, corpus.root)}`
        : nothing
    }`;
  }

  private notReady(corpus: Exclude<CorpusState, { status: 'ready' }>): TemplateResult {
    const start = button('Profile a folder', () => run('profileFolder'));
    if (corpus.status === 'running') {
      const far = corpus.of === 0 ? '' : `: ${count(corpus.done)} of ${count(corpus.of)} texts`;
      return html`<p role="status">Profiling ${corpus.folder}${far}</p>`;
    }
    return html`<div class="state">
      ${
        corpus.status === 'error'
          ? html`<p role="alert">${corpus.folder} was not profiled. ${corpus.message}</p>`
          : html`<p>
              The heads of the model over a whole folder: how each is distributed over texts and kinds of
              text, and where it is most itself.
            </p>`
      }
      <div class="buttons">${start}</div>
    </div>`;
  }

  private about(profile: CorpusProfile, folder: string): TemplateResult {
    const { texts, settings } = profile;
    const failed = texts.filter(text => text.failed !== null);
    const read = texts.length - failed.length;
    return html`<p>
        <strong>${folder}</strong>: ${count(read)} texts,
        ${count(texts.reduce((sum, text) => sum + text.tokens, 0))} tokens (the first
        ${count(settings.maxTokens)} of each), ${settings.model}.
        ${
          store.report
            ? html`<span class="muted">report of ${store.report.made}</span>`
            : html`<button class="link" @click=${() => run('profileFolder')}>Another folder</button>
                <button class="link" @click=${() => run('exportCorpus')}>
                  ${t('Save as an HTML report')}
                </button>`
        }
      </p>
      ${this.losses(profile)}
      ${
        failed.length > 0
          ? html`<details>
              <summary>${count(failed.length)} skipped</summary>
              <ul>
                ${failed.map(({ file, failed }) => html`<li>${file}: ${failed}</li>`)}
              </ul>
            </details>`
          : nothing
      }`;
  }

  /** Of the model as a whole: its loss, and what mechanisms in every core change of it. */
  private losses(profile: CorpusProfile): TemplateResult | typeof nothing {
    const losses = lossesOf(profile);
    if (losses.length === 0) return nothing;
    return html`<p>${losses.map(words => html`${words}<br />`)}</p>`;
  }

  private scatter(profile: CorpusProfile, head: CorpusHead | null): TemplateResult {
    const measures = measuresOf(profile);
    const choices = measures.map(({ key, label }) => ({ value: key, label }));
    const facets = facetsOf(profile);
    const option = (name: 'x' | 'y' | 'colour', fallback: string) => {
      const kept = store.option('corpus', name, fallback);
      return measures.some(({ key }) => key === kept) ? kept : fallback;
    };
    const shown = {
      x: option('x', 'queries span95'),
      y: option('y', 'queries farMass'),
      colour: option('colour', 'queries entropy'),
    };
    const keptFacet = store.option('corpus', 'facet', 'all');
    const facet = facets.includes(keptFacet) ? keptFacet : 'all';
    const label = (key: string) => measures.find(one => one.key === key)?.label ?? key;
    const set = (name: string) => (value: string) => store.setOption('corpus', name, value);
    return html`<div class="toolbar">
        ${choose('Across', shown.x, choices, set('x'))} ${choose('Up', shown.y, choices, set('y'))}
        ${choose('Colour', shown.colour, choices, set('colour'))}
        ${choose(
          'Texts',
          facet,
          facets.map(value => ({ value, label: facetName(value) })),
          set('facet'),
        )}
      </div>
      ${this.headPoints(pointsOf(profile, { ...shown, facet }), head, {
        x: label(shown.x),
        y: label(shown.y),
        colour: label(shown.colour),
      })}`;
  }

  private headPoints(
    points: readonly HeadPoint[],
    chosen: CorpusHead | null,
    names: Record<'x' | 'y' | 'colour', string>,
  ): TemplateResult {
    const [low, high] = rangeOf(points.map(({ colour }) => colour));
    const { sequential } = theme();
    const fill = (share: number) => toCss(lutColour(sequential, 0.15 + 0.85 * share));
    const colours = `colour: ${names.colour}, ${number(low)} to ${number(high)}`;
    return html`<ai-scatter
        .points=${points.map(({ head: { core, head }, x, y, colour }): ScatterPoint => ({
          key: keyOf({ core, head }),
          x,
          y,
          fill: fill((colour - low) / (high - low)),
          words: `Core ${core}, head ${head}: ${names.x} ${number(x)}, ${names.y} ${number(y)}, ${names.colour} ${number(colour)}`,
        }))}
        .names=${{ x: names.x, y: names.y, all: `${points.length} heads by ${names.x} and ${names.y}; ${colours}` }}
        .chosen=${chosen && keyOf(chosen)}
        @choose=${({ detail }: CustomEvent<string>) => {
          const [core, head] = detail.split('.').map(Number);
          store.setOption('corpus', 'head', detail);
          store.select({ core: core!, head: head! });
        }}
      ></ai-scatter>
      <p class="legend">
        ${names.colour}: ${number(low)}
        <span
          class="ramp"
          style=${`background: linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(fill).join(', ')})`}
        ></span>
        ${number(high)}
      </p>`;
  }

  /** What the head makes of single tokens of the whole corpus: near points are alike to it. */
  private projection(
    { projections }: CorpusHead,
    { sample, texts }: CorpusProfile,
    root: string,
  ): TemplateResult | typeof nothing {
    if (projections.length === 0) return nothing;
    const wanted = store.option<string>('corpus', 'of', 'query');
    const projection = projections.find(({ of }) => of === wanted) ?? projections[0]!;
    const layout = LAYOUTS.find(one => one === store.option<string>('corpus', 'layout', 'pca')) ?? 'pca';
    const kindOf = new Map(texts.map(({ file, kind }) => [file, kind]));
    const kinds = [...new Set(sample.map(({ file }) => kindOf.get(file)!))].sort();
    const hue = (at: number) => toCss(bucketColour(at, theme()).fill);
    const fill = (file: string) => hue(kinds.indexOf(kindOf.get(file)!));
    const points = this.laidOut(projection, layout).map(({ x, y }, at): ScatterPoint => {
      const { tokens, at: own, file, line } = sample[at]!;
      return {
        key: String(at),
        x,
        y,
        fill: fill(file),
        words: `${tokenLabel(tokens[own]!, 30)}, ${file}:${line}`,
      };
    });
    const names = { query: 'queries', key: 'keys', output: 'outputs' };
    const share = (component: number) => percent(projection.shares[component] ?? 0);
    const axis = (component: number) =>
      layout === 'pca'
        ? `Component ${component + 1} (${share(component)} of the variance)`
        : `UMAP ${component + 1}`;
    return html`<h3>Projection</h3>
      <div class="toolbar">
        ${choose(
          'Of',
          projection.of,
          projections.map(({ of }) => ({ value: of, label: names[of] })),
          value => store.setOption('corpus', 'of', value),
        )}
        ${choose(
          'By',
          layout,
          LAYOUTS.map(value => ({
            value,
            label: value === 'pca' ? 'principal components' : 'UMAP (neighbours)',
          })),
          value => store.setOption('corpus', 'layout', value),
        )}
        <span class="muted"
          >${count(sample.length)} tokens drawn
          evenly${store.report ? nothing : '; a click opens the file there'}</span
        >
      </div>
      <ai-scatter
        .points=${points}
        .names=${{ x: axis(0), y: axis(1), all: `The head's ${names[projection.of]} at ${points.length} tokens, by kind of text` }}
        @choose=${({ detail }: CustomEvent<string>) => this.open(sample[Number(detail)]!, root)}
      ></ai-scatter>
      <p class="legend">
        ${kinds.map(
          (kind, at) =>
            html`<span class="swatch" style=${`background: ${hue(at)}`}></span>
              ${facetName(`kind:${kind}`)} `,
        )}
      </p>`;
  }

  /** UMAP takes a moment: once for each picture. */
  private laidOut(projection: Projection, layout: Layout): ReturnType<typeof layOut> {
    const known = this.layouts.get(projection)?.[layout];
    if (known) return known;
    const made = layOut(projection, layout);
    this.layouts.set(projection, { ...this.layouts.get(projection), [layout]: made });
    return made;
  }

  private readonly layouts = new WeakMap<Projection, Partial<Record<Layout, ReturnType<typeof layOut>>>>();

  private open({ file, start, end }: Pick<HeadExcerpt, 'file' | 'start' | 'end'>, root: string): void {
    const path = file.split('/').map(encodeURIComponent).join('/');
    store.host.send({ type: 'openFile', uri: `${root}/${path}`, start, end });
  }

  /** The selected head where the profile has it; else the one chosen here last, else the first. */
  private shownHead({ heads }: CorpusProfile): CorpusHead | null {
    const { core, head } = store.selection;
    const kept = store.option('corpus', 'head', '');
    return (
      heads.find(one => one.core === core && one.head === head) ??
      heads.find(one => `${one.core}.${one.head}` === kept) ??
      heads[0] ??
      null
    );
  }

  private headLine(head: CorpusHead): TemplateResult {
    const roles = head.roles
      .filter(({ facet }) => facet === 'all')
      .sort((a, b) => b.texts - a.texts)
      .map(({ role, texts, of }) => `${role} on ${percent(texts / of)} of the texts`);
    const span = distributionOf(head, 'queries span95', 'all');
    const words = [
      ...(roles.length > 0 ? roles : ['no role']),
      ...(span
        ? [`span of 95 %: ${number(span.p50)} tokens (${number(span.p5)} to ${number(span.p95)})`]
        : []),
    ];
    return html`<h3>Core ${head.core}, head ${head.head}</h3>
      <p>${words.join('; ')}.</p>`;
  }

  private kinds(head: CorpusHead, profile: CorpusProfile): TemplateResult | typeof nothing {
    const differences = differencesOf(head, profile).slice(0, DIFFERENCES);
    if (differences.length === 0) return nothing;
    return html`<h3>By kind of text</h3>
      <table aria-label="How the head differs by kind of text">
        ${differences.map(
          ({ label, kinds }) =>
            html`<tr>
              <td>${label}</td>
              ${kinds.map(
                ({ facet, distribution: { mean, p5, p95 } }) =>
                  html`<td title=${`5 % to 95 %: ${number(p5)} to ${number(p95)}`}>
                    ${facetName(facet)} ${number(mean)}
                  </td>`,
              )}
            </tr>`,
        )}
      </table>`;
  }

  private excerpts(head: CorpusHead, root: string): TemplateResult {
    const criterion =
      CRITERIA.find(one => one === store.option<string>('corpus', 'criterion', 'farMass')) ?? 'farMass';
    const place = PLACES.find(one => one === store.option<string>('corpus', 'place', 'most')) ?? 'most';
    const shown = head.excerpts.filter(
      one =>
        one.criterion === criterion &&
        (place === 'deciles' ? typeof one.place === 'number' : one.place === place),
    );
    const labels = { most: 'the most', least: 'the least', deciles: 'every decile' };
    return html`<h3>Excerpts</h3>
      <div class="toolbar">
        ${choose(
          'By',
          criterion,
          CRITERIA.map(value => ({ value, label: spelled(value) })),
          value => store.setOption('corpus', 'criterion', value),
        )}
        ${choose(
          'Where it is',
          place,
          PLACES.map(value => ({ value, label: labels[value] })),
          value => store.setOption('corpus', 'place', value),
        )}
      </div>
      ${shown.map(one => this.excerpt(one, root))}
      ${shown.length === 0 ? html`<p class="muted">Nothing to show: no query of this head has a far key.</p>` : nothing}`;
  }

  private excerpt(one: HeadExcerpt, root: string): TemplateResult {
    const { sequential } = theme();
    const most = Math.max(1e-6, ...one.masses);
    const background = (mass: number) => {
      const at = 4 * Math.round(255 * Math.sqrt(mass / most) * 0.75);
      return toCss(
        [sequential[at]!, sequential[at + 1]!, sequential[at + 2]!],
        mass / most < 0.004 ? 0 : 0.55,
      );
    };
    return html`<div class="excerpt">
      ${
        store.report
          ? html`<strong>${one.file}:${one.line}</strong>`
          : html`<button class="link" @click=${() => this.open(one, root)}>${one.file}:${one.line}</button>`
      }
      <span class="muted">
        ${typeof one.place === 'number' ? `decile ${one.place}, ` : ''}${spelled(one.criterion)}
        ${number(one.value)}
        ${one.far ? html`· ${percent(one.far.mass)} on line ${one.far.line}: ${tokenLabel(one.far.text, 60)}` : nothing}
      </span>
      <pre>
${one.tokens.map(
          (token, t) =>
            html`<span
              class=${t === one.at ? 'query' : nothing}
              title=${percent(one.masses[t]!)}
              style=${`background: ${background(one.masses[t]!)}`}
              >${token}</span
            >`,
        )}</pre>
    </div>`;
  }
}
