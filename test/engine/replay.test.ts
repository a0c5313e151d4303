/**
 * One session with the real engine: an analysis that fills, mechanisms, a plan and its change, interventions, edits, the
 * selection, and a second analysis. What the extension holds and what its messages make of a view must be equal at every step.
 */
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { Emitter } from 'vscode-jsonrpc';
import { Engine } from '../../engine/engine';
import type { EngineMethod, EngineParams, MechanismInfo } from '../../shared/protocol/engine';
import type { HostMessage, ViewMessage } from '../../shared/protocol/host';
import { INITIAL_SETTINGS, INITIAL_STATE, told, type StateMessage } from '../../shared/host/hostState';
import { Intervener } from '../../shared/host/intervener';
import { MemoryHost } from '../../shared/host/memoryHost';
import { Planner } from '../../shared/host/planner';
import { withVscode } from '../fixtures/fakeVscode';
import { EditorWorld, Line } from '../support/editorWorld';
import { setting } from '../support/settings';

const TEXT =
  'The cat sat on the mat because the cat was tired, and the dog sat on the rug because the dog was tired. '.repeat(
    2,
  );
const MECHANISMS = ['local', 'strided'].map(name => ({ name, params: {} }));

/** The engine in this process, with what the extension's client has of it. */
class Client {
  readonly state = 'running';
  capabilities: { mechanisms: MechanismInfo[] } | null = null;
  private readonly said = new Emitter<{ name: string; params: unknown }>();
  private readonly engine = new Engine((name, params) =>
    this.said.fire({ name, params: structuredClone(params) }),
  );
  readonly onState = new Emitter<string>().event;

  on(name: string, listener: (params: unknown) => void) {
    return this.said.event(one => one.name === name && listener(one.params));
  }

  async request<M extends EngineMethod>(method: M, params: EngineParams<M>) {
    return structuredClone(await this.engine.request(method, structuredClone(params)));
  }
}

/** The extension's model of the shown text and one view of it, joined as `extension.ts` joins them. */
async function start() {
  const world = new EditorWorld();
  const load = () =>
    withVscode(world.module, async () => ({
      ...(await import('../../extension/analysis/analysisStore')),
      ...(await import('../../extension/views/selectionModel')),
      ...(await import('../../extension/views/selectionKeeper')),
      ...(await import('../../extension/views/viewBridge')),
      ...(await import('../../extension/interventions/interventionKeeper')),
    }));
  const { AnalysisStore, SelectionModel, SelectionKeeper, ViewBridge, InterventionKeeper } = await load();
  const client = new Client();
  client.capabilities = await client.request('initialize', { device: 'cpu', memoryLimitMiB: 2048 });
  const settings = {
    model: 'bundled',
    device: 'cpu',
    maxTokens: null,
    mechanisms: () => ({ given: MECHANISMS }),
    propagate: false,
    reanalyzeOnEdit: false,
    forViews: () => INITIAL_SETTINGS,
  };
  const targets = { of: () => null, noteOnLost: () => null };
  const store = new AnalysisStore(client as never, settings as never, targets as never);
  const selection = new SelectionModel();
  const planner = new Planner(store);
  const intervener = new Intervener(store, change => selection.select(change));
  client.on('analysis/progress', progress => {
    planner.progress(progress as never);
    intervener.progress(progress as never);
  });
  new InterventionKeeper(store, intervener);
  new SelectionKeeper(store, selection);

  const messages: StateMessage[] = [];
  /** Messages after which the view knew something else than the extension. */
  const different: string[] = [];
  let seen = INITIAL_STATE;
  const replies = new Map<number, (message: HostMessage) => void>();
  const wishes = new Emitter<ViewMessage>();
  const page = {
    options: {},
    html: '',
    cspSource: '',
    asWebviewUri: (uri: unknown) => uri,
    onDidReceiveMessage: wishes.event,
    postMessage: (posted: HostMessage) => {
      const message = structuredClone(posted);
      if (message.type === 'response') return replies.get(message.id)?.(message);
      messages.push(message);
      seen = told(seen, message);
      if (message.type === 'progress' || message.type === 'preview') return;
      if (!isDeepStrictEqual(seen.analysis, store.state))
        different.push(`${messages.length}: ${message.type}`);
    },
  };
  const memory = { get: () => undefined, update: () => Promise.resolve() };
  const log = { info: assert.fail, warn: assert.fail, error: assert.fail };
  const front = { unanalysed: null, onUnanalysed: new Emitter<string | null>().event };
  const corpora = { state: { status: 'none' }, onChange: new Emitter<never>().event };
  const parts = { memory, log, client, store, planner, intervener, selection, settings, front, corpora };
  new ViewBridge(page as never, 'panel', 'Attention', 'extension' as never, parts as never);
  let requests = 0;
  return {
    world,
    store,
    selection,
    messages,
    different,
    seen: () => seen,
    wish: (message: ViewMessage) => wishes.fire(message),
    ask: (method: string, params: object) =>
      new Promise<HostMessage>(resolve => {
        replies.set(++requests, resolve);
        wishes.fire({ type: 'request', id: requests, method, params } as ViewMessage);
      }),
    /** Resolves when the extension has told of this. */
    until: async (holds: () => unknown) => {
      const end = Date.now() + 60_000;
      while (!holds()) {
        assert.ok(Date.now() < end, `not in time: ${holds.toString()}`);
        await new Promise(resolve => setTimeout(resolve, 5));
      }
    },
  };
}

describe('a session told to a view', () => {
  let session: Awaited<ReturnType<typeof start>>;
  const ready = () => {
    const { state } = session.store;
    return state.status === 'ready' ? state : assert.fail(`the analysis is ${state.status}`);
  };

  before(async function () {
    this.timeout(180_000);
    session = await start();
    const { store, world, wish, ask, until } = session;
    const document = new Line(TEXT);
    const edit = (at: number, length: number, text: string) =>
      world.edits.fire(document.replace(at, length, text));
    wish({ type: 'ready' });
    await store.analyze(document as never);
    wish({ type: 'select', selection: { core: 1, head: 0, token: 3 } });
    wish({ type: 'select', selection: { mechanism: setting('strided', { stride: 4 }) } });
    const { id } = ready();
    const mechanism = setting('strided', { stride: 4 });
    for (const scope of ['local', 'propagated']) await ask('analysis/mechanism', { id, mechanism, scope });
    wish({ type: 'findPlan', budget: 0.3, mechanisms: ['local', 'strided'] });
    await until(() => ready().plan && !ready().planning);
    wish({ type: 'changePlan', change: { core: 0, head: 0, choice: setting('dense') } });
    await until(() => ready().planning);
    await until(() => !ready().planning);
    const place = { core: null, head: null };
    wish({ type: 'intervene', toggle: { kind: 'head', core: 0, head: 1 } });
    wish({ type: 'intervene', toggle: { kind: 'span', ...place, from: 1, to: 3, queries: null } });
    await until(() => ready().interventions.result);
    edit(0, 3, 'This');
    edit(0, 4, 'The');
    edit(TEXT.length, 0, ' And so on.');
    await store.analyze(document as never);
    await until(() => ready().interventions.result);
    wish({ type: 'run', command: 'undoIntervention' });
    await until(() => ready().interventions.list.length === 1 && ready().interventions.result);
  });

  it('told of everything that there is', () => {
    const kinds = new Set(session.messages.map(({ type }) => type));
    for (const kind of ['state', 'progress', 'began', 'core', 'mechanism', 'stale', 'plan', 'planning'])
      assert.ok(kinds.has(kind as StateMessage['type']), kind);
    for (const kind of ['interventions', 'selection'])
      assert.ok(kinds.has(kind as StateMessage['type']), kind);
    const stale = session.messages.flatMap(one => (one.type === 'stale' ? [one.stale] : []));
    assert.deepEqual(stale, [true, false, true]);
    assert.equal(ready().interventions.list.length, 1);
    assert.equal(session.selection.current.core, 1);
  });

  it('leaves the same state at both ends after every message', () => {
    const { seen, store, selection, different } = session;
    assert.deepEqual(different, []);
    assert.deepEqual(seen().analysis, store.state);
    assert.deepEqual(seen().selection, selection.current);
  });

  it('makes the same of the recorded stream in the host of a report or a test', () => {
    class Recorded extends MemoryHost {
      ask = assert.fail;
      answer = assert.fail;
      perform = assert.fail;
    }
    let seen = INITIAL_STATE;
    const host: Recorded = new Recorded('panel', message => {
      if (message.type === 'response') return;
      seen = told(seen, structuredClone(message));
    });
    void host['session'].receive({ type: 'ready' });
    for (const message of session.messages) host.tell(message);
    assert.deepEqual(host.all, session.seen());
    assert.deepEqual(seen, session.seen());
  });

  it('keeps each setting asked for beside the default one', () => {
    const [first] = session.messages.filter(one => one.type === 'plan');
    const before = session.messages.slice(0, session.messages.indexOf(first!));
    const { analysis } = before.reduce(told, INITIAL_STATE);
    assert.ok(analysis.status === 'ready');
    const strided = analysis.summary.mechanisms.filter(({ setting: { name } }) => name === 'strided');
    assert.equal(strided.filter(({ scope }) => scope === 'local').length, 2);
  });
});
