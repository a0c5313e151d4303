import { css, html, nothing, svg, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { FlashLens, MechanismParams } from '../../shared/protocol/engine';
import { bytes, operations } from '../model/cost';
import { count, csv, number } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { headName } from '../model/names';
import { store } from '../host/store';
import '../plots/linePlot';
import { slider } from '../ui/controls';
import { LensPart } from './lensPart';
import { rich, t } from '../host/words';

/** FlashAttention: the same output; what changes is the traffic with slow memory. */
@customElement('ai-lens-flash')
export class FlashView extends LensPart<'flash'> {
  static override styles = [
    ...LensPart.styles,
    css`
      .tiling {
        display: flex;
        flex-wrap: wrap;
        gap: 8px 24px;
        align-items: flex-start;
      }
      .tiling svg {
        display: block;
        flex: none;
      }
      .tiling ol {
        margin: 0;
        padding-left: 18px;
        flex: 1 1 200px;
      }
      .tiling li {
        margin-bottom: 4px;
      }
      .frame {
        fill: none;
        stroke: var(--muted);
      }
      .tile {
        fill: var(--accent);
        fill-opacity: 0.3;
        stroke: var(--vscode-editor-background);
        stroke-width: 0.5;
      }
      .now {
        fill: var(--accent2);
        fill-opacity: 0.8;
      }
    `,
  ];
  protected readonly lens = 'flash';

  private get sram(): number {
    return this.option('sram', 50_000);
  }

  protected override parameters(): MechanismParams {
    return { sram: this.sram };
  }

  protected override controls(): TemplateResult {
    return slider(
      t('fast memory'),
      Math.log2(this.sram),
      { min: 8, max: 22, step: 0.25 },
      t('{0} numbers ({1} in 32 bits)', number(this.sram), bytes(4 * this.sram)),
      v => this.keep('sram', Math.round(2 ** v)),
    );
  }

  protected draw(found: FlashLens): TemplateResult {
    const { chosen, standard, check } = found;
    const less = standard / chosen.accesses;
    const longest = Math.max(standard, chosen.accesses);
    const bar = (name: string, value: number, look: string) => html`
      <span>${name}</span>
      <div class="track" role="img" aria-label=${t('{0}: {1} numbers', name, operations(value))}>
        <div class=${look} .style=${`width: ${(100 * value) / longest}%`}></div>
      </div>
      <strong title=${exact(value)}>${operations(value)}</strong>
    `;
    const head = store.shownHead;
    return html`
      <div class="lead" role="status">
        ${rich(
          'With fast memory for {0} numbers, {1}; computed tile by tile, the output is the same {2} of its largest value (float32 rounding{3}). {4}',
          number(chosen.sram),
          less >= 1
            ? html`${rich('FlashAttention moves {0} numbers to and from slow memory', html`<strong>${rich('{0} times fewer', number(less))}</strong>`)}`
            : html`${rich('FlashAttention would move {0} numbers: its tiles are too small', html`<strong>${rich('{0} times more', number(1 / less))}</strong>`)}`,
          html`<strong title=${exact(check.maxDifference)}
            >${rich('to {0}', check.relative.toExponential(1))}</strong
          >`,
          check.tokens < found.tokens ? t(', on the first {0} tokens', count(check.tokens)) : '',
          html`<span class="muted"
            >${rich('({0}, {1} tokens; exact)', head ? headName(head) : '', count(found.tokens))}</span
          >`,
        )}
      </div>
      <div class="two ${this.narrow ? 'narrow' : ''}">
        <section aria-label=${t('Traffic with slow memory')}>
          <h2>${t('Numbers read from and written to slow memory, one head')}</h2>
          <div class="bars">
            ${bar(t('scores and weights written out'), standard, 'third')}
            ${bar('FlashAttention', chosen.accesses, 'one')}
          </div>
          <ai-lines
            .x=${{ label: t('fast memory, numbers (log)'), log: true, format: (v: number) => number(v) }}
            .y=${{ label: t('numbers moved (log)'), log: true, format: (v: number) => operations(v) }}
            .lines=${[
              {
                name: t('written out'),
                look: 'plain',
                points: found.curve.map(p => ({ x: p.sram, y: standard })),
              },
              {
                name: 'FlashAttention',
                look: 'main',
                points: found.curve.map(p => ({ x: p.sram, y: p.accesses })),
              },
            ]}
            .marks=${[{ x: chosen.sram, y: chosen.accesses, label: `${operations(chosen.accesses)}`, chosen: true }]}
            .words=${t('Traffic falls from {0} to {1} numbers as fast memory grows; written out it is {2}.', operations(found.curve[0]!.accesses), operations(found.curve.at(-1)!.accesses), operations(standard))}
          ></ai-lines>
        </section>
        <section aria-label=${t('The tiles')}>
          <h2>${t('The tiles')}</h2>
          ${this.tiling(found)}
          <p class="notes">
            ${rich('The operations are as many. Beside queries, keys, values and output it holds {0} numbers in place of {1}: it grows with the text, not with its square.', operations(found.memory.flash), operations(found.memory.standard))}${found.causal ? t(' What is written out is the whole square, hidden pairs included.') : ''}
          </p>
        </section>
      </div>
    `;
  }

  /** The map cut into tiles, as far as they are large enough to be seen. */
  private tiling({ chosen, tokens, causal }: FlashLens): TemplateResult {
    const size = 220;
    const scale = size / tokens;
    const step = Math.max(1, Math.ceil(3 / (chosen.blockRows * scale)));
    const across = Math.max(1, Math.ceil(3 / (chosen.blockColumns * scale)));
    const [rows, columns] = [chosen.blockRows * step, chosen.blockColumns * across];
    const tiles = [];
    for (let j = 0; j < tokens; j += columns) {
      for (let i = 0; i < tokens; i += rows) {
        const height = Math.min(rows, tokens - i);
        if (causal && i + height - 1 < j) continue;
        tiles.push(
          svg`<rect class="tile" x=${j * scale} y=${i * scale} width=${Math.min(columns, tokens - j) * scale} height=${height * scale}></rect>`,
        );
      }
    }
    // The picture shows the loops standing in the middle of the keys.
    const now = Math.floor(tokens / 2 / columns) * columns;
    const row = causal
      ? Math.floor(Math.max(now, tokens * 0.7) / rows) * rows
      : Math.floor((tokens * 0.4) / rows) * rows;
    const label = t(
      '{0} tiles of {1} queries by {2} keys',
      count(chosen.tiles),
      count(chosen.blockRows),
      count(chosen.blockColumns),
    );
    return html`<div class="tiling">
      <svg width=${size + 2} height=${size + 2} role="img" aria-label=${label}>
        ${tiles}
        ${svg`<rect class="now" x=${now * scale} y=${row * scale} width=${Math.max(3, Math.min(columns, tokens - now) * scale)} height=${Math.max(3, Math.min(rows, tokens - row) * scale)}></rect>
        <rect class="frame" x="0.5" y="0.5" width=${size} height=${size}></rect>`}
      </svg>
      <ol>
        <li>
          ${rich('Outer loop: a block of {0} keys and values is read once.', html`<strong>${count(chosen.blockColumns)}</strong>`)}
        </li>
        <li>
          ${rich('Inner loop: for it, blocks of {0} queries, with their output so far, its largest score and sum, are read, brought up to date and written.', html`<strong>${count(chosen.blockRows)}</strong>`)}
        </li>
        <li>
          ${rich('{0} of {1} tiles are visited{2}.', count(chosen.tiles), count(chosen.allTiles), chosen.tiles < chosen.allTiles ? t('; in the others nothing is visible') : '')}${
            step * across > 1
              ? html` <span class="muted">${rich('({0} are drawn as one.)', count(step * across))}</span>`
              : nothing
          }
        </li>
      </ol>
    </div>`;
  }

  protected csvOf(found: FlashLens): string {
    return csv(
      ['fast memory [numbers]', 'block of queries', 'block of keys', 'tiles', 'numbers moved', 'written out'],
      found.curve.map(p => [p.sram, p.blockRows, p.blockColumns, p.tiles, p.accesses, found.standard]),
    );
  }
}
