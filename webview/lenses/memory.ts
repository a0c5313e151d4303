import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { MechanismParams, MemoryLens } from '../../shared/protocol/engine';
import { count, csv, percent, tokenLabel } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { coreInfo, headName, layerName, shortName } from '../model/names';
import { store } from '../host/store';
import { slider } from '../ui/controls';
import { LensPart } from './lensPart';
import { rich, t } from '../host/words';

type Head = MemoryLens['cores'][number]['heads'][number];

/** Slots that are shown, those with most mass. */
const MOST_SLOTS = 12;
const SETTINGS = [
  { name: 'segment', label: t('segment'), fallback: 128, min: 16, max: 1024, step: 16 },
  { name: 'memory', label: t('memory'), fallback: 128, min: 0, max: 1024, step: 16 },
  { name: 'compressed', label: t('slots'), fallback: 128, min: 0, max: 512, step: 8 },
  { name: 'rate', label: t('tokens for each slot'), fallback: 4, min: 1, max: 16, step: 1 },
] as const;
const PLACES = [
  { place: 'segment', colour: 'third', label: t('the segment itself') },
  { place: 'memory', colour: 'other', label: t('the memory: tokens before it') },
  { place: 'compressed', colour: 'one', label: t('the compressed memory: slots') },
] as const;

/** Memory: where the mass of each head goes, what its slots stand for, and what compressing loses. */
@customElement('ai-lens-memory')
export class MemoryView extends LensPart<'memory'> {
  static override styles = [
    ...LensPart.styles,
    css`
      button {
        border: none;
        padding: 0;
        background: none;
        cursor: pointer;
        width: 100%;
      }
      button.shown {
        outline: 2px solid var(--vscode-foreground);
        outline-offset: 1px;
      }
      button:focus-visible {
        outline: 2px solid var(--focus);
        outline-offset: 1px;
      }
      table {
        border-collapse: collapse;
      }
      th,
      td {
        text-align: right;
        padding: 2px 10px 2px 0;
        font-weight: normal;
      }
      th {
        color: var(--muted);
        white-space: nowrap;
      }
      h2 {
        margin-top: 12px;
      }
      td.words,
      th.words {
        text-align: left;
        overflow-wrap: anywhere;
      }
      td.words {
        font-family: var(--vscode-editor-font-family, monospace);
      }
      .slots {
        width: 100%;
      }
      .slots .track {
        width: 120px;
      }
      .slots .one {
        height: 12px;
      }
    `,
  ];
  protected readonly lens = 'memory';

  protected override parameters(): MechanismParams {
    return Object.fromEntries(SETTINGS.map(({ name, fallback }) => [name, this.option(name, fallback)]));
  }

  /** The model's own memory has the sizes that it was made with. */
  protected override controls(): TemplateResult | typeof nothing {
    const own = store.shownHead && coreInfo(store.shownHead.core)?.attention;
    if (own?.native && ['compressive', 'transformer-xl'].includes(own.name)) return nothing;
    return html`${SETTINGS.map(({ name, label, fallback, ...range }) => {
      const value = this.option(name, fallback);
      return slider(label, value, range, count(value), v => this.keep(name, v));
    })}`;
  }

  protected draw(found: MemoryLens): TemplateResult {
    const shown = found.cores.find(({ core }) => core === found.core)!;
    const mean = (place: 'segment' | 'memory' | 'compressed') =>
      shown.heads.reduce((sum, head) => sum + head[place], 0) / shown.heads.length;
    const errors = shown.heads.flatMap(({ reconstruction }) => reconstruction ?? []);
    const error = errors.reduce((sum, x) => sum + x, 0) / errors.length;
    return html`
      <div class="lead" role="status">
        ${rich(
          'From token {0} on, the heads of {1} give {2} of their mass to their segment of {3} tokens, {4} to the memory of {5}, and {6} to the compressed memory. {7} {8}',
          count(found.from),
          layerName(found.core),
          html`<strong>${percent(mean('segment'))}</strong>`,
          count(found.segment),
          html`<strong>${percent(mean('memory'))}</strong>`,
          count(found.memory),
          html`<strong>${percent(mean('compressed'))}</strong>`,
          errors.length > 0
            ? html`${rich('Attention over the slots misses attention over their tokens by {0}.', html`<strong title=${exact(100 * error, '%')}>${percent(error)}</strong>`)}`
            : t('Nothing is compressed.'),
          html`<span class="muted"
            >${found.native ? t("(native: the model's own memory)") : t('(what-if: a slot is the mean of its keys and values)')}</span
          >`,
        )}
      </div>
      <div class="two ${this.narrow ? 'narrow' : ''}">
        <section aria-label=${t('Mass of each head by place')}>
          <h2>${t('Where the mass of each head goes')}</h2>
          ${this.bars(found.core, shown.heads)}
          <div class="key">
            ${PLACES.map(({ colour, label }) => html`<span><i class=${colour}></i>${label}</span>`)}
          </div>
        </section>
        ${errors.length > 0 ? this.losses(found) : nothing}
      </div>
      ${found.slots.length > 0 ? this.slots(found) : nothing}
      <p class="notes">
        ${t(
          'Mass is the mean over at most 64 queries of each head. The error compares outputs by content alone, without positions: relative, 0 where the slots say the same as their tokens, 100 % where nothing is left of it, more where they mislead.',
        )}
      </p>
    `;
  }

  private bars(core: number, heads: readonly Head[]): TemplateResult {
    const chosen = store.shownHead;
    return html`<div class="bars">
      ${heads.map(h => {
        const id = { core, head: h.head };
        const words = `${headName(id)}: ${PLACES.map(({ place, label }) => `${label} ${percent(h[place])}`).join(', ')}`;
        const is = chosen?.core === core && chosen.head === h.head;
        return html`<span>${shortName(id)}</span>
          <button
            class=${is ? 'shown' : ''}
            title=${words}
            aria-label=${words}
            aria-pressed=${is}
            @click=${() => store.select(id)}
          >
            <div class="track">
              ${PLACES.map(({ place, colour }) => html`<div class=${colour} .style=${`width: ${100 * h[place]}%`}></div>`)}
            </div>
          </button>
          <span class="muted">${percent(h.memory + h.compressed)}</span>`;
      })}
    </div>`;
  }

  private losses({ cores }: MemoryLens): TemplateResult {
    const heads = Math.max(...cores.map(core => core.heads.length));
    return html`<section aria-label=${t('Reconstruction error by layer and head')}>
      <h2>${t('What compressing loses, by layer and head')}</h2>
      <table>
        <tr>
          <th scope="col">${t('head')}</th>
          ${Array.from({ length: heads }, (_, head) => html`<th scope="col">${head}</th>`)}
        </tr>
        ${cores.map(
          ({ core, heads }) =>
            html`<tr>
              <th scope="row">${layerName(core)}</th>
              ${heads.map(({ reconstruction: error }) =>
                error === null
                  ? html`<td></td>`
                  : html`<td title=${exact(100 * error, '%')}>${percent(error)}</td>`,
              )}
            </tr>`,
        )}
      </table>
    </section>`;
  }

  private slots(found: MemoryLens): TemplateResult {
    const { core, head, slots } = found;
    const most = [...slots].sort((a, b) => b.mass - a.mass).slice(0, MOST_SLOTS);
    const largest = Math.max(most[0]!.mass, 1e-9);
    const text = store.tokens?.text ?? [];
    return html`<section aria-label=${t('What the slots stand for')}>
      <h2>
        ${rich('What the slots of {0} stand for {1}', headName({ core, head }), html`<span class="muted">${t('(the {0} with most mass of {1} that the last segment sees)', most.length, slots.length)}</span>`)}
      </h2>
      <table class="slots">
        <tr>
          <th scope="col" class="words">${t('its tokens')}</th>
          <th scope="col">${t('mass')}</th>
          <th scope="col" aria-hidden="true"></th>
          <th scope="col" class="words">${t('asked most by')}</th>
        </tr>
        ${most.map(
          ({ from, to, mass, query, most }) =>
            html`<tr>
              <td class="words" title=${t('tokens {0} to {1}', from, to - 1)}>
                ${tokenLabel(text.slice(from, to).join(''), 48)}
              </td>
              <td title=${exact(100 * mass, '%')}>${percent(mass)}</td>
              <td aria-hidden="true">
                <div class="track"><div class="one" .style=${`width: ${(100 * mass) / largest}%`}></div></div>
              </td>
              <td class="words">
                ${rich('{0} (token {1}, {2})', tokenLabel(text[query] ?? ''), count(query), percent(most))}
              </td>
            </tr>`,
        )}
      </table>
    </section>`;
  }

  protected csvOf({ cores }: MemoryLens): string {
    return csv(
      ['core', 'head', 'name', 'segment', 'memory', 'compressed memory', 'reconstruction error'],
      cores.flatMap(({ core, heads }) =>
        heads.map(h => [
          ...[core, h.head, shortName({ core, head: h.head })],
          ...[h.segment, h.memory, h.compressed, h.reconstruction],
        ]),
      ),
    );
  }
}
