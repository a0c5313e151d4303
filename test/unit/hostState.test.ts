import assert from 'node:assert/strict';
import {
  fractionOf,
  readyState,
  runningState,
  updated,
  type AnalysisUpdate,
  notesOnText,
} from '../../shared/host/analysisState';
import { INITIAL_STATE, told } from '../../shared/host/hostState';
import { effect, signal } from '@preact/signals-core';
import { analysisPartsOf, partsOf } from '../../webview/host/stateSignals';
import { changedSelection } from '../../shared/host/selection';
import type { AnalysisSummary, CoreResult, MechanismResult } from '../../shared/protocol/engine';
import { Intervener } from '../../shared/host/intervener';
import { NO_INTERVENTIONS, NO_SELECTION, type AnalysisState } from '../../shared/protocol/host';
import { setting } from '../support/settings';

const document = { uri: 'file:///a', name: 'a', length: 1, selectionStart: null };
const result = (params: Record<string, unknown>, scope: 'local' | 'propagated' = 'local') =>
  ({ setting: setting('strided', params), scope }) as MechanismResult;
const after = (state: AnalysisState, ...updates: AnalysisUpdate[]) => updates.reduce(updated, state);

describe('the state of an analysis', () => {
  const running = runningState('a', document);
  const ready = readyState(document, { id: 'a', mechanisms: [] as MechanismResult[] } as AnalysisSummary);

  it('follows from what is told of it, and is never changed itself', () => {
    const core = { info: { core: 0 } } as CoreResult;
    const before = structuredClone(running);
    const now = after(
      running,
      { type: 'core', id: 'a', result: core },
      { type: 'mechanism', id: 'a', result: result({}) },
    );
    assert.deepEqual(running, before);
    assert.ok(now.status === 'running' && now.cores[0] === core && now.mechanisms.length === 1);
  });

  it('keeps one result for each setting and scope, in its place, and tells settings apart', () => {
    const results = [
      result({}),
      result({ stride: 8 }),
      result({ stride: 8 }, 'propagated'),
      { ...result({}), pairs: 7 },
    ];
    for (const start of [running, ready]) {
      const now = after(start, ...results.map(one => ({ type: 'mechanism', id: 'a', result: one }) as const));
      const list = now.status === 'running' ? now.mechanisms : (now as typeof ready).summary.mechanisms;
      assert.deepEqual(list, [results[3], results[1], results[2]]);
    }
  });

  it('is no share of the run while its model loads or is downloaded', () => {
    const at = { id: 'a', fraction: 0, message: 'Downloading org/tiny: 0.2 of 1.0 MB' };
    assert.equal(fractionOf(null), null);
    assert.equal(fractionOf({ ...at, phase: 'model' }), null);
    assert.equal(fractionOf({ ...at, phase: 'dense', fraction: 0.25 }), 0.25);
  });

  it('is the same object when an update is not of it, or not of its stage', () => {
    const stale = { type: 'stale', id: 'a', stale: false } as const;
    assert.equal(updated(ready, stale), ready);
    assert.equal(updated(running, stale), running);
    assert.equal(updated(ready, { type: 'core', id: 'a', result: {} as CoreResult }), ready);
    assert.equal(updated(ready, { type: 'plan', id: 'b', plan: null }), ready);
    assert.equal(updated(ready, { type: 'interventions', id: 'b', interventions: NO_INTERVENTIONS }), ready);
    const state = { ...INITIAL_STATE, analysis: ready };
    assert.equal(told(state, { type: 'stale', id: 'a', stale: false }), state);
  });
});

describe('the selection', () => {
  const strided = (stride: number) => setting('strided', { stride });

  it('drops a head without a core', () => {
    assert.deepEqual(changedSelection(NO_SELECTION, { core: null, head: 3 }), NO_SELECTION);
    assert.equal(changedSelection({ ...NO_SELECTION, core: 1, head: 3 }, { core: null }).head, null);
  });

  it('is the same object when nothing has changed', () => {
    const selection = {
      ...NO_SELECTION,
      mechanism: strided(4),
      change: { kind: 'mechanism', choice: strided(4) } as const,
    };
    const same = structuredClone(selection);
    assert.equal(changedSelection(selection, same), selection);
    assert.notEqual(changedSelection(selection, { mechanism: strided(8) }), selection);
    assert.notEqual(
      changedSelection(selection, { change: { kind: 'mechanism', choice: strided(8) } }),
      selection,
    );
    assert.notEqual(changedSelection(selection, { change: { kind: 'plan' } }), selection);
  });
});

describe('what a view reads of the state', () => {
  it('is told anew only when it has changed', () => {
    const state = signal(INITIAL_STATE);
    const parts = partsOf(state);
    const analysis = analysisPartsOf(parts.analysis);
    const heard: string[] = [];
    const watch = (name: string, read: () => unknown) =>
      effect(() => {
        read();
        heard.push(name);
      });
    watch('selection', () => parts.selection.value);
    watch('progress', () => analysis.progress.value);
    watch('cores', () => analysis.cores.value);
    watch('results', () => analysis.mechanisms.value);
    watch('plan', () => analysis.plan.value);
    const after = (message: Parameters<typeof told>[1]) => {
      heard.length = 0;
      state.value = told(state.peek(), message);
      return heard;
    };
    state.value = { ...INITIAL_STATE, analysis: runningState('a', document) };
    const progress = { id: 'a', phase: 'dense' as const, fraction: 0.5, message: '' };
    assert.deepEqual(after({ type: 'progress', progress }), ['progress']);
    assert.deepEqual(after({ type: 'core', id: 'a', result: { info: { core: 0 } } as CoreResult }), [
      'cores',
    ]);
    assert.deepEqual(after({ type: 'mechanism', id: 'a', result: result({}) }), ['results']);
    assert.deepEqual(after({ type: 'selection', selection: { ...NO_SELECTION, token: 1 } }), ['selection']);
    assert.deepEqual(after({ type: 'preview', token: 2 }), []);
    assert.deepEqual(after({ type: 'plan', id: 'a', plan: null }), []);
  });
});

describe('what is said of a text', () => {
  it('is not why a device is not used: that the text was cut comes first', () => {
    const unused = 'WebGPU is not used: no adapter.';
    const cut = 'Only the first 2048 tokens of the text were analyzed.';
    const device = { device: 'cpu', adapter: null, notes: [unused] };
    assert.deepEqual(notesOnText({ notes: [unused, cut], device } as never), [cut]);
    assert.deepEqual(notesOnText({ notes: [unused], device } as never), []);
  });
});

describe('what is taken away', () => {
  it('takes its marks along when it is cleared, or the last of it is undone: no other change is shown instead', async () => {
    const head = { kind: 'head', core: 0, head: 0 } as const;
    const back = (list: object[]) => {
      const state = { status: 'ready', id: 'a', interventions: { ...NO_INTERVENTIONS, list } };
      const asked: object[] = [];
      const host = { state, stateOf: () => state, tell: () => undefined, ask: () => Promise.resolve(null) };
      const intervener = new Intervener(host as never, change => asked.push(change));
      return { intervener, asked };
    };
    const cleared = back([head, { ...head, head: 1 }]);
    await cleared.intervener.clear();
    assert.deepEqual(cleared.asked, [{ change: null }]);
    const undone = back([head]);
    await undone.intervener.undo();
    assert.deepEqual(undone.asked, [{ change: null }]);
    const kept = back([head, { ...head, head: 1 }]);
    await kept.intervener.undo();
    assert.deepEqual(kept.asked, []);
  });
});
