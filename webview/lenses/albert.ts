import { css, html, nothing, svg, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { AlbertLens, MechanismParams } from '../../shared/protocol/engine';
import { lutColour, toCss } from '../draw/colour';
import { operations } from '../model/cost';
import { count, csv, number, percent } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { theme } from '../draw/theme';
import '../plots/linePlot';
import { slider } from '../ui/controls';
import '../ui/legend';
import { LensPart } from './lensPart';
import { rich, said, t } from '../host/words';

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
      .alike ai-legend {
        display: flex;
        margin-bottom: 4px;
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
      t('rank of the table (E)'),
      rank,
      { min: 1, max: found.embeddingWidth, step: 1 },
      t('{0} of {1}', count(rank), count(found.embeddingWidth)),
      v => this.keep('rank', v),
    );
  }

  protected draw(found: AlbertLens): TemplateResult {
    const { embedding, apart, blocks, parameters, layers, rank } = found;
    const thin = found.factorised - blocks - apart;
    const point = found.curve?.reduce((a, b) => (Math.abs(b.rank - rank) < Math.abs(a.rank - rank) ? b : a));
    const rows = [
      { name: t('as it is'), table: embedding, rest: blocks + apart },
      { name: t('table of rank {0}', count(rank)), table: thin, rest: blocks + apart },
      { name: t('one block for all layers'), table: embedding, rest: found.shared - embedding },
      { name: t('both, as in ALBERT'), table: thin, rest: found.shared - embedding },
    ];
    const longest = Math.max(...rows.map(r => r.table + r.rest));
    return html`
      <div class="lead" role="status">
        ${rich(
          'Built as ALBERT this model would have {0} parameters in place of {1} ({2}). A table of rank {3} {4}. {5}',
          html`<strong title=${count(found.both)}>${operations(found.both)}</strong>`,
          html`<strong title=${count(parameters)}>${operations(parameters)}</strong>`,
          percent(found.both / parameters),
          count(rank),
          point
            ? html`${rich('would lose at least {0} of this one', html`<strong title=${exact(point.error * 100, '%')}>${percent(point.error)}</strong>`)}`
            : nothing,
          html`<span class="muted">${t('(calculated; the model is not changed)')}</span>`,
        )}
      </div>
      <div class="two ${this.narrow ? 'narrow' : ''}">
        <section aria-label=${t('Parameters')}>
          <h2>${t('Parameters')}</h2>
          <div class="bars">
            ${rows.map(
              row => html`
                <span>${row.name}</span>
                <div
                  class="track"
                  role="img"
                  aria-label=${t('{0}: embedding table {1}, the rest {2}', row.name, count(row.table), count(row.rest))}
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
              ><i class="other"></i
              >${rich('embedding table, {0} × {1}', count(found.vocabulary), count(found.embeddingWidth))}</span
            >
            <span><i class="one"></i>${rich('everything else, {0} layers', count(layers))}</span>
          </div>
          <p class="notes">
            ${rich('As a check, ALBERT-base by the same formula: {0} × {1} = {2} becomes {3} at rank {4} (the paper: 23.04 M and 3.94 M). V is the number of words, not of tokens in a text; attention costs the same.', count(found.paper.vocabulary), count(found.paper.hidden), operations(found.paper.before), operations(found.paper.after), count(found.paper.rank))}
          </p>
          ${this.similarity(found)}
        </section>
        <section aria-label=${t('What a thin table loses')}>
          <h2>${t('What a table of each rank would lose')}</h2>
          ${
            found.curve
              ? html`<ai-lines
                  .x=${{ label: t('rank E'), format: (v: number) => count(v), from: 0, to: found.embeddingWidth }}
                  .y=${{ label: t('relative error (Frobenius)'), format: (v: number) => percent(v), from: 0, to: 1 }}
                  .lines=${[
                    { name: '', look: 'main', points: found.curve.map(p => ({ x: p.rank, y: p.error })) },
                  ]}
                  .marks=${
                    point
                      ? [
                          {
                            x: point.rank,
                            y: point.error,
                            label: t('{0} at {1}', percent(point.error), rank),
                            chosen: true,
                          },
                        ]
                      : []
                  }
                  .words=${t('At rank {0} the best approximation misses {1} of the table.', rank, percent(point?.error ?? 0))}
                ></ai-lines>`
              : html`<p class="muted">${t('The table cannot be read from this export.')}</p>`
          }
        </section>
      </div>
      <p class="notes">${found.notes.map(said).join(' ')}</p>
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
        ? t('They are the same: the layers share one block already.')
        : t(
            'On average {0}: each layer has learned its own, and one block for all would have to be trained.',
            number(mean),
          );
    return html`<h2>${t("How alike the layers' weights are")}</h2>
      <div class="alike">
        <svg
          width=${n * cell}
          height=${n * cell}
          role="img"
          aria-label=${t('Cosine between the weights of every two layers. {0}', words)}
        >
          ${similarity.map((row, a) =>
            row.map(
              (value, b) =>
                svg`<rect x=${b * cell} y=${(n - 1 - a) * cell} width=${cell - 1} height=${cell - 1} fill=${toCss(lutColour(look.sequential, Math.abs(value)))} stroke=${toCss(look.border)} stroke-opacity="0.4">
                  <title>${t('layers {0} and {1}: cosine {2}', a, b, number(value))}</title></rect>`,
            ),
          )}
        </svg>
        <p>
          <ai-legend
            label=${t('cosine, either sign')}
            .lut=${look.sequential}
            .ticks=${[0, 1].map(at => ({ at, label: String(at) }))}
          ></ai-legend>
          ${words}
          <span class="muted"
            >${t('Cosine of all matrices between one attention and the next, layer by layer from the bottom left.')}</span
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
