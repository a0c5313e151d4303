import { css, html, nothing, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { bucketColour, toCss } from '../draw/colour';
import { evenSize } from '../model/buckets';
import { count, number } from '../../shared/numbers';
import { theme } from '../draw/theme';
import { Component } from '../ui/component';
import { rich, t } from '../host/words';

/** Sizes of the buckets, largest first, with the even size marked. Fires `bucket` (detail: number) on a click. */
@customElement('ai-bucket-sizes')
export class BucketSizes extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        height: 100%;
      }
      svg {
        display: block;
      }
      .bar {
        cursor: pointer;
      }
      .bar:focus-visible {
        outline: 2px solid var(--focus);
      }
      /* Numbers stay legible. */
      .dim .size {
        opacity: 0.25;
      }
      .even {
        stroke: var(--vscode-foreground);
        stroke-dasharray: 4 3;
      }
    `,
  ];
  @property({ attribute: false }) sizes: Int32Array = new Int32Array(0);
  /** The number that each bucket is shown under. */
  @property({ attribute: false }) names: Int32Array = new Int32Array(0);
  @property({ attribute: false }) focusBucket: number | null = null;

  override render() {
    const { width, height, sizes } = this;
    if (!width || !height || !sizes.length) return nothing;
    const order = [...sizes.keys()].sort((a, b) => sizes[b]! - sizes[a]! || a - b);
    const most = Math.max(1, ...sizes);
    const even = evenSize(sizes);
    const room = { left: 6, right: 6, top: 20, bottom: 18 };
    const step = (width - room.left - room.right) / order.length;
    const y = (size: number) => height - room.bottom - (size / most) * (height - room.top - room.bottom);
    const colours = theme();
    return html`<svg
      width=${width}
      height=${height}
      role="group"
      aria-label=${t('Bucket sizes, largest first')}
    >
      ${order.map((bucket, i) => {
        const size = sizes[bucket]!;
        const name = this.names[bucket] ?? bucket;
        const dim = this.focusBucket !== null && this.focusBucket !== bucket;
        return svg`<g class=${dim ? 'bar dim' : 'bar'} role="button" tabindex=${i === 0 ? 0 : -1}
            aria-label=${t('bucket {0}: {1} tokens', name, count(size))} aria-pressed=${this.focusBucket === bucket}
            @click=${() => this.choose(bucket)} @keydown=${(event: KeyboardEvent) => this.key(event, bucket)}>
          <title>${t('bucket {0}: {1} tokens, {2} times the even size', name, count(size), number(size / Math.max(even, 1e-9)))}</title>
          <rect x=${room.left + i * step} y=${room.top} width=${step} height=${height - room.top - room.bottom} fill="transparent"></rect>
          <rect class="size" x=${room.left + i * step} y=${y(size)} width=${Math.max(1, step - (step > 4 ? 1 : 0))}
            height=${Math.max(0, height - room.bottom - y(size))} fill=${toCss(bucketColour(name, colours).fill)}></rect>
          ${step >= 16 ? svg`<text class="muted" x=${room.left + (i + 0.5) * step} y=${height - 5} text-anchor="middle" font-size="10">${name}</text>` : nothing}
          ${step >= 24 ? svg`<text x=${room.left + (i + 0.5) * step} y=${y(size) - 4} text-anchor="middle" font-size="10">${size}</text>` : nothing}
        </g>`;
      })}
      <line class="even" x1=${room.left} x2=${width - room.right} y1=${y(even)} y2=${y(even)}></line>
      <text class="muted" x=${width - room.right} y=${y(even) - 4} text-anchor="end">
        ${rich('even: {0} tokens', number(even))}
      </text>
    </svg>`;
  }

  private choose(bucket: number): void {
    this.dispatchEvent(new CustomEvent('bucket', { detail: bucket }));
  }

  private key(event: KeyboardEvent, bucket: number): void {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    if (event.key === 'Enter' || event.key === ' ') this.choose(bucket);
    else if (step) {
      const bar = event.currentTarget as Element;
      const next = step > 0 ? bar.nextElementSibling : bar.previousElementSibling;
      if (next?.classList.contains('bar')) (next as SVGElement).focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
