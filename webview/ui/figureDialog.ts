import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { count, number } from '../../shared/numbers';
import { MARGIN, pageToSvg, printed, type Picture } from '../draw/pageToSvg';
import { drawOn, type Paper } from '../draw/paper';
import { toPdf, toPng, type Printed } from '../draw/raster';
import { store } from '../host/store';
import { WIDTHS, drawnWidth, pixelRatio, pointsOf, type Width } from '../model/figure';
import { Component } from './component';
import { button, segmented, slider, toggle } from './controls';
import { figureOf, saveAs, type Savable } from './save';
import { rich, t } from '../host/words';

type View = Savable & HTMLElement;

/** Milliseconds after which the picture is drawn again: it is shown when two in a row are the same, and then rarely looked at. */
const LOOK_AGAIN = { waiting: 150, settled: 1500 };

/**
 * A view as a figure for print: laid out anew at the width of a journal's column, in the colours of paper, whole, with its
 * legend and a caption. What is shown is the very picture that is saved.
 */
@customElement('ai-figure')
export class FigureDialog extends Component {
  static override styles = [
    ...Component.styles,
    css`
      dialog {
        width: min(1100px, 96vw);
        height: 94vh;
        max-height: none;
        padding: 0;
        color: var(--vscode-foreground);
        background: var(--vscode-editor-background);
        border: 1px solid var(--line);
        font: inherit;
      }
      .front {
        height: 100%;
        padding: 0 16px 12px;
        display: flex;
        flex-direction: column;
        background: var(--vscode-editor-background);
      }
      .sheet {
        flex: 1;
        min-height: 0;
        overflow: auto;
        background: var(--vscode-editorWidget-background);
        padding: 12px;
        display: grid;
        place-items: safe center;
      }
      .sheet img {
        max-width: 100%;
        outline: 1px solid var(--line);
      }
      .said {
        padding: 6px 0;
      }
      .buttons {
        display: flex;
        flex-wrap: wrap;
        gap: 8px;
        align-items: center;
      }
      .buttons .end {
        margin-left: auto;
      }
      /* Laid out as the page is, under the preview. */
      .under {
        position: absolute;
        inset: 0;
        overflow: hidden;
        z-index: -1;
        pointer-events: none;
      }
      .caption {
        margin: 10px 0 0;
      }
    `,
  ];
  @property({ attribute: false }) view: View | null = null;
  @state() private picture: Picture | null = null;
  @query('dialog') private readonly dialog!: HTMLDialogElement;
  @query('.stage') private readonly stage!: HTMLElement;
  /** Names of the figure's sections, and those that are left out. */
  @state() private parts: string[] = [];
  @state() private without = new Set<string>();
  private drawn: View | null = null;
  private looking: ReturnType<typeof setTimeout> | undefined;
  private settled = false;
  private took = 0;

  private get colours(): Paper {
    return store.option<string>('figure', 'colours', 'light') === 'dark' ? 'dark' : 'light';
  }

  private get wide(): Width {
    const chosen = store.option<string>('figure', 'width', 'page');
    return chosen in WIDTHS ? (chosen as Width) : 'page';
  }

  private get points(): number {
    return store.option('figure', 'points', 8);
  }

  override firstUpdated(): void {
    drawOn(this.colours);
    this.drawn = document.createElement(this.view!.localName) as View;
    this.stage.prepend(this.drawn);
    this.dialog.showModal();
    this.lookAgain();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.looking);
    drawOn(null);
  }

  override render() {
    const { wide, points, colours } = this;
    const { picture } = this;
    return html`<dialog
      aria-label=${t('Figure for print')}
      @close=${() => (figureOf.value = null)}
      @keydown=${(event: KeyboardEvent) => event.stopPropagation()}
    >
      <div class="front">
        <div class="toolbar">
          ${segmented(
            t('Width'),
            wide,
            Object.entries(WIDTHS).map(([value, { label }]) => ({ value, label })),
            value => this.set('width', value),
          )}
          ${segmented(
            t('Colours'),
            colours,
            [
              { value: 'light', label: t('light') },
              { value: 'dark', label: t('dark') },
            ],
            value => {
              this.set('colours', value);
              drawOn(value as Paper);
            },
          )}
          ${slider(t('Text'), points, { min: 5, max: 12, step: 0.5 }, `${points} pt`, value => this.set('points', value))}
          ${this.parts.length > 1 ? this.parts.map(part => toggle(part, !this.without.has(part), on => this.choose(part, on))) : nothing}
          ${toggle(t('Legend'), this.legend, on => this.set('legend', on))}
          ${toggle(t('Caption'), this.captioned, on => this.set('caption', on))}
        </div>
        <div class="sheet">
          ${
            picture
              ? html`<img
                  alt=${this.caption}
                  src=${`data:image/svg+xml,${encodeURIComponent(picture.svg)}`}
                />`
              : html`<p class="muted" role="status">${t('Drawing.')}</p>`
          }
        </div>
        <div class="said" role="status">${picture ? this.size(picture) : nothing}</div>
        <div class="buttons">
          ${button(t('Copy'), () => void this.copy(), { disabled: !picture })}
          ${button(t('Save SVG'), () => this.save('svg'), { disabled: !picture })}
          ${button(t('Save PNG'), () => this.save('png'), { disabled: !picture })}
          ${button(t('Save PDF'), () => this.save('pdf'), { disabled: !picture })}
          <span class="end">${button(t('Close'), () => this.dialog.close(), { secondary: true })}</span>
        </div>
      </div>
      <div class="under" inert aria-hidden="true">
        <div class="stage" data-figure .style=${`width: ${drawnWidth(wide, points) - 2 * MARGIN}px`}>
          ${this.captioned ? html`<p class="caption">${this.caption}</p>` : nothing}
        </div>
      </div>
    </dialog>`;
  }

  private set(name: string, value: string | number | boolean): void {
    this.settled = false;
    store.setOption('figure', name, value);
    this.lookAgain();
  }

  private choose(part: string, on: boolean): void {
    this.without = new Set([...this.without].filter(one => one !== part));
    if (!on) this.without.add(part);
    this.settled = false;
    this.lookAgain();
  }

  private get legend(): boolean {
    return store.option('figure', 'legend', true);
  }

  private get captioned(): boolean {
    return store.option('figure', 'caption', true);
  }

  private lookAgain(): void {
    clearTimeout(this.looking);
    const wait = this.settled ? LOOK_AGAIN.settled : LOOK_AGAIN.waiting;
    this.looking = setTimeout(
      () => {
        const began = performance.now();
        this.look();
        this.took = performance.now() - began;
        this.lookAgain();
      },
      // A large one is looked at less often: the page stays free.
      Math.max(wait, (this.settled ? 10 : 1) * this.took),
    );
  }

  /** Whatever the view still waits for comes into the picture when it is there. */
  private look(): void {
    const { drawn, stage } = this;
    if (!drawn?.figure) return;
    const { figure } = drawn;
    const sections = [...figure.querySelectorAll<HTMLElement>('section[aria-label]')];
    for (const one of sections) one.style.display = this.without.has(one.ariaLabel!) ? 'none' : '';
    const parts = sections.map(one => one.ariaLabel!);
    if (parts.join() !== this.parts.join()) this.parts = parts;
    // The caption stands below the figure, whatever else the view has there.
    for (const other of figure.parentNode?.children ?? [])
      if (other !== figure && other instanceof HTMLElement) other.style.display = 'none';
    hide(drawn, this.legend);
    const picture = pageToSvg(figure, ...stage.querySelectorAll<HTMLElement>('.caption'));
    if (picture.svg === this.last) {
      if (!this.settled) {
        this.settled = true;
        this.picture = printed(picture, WIDTHS[this.wide].millimetres);
      }
      return;
    }
    this.settled = false;
    this.last = picture.svg;
  }
  private last = '';

  private get caption(): string {
    const { analysis, model, tokens } = store;
    const document = 'document' in analysis && analysis.document ? analysis.document.name : '';
    const of = [
      ...(model ? [t('Model: {0}', model.name)] : []),
      ...(document
        ? [t('text: {0}{1}', document, tokens ? t(', {0} tokens', count(tokens.ids.length)) : '')]
        : []),
    ].join('; ');
    const stale = store.stale ? t(' The text has changed since.') : '';
    return `${this.view?.caption ?? ''} ${of}.${stale}`.trim();
  }

  private size({ width, height }: Picture): TemplateResult {
    const { millimetres } = WIDTHS[this.wide];
    const text = pointsOf(this.wide, width);
    const small = text < this.points - 0.3;
    return html`${rich('{0} × {1} mm, text {2} pt{3}. {4}', millimetres, number((millimetres * height) / width), number(text), small ? html` <strong>${rich('(it needs more room than this width has at {0} pt)', this.points)}</strong>` : nothing, store.notice ?? '')}`;
  }

  // ------------------------------------------------------------ saving

  private get print(): Printed {
    const picture = this.picture!;
    return {
      picture,
      millimetres: WIDTHS[this.wide].millimetres,
      ratio: pixelRatio(this.wide, picture.width),
    };
  }

  private save(kind: 'svg' | 'png' | 'pdf'): void {
    const { print } = this;
    const made = {
      svg: () => Promise.resolve(print.picture.svg),
      png: () => toPng(print),
      pdf: () => toPdf(print),
    };
    void saveAs(kind, this.view!.saveName, made[kind]);
  }

  private async copy(): Promise<void> {
    try {
      const png = toPng(this.print).then(bytes => new Blob([bytes as BlobPart], { type: 'image/png' }));
      await navigator.clipboard.write([new ClipboardItem({ 'image/png': png })]);
      store.say(t('Copied as PNG.'));
    } catch (error) {
      store.say(t('The picture was not copied: {0}', (error as Error).message));
    }
  }
}

/** Controls leave no holes in a figure; with them go its legends, where none are wanted. */
function hide(root: ParentNode, legend: boolean): void {
  for (const element of root.querySelectorAll<HTMLElement>('*')) {
    const isLegend = element.localName === 'ai-legend' || element.hasAttribute('data-legend');
    if (element.hasAttribute('data-no-export')) element.style.display = 'none';
    else if (isLegend) element.style.display = legend ? '' : 'none';
    if (element.shadowRoot) hide(element.shadowRoot, legend);
  }
  if (root instanceof HTMLElement && root.shadowRoot) hide(root.shadowRoot, legend);
}
