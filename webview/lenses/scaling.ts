import { html, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { ScalingLens } from '../../shared/protocol/engine';
import { bytes, operations } from '../model/cost';
import { count, csv, number, percent } from '../../shared/numbers';
import '../plots/linePlot';
import { LensPart } from './lensPart';
import { rich, t } from '../host/words';

/** How compute and memory grow with length and size, this model marked; calculated. */
@customElement('ai-lens-scaling')
export class ScalingView extends LensPart<'scaling'> {
  protected readonly lens = 'scaling';

  protected draw(found: ScalingLens): TemplateResult {
    const { forward, tokens, even, cachePerToken, models } = found;
    const here = nearest(forward, tokens);
    const share = here.attention / (here.attention + here.weights);
    const own = models.find(m => m.own)!;
    const cache = (n: number, perToken: number) => n * perToken;
    const lengths = forward.map(f => f.tokens);
    return html`
      <div class="lead" role="status">
        ${rich('At {0} tokens attention is {1} of the operations of a forward; it outweighs the {2} weights from {3} on. Each token kept for generation takes {4} of keys and values in 16 bits. {5}', count(tokens), html`<strong>${percent(share)}</strong>`, operations(found.multiplied), html`<strong>${rich('{0} tokens', count(Number(even.toPrecision(2))))}</strong>`, bytes(cachePerToken.half), html`<span class="muted">${t('(calculated)')}</span>`)}
      </div>
      <div class="two ${this.narrow ? 'narrow' : ''}">
        <section aria-label=${t('Operations of a forward against length')}>
          <h2>${t('One forward: 2 N per token, and attention')}</h2>
          <ai-lines
            .x=${{ label: t('text length, tokens (log)'), log: true, format: (v: number) => count(v) }}
            .y=${{ label: t('operations (log)'), log: true, format: (v: number) => operations(v) }}
            .lines=${[
              { name: 'weights', look: 'plain', points: forward.map(f => ({ x: f.tokens, y: f.weights })) },
              {
                name: 'attention',
                look: 'main',
                points: forward.map(f => ({ x: f.tokens, y: f.attention })),
              },
            ]}
            .marks=${
              even >= lengths[0]! && even <= lengths.at(-1)!
                ? [
                    {
                      x: even,
                      y: nearest(forward, even).weights * (even / nearest(forward, even).tokens),
                      label: t('even at {0}', count(Number(even.toPrecision(2)))),
                    },
                  ]
                : []
            }
            .here=${{ x: tokens, label: t('this text, {0}', count(tokens)) }}
            .words=${t('Attention is {0} of the operations at {1} tokens and half of them at {2}.', percent(share), count(tokens), count(even))}
          ></ai-lines>
        </section>
        <section aria-label=${t('Keys and values kept against length')}>
          <h2>${t('Keys and values that generation keeps, 16 bits')}</h2>
          <ai-lines
            .x=${{ label: t('tokens kept (log)'), log: true, format: (v: number) => count(v) }}
            .y=${{ label: t('memory (log)'), log: true, format: (v: number) => bytes(v) }}
            .lines=${[
              ...found.caches.map(c => ({
                name: c.name,
                look: 'plain',
                points: lengths.map(n => ({ x: n, y: cache(n, c.bytes) })),
              })),
              ...(cachePerToken.half > 0
                ? [
                    {
                      name: t('this model'),
                      look: 'main',
                      points: lengths.map(n => ({ x: n, y: cache(n, cachePerToken.half) })),
                    },
                  ]
                : []),
            ]}
            .here=${{ x: tokens, label: t('this text, {0}', count(tokens)) }}
            .words=${t('This model keeps {0} per token.', bytes(cachePerToken.half))}
          ></ai-lines>
        </section>
        <section aria-label=${t('Training compute against size')}>
          <h2>${t('Training: 6 N D')}</h2>
          <ai-lines
            .x=${{ label: t('parameters N (log)'), log: true, format: (v: number) => operations(v) }}
            .y=${{ label: t('operations (log)'), log: true, format: (v: number) => operations(v) }}
            .lines=${[
              {
                name: t('20 tokens a parameter'),
                look: 'plain',
                points: [own.parameters, 1e12].map(n => ({ x: n, y: 120 * n * n })),
              },
            ]}
            .marks=${models.map(m => ({ x: m.parameters, y: m.flops, label: m.own ? t('this model') : m.name, chosen: m.own }))}
            .words=${models.map(m => t('{0}: {1} parameters, {2} operations', m.name, operations(m.parameters), operations(m.flops))).join('; ')}
          ></ai-lines>
        </section>
        <section aria-label=${t('The numbers')}>
          <h2>${t('The numbers')}</h2>
          <table>
            <tbody>
              ${[
                [t('parameters'), operations(found.parameters), count(found.parameters)],
                [
                  t('without the embedding table'),
                  operations(found.withoutEmbedding),
                  count(found.withoutEmbedding),
                ],
                [t('one forward here'), operations(here.weights + here.attention), ''],
                [
                  t('generating one token'),
                  operations(2 * found.multiplied),
                  t('and attention to what is kept'),
                ],
                [
                  t('training on {0} tokens', operations(own.tokens)),
                  operations(own.flops),
                  t('20 tokens a parameter (Hoffmann et al., 2022)'),
                ],
                [
                  t('keys and values a token'),
                  bytes(cachePerToken.half),
                  t('{0} in 32 bits', bytes(cachePerToken.single)),
                ],
                [
                  t('a full context of them'),
                  found.context ? bytes(found.context * cachePerToken.half) : '–',
                  found.context ? t('{0} tokens', count(found.context)) : t('the model sets no limit'),
                ],
              ].map(
                ([name, value, more]) =>
                  html`<tr>
                    <td>${name}</td>
                    <td class="number"><strong>${value}</strong></td>
                    <td class="muted">${more}</td>
                  </tr>`,
              )}
            </tbody>
          </table>
        </section>
      </div>
      <p class="notes">
        ${rich("Operations: a multiplication and an addition are two. Published models by their authors' parameters and training tokens; {0} million parameters are counted in this file.", number(found.parameters / 1e6))}
      </p>
    `;
  }

  protected csvOf(found: ScalingLens): string {
    return csv(
      ['tokens', 'operations with weights', 'operations of attention', 'keys and values in 16 bits [bytes]'],
      found.forward.map(f => [f.tokens, f.weights, f.attention, f.tokens * found.cachePerToken.half]),
    );
  }
}

function nearest(forward: ScalingLens['forward'], tokens: number): ScalingLens['forward'][number] {
  const distance = (n: number) => Math.abs(Math.log(n / tokens));
  const best = forward.reduce((a, b) => (distance(b.tokens) < distance(a.tokens) ? b : a));
  // On the exact length: weights grow with it, attention with its square.
  const ratio = tokens / best.tokens;
  return { tokens, weights: best.weights * ratio, attention: best.attention * ratio * ratio };
}
