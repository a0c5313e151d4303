import { css, html, nothing, svg, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { AlbertLens, MechanismParams } from '../../shared/protocol/engine';
import { lutColour, toCss } from '../draw/colour';
import { operations } from '../model/cost';
import { count, csv, exact, number, percent } from '../../shared/numbers';
import { theme } from '../draw/theme';
import '../plots/linePlot';
import { slider } from '../ui/controls';
import { LensPart } from './lensPart';

/** ALBERT: a thin embedding table, and one block for all layers; calculated for this model. */
@customElement('ai-lens-albert')
export class AlbertView extends LensPart<'albert'> {
  static override styles = [
    ...LensPart.styles,
    css`
      .alike {
        display: flex;
        gap: 16px;
        align-items: flex-start;
      }
      .alike svg {
        flex: none;
      }
    `,
  ];
  protected readonly lens = 'albert';

  protected override parameters(): MechanismParams {
    const rank = this.option('rank', 0);
    return rank > 0 ? { rank } : {};
  }

  protected override controls(): TemplateResult | typeof nothing {
    const found = this.result;
    if (!found) return nothing;
    const rank = this.option('rank', 0) || found.rank;
    return slider(
      'rank of the table (E)',
      rank,
      { min: 1, max: found.embeddingWidth, step: 1 },
      `${count(rank)} of ${count(found.embeddingWidth)}`,
      v => this.keep('rank', v),
    );
  }

  protected draw(found: AlbertLens): TemplateResult {
    const { embedding, apart, blocks, parameters, layers, rank } = found;
    const thin = found.factorised - blocks - apart;
    const point = found.curve?.reduce((a, b) => (Math.abs(b.rank - rank) < Math.abs(a.rank - rank) ? b : a));
    const rows = [
      { name: 'as it is', table: embedding, rest: blocks + apart },
      { name: `table of rank ${count(rank)}`, table: thin, rest: blocks + apart },
      { name: 'one block for all layers', table: embedding, rest: blocks / layers + apart },
      { name: 'both, as in ALBERT', table: thin, rest: blocks / layers + apart },
    ];
    const longest = Math.max(...rows.map(r => r.table + r.rest));
    return html`
      <div class="lead" role="status">
        Built as ALBERT this model would have
        <strong title=${count(found.both)}>${operations(found.both)}</strong> parameters in place of
        <strong title=${count(parameters)}>${operations(parameters)}</strong>
        (${percent(found.both / parameters)}). A table of rank ${count(rank)}
        ${
          point
            ? html`would lose at least
                <strong title=${exact(point.error * 100, '%')}>${percent(point.error)}</strong> of this one`
            : nothing
        }.
        <span class="muted">(calculated; the model is not changed)</span>
      </div>
      <div class="two ${this.narrow ? 'narrow' : ''}">
        <section aria-label="Parameters">
          <h2>Parameters</h2>
          <div class="bars">
            ${rows.map(
              row => html`
                <span>${row.name}</span>
                <div
                  class="track"
                  role="img"
                  aria-label=${`${row.name}: embedding table ${count(row.table)}, the rest ${count(row.rest)}`}
                >
                  <div class="other" .style=${`width: ${(100 * row.table) / longest}%`}></div>
                  <div class="one" .style=${`width: ${(100 * row.rest) / longest}%`}></div>
                </div>
                <strong title=${count(row.table + row.rest)}>${operations(row.table + row.rest)}</strong>
              `,
            )}
          </div>
          <div class="key">
            <span
              ><i class="other"></i>embedding table, ${count(found.vocabulary)} ×
              ${count(found.embeddingWidth)}</span
            >
            <span><i class="one"></i>everything else, ${count(layers)} layers</span>
          </div>
          <p class="notes">
            As a check, ALBERT-base by the same formula: ${count(found.paper.vocabulary)} ×
            ${count(found.paper.hidden)} = ${operations(found.paper.before)} becomes
            ${operations(found.paper.after)} at rank ${count(found.paper.rank)} (the paper: 23.04 M and 3.94
            M). V is the number of words, not of tokens in a text; attention costs the same.
          </p>
          ${this.similarity(found)}
        </section>
        <section aria-label="What a thin table loses">
          <h2>What a table of each rank would lose</h2>
          ${
            found.curve
              ? html`<ai-lines
                  .x=${{ label: 'rank E', format: (v: number) => count(v), from: 0, to: found.embeddingWidth }}
                  .y=${{ label: 'relative error (Frobenius)', format: (v: number) => percent(v), from: 0, to: 1 }}
                  .lines=${[
                    { name: '', look: 'main', points: found.curve.map(p => ({ x: p.rank, y: p.error })) },
                  ]}
                  .marks=${
                    point
                      ? [
                          {
                            x: point.rank,
                            y: point.error,
                            label: `${percent(point.error)} at ${rank}`,
                            chosen: true,
                          },
                        ]
                      : []
                  }
                  .words=${`At rank ${rank} the best approximation misses ${percent(point?.error ?? 0)} of the table.`}
                ></ai-lines>`
              : html`<p class="muted">The table cannot be read from this export.</p>`
          }
        </section>
      </div>
      <p class="notes">${found.notes.join(' ')}</p>
    `;
  }

  /** A cell for every two layers: what sharing one block would find. */
  private similarity({ similarity }: AlbertLens): TemplateResult | typeof nothing {
    if (!similarity) return nothing;
    const n = similarity.length;
    const others = similarity.flatMap((row, a) => row.filter((_, b) => b !== a));
    const mean = others.reduce((sum, x) => sum + x, 0) / others.length;
    const cell = Math.max(6, Math.min(26, 200 / n));
    const look = theme();
    const words =
      mean > 0.99
        ? 'They are the same: the layers share one block already.'
        : `On average ${number(mean)}: each layer has learned its own, and one block for all would have to be trained.`;
    return html`<h2>How alike the layers' weights are</h2>
      <div class="alike">
        <svg
          width=${n * cell}
          height=${n * cell}
          role="img"
          aria-label=${`Cosine between the weights of every two layers. ${words}`}
        >
          ${similarity.map((row, a) =>
            row.map(
              (value, b) =>
                svg`<rect x=${b * cell} y=${(n - 1 - a) * cell} width=${cell - 1} height=${cell - 1} fill=${toCss(lutColour(look.sequential, Math.abs(value)))} stroke=${toCss(look.border)} stroke-opacity="0.4">
                  <title>${`layers ${a} and ${b}: cosine ${number(value)}`}</title></rect>`,
            ),
          )}
        </svg>
        <p>
          ${words}
          <span class="muted"
            >Cosine of all matrices between one attention and the next, layer by layer from the bottom
            left.</span
          >
        </p>
      </div>`;
  }

  protected csvOf(found: AlbertLens): string {
    return csv(
      ['rank', 'relative error', 'parameters of the table'],
      (found.curve ?? []).map(p => [p.rank, p.error, p.parameters]),
    );
  }
}
