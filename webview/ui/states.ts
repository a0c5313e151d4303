import { html, nothing, type TemplateResult } from 'lit';
import type { HostCommand, ViewName } from '../../shared/protocol/host';
import { percent } from '../../shared/numbers';
import { store } from '../host/store';
import { button } from './controls';

export const run = (command: HostCommand) => store.host.send({ type: 'run', command });

const COMMAND_LABELS: Record<HostCommand, string> = {
  analyze: 'Analyze the text',
  analyzeInFront: 'Analyze it',
  trySample: 'Try the sample',
  analyzeSelection: 'Analyze the selection',
  cancel: 'Cancel',
  clear: 'Clear',
  selectModel: 'Select a model',
  selectHead: 'Select a head',
  compare: 'Compare mechanisms',
  restartEngine: 'Restart the engine',
  showLog: 'Show the log',
  openPanel: 'Open the large views',
  openSettings: 'Open the settings',
  manageTrust: 'Manage workspace trust',
  undoIntervention: 'Undo the last intervention',
  clearInterventions: 'Clear the interventions',
  profileFolder: 'Profile a folder',
};

/** What each view will show, for the time before there is anything to show. */
const PROMISES: Partial<Record<ViewName | 'side', string>> = {
  overview:
    'Every head of the model on your text: where it looks, what role it plays, and how the heads compare.',
  head: 'The whole attention map of one head, from all tokens at once down to single words.',
  spans: 'How far back each head really looks, and how short its span could be made.',
  buckets: 'Which tokens LSH or routing would put together, and what attention they would miss.',
  compare:
    'What each mechanism would keep of every head and what it costs, and the plan that gives each head its own.',
  cost: 'What each mechanism costs in time, memory and pairs as the text grows, and from where it beats dense attention.',
  text: 'What forgetting costs: your text, each token coloured by how much a change of the attention hurts it.',
  lenses:
    'What cannot stand in a model trained dense, on your text: FlashAttention, experts, retrieval, simpler blocks, scaling.',
  side: 'Analyze the text in the editor to see where each attention head of the model looks.',
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
        ${analysis.document ? html`<strong>The analysis did not finish.</strong>` : null} ${analysis.message}
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
    <span
      ><strong>${inFront}</strong> was not analyzed: this is <strong>${analysis.document.name}</strong>.</span
    >
    ${button(COMMAND_LABELS.analyzeInFront, () => run('analyzeInFront'))}
  </div>`;
}

function stage(): TemplateResult | typeof nothing {
  const { analysis } = store;
  if (analysis.status === 'running') {
    const fraction = analysis.progress?.fraction ?? 0;
    return html`<div class="status" role="status">
      <div
        class="progress"
        role="progressbar"
        aria-label="Analysis"
        aria-valuemin="0"
        aria-valuemax="100"
        aria-valuenow=${Math.round(fraction * 100)}
      >
        <div .style=${`width: ${(fraction * 100).toFixed(1)}%`}></div>
      </div>
      <span
        >${analysis.progress?.message ?? 'Starting the engine'}${
          // While the model is read or downloaded, the message says how far.
          analysis.progress && analysis.progress.phase !== 'model' ? ` (${percent(fraction)})` : nothing
        }</span
      >
      <button class="link" data-no-export @click=${() => run('cancel')}>Cancel</button>
    </div>`;
  }
  if (store.stale) {
    return html`<div class="status stale" role="status">
      <span>The text has changed since this analysis.</span>
      ${button('Analyze again', () => run('analyze'))}
    </div>`;
  }
  return nothing;
}

/** A place that a request will fill: nothing while it is quick, the reason when it failed. */
export function requestState(
  remote: { error: string | null; loading: boolean; retry(): void },
  waiting: string,
) {
  if (remote.error) {
    return html`<p role="alert">
      ${remote.error}
      ${
        store.report
          ? nothing
          : html`<button class="link" data-no-export @click=${() => remote.retry()}>Try again</button>`
      }
    </p>`;
  }
  return remote.loading ? html`<p class="muted" role="status">${waiting}</p>` : nothing;
}
