import { html, css, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { ForwardTimes } from '../../shared/protocol/engine';
import { milliseconds } from '../model/cost';
import { percent } from '../../shared/numbers';
import { coreInfo } from '../model/names';
import { Component } from '../ui/component';
import { t } from '../host/words';

/** A bar per layer: its attention, and what is computed between attentions. Layers from the bottom, as in the papers. */
@customElement('ai-forward-bars')
export class ForwardBars extends Component {
  static override styles = [
    ...Component.styles,
    css`
      .bars {
        display: grid;
        grid-template-columns: max-content 1fr max-content;
        gap: 3px 8px;
        align-items: center;
      }
      .track {
        display: flex;
        height: 12px;
        gap: 1px;
      }
      .attention {
        background: var(--accent);
        outline: 1px solid var(--vscode-contrastBorder, transparent);
        outline-offset: -1px;
      }
      .rest {
        background: var(--muted);
        opacity: 0.45;
      }
      .key {
        display: flex;
        gap: 14px;
        font-size: 11px;
        color: var(--muted);
        margin: 4px 0 8px;
        align-items: center;
      }
      .key i {
        display: inline-block;
        width: 12px;
        height: 8px;
        margin-right: 5px;
      }
    `,
  ];
  @property({ attribute: false }) times: ForwardTimes | null = null;

  override render() {
    const { times } = this;
    if (!times) return nothing;
    // What is computed after a core belongs to its layer: the rest before core i+1 is the end of layer i.
    const rows = times.cores.map((core, i) => ({
      name: nameOf(core.core),
      attention: core.attention,
      rest: (i === 0 ? core.rest : 0) + (times.cores[i + 1]?.rest ?? times.output),
    }));
    const longest = Math.max(...rows.map(r => r.attention + r.rest), 1e-9);
    return html`<div class="bars" role="list">
        ${[...rows].reverse().map(
          row => html`
            <span class="muted">${row.name}</span>
            <div
              class="track"
              role="listitem"
              aria-label=${t('{0}: attention {1}, the rest {2}', row.name, milliseconds(row.attention), milliseconds(row.rest))}
            >
              <div class="attention" .style=${`width: ${(100 * row.attention) / longest}%`}></div>
              <div class="rest" .style=${`width: ${(100 * row.rest) / longest}%`}></div>
            </div>
            <span
              class="number"
              title=${t('{0} of {1}', milliseconds(row.attention), milliseconds(row.attention + row.rest))}
              >${percent(row.attention / (row.attention + row.rest))}</span
            >
          `,
        )}
      </div>
      <div class="key">
        <span><i class="attention"></i>${t('attention')}</span>
        <span
          ><i class="rest"></i
          >${t('everything else (the lowest bar with the embedding, the topmost with the output)')}</span
        >
      </div>`;
  }
}

function nameOf(core: number): string {
  const info = coreInfo(core);
  const stack = info && info.kind !== 'self' ? `${info.kind} ` : '';
  return t('{0}layer {1}', stack, info?.layer ?? core);
}
