import assert from 'node:assert/strict';
import { analyze, api, closeAll, openText, run, until, saysOf } from '../support/session';

const SENTENCE = 'The cat sat on the mat. The cat sat on the mat again.\n';

describe('the engine process', () => {
  afterEach(closeAll);

  it('comes back after it was killed, with the analysis that is shown', async () => {
    const inspector = await api();
    const editor = await openText(SENTENCE);
    const { id } = await analyze(editor);
    const killed = inspector.engineProcessId()!;
    process.kill(killed, 'SIGKILL');
    await until('a new process', () => {
      const pid = inspector.engineProcessId();
      return pid !== undefined && pid !== killed;
    });
    await until('the analysis', () => {
      const state = inspector.getState(editor.document.uri);
      return state.status === 'ready' && state.id !== id;
    });
    await saysOf(editor.document, 4, 'cat');
  });

  it('says what happened to a run in which it was killed, and runs again', async () => {
    const inspector = await api();
    await run('restartEngine'); // forgets the deaths so far
    const editor = await openText(SENTENCE.repeat(400));
    const running = run('analyze');
    await until('a finished core', () => {
      const state = inspector.getState(editor.document.uri);
      return state.status === 'running' && state.cores.length > 0;
    });
    process.kill(inspector.engineProcessId()!, 'SIGKILL');
    await running;
    const state = inspector.getState(editor.document.uri);
    assert.equal(state.status, 'error');
    assert.match(state.status === 'error' ? state.message : '', /engine stopped \(signal SIGKILL\)/);
    await analyze(editor);
  });

  it('begins a run again that Restart Engine cuts off', async () => {
    const inspector = await api();
    const editor = await openText(SENTENCE.repeat(400));
    const running = run('analyze');
    const state = () => inspector.getState(editor.document.uri);
    await until('a run', () => state().status === 'running');
    await run('restartEngine');
    await running;
    await until('the analysis', () => state().status === 'ready');
  });

  it('is another one after Restart Engine', async () => {
    const inspector = await api();
    const editor = await openText(SENTENCE);
    await analyze(editor);
    const before = inspector.engineProcessId();
    await run('restartEngine');
    assert.ok(inspector.engineProcessId());
    assert.notEqual(inspector.engineProcessId(), before);
    await inspector.whenIdle();
    await saysOf(editor.document, 4, 'cat');
  });
});
