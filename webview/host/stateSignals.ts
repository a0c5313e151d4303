/** What can be read of the state, each as a signal that tells of nothing else: what stays the same object has not changed. */
import { computed, type ReadonlySignal } from '@preact/signals-core';
import type { CoreResult, MechanismResult } from '../../shared/protocol/engine';
import { NO_INTERVENTIONS, type AnalysisState } from '../../shared/protocol/host';
import { begun, resultsOf } from '../../shared/host/analysisState';
import { INITIAL_STATE, type HostState } from '../../shared/host/hostState';

type Parts<T> = { readonly [K in keyof T]: ReadonlySignal<T[K]> };

/** A signal for each field of the state. */
export function partsOf(state: ReadonlySignal<HostState>): Parts<HostState> {
  const fields = Object.keys(INITIAL_STATE) as (keyof HostState)[];
  return Object.fromEntries(
    fields.map(field => [field, computed(() => state.value[field])]),
  ) as Parts<HostState>;
}

const NO_CORES: CoreResult[] = [];
const NO_RESULTS: MechanismResult[] = [];

/** A signal for each thing that is known of an analysis, at whatever stage it is. */
export function analysisPartsOf(analysis: ReadonlySignal<AnalysisState>) {
  const running = computed(() => (analysis.value.status === 'running' ? analysis.value : null));
  const ready = computed(() => (analysis.value.status === 'ready' ? analysis.value : null));
  const arrived = computed(() => running.value?.cores ?? NO_CORES);
  const inOrder = computed(() => [...arrived.value].sort((a, b) => a.info.core - b.info.core));
  return {
    id: computed(() => (running.value ?? ready.value)?.id ?? null),
    progress: computed(() => running.value?.progress ?? null),
    summary: computed(() => ready.value?.summary ?? null),
    stale: computed(() => ready.value?.stale ?? false),
    plan: computed(() => ready.value?.plan ?? null),
    ablation: computed(() => ready.value?.ablation ?? null),
    planning: computed(() => ready.value?.planning ?? null),
    interventions: computed(() => ready.value?.interventions ?? NO_INTERVENTIONS),
    model: computed(() => begun(analysis.value)?.model ?? null),
    tokens: computed(() => begun(analysis.value)?.tokens ?? null),
    target: computed(() => begun(analysis.value)?.target ?? null),
    cores: computed(() => ready.value?.summary.cores ?? inOrder.value),
    mechanisms: computed(() =>
      analysis.value.status === 'none' || analysis.value.status === 'error'
        ? NO_RESULTS
        : resultsOf(analysis.value),
    ),
  };
}
