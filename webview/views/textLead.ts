import { html, nothing, type TemplateResult } from 'lit';
import type { AnalysisSummary, RunEffect } from '../../shared/protocol/engine';
import { concentration } from '../model/changeNumbers';
import { changeKey, changeSubject, mechanismTitle } from '../model/changes';
import { count, number, tokenLabel } from '../../shared/numbers';
import { exact } from '../model/amounts';
import { headName } from '../model/names';
import { intervalWords } from '../model/certainty';
import { embeddingWords } from '../model/embedding';
import type { Remote } from '../host/remote';
import { store } from '../host/store';
import type { ChangeSource } from '../../shared/protocol/host';
import { choose } from '../ui/controls';
import { requestState } from '../ui/states';
import { rolloutWaits, rolloutWords } from '../ui/wholeModel';
import { rich, t } from '../host/words';

/** The sentences above the coloured text: each says the whole point of what is shown. */

type Asked = Parameters<typeof requestState>[0];

export function lossLead({ mean, masked }: NonNullable<AnalysisSummary['loss']>): TemplateResult {
  return html`${rich("The model's loss is {0} per {1}; these tokens it predicts worst.", html`<strong title=${exact(mean, 'nats')}>${rich('{0} nats', number(mean))}</strong>`, masked ? t('token, each hidden once behind the mask') : t('token'))}`;
}

export function attentionLead(show: 'from' | 'to', found: boolean, row: Asked): TemplateResult {
  const { token } = store.selection;
  const head = store.shownHead;
  if (token === null || !head) return html`${t('Click a token of the text to pin it.')}`;
  if (!found) return html`${requestState(row, t('Looking.'))}`;
  const name = tokenLabel(store.tokens?.text[token] ?? '');
  return show === 'from'
    ? html`${rich('Where {0} looks in {1}.', html`<strong>“${name}”</strong>`, headName(head))}`
    : html`${rich('Who looks at {0} in {1}.', html`<strong>“${name}”</strong>`, headName(head))}`;
}

/** Where what a token holds came from, by the attention of all layers. */
export function rolloutLead(found: boolean, rollout: Remote<'analysis/rollout'>): TemplateResult {
  const { token } = store.selection;
  if (token === null) return html`${t('Click a token of the text to pin it.')}`;
  if (!found) return html`${rolloutWaits(rollout)}`;
  const name = tokenLabel(store.tokens?.text[token] ?? '');
  return html`${rich('Where what {0} holds came from, in the whole model.', html`<strong>“${name}”</strong>`)}
    <span class="muted">${rolloutWords()}</span>`;
}

/** While the effect of a change is not known. */
export function waitingLead(change: ChangeSource | null, run: Asked): TemplateResult {
  if (!change)
    return html`${t('Nothing has been changed yet: take attention away (select text in the editor, then “Attention: Block Attention to Selection”), or list mechanisms in the settings.')}`;
  if (change.kind === 'interventions') {
    const { notice } = store.interventions;
    return html`<span class="muted">${notice ?? t('The text runs on without it.')}</span>`;
  }
  const title = change.kind === 'mechanism' ? mechanismTitle(change.choice) : t('the plan');
  if (store.report) return html`${rich('This report does not hold what {0} costs each token.', title)}`;
  return html`${requestState(run, t('The text runs on with {0}.', title))}`;
}

/** "Replacing dense attention by Local window costs 0.12 nats per token; ..." */
export function changeLead(change: ChangeSource, effect: RunEffect): TemplateResult {
  const { delta, measure } = effect;
  const few = concentration(effect);
  const dense = store.summary?.loss?.mean;
  const verb = measure === 'output' ? t('turns the output by') : delta >= 0 ? t('costs') : t('gains');
  const size = measure === 'output' ? number(delta) : t('{0} nats', number(Math.abs(delta)));
  return html`${rich(
    '{0} {1} {2} per token{3} {4}',
    changeSubject(change),
    verb,
    html`<strong title=${exact(delta, measure === 'loss' ? 'nats' : '1 - cosine')}>${size}</strong>`,
    few
      ? html`${rich('; half of {0} falls on {1} tokens, and these {2} most.', measure === 'output' ? t('it') : t('what is lost'), html`<strong>${rich('{0} of {1}', count(few.tokens), count(few.of))}</strong>`, measure === 'output' ? t('turn') : t('pay'))}`
      : '.',
    html`<span class="muted"
      >${rich(
        '({0}propagated{1})',
        intervalWords(effect.perToken),
        measure === 'output'
          ? t(', 1 − cosine')
          : dense === undefined
            ? ''
            : t(': loss {0} → {1}', number(dense), number(dense + delta)),
      )}</span
    >`,
  )}${effect.embedding ? html` <span class="muted">${embeddingWords(effect.embedding)}.</span>` : nothing}`;
}

/** Which change is shown: of what there is, one. */
export function changeChoice(change: ChangeSource | null): TemplateResult | typeof nothing {
  const choices: { source: ChangeSource; label: string }[] = [];
  if (store.interventions.list.length > 0)
    choices.push({ source: { kind: 'interventions' }, label: t('what was taken away') });
  if (store.plan) choices.push({ source: { kind: 'plan' }, label: t('the plan') });
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
    t('under'),
    changeKey(change),
    choices.map(({ source, label }) => ({ value: changeKey(source), label })),
    key => {
      const chosen = choices.find(({ source }) => changeKey(source) === key);
      if (chosen) store.select({ change: chosen.source });
    },
  );
}
