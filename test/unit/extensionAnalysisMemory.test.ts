import assert from 'node:assert/strict';
import { Emitter } from 'vscode-jsonrpc';
import type { SavedAnalysis } from '../../shared/saved/analysis';
import { withVscode } from '../fixtures/fakeVscode';
import { EditorWorld } from '../support/editorWorld';

const URI = 'file:///a.txt';
const never = () => ({ dispose: () => undefined });
const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds));

/** A memory over one shown analysis, and what it writes (each takes `slow` milliseconds) and restores. */
async function memoryOf(slow = 0) {
  const world = new EditorWorld().module;
  const opens = new Emitter<object>();
  const events = {
    onDidOpenTextDocument: opens.event,
    onWillRenameFiles: never,
    onDidRenameFiles: never,
  };
  const module = {
    ...world,
    Uri: { ...world.Uri, parse: (uri: string) => uri },
    workspace: { ...world.workspace, ...events },
  };
  const { AnalysisMemory } = await withVscode(
    module,
    () => import('../../extension/analysis/analysisMemory'),
  );
  const looked = { selection: {}, given: false };
  const ready = {
    stale: null,
    document: {},
    summary: {},
    plan: null as object | null,
    planning: { budget: 0.1, done: 0 } as object | null,
    interventions: { list: [], result: null },
    ablation: null,
  };
  const analysis = {
    uri: URI,
    document: { isUntitled: false },
    ready,
    looked,
    source: { text: 'text' },
    target: null,
  };
  const changes = new Emitter<object>();
  const store = {
    shown: analysis as typeof analysis | null,
    all: [analysis],
    byUri: () => store.all[0],
    of: () => undefined,
    restore: (_: object, saved: SavedAnalysis) => restored.push(saved),
    afterEvent: changes.event,
    onForget: never,
  };
  const written: SavedAnalysis[] = [];
  const restored: SavedAnalysis[] = [];
  const files = {
    write: async (saved: SavedAnalysis) => {
      await pause(slow);
      written.push(saved);
    },
    read: () => Promise.resolve(written.at(-1) ?? null),
  };
  const kept = { get: () => undefined, update: () => Promise.resolve() };
  const selection = { state: looked, onChange: never };
  const log = { warn: assert.fail };
  const parts = [files, kept, store, selection, log] as unknown[];
  new AnalysisMemory(...(parts as ConstructorParameters<typeof AnalysisMemory>));
  const change = (to: object) => {
    analysis.ready = { ...analysis.ready, ...to };
    changes.fire({});
  };
  const open = () =>
    opens.fire({ uri: { toString: () => URI }, isUntitled: false, isClosed: false, getText: () => 'text' });
  /** As the store does when its document is closed. */
  const close = () => {
    store.all.length = 0;
    store.shown = null;
    changes.fire({ changed: null });
  };
  return { change, open, close, written, restored };
}

describe('extension: what is kept of an analysis', () => {
  it('is written though a search tells of its progress all the while', async () => {
    const { change, written } = await memoryOf();
    for (let done = 0; done < 20; done++) {
      change({ planning: { budget: 0.1, done } });
      await pause(50);
    }
    assert.deepEqual(
      written.map(({ searching }) => searching),
      [0.1],
    );
    change({ planning: null, plan: {} });
    await pause(500);
    assert.deepEqual(
      written.map(({ searching }) => searching),
      [0.1, null],
    );
  });

  it('is written again when an edit that made it out of date is taken back', async () => {
    const { change, written } = await memoryOf();
    change({ plan: {} });
    change({ stale: {} });
    await pause(500);
    assert.equal(written.length, 0);
    change({ stale: null });
    await pause(500);
    assert.equal(written.length, 1);
  });

  it('is written though its text is closed before', async () => {
    const { change, close, written } = await memoryOf();
    const plan = { of: 'the last change' };
    change({ plan });
    close();
    await pause(500);
    assert.deepEqual(
      written.map(saved => saved.plan),
      [plan],
    );
  });

  it('is there where the text is closed and opened again before it is written', async () => {
    const { change, close, open, restored, written } = await memoryOf();
    change({ plan: {} });
    close();
    open();
    await pause(10);
    assert.equal(restored.length, 1);
    assert.equal(written.length, 0);
  });

  it('is waited for where the text is opened again while it is written', async () => {
    const { change, open, restored } = await memoryOf(300);
    change({ plan: {} });
    await pause(500);
    open();
    await pause(500);
    assert.equal(restored.length, 1);
  });
});
