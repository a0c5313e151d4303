import { css, html, nothing, type TemplateResult } from 'lit';
import type { LensName, LensParams, LensResults, MechanismParams } from '../../shared/protocol/engine';
import { Remote } from '../host/remote';
import { store } from '../host/store';
import { Component } from '../ui/component';
import type { Savable } from '../ui/save';
import { requestState } from '../ui/states';
import { stateStyles } from '../ui/stateStyles';
import { t } from '../host/words';

/** One lens: its controls, its sentence, its pictures. Asks the engine itself, and anew when a control changes. */
export abstract class LensPart<L extends LensName> extends Component implements Omit<Savable, 'caption'> {
  static override styles = [
    ...Component.styles,
    stateStyles,
    css`
      .lead {
        min-height: 1.5em;
        margin: 4px 0 10px;
        max-width: 92em;
      }
      .lead strong {
        font-size: 1.15em;
      }
      .controls {
        display: flex;
        flex-wrap: wrap;
        gap: 6px 18px;
        align-items: center;
        margin: 2px 0 4px;
      }
      .two {
        display: grid;
        grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
        gap: 14px 32px;
      }
      .two.narrow {
        grid-template-columns: minmax(0, 1fr);
      }
      section {
        min-width: 0;
      }
      ai-lines {
        height: 300px;
      }
      .bars {
        display: grid;
        grid-template-columns: max-content minmax(0, 1fr) max-content;
        gap: 5px 10px;
        align-items: center;
        margin: 6px 0 12px;
      }
      .bars .track {
        display: flex;
        height: 16px;
      }
      .bars .track > div,
      .key i {
        outline: 1px solid var(--vscode-contrastBorder, transparent);
        outline-offset: -1px;
      }
      .one {
        background: var(--accent);
      }
      .other {
        background: var(--accent2);
      }
      .third {
        background: var(--muted);
        opacity: 0.5;
      }
      .key {
        display: flex;
        flex-wrap: wrap;
        gap: 2px 14px;
        font-size: 11px;
        color: var(--muted);
        margin-top: 4px;
      }
      .key i {
        display: inline-block;
        width: 12px;
        height: 8px;
        margin-right: 5px;
      }
      .notes {
        color: var(--muted);
        font-size: 12px;
        margin-top: 12px;
        max-width: 92em;
      }
      .clickable {
        cursor: pointer;
      }
    `,
  ];
  protected abstract readonly lens: L;
  private readonly remote = new Remote(this, 'analysis/lens', 180);

  /** Parameters of the moment, from the view's options. */
  protected parameters(): MechanismParams {
    return {};
  }

  /** More for the request, of lenses that need it. */
  protected more(): Partial<LensParams> {
    return {};
  }

  protected abstract draw(result: LensResults[L]): TemplateResult;
  protected abstract csvOf(result: LensResults[L]): string;
  protected controls(): TemplateResult | typeof nothing {
    return nothing;
  }

  override willUpdate(): void {
    const { id, summary, shownHead: head } = store;
    this.remote.want(
      id && summary && head
        ? { id, lens: this.lens, ...head, params: this.parameters(), ...this.more() }
        : null,
    );
  }

  protected get result(): LensResults[L] | null {
    return this.remote.value as LensResults[L] | null;
  }

  protected get narrow(): boolean {
    return this.width < 820;
  }

  override render() {
    const { result, remote } = this;
    return html`<div class="controls">${this.controls()}</div>
      ${remote.error || !result ? requestState(remote, t('Looking.')) : nothing}
      ${
        result
          ? html`<div id="figure" class=${store.stale ? 'is-stale' : ''} aria-busy=${remote.loading}>
              ${this.draw(result)}
            </div>`
          : nothing
      }`;
  }

  /** A number that is kept with the view. */
  protected option(name: string, fallback: number): number {
    return store.option(`lens.${this.lens}`, name, fallback);
  }

  protected keep(name: string, value: number): void {
    store.setOption(`lens.${this.lens}`, name, value);
  }

  // ------------------------------------------------------------ saving

  get saveName(): string {
    return `lens-${this.lens}`;
  }

  get figure(): HTMLElement | null {
    return this.renderRoot.querySelector('#figure');
  }

  toCsv(): string | null {
    return this.result && this.csvOf(this.result);
  }
}
