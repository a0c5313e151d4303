import { css, html, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { SimplifiedLens } from '../../shared/protocol/engine';
import { operations } from '../model/cost';
import { count, csv, exact, number, percent } from '../../shared/numbers';
import { coreInfo, headName, shortName } from '../model/names';
import { store } from '../host/store';
import '../plots/linePlot';
import { LensPart } from './lensPart';

type Head = SimplifiedLens['heads'][number];

/** Simplified blocks: how much of each head is identity or uniform, how alike rows become, what could be left out. */
@customElement('ai-lens-simplified')
export class SimplifiedView extends LensPart<'simplified'> {
  static override styles = [
    ...LensPart.styles,
    css`
      .layers {
        display: grid;
        grid-template-columns: max-content minmax(0, 1fr);
        gap: 3px 10px;
        align-items: center;
      }
      .heads {
        display: grid;
        grid-auto-flow: column;
        grid-auto-columns: minmax(4px, 1fr);
        gap: 3px;
        height: 46px;
      }
      .head {
        display: flex;
        flex-direction: column;
        border: none;
        padding: 0;
        background: none;
        cursor: pointer;
        height: 46px;
        outline: 1px solid var(--vscode-contrastBorder, transparent);
        outline-offset: -1px;
      }
      .head.shown {
        outline: 2px solid var(--vscode-foreground);
        outline-offset: 1px;
      }
      .head:focus-visible {
        outline: 2px solid var(--focus);
        outline-offset: 1px;
      }
      .head > div {
        width: 100%;
      }
      .whole {
        background: var(--accent);
        height: 22px;
        display: flex;
        justify-content: flex-end;
        outline: 1px solid var(--vscode-contrastBorder, transparent);
      }
      .left-out {
        background: repeating-linear-gradient(45deg, var(--accent2) 0 4px, transparent 4px 8px);
        background-color: var(--vscode-editor-background);
        height: 100%;
      }
    `,
  ];
  protected readonly lens = 'simplified';

  protected draw(found: SimplifiedLens): TemplateResult {
    const { heads, collapse, parameters } = found;
    const uniform = heads.filter(h => h.uniform > 0.5).length;
    const identity = heads.filter(h => h.identity > 0.5).length;
    const own = [...heads].sort((a, b) => b.rest - a.rest)[0]!;
    const [first, last] = [collapse[0], collapse.at(-1)];
    return html`
      <div class="lead" role="status">
        <strong>${uniform}</strong> of ${heads.length} heads do mostly what plain averaging does,
        <strong>${identity}</strong> mostly keep each token to itself; ${headName(own)} is furthest from both
        (${percent(own.rest)} of its own).
        ${
          first && last && first !== last
            ? html`Rows of the residual stream go from a mean cosine of ${number(first.cosine)} to
                <strong title=${exact(last.cosine)}>${number(last.cosine)}</strong>.`
            : ''
        }
        <span class="muted">(exact, dense model)</span>
      </div>
      <div class="two ${this.narrow ? 'narrow' : ''}">
        <section aria-label="Shares of each head">
          <h2>What each head's map is made of</h2>
          ${this.grid(heads)}
          <div class="key">
            <span><i class="third"></i>uniform: what averaging gives too</span>
            <span><i class="other"></i>identity: the own token beyond that</span>
            <span><i class="one"></i>rest: the head's own</span>
          </div>
        </section>
        <section aria-label="How alike the rows become">
          <h2>Rank collapse: how alike the rows become</h2>
          <ai-lines
            .x=${{ label: 'before layer (last: the output)', format: (v: number) => number(v), from: 0, ticks: Math.min(12, collapse.length) }}
            .y=${{ label: 'mean cosine between tokens', format: (v: number) => number(v), to: 1 }}
            .lines=${[
              {
                name: '',
                look: 'main',
                dots: true,
                points: collapse.map((c, i) => ({ x: c.at === 'output' ? i : layerOf(c.at), y: c.cosine })),
              },
            ]}
            .words=${`Mean cosine: ${collapse.map(c => number(c.cosine)).join(', ')}.`}
          ></ai-lines>
          <h2>Without value and output projections</h2>
          <div
            class="whole"
            role="img"
            aria-label=${`${percent(parameters.share)} of the parameters are value and output projections`}
          >
            <div class="left-out" .style=${`width: ${100 * parameters.share}%`}></div>
          </div>
          <p>
            <strong title=${count(parameters.saved)}>${operations(parameters.saved)}</strong> of
            ${operations(parameters.all)} parameters (${percent(parameters.share)}) would go;
            <span class="muted">of a textbook block 2 parts of 12, ${percent(parameters.textbook)}.</span>
          </p>
        </section>
      </div>
      <p class="notes">${found.notes.join(' ')}</p>
    `;
  }

  /** Rows = layers, the first at the bottom; a stacked bar for each head. */
  private grid(heads: Head[]): TemplateResult {
    const cores = [...new Set(heads.map(h => h.core))].reverse();
    const shown = store.shownHead;
    return html`<div class="layers">
      ${cores.map(
        core => html`
          <span class="muted">${nameOf(core)}</span>
          <div class="heads">
            ${heads
              .filter(h => h.core === core)
              .map(h => {
                const words = `${headName(h)}: uniform ${percent(h.uniform)}, identity ${percent(h.identity)}, rest ${percent(h.rest)}; distance from uniform ${number(h.distancePerQuery)} per query`;
                const is = shown?.core === h.core && shown.head === h.head;
                return html`<button
                  class="head ${is ? 'shown' : ''}"
                  title=${words}
                  aria-label=${words}
                  aria-pressed=${is}
                  @click=${() => store.select({ core: h.core, head: h.head })}
                >
                  <div class="one" .style=${`height: ${100 * h.rest}%`}></div>
                  <div class="other" .style=${`height: ${100 * h.identity}%`}></div>
                  <div class="third" .style=${`height: ${100 * h.uniform}%`}></div>
                </button>`;
              })}
          </div>
        `,
      )}
    </div>`;
  }

  protected csvOf(found: SimplifiedLens): string {
    return csv(
      [
        'core',
        'head',
        'name',
        'uniform',
        'identity',
        'rest',
        '|A - C|',
        '|A - C| per query',
        'mean cosine before its layer',
      ],
      found.heads.map(h => [
        h.core,
        h.head,
        shortName(h),
        h.uniform,
        h.identity,
        h.rest,
        h.distance,
        h.distancePerQuery,
        found.collapse.find(c => c.at === h.core)?.cosine,
      ]),
    );
  }
}

function layerOf(core: number): number {
  const info = coreInfo(core);
  // Stacks stand one after the other: cores are counted, not layers, where there is more than one.
  return info && store.model?.kind !== 'encoder-decoder' ? info.layer : core;
}

function nameOf(core: number): string {
  const info = coreInfo(core);
  const stack = info && info.kind !== 'self' ? `${info.kind} ` : '';
  return `${stack}layer ${info?.layer ?? core}`;
}
