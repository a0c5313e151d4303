import { html, type TemplateResult } from 'lit';
import type { CorpusHead, CorpusProfile } from '../../shared/protocol/corpus';
import { number } from '../../shared/numbers';
import { lutColour, toCss } from '../draw/colour';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import { t } from '../host/words';
import { facetName, facetsOf, measuresOf, pointsOf, type HeadPoint } from '../model/corpus';
import { rangeOf, type ScatterPoint } from '../plots/scatter';
import '../plots/scatter';
import { choose } from '../ui/controls';

const keyOf = ({ core, head }: { core: number; head: number }): string => `${core}.${head}`;

/** Heads as points by any two measures, coloured by a third. */
export function headScatter(profile: CorpusProfile, head: CorpusHead | null): TemplateResult {
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
    ${headPoints(pointsOf(profile, { ...shown, facet }), head, {
      x: label(shown.x),
      y: label(shown.y),
      colour: label(shown.colour),
    })}`;
}

function headPoints(
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
      .names=${{ x: names.x, y: names.y, all: t('{0} heads by {1} and {2}; {3}', points.length, names.x, names.y, colours) }}
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
