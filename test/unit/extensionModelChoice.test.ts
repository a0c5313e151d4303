import assert from 'node:assert/strict';
import { ErrorCode } from '../../shared/protocol/engine';
import { withVscode } from '../fixtures/fakeVscode';
import { EditorWorld, Line } from '../support/editorWorld';

/** An engine that fails with what it is given for a model, when it loads it or when it analyzes with it. */
class Engine {
  readonly state = 'running';
  readonly started: string[] = [];
  readonly failures: { load?: Record<string, Error>; analysis?: Record<string, Error> } = {};
  meanwhile: () => void = () => undefined;

  on = () => ({ dispose: () => undefined });

  async request(method: string, { id, ref, model }: { id: string; ref: string; model: string }) {
    if (method === 'models/load' && this.failures.load?.[ref]) throw this.failures.load[ref];
    if (method !== 'analysis/start') return null;
    this.started.push(model);
    await Promise.resolve();
    this.meanwhile();
    if (this.failures.analysis?.[model]) throw this.failures.analysis[model];
    return {
      id,
      notes: [],
      mechanisms: [],
      target: null,
      model: { ref: model },
      tokens: { ids: [], total: 0 },
    };
  }
}

const NO_ADAPTER = 'WebGPU cannot be used here: Failed to get an adapter.';

async function open() {
  const world = new EditorWorld();
  const errors: { message: string; buttons: string[] }[] = [];
  let press: string | undefined;
  const showErrorMessage = (message: string, ...buttons: string[]) => {
    errors.push({ message, buttons });
    const pressed = press;
    press = undefined;
    return Promise.resolve(pressed);
  };
  const opened: unknown[][] = [];
  const executeCommand = (...command: unknown[]) => Promise.resolve(void opened.push(command));
  const editor = {
    ...world.module,
    window: { ...world.module.window, showErrorMessage },
    commands: { executeCommand },
  };
  const [{ AnalysisStore }, { useModel, recentModels }, errorsOf] = await withVscode(editor, () =>
    Promise.all([
      import('../../extension/analysis/analysisStore'),
      import('../../extension/model/modelChoice'),
      import('../../extension/engine/engineClient'),
    ]),
  );
  const engine = new Engine();
  const settings = {
    model: 'old',
    mechanisms: () => ({ given: [] }),
    absolute: (ref: string) => ref.replace(/^\.\//, '/workspace/'),
    setModel: async (ref: string) => void (settings.model = ref),
  };
  const targets = { of: () => null, noteOnLost: () => null };
  const store = new AnalysisStore(engine as never, settings as never, targets as never);
  const stored = new Map<string, unknown>();
  const memory = {
    get: (key: string, fallback: unknown) => stored.get(key) ?? fallback,
    update: async (key: string, value: unknown) => void stored.set(key, value),
  };
  const parts = { client: engine, settings, store, memory } as never;
  const document = new Line('The cat sat on the mat.');
  await store.analyze(document as never);
  const before = store.shown!.ready!;
  return {
    ...{ world, engine, settings, store, errors, opened, document, before },
    choose: (ref: string) => useModel(ref, parts),
    pressing: (button: string) => (press = button),
    recent: () => recentModels(memory as never),
    refusal: (message: string) => new errorsOf.EngineError(message, ErrorCode.refused),
    noDevice: new errorsOf.EngineError(NO_ADAPTER, ErrorCode.deviceRefused),
    cancelled: new errorsOf.EngineError('Cancelled.', ErrorCode.cancelled),
    died: new errorsOf.EngineDiedError('The engine stopped (signal SIGSEGV).'),
  };
}

describe('extension: the choice of a model', () => {
  it('that can be loaded takes the place of the current one', async () => {
    const { choose, settings, store, before, engine, errors, recent } = await open();
    await choose('org/new');
    assert.equal(settings.model, 'org/new');
    assert.deepEqual(engine.started, ['old', 'org/new']);
    assert.notEqual(store.shown?.ready?.id, before.id);
    assert.deepEqual([errors, recent()], [[], ['org/new']]);
  });

  it('is loaded from the workspace, and set as it was typed', async () => {
    const { choose, settings, engine } = await open();
    await choose('./new');
    assert.deepEqual([engine.started.at(-1), settings.model], ['/workspace/new', './new']);
  });

  it('that cannot be loaded changes nothing, is named, and offers the bundled one', async () => {
    const { refusal, choose, settings, store, before, engine, errors, recent } = await open();
    engine.failures.load = { '/models/wrong.onnx': refusal('It is not an ONNX file.') };
    await choose('/models/wrong.onnx');
    assert.equal(store.shown?.ready, before);
    assert.deepEqual([settings.model, engine.started, recent()], ['old', ['old'], []]);
    assert.equal(errors.length, 1);
    assert.match(errors[0]!.message, /wrong\.onnx was not used: It is not an ONNX file\.$/);
    assert.deepEqual(errors[0]!.buttons, ['Use the Bundled Model', 'Select Another Model']);
  });

  it('that is cancelled while it loads changes nothing, and says nothing', async () => {
    const { cancelled, choose, settings, store, before, engine, errors } = await open();
    engine.failures.load = { wrong: cancelled };
    await choose('wrong');
    assert.equal(store.shown?.ready, before);
    assert.deepEqual([settings.model, errors], ['old', []]);
  });

  it('that ends the engine on the text changes nothing either', async () => {
    const { died, choose, settings, store, before, engine, errors } = await open();
    engine.failures.analysis = { wrong: died };
    await choose('wrong');
    assert.equal(store.shown?.ready, before);
    assert.equal(settings.model, 'old');
    assert.match(errors[0]!.message, /wrong was not used: The engine stopped/);
  });

  it('that is sound but refuses the text is kept for other texts; the results stay', async () => {
    const { refusal, choose, settings, store, before, engine, errors, document, world } = await open();
    engine.failures.analysis = { small: refusal('The text needs 9 GB.') };
    engine.meanwhile = () => world.edits.fire(document.replace(0, 3, 'One'));
    await choose('small');
    assert.deepEqual(
      [store.shown?.ready?.id, store.shown?.ready?.stale],
      [before.id, true],
      'an edit in between has been seen',
    );
    assert.equal(settings.model, 'small');
    assert.match(errors[0]!.message, /The text needs 9 GB/);
  });

  for (const when of ['load', 'analysis'] as const)
    it(`that fails for want of its device (${when}) offers the device setting and no other model`, async () => {
      const { noDevice, choose, pressing, settings, store, before, engine, errors, opened } = await open();
      engine.failures[when] = { sound: noDevice };
      pressing('Choose Another Device');
      await choose('sound');
      await new Promise(resolve => setImmediate(resolve));
      assert.match(errors[0]!.message, /sound was not used: WebGPU cannot be used here/);
      assert.deepEqual(errors[0]!.buttons, ['Choose Another Device']);
      assert.deepEqual(opened, [['workbench.action.openSettings', '@id:attentionInspector.device']]);
      assert.equal(store.shown?.ready, before, 'what was found before stays');
      assert.equal(settings.model, when === 'load' ? 'old' : 'sound');
    });

  it('falls back to the bundled model by its button', async () => {
    const { refusal, choose, pressing, settings, engine, store } = await open();
    engine.failures.load = { wrong: refusal('It is none.') };
    pressing('Use the Bundled Model');
    await choose('wrong');
    await new Promise(resolve => setImmediate(resolve));
    assert.equal(settings.model, 'bundled');
    assert.ok(store.shown?.ready);
  });
});
