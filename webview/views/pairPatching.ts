import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { PatchParams, PatchedTexts } from '../../shared/protocol/engine';
import { count, signed, tokenLabel } from '../../shared/numbers';
import { patchEdgesRun, patchResidualRun, patchRun } from '../host/longRun';
import { store } from '../host/store';
import { rich, t } from '../host/words';
import { exact } from '../model/amounts';
import { shortName } from '../model/names';
import type { PairSide } from '../model/pairSides';
import { Component } from '../ui/component';
import { segmented } from '../ui/controls';
import { longRunControl } from '../ui/longRun';
import { csvButton } from '../ui/save';
import { patchedCsv, patchedTable, whoCarries, type By, type Patched } from './pairPatched';
import { pairStyles } from './pairStyles';

/** What heads, single tokens of the residual stream, and edges carry from one text into the run of the other. */
@customElement('ai-patching')
export class PatchingPanel extends Component {
  static override styles = [
    ...Component.styles,
    pairStyles,
    css`
      :host {
        display: block;
        margin-top: 16px;
      }
      .controls {
        display: flex;
        flex-wrap: wrap;
        gap: 6px 18px;
        align-items: center;
      }
    `,
  ];
  @property({ attribute: false }) a: PairSide | null = null;
  @property({ attribute: false }) b: PairSide | null = null;

  private get intoA(): boolean {
    return store.option<string>('pair', 'patchInto', 'a') !== 'b';
  }

  private get what(): Patched['part'] {
    const wanted = store.option<string>('pair', 'patchPart', 'heads');
    return wanted === 'residual' || wanted === 'edges' ? wanted : 'heads';
  }

  private get by(): By {
    return store.option<string>('pair', 'patchBy', 'restored') === 'loss' ? 'loss' : 'restored';
  }

  override render(): TemplateResult | typeof nothing {
    const { a, b } = this;
    if (!a || !b || !isTold(a) || !isTold(b)) return nothing;
    const why = refused(a, b);
    return html`<h2>${t('Patching')} <span class="muted">${t('propagated')}</span></h2>
      ${why === null ? this.asked(a, b) : html`<p class="muted">${why}</p>`}`;
  }

  private asked(a: PairSide, b: PairSide): TemplateResult {
    const { intoA, what } = this;
    const [run, from] = intoA ? [a, b] : [b, a];
    const last = a.summary.tokens.ids.length - 1;
    const at = store.selection.token ?? last;
    const name = `“${tokenLabel(run.summary.tokens.text[at] ?? '')}”`;
    const { control, patched } = this.asking({ id: run.id, from: from.id, at }, run);
    return html`<div class="controls">
        ${segmented(
          t('Put'),
          what,
          [
            { value: 'heads', label: t('heads') },
            { value: 'residual', label: t('residual stream') },
            { value: 'edges', label: t('edges of {0}', shortName(run.profile)) },
          ],
          value => store.setOption('pair', 'patchPart', value),
        )}
        ${segmented(
          t('of'),
          intoA ? 'a' : 'b',
          [
            { value: 'a', label: t('B into A') },
            { value: 'b', label: t('A into B') },
          ],
          value => store.setOption('pair', 'patchInto', value),
        )}
        <span class="muted"
          >${store.selection.token === null ? rich('What follows the last token, {0} ({1}), is looked at; pin a token for another.', name, at) : rich('What follows {0} ({1}) is looked at.', name, at)}</span
        >
        ${control}
      </div>
      ${patched ? this.found(patched, run) : nothing}`;
  }

  /** The run of the chosen part, and what it found. */
  private asking(params: PatchParams, { profile }: PairSide): { control: unknown; patched: Patched | null } {
    const { what: part } = this;
    switch (part) {
      case 'heads': {
        const found = patchRun.result(params);
        const control = longRunControl(patchRun, params, {
          label: t('Patch every head'),
          title: t('Run the text once for each head, with that head’s output from the other text'),
        });
        return { control, patched: found && { part, found } };
      }
      case 'residual': {
        const found = patchResidualRun.result(params);
        const control = longRunControl(patchResidualRun, params, {
          label: t('Patch every layer and token'),
          title: t(
            'Run the text once for each layer and token, with that token’s residual stream from the other text',
          ),
        });
        return { control, patched: found && { part, found } };
      }
      case 'edges': {
        const asked = { ...params, core: profile.core, head: profile.head };
        const found = patchEdgesRun.result(asked);
        const control = longRunControl(patchEdgesRun, asked, {
          label: t('Patch the edges that change most'),
          title: t('Run the text once for each edge, with what the head carries over it from the other text'),
        });
        return { control, patched: found && { part, found } };
      }
    }
  }

  private found(patched: Patched, run: PairSide): TemplateResult {
    const { answers } = patched.found;
    const same = answers.own.id === answers.other.id;
    const by = same ? 'loss' : this.by;
    const control = same
      ? nothing
      : segmented(
          t('by'),
          by,
          [
            { value: 'restored', label: t('answer') },
            { value: 'loss', label: t('loss') },
          ],
          value => store.setOption('pair', 'patchBy', value),
        );
    return html`<p role="status">
        ${same ? sameAnswer(patched.found) : this.lead(patched, run)}
        ${csvButton(t('Save what patching changes as CSV'), 'patching', () => patchedCsv(patched))}
      </p>
      ${patchedTable(patched, { run, by, control })}
      ${by === 'loss' && patched.part !== 'edges' ? html`<p class="muted">${t('No colour where the 95 % interval holds 0.')}</p>` : nothing}`;
  }

  /** "At “x” A goes on with “y”, B with “z”: ... L3 H6 carries 45 % of the way." */
  private lead(patched: Patched, run: PairSide): TemplateResult {
    const { answers, differences } = patched.found;
    const [own, other] = this.intoA ? ['A', 'B'] : ['B', 'A'];
    const name = ({ text }: { text: string }) => html`<strong>“${tokenLabel(text, 16)}”</strong>`;
    const logits = (value: number) => html`<span title=${exact(value)}>${signed(value)}</span>`;
    return html`${rich('{0} goes on with {1}, {2} with {3}. The logit of the second less that of the first is {4} in {0} and {5} in {2}.', own, name(answers.own), other, name(answers.other), logits(differences.own), logits(differences.other))}
    ${whoCarries(patched, run)}`;
  }
}

function sameAnswer({ answers }: PatchedTexts): TemplateResult {
  return html`${rich('Both go on with {0}, so only the loss of the whole text tells them apart.', html`<strong>“${tokenLabel(answers.own.text, 16)}”</strong>`)}`;
}

/** Of decoders that predict the text itself, while there is an engine. */
const isTold = ({ summary: { loss, target, sparse } }: PairSide) =>
  !!loss && !loss.masked && !target && !sparse && !store.report;

/** Why the two cannot be patched; null where they can. */
function refused(a: PairSide, b: PairSide): string | null {
  if (a.summary.model.ref !== b.summary.model.ref)
    return t('What one text computes is put into another where both are read by the same model.');
  const [own, other] = [a, b].map(({ summary }) => summary.tokens.ids.length) as [number, number];
  if (own !== other)
    return t(
      'What one text computes is put into another token by token, so both must be equally long: these have {0} and {1} tokens.',
      count(own),
      count(other),
    );
  return null;
}
