import { css, html, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { SimplifiedLens } from '../../shared/protocol/engine';
import { operations } from '../model/cost';
import { count, csv, number, percent } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { coreInfo, headName, shortName } from '../model/names';
import { store } from '../host/store';
import '../plots/linePlot';
import { LensPart } from './lensPart';
import { rich, said, t } from '../host/words';

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
      .heads.numbers {
        height: auto;
        text-align: center;
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
        ${rich(
          '{0} of {1} heads do mostly what plain averaging does, {2} mostly keep each token to itself; {3} is furthest from both ({4} of its own). {5} {6}',
          html`<strong>${uniform}</strong>`,
          heads.length,
          html`<strong>${identity}</strong>`,
          headName(own),
          percent(own.rest),
          first && last && first !== last
            ? html`${rich('Rows of the residual stream go from a mean cosine of {0} to {1}.', number(first.cosine), html`<strong title=${exact(last.cosine)}>${number(last.cosine)}</strong>`)}`
            : '',
          html`<span class="muted">${t('(exact, dense model)')}</span>`,
        )}
      </div>
      <div class="two ${this.narrow ? 'narrow' : ''}">
        <section aria-label=${t('Shares of each head')}>
          <h2>${t("What each head's map is made of")}</h2>
          ${this.grid(heads)}
          <div class="key">
            <span><i class="third"></i>${t('uniform: what averaging gives too')}</span>
            <span><i class="other"></i>${t('identity: the own token beyond that')}</span>
            <span><i class="one"></i>${t("rest: the head's own")}</span>
          </div>
        </section>
        <section aria-label=${t('How alike the rows become')}>
          <h2>${t('Rank collapse: how alike the rows become')}</h2>
          <ai-lines
            .x=${{ label: t('before layer (last: the output)'), format: (v: number) => number(v), from: 0, ticks: Math.min(12, collapse.length) }}
            .y=${{ label: t('mean cosine between tokens'), format: (v: number) => number(v), to: 1 }}
            .lines=${[
              {
                name: '',
                look: 'main',
                dots: true,
                points: collapse.map((c, i) => ({ x: c.at === 'output' ? i : layerOf(c.at), y: c.cosine })),
              },
            ]}
            .words=${t('Mean cosine: {0}.', collapse.map(c => number(c.cosine)).join(', '))}
          ></ai-lines>
          <h2>${t('Without value and output projections')}</h2>
          <div
            class="whole"
            role="img"
            aria-label=${t('{0} of the parameters are value and output projections', percent(parameters.share))}
          >
            <div class="left-out" .style=${`width: ${100 * parameters.share}%`}></div>
          </div>
          <p>
            ${rich('{0} of {1} parameters ({2}) would go; {3}', html`<strong title=${count(parameters.saved)}>${operations(parameters.saved)}</strong>`, operations(parameters.all), percent(parameters.share), html`<span class="muted">${rich('of a textbook block 2 parts of 12, {0}.', percent(parameters.textbook))}</span>`)}
          </p>
        </section>
      </div>
      <p class="notes">${found.notes.map(said).join(' ')}</p>
    `;
  }

  /** Rows = layers, the first at the bottom; a stacked bar for each head. */
  private grid(heads: Head[]): TemplateResult {
    const cores = [...new Set(heads.map(h => h.core))].reverse();
    const shown = store.shownHead;
    const columns = Math.max(...heads.map(h => h.head)) + 1;
    return html`<div class="layers">
      ${cores.map(
        core => html`
          <span class="muted">${nameOf(core)}</span>
          <div class="heads">
            ${heads
              .filter(h => h.core === core)
              .map(h => {
                const words = t(
                  '{0}: uniform {1}, identity {2}, rest {3}; distance from uniform {4} per query',
                  headName(h),
                  percent(h.uniform),
                  percent(h.identity),
                  percent(h.rest),
                  number(h.distancePerQuery),
                );
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
      <span class="muted" aria-hidden="true">${t('head')}</span>
      <div class="heads numbers muted" aria-hidden="true">
        ${Array.from({ length: columns }, (_, head) => html`<span>${columns <= 16 ? head : ''}</span>`)}
      </div>
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
  return t('{0}layer {1}', stack, info?.layer ?? core);
}
