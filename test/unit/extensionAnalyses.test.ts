import assert from 'node:assert/strict';
import type { Token } from '../../extension/engine/engineClient';
import type { Analysis } from '../../extension/analysis/analysis';
import { ErrorCode, type AnalysisSummary } from '../../shared/protocol/engine';
import { withVscode } from '../fixtures/fakeVscode';
import { EditorWorld, Line } from '../support/editorWorld';

/** An engine that ends its runs when it is told to. */
class Engine {
  readonly state = 'running';
  readonly forgotten: string[] = [];
  private readonly runs = new Map<string, (summary: AnalysisSummary) => void>();
  private readonly failing = new Map<string, (error: Error) => void>();
  private readonly listeners = new Map<string, (said: unknown) => void>();

  on(name: string, listener: (said: unknown) => void) {
    this.listeners.set(name, listener);
    return { dispose: () => undefined };
  }

  say(name: string, said: unknown): void {
    this.listeners.get(name)!(said);
  }

  request(method: string, { id }: { id: string }, token?: Token): Promise<unknown> {
    if (method === 'analysis/dispose') this.forgotten.push(id);
    if (method !== 'analysis/start') return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.runs.set(id, resolve);
      this.failing.set(id, reject);
      token?.onCancellationRequested(() => void cancelledError().then(reject));
    });
  }

  /** @param ids what the model reads of the text */
  finish(id: string, ids = [1, 2], sparse?: Partial<AnalysisSummary['sparse']>): void {
    const read = { model: { ref: 'm', name: 'm' }, tokens: { ids: Int32Array.from(ids) } };
    this.runs.get(id)!({
      id,
      notes: [],
      mechanisms: [],
      target: null,
      ...(sparse && { sparse }),
      ...read,
    } as unknown as AnalysisSummary);
  }

  fail(id: string, error: Error): void {
    this.failing.get(id)!(error);
  }
}

/** Of the class that the store knows, which is loaded anew for each test. */
async function cancelledError(): Promise<Error> {
  const { EngineError } = await import('../../extension/engine/engineClient');
  return new EngineError('Cancelled.', ErrorCode.cancelled);
}

async function open() {
  const world = new EditorWorld();
  const { AnalysisStore } = await withVscode(
    world.module,
    () => import('../../extension/analysis/analysisStore'),
  );
  const engine = new Engine();
  const settings = {
    mechanisms: () => ({ given: [], settings: [], problems: [] }),
    reanalyzeOnEdit: false,
  };
  const targets = { of: () => null, noteOnLost: () => null };
  const store = new AnalysisStore(engine as never, settings as never, targets as never);
  const document = new Line('The cat sat on the mat.');
  const told: string[] = [];
  store.onChange((analysis: Analysis | null) =>
    told.push(`${analysis?.id.at(-1) ?? 'none'} ${store.state.status}`),
  );
  store.onUpdate(update => told.push(update.type));
  const idOf = (run: number) => `${document.uri}#${run}`;
  const analyze = () => store.analyze(document as never);
  const finished = async (run: number, ids?: number[]) => {
    const done = analyze();
    engine.finish(idOf(run), ids);
    await done;
  };
  return { engine, store, document, told, idOf, analyze, finished, world };
}

describe('extension: the analyses of a document', () => {
  it('a run tells its progress in one place: the status item, and no notification beside it', async () => {
    const { finished, world } = await open();
    await finished(1);
    assert.deepEqual(world.progress, []);
  });

  it('a run that fails offers what helps: another device where it is the fault of the device, else another model', async () => {
    const { engine, store, idOf, analyze } = await open();
    const { EngineError, EngineDiedError } = await import('../../extension/engine/engineClient');
    const failures: [Error, string[]][] = [
      [new EngineError('No adapter.', ErrorCode.deviceRefused), ['openDeviceSetting', 'analyze', 'showLog']],
      [new EngineError('It is none.', ErrorCode.refused), ['analyze', 'selectModel', 'showLog']],
      [new EngineError('Too long.', ErrorCode.outOfMemory), ['selectModel', 'openSettings', 'showLog']],
      [new EngineDiedError('It stopped.'), ['analyze', 'showLog']],
    ];
    for (const [at, [error, actions]] of failures.entries()) {
      const run = analyze();
      engine.fail(idOf(at + 1), error);
      await run;
      const { state } = store;
      assert.deepEqual(state.status === 'error' && [state.message, state.actions], [error.message, actions]);
    }
  });

  it('a run that is started again takes the place of the earlier one', async () => {
    const { engine, store, told, idOf, analyze } = await open();
    const first = analyze();
    const second = analyze();
    engine.finish(idOf(2));
    await Promise.all([first, second]);
    assert.equal(store.shown?.ready?.id, idOf(2));
    assert.ok(engine.forgotten.includes(idOf(1)) && !engine.forgotten.includes(idOf(2)));
    assert.deepEqual(told, ['1 running', '2 running', '2 ready']);
  });

  it('a first run that is cancelled leaves nothing', async () => {
    const { engine, store, told, idOf, analyze } = await open();
    const run = analyze();
    store.cancel();
    await run;
    assert.equal(store.shown, null);
    assert.equal(store.stateOf(idOf(1)), undefined);
    assert.ok(engine.forgotten.includes(idOf(1)));
    assert.deepEqual(told, ['1 running', 'none none']);
  });

  it('a second run that is cancelled puts the earlier results back, with what came of them meanwhile', async () => {
    const { engine, store, idOf, analyze, finished, told } = await open();
    await finished(1);
    const planning = { budget: 0.1, fraction: 0, message: '', error: null };
    store.tell({ type: 'planning', id: idOf(1), planning });
    const again = analyze();
    store.tell({ type: 'planning', id: idOf(1), planning: null });
    store.cancel();
    await again;
    assert.equal(store.shown?.ready?.id, idOf(1));
    assert.equal(store.shown.ready.planning, null, 'the search ended while the second run was shown');
    assert.ok(!engine.forgotten.includes(idOf(1)));
    assert.deepEqual(told, ['1 running', '1 ready', 'planning', '2 running', '1 ready']);
  });

  it('what was replaced stays to be held against what came after it, unless that says the same', async () => {
    const { store, idOf, finished, engine } = await open();
    const others = () => store.others.map(({ id, tokens, earlier }) => [id, tokens, earlier]);
    await finished(1);
    await finished(2);
    assert.deepEqual(others(), [], 'the same text in the same model');
    await finished(3, [1, 2, 3]);
    assert.deepEqual(others(), [[idOf(2), 2, true]]);
    assert.ok(engine.forgotten.includes(idOf(2)), 'the engine reads it again when it is asked about');
    assert.equal(store.finished(idOf(2)).id, idOf(2));
    assert.equal(store.textOf(idOf(2)), 'The cat sat on the mat.');
    await finished(4, [1]);
    assert.deepEqual(others(), [[idOf(3), 3, true]], 'one of each document');
    assert.throws(() => store.finished(idOf(2)), /no longer shown/);
    store.clear();
    assert.throws(() => store.finished(idOf(3)), /no longer shown/);
    assert.deepEqual(others(), []);
  });

  it('an earlier one that the engine has forgotten is read again, and then answers', async () => {
    const { store, idOf, finished, engine } = await open();
    const { EngineError } = await import('../../extension/engine/engineClient');
    await finished(1);
    await finished(2, [1, 2, 3]);
    let asked = 0;
    const { request } = engine;
    engine.request = function (method, params, token) {
      if (method === 'analysis/row' && asked++ === 0)
        return Promise.reject(new EngineError('Unknown.', ErrorCode.unknownAnalysis));
      if (method === 'analysis/start') setTimeout(() => engine.finish(params.id), 0);
      return method === 'analysis/row'
        ? Promise.resolve('the row')
        : request.call(this, method, params, token);
    };
    const row = { id: idOf(1), core: 0, head: 0, token: 1, direction: 'from' } as const;
    assert.equal(await store.request('analysis/row', row), 'the row');
    assert.equal(store.shown?.id, idOf(2));
  });

  it('one without a dense pass is read again under the same attention', async () => {
    const { store, idOf, analyze, engine } = await open();
    const { EngineError } = await import('../../extension/engine/engineClient');
    const done = analyze();
    engine.finish(idOf(1), [1, 2], { setting: null, plan: '/plans/best.json' });
    await done;
    let attention: unknown;
    let asked = 0;
    const { request } = engine;
    engine.request = function (method, params, token) {
      if (method === 'analysis/row' && asked++ === 0)
        return Promise.reject(new EngineError('Unknown.', ErrorCode.unknownAnalysis));
      if (method === 'analysis/start') {
        ({ attention } = params as unknown as { attention: unknown });
        setTimeout(() => engine.finish(params.id), 0);
      }
      return method === 'analysis/row'
        ? Promise.resolve('the row')
        : request.call(this, method, params, token);
    };
    const row = { id: idOf(1), core: 0, head: 0, token: 1, direction: 'from' } as const;
    await store.request('analysis/row', row);
    assert.deepEqual(attention, { plan: '/plans/best.json' });
  });

  it('what the engine says of a run that is gone changes nothing', async () => {
    const { engine, store, idOf, finished, told } = await open();
    await finished(1);
    await finished(2);
    const before = store.state;
    told.length = 0;
    const progress = { id: idOf(1), phase: 'dense', fraction: 0.5, message: '' };
    engine.say('analysis/progress', progress);
    engine.say('analysis/progress', { ...progress, id: idOf(2) });
    engine.say('analysis/mechanismDone', {
      id: idOf(1),
      result: { name: 'local', params: {}, scope: 'local' },
    });
    assert.equal(store.state, before);
    assert.deepEqual(told, []);
  });

  it('tells everyone of one thing before anyone hears of what came of it', async () => {
    const { store, idOf, finished, told } = await open();
    store.afterEvent(event => {
      if ('changed' in event && store.shown?.ready)
        store.tell({
          type: 'planning',
          id: idOf(1),
          planning: { budget: 1, fraction: 0, message: '', error: null },
        });
    });
    const late: string[] = [];
    store.onChange(() => late.push(store.state.status));
    store.onUpdate(({ type }) => late.push(type));
    await finished(1);
    assert.deepEqual(told, ['1 running', '1 ready', 'planning']);
    assert.deepEqual(late, ['running', 'ready', 'planning']);
  });
});
