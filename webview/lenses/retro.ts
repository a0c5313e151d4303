import { css, html, nothing, svg, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { LensParams, MechanismParams, RetroLens, RetroNeighbour } from '../../shared/protocol/engine';
import { count, csv, number, tokenLabel } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { store } from '../host/store';
import { segmented, toggle } from '../ui/controls';
import { LensPart } from './lensPart';
import { rich, said, t } from '../host/words';

/** Width of a chunk in the map of who reads what, and the most of them that are drawn. */
const CHUNK_WIDTH = 110;
const MOST_DRAWN = 10;

/** RETRO: which chunk each token would read the neighbours of, and which chunks are nearest. */
@customElement('ai-lens-retro')
export class RetroView extends LensPart<'retro'> {
  static override styles = [
    ...LensPart.styles,
    css`
      .map {
        overflow-x: auto;
      }
      .map svg {
        display: block;
      }
      .written {
        fill: var(--accent);
        fill-opacity: 0.3;
        stroke: var(--accent);
      }
      .reading {
        fill: var(--accent2);
        fill-opacity: 0.3;
        stroke: var(--accent2);
      }
      .chosen .written,
      .chosen .reading {
        fill-opacity: 0.75;
      }
      .link {
        fill: none;
        stroke: var(--muted);
      }
      .chosen .link {
        stroke: var(--focus);
        stroke-width: 2;
      }
      .nothing {
        fill: none;
        stroke: var(--muted);
        stroke-dasharray: 3 3;
      }
      .quote {
        font-family: var(--vscode-editor-font-family, monospace);
        font-size: 12px;
        white-space: pre-wrap;
        overflow-wrap: anywhere;
        border-left: 3px solid var(--accent);
        padding: 2px 8px;
        margin: 4px 0 8px;
        max-height: 9em;
        overflow-y: auto;
      }
      .found .quote {
        border-left-color: var(--accent2);
      }
      .list {
        max-height: 420px;
        overflow-y: auto;
      }
      .list table {
        width: 100%;
        table-layout: fixed;
      }
      .list th:first-child {
        width: 4em;
      }
      .list th:nth-child(3) {
        width: 11em;
      }
      .list th:last-child {
        width: 8em;
        text-align: right;
      }
      .list tr[aria-selected='true'] td {
        background: var(--vscode-list-activeSelectionBackground, #8883);
        color: var(--vscode-list-activeSelectionForeground, inherit);
      }
      .words {
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .meter {
        display: inline-block;
        height: 8px;
        background: var(--accent2);
        margin-right: 6px;
        outline: 1px solid var(--vscode-contrastBorder, transparent);
      }
    `,
  ];
  protected readonly lens = 'retro';
  @state() private chosen: number | null = null;

  protected override parameters(): MechanismParams {
    return { chunk: this.option('chunk', 64), neighbours: 2 };
  }

  private get workspace(): boolean {
    return store.option('lens.retro', 'workspace', false);
  }

  protected override more(): Partial<LensParams> {
    return this.workspace ? { searchWorkspace: true } : {};
  }

  protected override controls(): TemplateResult {
    return html`${segmented(
        t('chunks of'),
        String(this.option('chunk', 64)),
        [16, 32, 64, 128].map(n => ({ value: String(n), label: String(n) })),
        v => this.keep('chunk', Number(v)),
      )}
      <span class="muted">${t('tokens')}</span>
      ${toggle(t("Search the workspace's files too"), this.workspace, on => store.setOption('lens.retro', 'workspace', on))}`;
  }

  protected draw(found: RetroLens): TemplateResult {
    const { chunks, chunk, documents } = found;
    if (chunks.length === 0) {
      return html`<p>
        ${rich('The text has {0} tokens: not one whole chunk of {1}.', count(found.tokens), chunk)}
      </p>`;
    }
    const chosen = Math.min(this.chosen ?? this.best(found), chunks.length - 1);
    const elsewhere = chunks.filter(c => c.neighbours[0] && c.neighbours[0].source >= 0).length;
    return html`
      <div class="lead" role="status">
        ${rich(
          'The text has {0} chunks of {1} tokens. The first {2} tokens read nothing; the last token of a chunk is the first to read what the chunk found, so {3}. {4} {5}',
          html`<strong>${count(chunks.length)}</strong>`,
          chunk,
          count(chunk - 1),
          html`<strong>${t('no token ever reads ahead')}</strong>`,
          documents.length > 0
            ? html`${rich('{0} chunks find their nearest in {1} other files.', count(elsewhere), count(documents.length))}`
            : nothing,
          html`<span class="muted">${t('(approximate neighbours)')}</span>`,
        )}
      </div>
      <section aria-label=${t('Who reads what')} class="map">${this.map(found, chosen)}</section>
      <div class="two ${this.narrow ? 'narrow' : ''}">
        <section aria-label=${t('The chunks')} class="list">${this.list(found, chosen)}</section>
        <section aria-label=${t('The chosen chunk and what it finds')}>${this.detail(found, chosen)}</section>
      </div>
      <p class="notes">
        ${rich('{0} A model needs trained chunked cross-attention to use them; this one has none.', found.notes.map(said).join(' '))}
      </p>
    `;
  }

  /** The chunk that finds the most alike, to begin with. */
  private best({ chunks }: RetroLens): number {
    let best = 0;
    chunks.forEach((c, i) => {
      const similarity = c.neighbours[0]?.similarity ?? -1;
      if (similarity > (chunks[best]!.neighbours[0]?.similarity ?? -1)) best = i;
    });
    return best;
  }

  /** A few chunks around the chosen one: written above, and below the tokens that read what each found. */
  private map({ chunks, chunk, tokens }: RetroLens, chosen: number): TemplateResult {
    const width = Math.max(380, this.width - 8);
    const left = 118;
    const room = Math.max(2, Math.min(MOST_DRAWN, Math.floor((width - left) / CHUNK_WIDTH) - 1));
    const first = Math.max(0, Math.min(chosen - Math.floor(room / 3), chunks.length - room));
    const drawn = chunks.slice(first, first + room);
    const start = first * chunk;
    const end = Math.min(tokens, (first + drawn.length + 1) * chunk);
    const x = (token: number) => left + ((token - start) / (end - start)) * (width - left - 8);
    const [top, below, height] = [18, 84, 26];
    return html`<svg
      width=${width}
      height="140"
      role="group"
      aria-label=${t('Chunks above; below, the tokens that read what each chunk found')}
    >
      <text x="0" y=${top + height / 2} dominant-baseline="middle">${t('chunk')}</text>
      <text x="0" y=${below + height / 2 - 6} dominant-baseline="middle">${t('read by tokens')}</text>
      <text class="muted" x="0" y=${below + height / 2 + 8} dominant-baseline="middle">
        ${rich('{0} later', chunk - 1)}
      </text>
      ${
        first === 0
          ? svg`<rect class="nothing" x=${x(0)} y=${below} width=${Math.max(0, x(chunk - 1) - x(0) - 1)} height=${height}></rect>
            <text class="muted" x=${x((chunk - 1) / 2)} y=${below + height / 2} text-anchor="middle" dominant-baseline="middle">${t('nothing')}</text>`
          : nothing
      }
      ${drawn.map((c, at) => {
        const u = first + at;
        const from = c.to - 1;
        const to = Math.min(tokens, c.to - 1 + chunk);
        const words = t(
          'chunk {0}, tokens {1} to {2}: its neighbours are read by tokens {3} to {4}',
          u,
          c.from,
          c.to - 1,
          from,
          to - 1,
        );
        return svg`<g class="clickable ${u === chosen ? 'chosen' : ''}" role="button" tabindex="0" aria-label=${words} aria-pressed=${u === chosen}
            @click=${() => (this.chosen = u)} @keydown=${(event: KeyboardEvent) => (event.key === 'Enter' || event.key === ' ') && (event.preventDefault(), (this.chosen = u))}>
          <title>${words}</title>
          <rect class="written" x=${x(c.from)} y=${top} width=${Math.max(1, x(c.to) - x(c.from) - 1)} height=${height}></rect>
          <path class="link" d=${`M${(x(c.from) + x(c.to)) / 2},${top + height}C${(x(c.from) + x(c.to)) / 2},${below - 14} ${(x(from) + x(to)) / 2},${top + height + 14} ${(x(from) + x(to)) / 2},${below}`}></path>
          <rect class="reading" x=${x(from)} y=${below} width=${Math.max(1, x(to) - x(from) - 1)} height=${height}></rect>
        </g>`;
      })}
      ${drawn.map((c, at) => {
        const [from, to] = [c.to - 1, Math.min(tokens, c.to - 1 + chunk)];
        return svg`<g aria-hidden="true" pointer-events="none" text-anchor="middle">
          <text x=${(x(c.from) + x(c.to)) / 2} y=${top + height / 2} dominant-baseline="middle">${first + at}</text>
          <text x=${(x(from) + x(to)) / 2} y=${below + height / 2} dominant-baseline="middle">${rich('reads {0}', first + at)}</text>
          <text class="muted" x=${x(from)} y=${below + height + 14}>${count(from)}</text></g>`;
      })}
    </svg>`;
  }

  private list({ chunks, documents }: RetroLens, chosen: number): TemplateResult {
    return html`<table>
      <thead>
        <tr>
          <th scope="col">${t('chunk')}</th>
          <th scope="col">${t('begins with')}</th>
          <th scope="col">${t('nearest')}</th>
          <th scope="col">${t('cosine')}</th>
        </tr>
      </thead>
      <tbody>
        ${chunks.map((c, i) => {
          const near = c.neighbours[0];
          return html`<tr class="clickable" aria-selected=${i === chosen} @click=${() => (this.chosen = i)}>
            <td class="number">
              <button class="link" aria-label=${t('chunk {0}', i)} @click=${() => (this.chosen = i)}>
                ${i}
              </button>
            </td>
            <td class="words" title=${c.text}>${tokenLabel(c.text.trimStart(), 40)}</td>
            <td class="words">${near ? placeWords(near, documents) : '–'}</td>
            <td class="number" title=${near ? exact(near.similarity) : nothing}>
              ${
                near
                  ? html`<i class="meter" .style=${`width: ${Math.max(0, near.similarity) * 40}px`}></i
                      >${number(near.similarity)}`
                  : '–'
              }
            </td>
          </tr>`;
        })}
      </tbody>
    </table>`;
  }

  private detail({ chunks, documents }: RetroLens, chosen: number): TemplateResult {
    const c = chunks[chosen]!;
    return html`<h2>${rich('Chunk {0}', chosen)}</h2>
      <button class="link" @click=${() => store.host.send({ type: 'reveal', tokens: span(c.from, c.to) })}>
        ${rich('tokens {0} to {1}: show in the editor', count(c.from), count(c.to - 1))}
      </button>
      <div class="quote" tabindex="0">${c.text}</div>
      <div class="found">
        ${
          c.neighbours.length === 0
            ? html`<p class="muted">${t('Nothing to find: no chunk comes before it.')}</p>`
            : c.neighbours.map(
                n => html`
                  <button class="link" @click=${() => this.open(n, documents)}>
                    ${rich('{0}: show', placeWords(n, documents))}
                  </button>
                  <span class="muted" title=${exact(n.similarity)}
                    >${rich('cosine {0}', number(n.similarity))}</span
                  >
                  <div class="quote" tabindex="0">${n.text}</div>
                `,
              )
        }
      </div>`;
  }

  private open(near: RetroNeighbour, documents: RetroLens['documents']): void {
    if (near.token !== null) {
      store.host.send({ type: 'reveal', tokens: span(near.token, near.token + this.option('chunk', 64)) });
      return;
    }
    const document = documents[near.source];
    if (document) store.host.send({ type: 'openFile', uri: document.uri, start: near.start, end: near.end });
  }

  protected csvOf({ chunks, documents }: RetroLens): string {
    return csv(
      [
        'chunk',
        'first token',
        'last token',
        'read by tokens from',
        'neighbour',
        'source',
        'its chunk',
        'cosine',
        'text',
      ],
      chunks.flatMap((c, i) =>
        c.neighbours.map((n, k) => [
          i,
          c.from,
          c.to - 1,
          c.to - 1,
          k + 1,
          n.source < 0 ? 'this text' : documents[n.source]?.name,
          n.chunk,
          n.similarity,
          n.text,
        ]),
      ),
    );
  }
}

function placeWords(near: RetroNeighbour, documents: RetroLens['documents']): string {
  return near.source < 0
    ? t('chunk {0}, here', near.chunk)
    : t('{0}, chunk {1}', documents[near.source]?.name ?? '?', near.chunk);
}

function span(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, t) => from + t);
}
