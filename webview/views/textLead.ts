import { html, nothing, type TemplateResult } from 'lit';
import type { AnalysisSummary, RunEffect } from '../../shared/protocol/engine';
import { concentration } from '../model/changeNumbers';
import { changeKey, changeSubject, mechanismTitle } from '../model/changes';
import { count, exact, number, tokenLabel } from '../../shared/numbers';
import { headName } from '../model/names';
import { intervalWords } from '../model/certainty';
import { store } from '../host/store';
import type { ChangeSource } from '../../shared/protocol/host';
import { choose } from '../ui/controls';
import { requestState } from '../ui/states';

/** The sentences above the coloured text: each says the whole point of what is shown. */

type Asked = Parameters<typeof requestState>[0];

export function lossLead({ mean, masked }: NonNullable<AnalysisSummary['loss']>): TemplateResult {
  return html`The model's loss is <strong title=${exact(mean, 'nats')}>${number(mean)} nats</strong> per
    ${masked ? 'token, each hidden once behind the mask' : 'token'}; these tokens it predicts worst.`;
}

export function attentionLead(show: 'from' | 'to', found: boolean, row: Asked): TemplateResult {
  const { token } = store.selection;
  const head = store.shownHead;
  if (token === null || !head) return html`Click a token of the text to pin it.`;
  if (!found) return html`${requestState(row, 'Looking.')}`;
  const name = tokenLabel(store.tokens?.text[token] ?? '');
  return show === 'from'
    ? html`Where <strong>“${name}”</strong> looks in ${headName(head)}.`
    : html`Who looks at <strong>“${name}”</strong> in ${headName(head)}.`;
}

/** While the effect of a change is not known. */
export function waitingLead(change: ChangeSource | null, run: Asked): TemplateResult {
  if (!change)
    return html`Nothing has been changed yet: take attention away (select text in the editor, then “Attention:
    Block Attention to Selection”), or list mechanisms in the settings.`;
  if (change.kind === 'interventions') {
    const { notice } = store.interventions;
    return html`<span class="muted">${notice ?? 'The text runs on without it.'}</span>`;
  }
  const title = change.kind === 'mechanism' ? mechanismTitle(change.choice) : 'the plan';
  if (store.report) return html`This report does not hold what ${title} costs each token.`;
  return html`${requestState(run, `The text runs on with ${title}.`)}`;
}

/** "Replacing dense attention by Local window costs 0.12 nats per token; ..." */
export function changeLead(change: ChangeSource, effect: RunEffect): TemplateResult {
  const { delta, measure } = effect;
  const few = concentration(effect);
  const dense = store.summary?.loss?.mean;
  const verb = measure === 'output' ? 'turns the output by' : delta >= 0 ? 'costs' : 'gains';
  const size = measure === 'output' ? number(delta) : `${number(Math.abs(delta))} nats`;
  return html`${changeSubject(change)} ${verb}
    <strong title=${exact(delta, measure === 'loss' ? 'nats' : '1 - cosine')}>${size}</strong> per
    token${
      few
        ? html`; half of ${measure === 'output' ? 'it' : 'what is lost'} falls on
            <strong>${count(few.tokens)} of ${count(few.of)}</strong> tokens, and these
            ${measure === 'output' ? 'turn' : 'pay'} most.`
        : '.'
    }
    <span class="muted"
      >(${intervalWords(effect.perToken)}propagated${
        measure === 'output'
          ? ', 1 − cosine'
          : dense === undefined
            ? ''
            : `: loss ${number(dense)} → ${number(dense + delta)}`
      })</span
    >`;
}

/** Which change is shown: of what there is, one. */
export function changeChoice(change: ChangeSource | null): TemplateResult | typeof nothing {
  const choices: { source: ChangeSource; label: string }[] = [];
  if (store.interventions.list.length > 0)
    choices.push({ source: { kind: 'interventions' }, label: 'what was taken away' });
  if (store.plan) choices.push({ source: { kind: 'plan' }, label: 'the plan' });
  const seen = new Set<string>();
  for (const { setting: choice } of store.mechanisms) {
    const source: ChangeSource = { kind: 'mechanism', choice };
    if (seen.has(changeKey(source))) continue;
    seen.add(changeKey(source));
    choices.push({ source, label: mechanismTitle(source.choice) });
  }
  if (change && !choices.some(({ source }) => changeKey(source) === changeKey(change)))
    choices.push({ source: change, label: changeSubject(change) });
  if (!change || choices.length === 0) return nothing;
  return choose(
    'under',
    changeKey(change),
    choices.map(({ source, label }) => ({ value: changeKey(source), label })),
    key => {
      const chosen = choices.find(({ source }) => changeKey(source) === key);
      if (chosen) store.select({ change: chosen.source });
    },
  );
}
