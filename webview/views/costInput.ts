import { html, nothing, type TemplateResult } from 'lit';
import { percent } from '../../shared/numbers';
import type { CostMeasure } from '../model/cost';
import { costRun, forwardRun } from '../host/costRun';
import { store } from '../host/store';
import { button, choose, segmented } from '../ui/controls';
import { saveMenu, type Savable } from '../ui/save';
import { rich, said, t } from '../host/words';

/** Lengths that are measured. */
export const MEASURED = [256, 512, 1024, 2048, 4096, 8192];

export const MEASURES: { value: CostMeasure; label: string }[] = [
  { value: 'time', label: t('time') },
  { value: 'memory', label: t('memory') },
  { value: 'pairs', label: t('pairs') },
  { value: 'flops', label: t('operations') },
  { value: 'blocks', label: t('blocks') },
  { value: 'kv', label: t('key/value cache') },
];

/** Told of most mechanisms by runs alone: a report holds none. */
const NEEDS_RUNS: ReadonlySet<CostMeasure> = new Set(['time', 'blocks', 'kv']);

// ---------------------------------------------------------------- which measure, which mechanisms

/** Until this machine was measured, what follows from formulas says more than an empty plot. */
export function askedMeasure(isMeasured: boolean): CostMeasure {
  const first = !store.report && (costRun.running || isMeasured) ? 'time' : 'memory';
  const asked = store.option<string>('cost', 'measure', first) as CostMeasure;
  return store.report && NEEDS_RUNS.has(asked) ? first : asked;
}

const SHOWN = 'local,strided,adaptive-span,lsh,routing,bp,performer';

export function shownNames(): Set<string> {
  return new Set(store.option<string>('cost', 'shown', SHOWN).split(',').filter(Boolean));
}

export function toggleShown(name: string): void {
  const shown = shownNames();
  if (!shown.delete(name)) shown.add(name);
  store.setOption('cost', 'shown', [...shown].join(','));
}

// ---------------------------------------------------------------- controls

export function costToolbar(
  view: Savable & HTMLElement,
  measure: CostMeasure,
  { known, narrow, start }: { known: boolean; narrow: boolean; start(): void },
): TemplateResult {
  const measures = store.report ? MEASURES.filter(({ value }) => !NEEDS_RUNS.has(value)) : MEASURES;
  return html`<div class="toolbar">
    ${(narrow ? choose : segmented)(t('Show'), measure, measures, value => store.setOption('cost', 'measure', value))}
    ${segmented(
      t('of'),
      store.option<string>('cost', 'of', 'model'),
      [
        { value: 'model', label: t('all heads') },
        { value: 'head', label: t('one head') },
      ],
      value => store.setOption('cost', 'of', value),
    )}
    ${costRun.running ? measuring() : store.report ? nothing : measureButton(known, start)}
    <span class="end">${saveMenu(view)}</span>
  </div>`;
}

function measuring(): TemplateResult {
  const fraction = store.cost?.fraction ?? 0;
  return html`<span class="status" role="status"
    ><span
      class="progress"
      role="progressbar"
      aria-label=${t('Measuring')}
      aria-valuemin="0"
      aria-valuemax="100"
      aria-valuenow=${Math.round(fraction * 100)}
      ><div .style=${`width: ${(fraction * 100).toFixed(1)}%`}></div></span
    >${store.cost ? said(store.cost.message) : t('Measuring')}
    <button class="link" data-no-export @click=${() => costRun.cancel()}>${t('Cancel')}</button></span
  >`;
}

function measureButton(known: boolean, start: () => void): TemplateResult {
  return button(known ? t('Measure again') : t('Measure on this machine'), start, {
    secondary: known,
    title: t('Times the mechanisms that are shown, on random heads of this shape'),
  });
}

/** Times a forward of the shown text, or stops that. */
export function forwardButton(): TemplateResult {
  const { id } = store;
  if (forwardRun.runs(id))
    return html`<p role="status">
      ${rich('The model runs ({0}).', percent(store.cost?.fraction ?? 0))}
      <button class="link" data-no-export @click=${() => forwardRun.cancel()}>${t('Cancel')}</button>
    </p>`;
  const start = () => id && void forwardRun.start(id);
  return button(forwardRun.times(id) ? t('Time it again') : t('Time a forward'), start, { secondary: true });
}
