import { html, nothing, type TemplateResult } from 'lit';
import type { CorpusHead, CorpusProfile, Projection } from '../../shared/protocol/corpus';
import { count, percent, tokenLabel } from '../../shared/numbers';
import { bucketColour, toCss } from '../draw/colour';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { rich, t } from '../host/words';
import { facetName } from '../model/corpus';
import { layOut, LAYOUTS, type Layout } from '../model/projection';
import type { ScatterPoint } from '../plots/scatter';
import '../plots/scatter';
import { choose } from '../ui/controls';
import { openFile } from './corpusExcerpts';

/** What the head makes of single tokens of the whole corpus: near points are alike to it. */
export function corpusProjection(
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
  const points = laidOut(projection, layout).map(({ x, y }, at): ScatterPoint => {
    const { tokens, at: own, file, line } = sample[at]!;
    return {
      key: String(at),
      x,
      y,
      fill: fill(file),
      words: `${tokenLabel(tokens[own]!, 30)}, ${file}:${line}`,
    };
  });
  const names = { query: t('queries'), key: t('keys'), output: t('outputs') };
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
      .names=${{ x: axis(0), y: axis(1), all: t("The head's {0} at {1} tokens, by kind of text", names[projection.of], points.length) }}
      @choose=${({ detail }: CustomEvent<string>) => openFile(sample[Number(detail)]!, root)}
    ></ai-scatter>
    <p class="legend">
      ${kinds.map(
        (kind, at) =>
          html`<span class="swatch" style=${`background: ${hue(at)}`}></span>
            ${facetName(`kind:${kind}`)} `,
      )}
    </p>`;
}

const layouts = new WeakMap<Projection, Partial<Record<Layout, ReturnType<typeof layOut>>>>();

/** UMAP takes a moment: once for each picture. */
function laidOut(projection: Projection, layout: Layout): ReturnType<typeof layOut> {
  const known = layouts.get(projection)?.[layout];
  if (known) return known;
  const made = layOut(projection, layout);
  layouts.set(projection, { ...layouts.get(projection), [layout]: made });
  return made;
}
