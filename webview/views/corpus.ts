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
import { rich, t } from '../host/words';
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
    if (!profile) return requestState(this.profile, t('Reading the profile …'));
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
    const start = button(t('Profile a folder'), () => run('profileFolder'));
    if (corpus.status === 'running') {
      const far = corpus.of === 0 ? '' : t(': {0} of {1} texts', count(corpus.done), count(corpus.of));
      return html`<p role="status">${rich('Profiling {0}{1}', corpus.folder, far)}</p>`;
    }
    return html`<div class="state">
      ${
        corpus.status === 'error'
          ? html`<p role="alert">${rich('{0} was not profiled. {1}', corpus.folder, corpus.message)}</p>`
          : html`<p>
              ${t('The heads of the model over a whole folder: how each is distributed over texts and kinds of text, and where it is most itself.')}
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
        ${rich('{0}: {1} texts, {2} tokens (the first {3} of each), {4}.', html`<strong>${folder}</strong>`, count(read), count(texts.reduce((sum, text) => sum + text.tokens, 0)), count(settings.maxTokens), settings.model)}
        ${
          store.report
            ? html`<span class="muted">${rich('report of {0}', store.report.made)}</span>`
            : html`<button class="link" @click=${() => run('profileFolder')}>${t('Another folder')}</button>
                <button class="link" @click=${() => run('exportCorpus')}>
                  ${t('Save as an HTML report')}
                </button>`
        }
      </p>
      ${this.losses(profile)}
      ${
        failed.length > 0
          ? html`<details>
              <summary>${rich('{0} skipped', count(failed.length))}</summary>
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
        ${choose(t('Across'), shown.x, choices, set('x'))} ${choose(t('Up'), shown.y, choices, set('y'))}
        ${choose(t('Colour'), shown.colour, choices, set('colour'))}
        ${choose(
          t('Texts'),
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
    const colours = t('colour: {0}, {1} to {2}', names.colour, number(low), number(high));
    return html`<ai-scatter
        .points=${points.map(({ head: { core, head }, x, y, colour }): ScatterPoint => ({
          key: keyOf({ core, head }),
          x,
          y,
          fill: fill((colour - low) / (high - low)),
          words: t(
            'Core {0}, head {1}: {2} {3}, {4} {5}, {6} {7}',
            core,
            head,
            names.x,
            number(x),
            names.y,
            number(y),
            names.colour,
            number(colour),
          ),
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
        ? t('Component {0} ({1} of the variance)', component + 1, share(component))
        : `UMAP ${component + 1}`;
    return html`<h3>${t('Projection')}</h3>
      <div class="toolbar">
        ${choose(
          t('Of'),
          projection.of,
          projections.map(({ of }) => ({ value: of, label: names[of] })),
          value => store.setOption('corpus', 'of', value),
        )}
        ${choose(
          t('By'),
          layout,
          LAYOUTS.map(value => ({
            value,
            label: value === 'pca' ? t('principal components') : t('UMAP (neighbours)'),
          })),
          value => store.setOption('corpus', 'layout', value),
        )}
        <span class="muted"
          >${rich('{0} tokens drawn evenly', count(sample.length))}${store.report ? nothing : t('; a click opens the file there')}</span
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
      .map(({ role, texts, of }) => t('{0} on {1} of the texts', role, percent(texts / of)));
    const span = distributionOf(head, 'queries span95', 'all');
    const words = [
      ...(roles.length > 0 ? roles : [t('no role')]),
      ...(span
        ? [t('span of 95 %: {0} tokens ({1} to {2})', number(span.p50), number(span.p5), number(span.p95))]
        : []),
    ];
    return html`<h3>${rich('Core {0}, head {1}', head.core, head.head)}</h3>
      <p>${words.join('; ')}.</p>`;
  }

  private kinds(head: CorpusHead, profile: CorpusProfile): TemplateResult | typeof nothing {
    const differences = differencesOf(head, profile).slice(0, DIFFERENCES);
    if (differences.length === 0) return nothing;
    return html`<h3>${t('By kind of text')}</h3>
      <table aria-label=${t('How the head differs by kind of text')}>
        ${differences.map(
          ({ label, kinds }) =>
            html`<tr>
              <td>${label}</td>
              ${kinds.map(
                ({ facet, distribution: { mean, p5, p95 } }) =>
                  html`<td title=${t('5 % to 95 %: {0} to {1}', number(p5), number(p95))}>
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
    const labels = { most: t('the most'), least: t('the least'), deciles: t('every decile') };
    return html`<h3>${t('Excerpts')}</h3>
      <div class="toolbar">
        ${choose(
          t('By'),
          criterion,
          CRITERIA.map(value => ({ value, label: spelled(value) })),
          value => store.setOption('corpus', 'criterion', value),
        )}
        ${choose(
          t('Where it is'),
          place,
          PLACES.map(value => ({ value, label: labels[value] })),
          value => store.setOption('corpus', 'place', value),
        )}
      </div>
      ${shown.map(one => this.excerpt(one, root))}
      ${shown.length === 0 ? html`<p class="muted">${t('Nothing to show: no query of this head has a far key.')}</p>` : nothing}`;
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
        ${typeof one.place === 'number' ? t('decile {0}, ', one.place) : ''}${spelled(one.criterion)}
        ${number(one.value)}
        ${one.far ? html`${rich('· {0} on line {1}: {2}', percent(one.far.mass), one.far.line, tokenLabel(one.far.text, 60))}` : nothing}
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
