import { html, nothing, type TemplateResult } from 'lit';
import type { HostCommand, ViewName } from '../../shared/protocol/host';
import { fractionOf } from '../../shared/host/analysisState';
import { percent } from '../../shared/numbers';
import { store } from '../host/store';
import { said, t } from '../host/words';
import { button } from './controls';

export const run = (command: HostCommand) => store.host.send({ type: 'run', command });

const COMMAND_LABELS: Record<HostCommand, string> = {
  analyze: t('Analyze the text'),
  analyzeInFront: t('Analyze it'),
  trySample: t('Try the sample'),
  analyzeSelection: t('Analyze the selection'),
  cancel: t('Cancel'),
  clear: t('Clear'),
  selectModel: t('Select a model'),
  selectHead: t('Select a head'),
  compare: t('Compare mechanisms'),
  restartEngine: t('Restart the engine'),
  showLog: t('Show the log'),
  openPanel: t('Open the large views'),
  openSettings: t('Open the settings'),
  openDeviceSetting: t('Choose another device'),
  manageTrust: t('Manage workspace trust'),
  undoIntervention: t('Undo the last intervention'),
  clearInterventions: t('Clear the interventions'),
  profileFolder: t('Profile a folder'),
  exportCorpus: t('Save as an HTML report'),
};

/** What each view will show, for the time before there is anything to show. */
const PROMISES: Partial<Record<ViewName | 'side', string>> = {
  overview: t(
    'Every head of the model on your text: where it looks, what role it plays, and how the heads compare.',
  ),
  head: t('The whole attention map of one head, from all tokens at once down to single words.'),
  spans: t('How far back each head really looks, and how short its span could be made.'),
  buckets: t('Which tokens LSH or routing would put together, and what attention they would miss.'),
  compare: t(
    'What each mechanism would keep of every head and what it costs, and the plan that gives each head its own.',
  ),
  cost: t(
    'What each mechanism costs in time, memory and pairs as the text grows, and from where it beats dense attention.',
  ),
  text: t(
    'What forgetting costs: your text, each token coloured by how much a change of the attention hurts it.',
  ),
  lenses: t(
    'What cannot stand in a model trained dense, on your text: FlashAttention, experts, retrieval, simpler blocks, scaling.',
  ),
  pair: t('Two heads, two settings or two texts side by side, and the difference between them.'),
  side: t('Analyze the text in the editor to see where each attention head of the model looks.'),
};

/** Shown instead of a view while there is nothing to show; null when the view can draw. */
export function emptyState(view: ViewName | 'side'): TemplateResult | null {
  const { analysis } = store;
  if (!store.connected) return html`<div class="state" aria-busy="true"></div>`;
  if (analysis.status === 'none') {
    return html`<div class="state">
      <p>${PROMISES[view]}</p>
      <div class="buttons">
        ${button(COMMAND_LABELS.analyze, () => run('analyze'))}
        ${button(COMMAND_LABELS.trySample, () => run('trySample'), { secondary: true })}
      </div>
    </div>`;
  }
  if (analysis.status === 'error') {
    return html`<div class="state" role="alert">
      <p>
        ${analysis.document ? html`<strong>${t('The analysis did not finish.')}</strong>` : null}
        ${analysis.message}
      </p>
      <div class="buttons">
        ${analysis.actions.map((command, i) =>
          button(COMMAND_LABELS[command], () => run(command), { secondary: i > 0 }),
        )}
      </div>
    </div>`;
  }
  return null;
}

/** Above a view: another text that is in front, progress while running, "the text has changed" when stale. */
export function statusLine(): TemplateResult {
  return html`${otherText()}${stage()}`;
}

/** What is shown is not taken for that of a text that was never analyzed. */
function otherText(): TemplateResult | typeof nothing {
  const { inFront, analysis } = store;
  if (!inFront || !('document' in analysis) || !analysis.document) return nothing;
  return html`<div class="status stale" role="status" data-no-export>
    <span>${t('{0} was not analyzed: this is {1}.', inFront, analysis.document.name)}</span>
    ${button(COMMAND_LABELS.analyzeInFront, () => run('analyzeInFront'))}
  </div>`;
}

function stage(): TemplateResult | typeof nothing {
  const { analysis } = store;
  if (analysis.status === 'running') {
    const fraction = fractionOf(analysis.progress);
    const done = fraction ?? 0;
    return html`<div class="status" role="status">
      <div
        class="progress"
        role="progressbar"
        aria-label=${t('Analysis')}
        aria-valuemin="0"
        aria-valuemax="100"
        aria-valuenow=${Math.round(done * 100)}
      >
        <div .style=${`width: ${(done * 100).toFixed(1)}%`}></div>
      </div>
      <span
        >${analysis.progress ? said(analysis.progress.message) : t('Starting the engine')}${fraction === null ? nothing : ` (${percent(fraction)})`}</span
      >
      <button class="link" data-no-export @click=${() => run('cancel')}>${t('Cancel')}</button>
    </div>`;
  }
  if (store.stale) {
    return html`<div class="status stale" role="status">
      <span>${t('The text has changed since this analysis.')}</span>
      ${button(t('Analyze again'), () => run('analyze'))}
    </div>`;
  }
  return nothing;
}

/** A place that a request will fill: nothing while it is quick, the reason when it failed, with another try where that can help. */
export function requestState(
  remote: { error: string | null; final: boolean; loading: boolean; retry(): void },
  waiting: string,
) {
  if (remote.error) {
    return html`<p role="alert">
      ${remote.error}
      ${
        store.report || remote.final
          ? nothing
          : html`<button class="link" data-no-export @click=${() => remote.retry()}>
              ${t('Try again')}
            </button>`
      }
    </p>`;
  }
  return remote.loading ? html`<p class="muted" role="status">${waiting}</p>` : nothing;
}
