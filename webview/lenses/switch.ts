import { css, html, nothing, svg, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { MechanismParams, SwitchLens } from '../../shared/protocol/engine';
import { bucketColour, toCss } from '../draw/colour';
import { count, csv, number, percent } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { theme } from '../draw/theme';
import { store } from '../host/store';
import '../plots/bucketText';
import '../plots/linePlot';
import { slider } from '../ui/controls';
import { LensPart } from './lensPart';
import { rich, t } from '../host/words';

const OF_NATIVE = t(
  "Loads and probabilities are those of the model's own router on this text: the first one behind the selected layer's attention. What limited room would drop is a what-if; the file itself says nothing of room.",
);

/** Switch: who is sent to which expert by the model's own router, or would be by one of k-means, and who would find it full. */
@customElement('ai-lens-switch')
export class SwitchView extends LensPart<'switch'> {
  static override styles = [
    ...LensPart.styles,
    css`
      ai-bucket-text {
        height: 170px;
        margin-top: 6px;
      }
      .load svg {
        display: block;
        overflow: visible;
      }
      .capacity {
        stroke: var(--vscode-foreground);
        stroke-dasharray: 4 3;
      }
    `,
  ];
  protected readonly lens = 'switch';
  @state() private expert: number | null = null;

  protected override parameters(): MechanismParams {
    return { experts: this.option('experts', 8), capacityFactor: this.option('capacity', 1.25) };
  }

  protected override controls(): TemplateResult {
    const [experts, capacity] = [this.option('experts', 8), this.option('capacity', 1.25)];
    const made = html`${slider(t('experts'), experts, { min: 2, max: 64, step: 1 }, count(experts), v =>
      this.keep('experts', v),
    )}`;
    return html`${this.result?.rowsAre === 'router' ? nothing : made}
    ${slider(t('capacity factor'), capacity, { min: 0.5, max: 3, step: 0.05 }, number(capacity), v =>
      this.keep('capacity', Number(v.toFixed(2))),
    )}`;
  }

  protected draw(found: SwitchLens): TemplateResult {
    const busiest = Math.max(...found.load);
    const own = found.rowsAre === 'router';
    const table = store.tokens;
    const painted = found.expert.map((e, t) => (found.dropped[t] ? -1 : e));
    return html`
      <div class="lead" role="status">
        ${rich('Of {0} experts with room for {1} tokens each, the busiest is sent {2}; {3} of the tokens find theirs full and skip it. Balancing loss {4}, where an even router has {5}. {6}', found.experts, count(found.capacity), html`<strong>${count(busiest)}</strong>`, html`<strong title=${exact(found.dropRate * 100, '%')}>${percent(found.dropRate)}</strong>`, html`<span title=${exact(found.auxLoss.value)}>${number(found.auxLoss.value)}</span>`, number(found.auxLoss.alpha), html`<span class="muted">${own ? t('(native: the router of layer {0}; the room is a what-if)', found.layer) : t('(synthetic router)')}</span>`)}
      </div>
      <div class="two ${this.narrow ? 'narrow' : ''}">
        <section aria-label=${t('Tokens sent to each expert')} class="load">
          <h2>${t('Tokens sent to each expert')}</h2>
          ${this.loads(found)}
        </section>
        <section aria-label=${t('Dropped tokens against capacity')}>
          <h2>${t('What more room would save')}</h2>
          <ai-lines
            .x=${{ label: t('capacity factor'), format: (v: number) => number(v), from: 0.5, to: 3.5 }}
            .y=${{ label: t('tokens dropped'), format: (v: number) => percent(v), from: 0 }}
            .lines=${[
              { name: '', look: 'main', points: found.curve.map(p => ({ x: p.factor, y: p.dropRate })) },
            ]}
            .marks=${[
              {
                x: found.capacityFactor,
                y: found.dropRate,
                label: percent(found.dropRate),
                chosen: true,
              },
            ]}
            .words=${t('Dropped tokens fall from {0} at factor {1} to {2} at {3}.', percent(found.curve[0]!.dropRate), found.curve[0]!.factor, percent(found.curve.at(-1)!.dropRate), found.curve.at(-1)!.factor)}
          ></ai-lines>
        </section>
      </div>
      ${
        table && table.ids.length === found.tokens
          ? html`<section aria-label=${t('The text by expert')}>
              <h2>
                ${rich('The text by expert {0}', html`<span class="muted">${t('(dashed: dropped)')}</span>`)}
              </h2>
              <ai-bucket-text
                .tokens=${table}
                .buckets=${painted}
                .focusBucket=${this.expert}
                .token=${store.previewToken ?? store.selection.token}
                @bucket=${(event: CustomEvent<number>) =>
                  (this.expert = this.expert === event.detail ? null : event.detail)}
              ></ai-bucket-text>
            </section>`
          : ''
      }
      <p class="notes">${own ? OF_NATIVE : this.ofMadeUp(found)}</p>
    `;
  }

  private ofMadeUp({ rowsAre, layer }: SwitchLens): TemplateResult {
    return html`${rich(
      'Synthetic: this model has no experts and no router. A router was made by k-means over {0}, less their mean. It shows how loads, drops and the balancing loss come about, not what training would find.',
      rowsAre === 'residual'
        ? t(
            "the rows of the residual stream that enter layer {0} (an FFN's own input lies inside a segment and cannot be had at the cut)",
            layer,
          )
        : t(
            'what the heads of layer {0} hand on, side by side (this export passes no residual stream across the cut by itself)',
            layer,
          ),
    )}`;
  }

  /** A bar per expert: what fits its capacity, and above it what is dropped. */
  private loads(found: SwitchLens): TemplateResult {
    const width = Math.max(200, (this.narrow ? this.width : this.width / 2) - 40);
    const height = 260;
    const most = Math.max(found.capacity * 1.1, ...found.load);
    const room = { left: 4, right: 90, top: 16, bottom: 20 };
    const y = (n: number) => height - room.bottom - (n / most) * (height - room.top - room.bottom);
    const step = (width - room.left - room.right) / found.experts;
    const colours = theme();
    const select = (e: number) => (this.expert = this.expert === e ? null : e);
    return html`<svg
      width=${width}
      height=${height}
      role="group"
      aria-label=${t('Tokens sent to each expert')}
    >
      ${found.load.map((n, e) => {
        const kept = Math.min(n, found.capacity);
        const fill = toCss(bucketColour(e, colours).fill);
        const x = room.left + e * step;
        const dim = this.expert !== null && this.expert !== e ? 0.25 : 1;
        const words = t(
          'expert {0}: {1} tokens, {2} dropped; mean probability {3}',
          e,
          count(n),
          count(n - kept),
          percent(found.probability[e]!),
        );
        return svg`<g class="clickable" role="button" tabindex="0" aria-label=${words} aria-pressed=${this.expert === e} opacity=${dim}
            @click=${() => select(e)} @keydown=${(event: KeyboardEvent) => (event.key === 'Enter' || event.key === ' ') && (event.preventDefault(), select(e))}>
          <title>${words}</title>
          <rect x=${x} y=${room.top} width=${step} height=${height - room.top - room.bottom} fill="transparent"></rect>
          <rect x=${x + 1} y=${y(kept)} width=${Math.max(1, step - 2)} height=${y(0) - y(kept)} fill=${fill}></rect>
          <rect x=${x + 1} y=${y(n)} width=${Math.max(1, step - 2)} height=${Math.max(0, y(kept) - y(n))} fill=${fill} fill-opacity="0.25" stroke=${fill} stroke-dasharray="3 2"></rect>
        </g>`;
      })}
      ${found.load.map(
        (n, e) =>
          svg`<g aria-hidden="true" pointer-events="none">
          ${step > 22 ? svg`<text x=${room.left + (e + 0.5) * step} y=${y(n) - 4} text-anchor="middle">${count(n)}</text>` : ''}
          ${step > 14 ? svg`<text class="muted" x=${room.left + (e + 0.5) * step} y=${height - 5} text-anchor="middle">${e}</text>` : ''}</g>`,
      )}
      ${svg`<line class="capacity" x1=${room.left} x2=${width - room.right} y1=${y(found.capacity)} y2=${y(found.capacity)}></line>
      <text x=${width - room.right + 6} y=${y(found.capacity)} dominant-baseline="middle">${rich('capacity {0}', count(found.capacity))}</text>`}
    </svg>`;
  }

  protected csvOf(found: SwitchLens): string {
    return csv(
      ['expert', 'tokens', 'share', 'mean probability', 'capacity', 'dropped'],
      found.load.map((n, e) => [
        e,
        n,
        n / found.tokens,
        found.probability[e],
        found.capacity,
        Math.max(0, n - found.capacity),
      ]),
    );
  }
}
