import { css, html, nothing, svg, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { Change, LossGroup, LossGroups, Setting } from '../../shared/protocol/engine';
import { count, csv, number, signed } from '../../shared/numbers';
import { Remote } from '../host/remote';
import { store } from '../host/store';
import { rich, t } from '../host/words';
import { exact, interval } from '../model/amounts';
import { mechanismNames } from '../model/mechanismNames';
import { otherTitle } from '../model/pairSides';
import { Component } from '../ui/component';
import { choose } from '../ui/controls';
import { csvButton } from '../ui/save';
import { requestState } from '../ui/states';

/** Pixels of the picture in each row. */
const WIDE = 130;

/** The loss by how frequent tokens are and by how much stands before them, and what mechanisms add to it in each group. */
@customElement('ai-loss-groups')
export class LossGroupsTable extends Component {
  static override styles = [
    ...Component.styles,
    css`
      :host {
        display: block;
        margin-top: 16px;
      }
      .two {
        display: flex;
        flex-wrap: wrap;
        gap: 12px 40px;
        align-items: flex-start;
      }
      section {
        min-width: 0;
        max-width: 100%;
      }
      .scroll {
        overflow-x: auto;
      }
      th {
        vertical-align: bottom;
      }
      td,
      th {
        white-space: nowrap;
      }
      .range {
        color: var(--muted);
        font-size: 0.9em;
      }
      svg {
        display: block;
        overflow: visible;
      }
      .whisker {
        stroke: var(--accent);
        stroke-width: 2;
      }
      .mean {
        fill: var(--accent);
      }
    `,
  ];
  private readonly groups = new Remote(this, 'analysis/lossGroups');
  private readonly reference = new Remote(this, 'host/text');

  /** The text whose tokens are counted: the analysed one, or another that was analysed. */
  private get counted(): string {
    const id = store.option<string>('text', 'reference', '');
    return store.others.some(one => one.id === id) ? id : '';
  }

  /** Those that the text was run with already. */
  private get mechanisms(): Setting[] {
    return store.mechanisms
      .filter(({ scope, deltaLossPerToken }) => scope === 'propagated' && deltaLossPerToken)
      .map(({ setting }) => setting);
  }

  override willUpdate(): void {
    const { counted } = this;
    const { id } = store;
    const wanted = id && store.summary?.loss && store.asksDense;
    this.reference.want(wanted && counted ? { id: counted } : null);
    const known = this.reference.answers?.id === counted ? this.reference.value : null;
    const reference = counted === '' ? null : known;
    const waits = counted !== '' && known === null;
    this.groups.want(wanted && !waits ? { id, reference, mechanisms: this.mechanisms } : null);
  }

  override render(): TemplateResult | typeof nothing {
    if (!store.summary?.loss || !store.asksDense) return nothing;
    const { value, error } = this.groups;
    return html`${value && !error ? this.found(value) : requestState(this.groups, t('The loss is put into groups.'))}`;
  }

  private found(found: LossGroups): TemplateResult {
    const names = mechanismNames(this.groups.answers?.mechanisms ?? []);
    const others = store.others.map(one => ({ value: one.id, label: otherTitle(one) }));
    const most = Math.max(...[...found.frequency, ...found.context].map(({ loss }) => loss.high));
    return html`<div class="two" aria-busy=${this.groups.loading}>
      <section>
        <h2>${t('Loss by frequency')}</h2>
        ${
          others.length > 0
            ? choose(
                t('occurrences in'),
                this.counted,
                [{ value: '', label: t('this text') }, ...others],
                id => store.setOption('text', 'reference', id),
              )
            : nothing
        }
        ${groupTable(t('occurrences'), found.frequency, names, most)}
        <p class="muted">
          ${rich('How often the predicted token stands among {0} tokens.', count(found.referenceTokens))}
          ${csvButton(t('Save the loss by groups as CSV'), 'loss-groups', () => groupsCsv(found, names))}
        </p>
      </section>
      ${
        found.context.length > 0
          ? html`<section>
              <h2>${t('Loss by context')}</h2>
              ${groupTable(t('tokens before'), found.context, names, most)}
              <p class="muted">${contextWords(found.effectiveContext)}</p>
            </section>`
          : nothing
      }
    </div>`;
  }
}

/** `from`: as `LossGroups.effectiveContext`. */
function contextWords(from: number | null) {
  if (from === null) return t('The text is too short to tell how much context helps.');
  if (from <= 1) return t('On this text more context does not predict better beyond chance.');
  return rich(
    'Effective context: from {0} tokens before on, more of them no longer predict better beyond chance.',
    html`<strong>${count(from)}</strong>`,
  );
}

function groupTable(
  title: string,
  groups: readonly LossGroup[],
  names: readonly string[],
  most: number,
): TemplateResult {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('Loss by {0}', title)}>
    <table>
      <tr>
        <th scope="col">${title}</th>
        <th scope="col">${t('tokens')}</th>
        <th scope="col" colspan="2">${t('loss, nats (95 %)')}</th>
        ${names.map(name => html`<th scope="col">${rich('{0}, change', name)}</th>`)}
      </tr>
      ${groups.map(
        group =>
          html`<tr>
            <th scope="row">${rangeOf(group)}</th>
            <td class="number">${count(group.tokens)}</td>
            <td>${whisker(group.loss, most)}</td>
            <td class="number" title=${exact(group.loss.mean, 'nats')}>
              ${number(group.loss.mean)}
              <span class="range"
                >${rich('{0} to {1}', number(group.loss.low), number(group.loss.high))}</span
              >
            </td>
            ${group.changes.map(changeCell)}
          </tr>`,
      )}
    </table>
  </div>`;
}

function changeCell(change: Change): TemplateResult {
  return html`<td class="number" title=${exact(change.delta, 'nats')}>
    ${signed(change.delta)} <span class="range">${interval(change)}</span>
  </td>`;
}

/** The mean and its interval, from nothing to the largest of all groups. */
function whisker({ mean, low, high }: LossGroup['loss'], most: number): TemplateResult {
  const x = (value: number) => Math.max(0, Math.min(1, value / most)) * (WIDE - 8) + 4;
  return html`<svg width=${WIDE} height="14" aria-hidden="true">
    ${svg`<line class="whisker" x1=${x(low)} x2=${x(high)} y1="7" y2="7"></line>
      <circle class="mean" cx=${x(mean)} cy="7" r="4"></circle>`}
  </svg>`;
}

function rangeOf({ from, to }: LossGroup): string {
  if (to === null) return t('{0} or more', count(from));
  return from === to ? count(from) : `${count(from)}–${count(to)}`;
}

function groupsCsv({ frequency, context }: LossGroups, names: readonly string[]): string {
  const rows = (what: string, groups: readonly LossGroup[]) =>
    groups.map(({ from, to, tokens, loss, changes }) => [
      ...[what, from, to, tokens, loss.mean, loss.low, loss.high],
      ...changes.flatMap(({ delta, low, high }) => [delta, low, high]),
    ]);
  return csv(
    [
      ...['by', 'from', 'to', 'tokens', 'loss [nats]', '95 % low', '95 % high'],
      ...names.flatMap(name => [`change: ${name} [nats]`, '95 % low', '95 % high']),
    ],
    [...rows('frequency', frequency), ...rows('context', context)],
  );
}
