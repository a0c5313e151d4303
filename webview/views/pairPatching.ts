import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { PatchParams, PatchedHead, Patching } from '../../shared/protocol/engine';
import { count, csv, signed, tokenLabel } from '../../shared/numbers';
import { patchRun } from '../host/longRun';
import { store } from '../host/store';
import { rich, t } from '../host/words';
import { exact, interval } from '../model/amounts';
import { shortName } from '../model/names';
import { change } from '../model/pairQuantity';
import type { PairSide } from '../model/pairSides';
import { headKey } from '../model/tried';
import { Component } from '../ui/component';
import { segmented } from '../ui/controls';
import { longRunControl } from '../ui/longRun';
import { csvButton } from '../ui/save';
import { headCells, type HeadCell } from './headCells';
import { pairStyles } from './pairStyles';

type By = 'restored' | 'loss';

/** Heads that are named. */
const NAMED = 3;
/** Less than this of the way is not worth naming. */
const WORTH_NAMING = 0.01;

/** What each head's output carries from one text into the run of the other. */
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
    const { intoA } = this;
    const [run, from] = intoA ? [a, b] : [b, a];
    const last = a.summary.tokens.ids.length - 1;
    const at = store.selection.token ?? last;
    const params: PatchParams = { id: run.id, from: from.id, at };
    const found = patchRun.result(params);
    const name = `“${tokenLabel(run.summary.tokens.text[at] ?? '')}”`;
    return html`<div class="controls">
        ${segmented(
          t('Put'),
          intoA ? 'a' : 'b',
          [
            { value: 'a', label: t('heads of B into A') },
            { value: 'b', label: t('heads of A into B') },
          ],
          value => store.setOption('pair', 'patchInto', value),
        )}
        <span class="muted"
          >${store.selection.token === null ? rich('What follows the last token, {0} ({1}), is looked at; pin a token for another.', name, at) : rich('What follows {0} ({1}) is looked at.', name, at)}</span
        >
        ${longRunControl(patchRun, params, {
          label: t('Patch every head'),
          title: t('Run the text once for each head, with that head’s output from the other text'),
        })}
      </div>
      ${found ? this.found(found, run) : nothing}`;
  }

  private found(found: Patching, run: PairSide): TemplateResult {
    const same = found.answers.own.id === found.answers.other.id;
    const by = same ? 'loss' : this.by;
    const heads = new Map(found.heads.map(head => [headKey(head), head]));
    return html`<p role="status">
        ${same ? sameAnswer(found) : this.lead(found)}
        ${csvButton(t('Save what patching each head changes as CSV'), 'patching', () => patchingCsv(found))}
      </p>
      ${headCells({
        title:
          by === 'loss'
            ? t('What the loss grows by, with each head from the other text')
            : t('How far each head carries the answer to that of the other text'),
        label: by === 'loss' ? t('loss, nats') : t('of the way'),
        cores: run.summary.cores,
        shown: headKey(run.profile),
        write: by === 'loss' ? signed : change,
        of: key => cellOf(heads.get(key), by),
        control: same
          ? nothing
          : segmented(
              t('by'),
              by,
              [
                { value: 'restored', label: t('answer') },
                { value: 'loss', label: t('loss') },
              ],
              value => store.setOption('pair', 'patchBy', value),
            ),
      })}
      ${by === 'loss' ? html`<p class="muted">${t('No colour where the 95 % interval holds 0.')}</p>` : nothing}`;
  }

  /** "At “x” A goes on with “y”, B with “z”: ... L3 H6 carries 45 % of the way." */
  private lead({ answers, differences, heads }: Patching): TemplateResult {
    const [own, other] = this.intoA ? ['A', 'B'] : ['B', 'A'];
    const name = ({ text }: { text: string }) => html`<strong>“${tokenLabel(text, 16)}”</strong>`;
    const logits = (value: number) => html`<span title=${exact(value)}>${signed(value)}</span>`;
    const most = [...heads]
      .filter(head => Math.abs(head.restored ?? 0) >= WORTH_NAMING)
      .sort((x, y) => Math.abs(y.restored!) - Math.abs(x.restored!))
      .slice(0, NAMED);
    const named = most.map(head => `${shortName(head)} (${change(head.restored!)})`).join(', ');
    return html`${rich('{0} goes on with {1}, {2} with {3}. The logit of the second less that of the first is {4} in {0} and {5} in {2}.', own, name(answers.own), other, name(answers.other), logits(differences.own), logits(differences.other))}
    ${named ? rich('Of that way, one head by itself carries most: {0}.', named) : t('No head by itself carries more than 1 % of that way.')}`;
  }
}

function sameAnswer({ answers }: Patching): TemplateResult {
  return html`${rich('Both go on with {0}, so only the loss of the whole text tells heads apart.', html`<strong>“${tokenLabel(answers.own.text, 16)}”</strong>`)}`;
}

/** Of decoders that predict the text itself, while there is an engine. */
const isTold = ({ summary: { loss, target, sparse } }: PairSide) =>
  !!loss && !loss.masked && !target && !sparse && !store.report;

/** Why the two cannot be patched; null where they can. */
function refused(a: PairSide, b: PairSide): string | null {
  if (a.summary.model.ref !== b.summary.model.ref)
    return t('Heads are put from one text into another where both are read by the same model.');
  const [own, other] = [a, b].map(({ summary }) => summary.tokens.ids.length) as [number, number];
  if (own !== other)
    return t(
      'Heads are put from one text into another token by token, so both must be equally long: these have {0} and {1} tokens.',
      count(own),
      count(other),
    );
  return null;
}

function cellOf(head: PatchedHead | undefined, by: By): HeadCell | null {
  if (!head) return null;
  const { loss, restored, difference } = head;
  const title = t(
    'loss {0} nats (95 %: {1}); difference of the logits {2}',
    signed(loss.delta),
    interval(loss),
    signed(difference),
  );
  if (by === 'loss') return { value: loss.delta, title, undecided: loss.low <= 0 && loss.high >= 0 };
  return restored === null ? null : { value: restored, title: `${exact(restored * 100, '%')}; ${title}` };
}

function patchingCsv({ at, answers, heads }: Patching): string {
  return csv(
    [
      ...['token', 'own answer', 'other answer', 'core', 'layer', 'head', 'restored [share]'],
      ...['logit difference', 'loss change [nats]', 'loss change, 95 % low', 'loss change, 95 % high'],
    ],
    heads.map(({ core, layer, head, restored, difference, loss }) => [
      ...[at, answers.own.text, answers.other.text, core, layer, head, restored],
      ...[difference, loss.delta, loss.low, loss.high],
    ]),
  );
}
