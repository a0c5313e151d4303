import { html, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { ScalingLens } from '../../shared/protocol/engine';
import { bytes, operations } from '../model/cost';
import { count, csv, number, percent } from '../../shared/numbers';
import '../plots/linePlot';
import { LensPart } from './lensPart';

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
        At ${count(tokens)} tokens attention is <strong>${percent(share)}</strong> of the operations of a
        forward; it outweighs the ${operations(found.parameters)} weights from
        <strong>${count(Number(even.toPrecision(2)))} tokens</strong> on. Each token kept for generation takes
        ${bytes(cachePerToken.half)} of keys and values in 16 bits.
        <span class="muted">(calculated)</span>
      </div>
      <div class="two ${this.narrow ? 'narrow' : ''}">
        <section aria-label="Operations of a forward against length">
          <h2>One forward: 2 N per token, and attention</h2>
          <ai-lines
            .x=${{ label: 'text length, tokens (log)', log: true, format: (v: number) => count(v) }}
            .y=${{ label: 'operations (log)', log: true, format: (v: number) => operations(v) }}
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
                      label: `even at ${count(Number(even.toPrecision(2)))}`,
                    },
                  ]
                : []
            }
            .here=${{ x: tokens, label: `this text, ${count(tokens)}` }}
            .words=${`Attention is ${percent(share)} of the operations at ${count(tokens)} tokens and half of them at ${count(even)}.`}
          ></ai-lines>
        </section>
        <section aria-label="Keys and values kept against length">
          <h2>Keys and values that generation keeps, 16 bits</h2>
          <ai-lines
            .x=${{ label: 'tokens kept (log)', log: true, format: (v: number) => count(v) }}
            .y=${{ label: 'memory (log)', log: true, format: (v: number) => bytes(v) }}
            .lines=${[
              ...found.caches.map(c => ({
                name: c.name,
                look: 'plain',
                points: lengths.map(n => ({ x: n, y: cache(n, c.bytes) })),
              })),
              ...(cachePerToken.half > 0
                ? [
                    {
                      name: 'this model',
                      look: 'main',
                      points: lengths.map(n => ({ x: n, y: cache(n, cachePerToken.half) })),
                    },
                  ]
                : []),
            ]}
            .here=${{ x: tokens, label: `this text, ${count(tokens)}` }}
            .words=${`This model keeps ${bytes(cachePerToken.half)} per token.`}
          ></ai-lines>
        </section>
        <section aria-label="Training compute against size">
          <h2>Training: 6 N D</h2>
          <ai-lines
            .x=${{ label: 'parameters N (log)', log: true, format: (v: number) => operations(v) }}
            .y=${{ label: 'operations (log)', log: true, format: (v: number) => operations(v) }}
            .lines=${[
              {
                name: '20 tokens a parameter',
                look: 'plain',
                points: [own.parameters, 1e12].map(n => ({ x: n, y: 120 * n * n })),
              },
            ]}
            .marks=${models.map(m => ({ x: m.parameters, y: m.flops, label: m.own ? 'this model' : m.name, chosen: m.own }))}
            .words=${models.map(m => `${m.name}: ${operations(m.parameters)} parameters, ${operations(m.flops)} operations`).join('; ')}
          ></ai-lines>
        </section>
        <section aria-label="The numbers">
          <h2>The numbers</h2>
          <table>
            <tbody>
              ${[
                ['parameters', operations(found.parameters), count(found.parameters)],
                [
                  'without the embedding table',
                  operations(found.withoutEmbedding),
                  count(found.withoutEmbedding),
                ],
                ['one forward here', operations(here.weights + here.attention), ''],
                ['generating one token', operations(2 * found.parameters), 'and attention to what is kept'],
                [
                  `training on ${operations(own.tokens)} tokens`,
                  operations(own.flops),
                  '20 tokens a parameter (Hoffmann et al., 2022)',
                ],
                [
                  'keys and values a token',
                  bytes(cachePerToken.half),
                  `${bytes(cachePerToken.single)} in 32 bits`,
                ],
                [
                  'a full context of them',
                  found.context ? bytes(found.context * cachePerToken.half) : '–',
                  found.context ? `${count(found.context)} tokens` : 'the model sets no limit',
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
        Operations: a multiplication and an addition are two. Published models by their authors' parameters
        and training tokens; ${number(found.parameters / 1e6)} million parameters are counted in this file.
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
