import assert from 'node:assert/strict';
import { join } from 'node:path';
import { CrashedDevices } from '../../extension/engine/crashedDevices';
import { EngineClient } from '../../extension/engine/engineClient';
import { withVscode } from '../fixtures/fakeVscode';
import { Memory } from '../support/memory';

const MODULE = join(__dirname, '..', 'support', 'fakeEngine.cjs');

describe('extension: what is told of the engine', function () {
  this.timeout(20_000);
  let client: EngineClient;
  const shown: { kind: string; message: string; buttons: string[] }[] = [];
  const commands: string[] = [];
  /** What the user presses, by the message. */
  let press: (message: string) => string | undefined;
  let recoveries: number;

  before(async () => {
    const show =
      (kind: string) =>
      async (message: string, ...buttons: string[]) => {
        shown.push({ kind, message, buttons });
        return press(message);
      };
    const editor = {
      window: { showWarningMessage: show('warning'), showErrorMessage: show('error') },
      l10n: {
        t: (text: string, ...values: unknown[]) =>
          text.replace(/\{(\d)\}/g, (_, at) => String(values[Number(at)])),
      },
      commands: {
        executeCommand: async (command: string) => {
          commands.push(command);
          if (command === 'attentionInspector.restartEngine') await client.restart();
        },
      },
      MarkdownString: class {},
      ProgressLocation: {},
    };
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    client = new EngineClient({
      module: MODULE,
      initialize: () => ({ device: 'cpu', memoryLimitMiB: 512 }),
      log,
      patience: 300,
    });
    await withVscode(editor, async () => {
      const { EngineNews } = await import('../../extension/engine/engineNews');
      return new EngineNews(client, new CrashedDevices(new Memory(), '1'), () => recoveries++);
    });
  });
  beforeEach(() => {
    shown.length = commands.length = recoveries = 0;
    press = () => undefined;
  });
  after(() => client.dispose());

  const list = () => client.request('models/list', { folders: ['a'] });
  const told = async () => {
    while (shown.length === 0) await new Promise(resolve => setTimeout(resolve, 20));
    return shown[0]!;
  };

  it('a process that is stopped does not answer: Restart Engine, in the message, brings another one', async function () {
    if (process.platform === 'win32') this.skip();
    await list();
    const stopped = client.processId!;
    const waiting = list();
    waiting.catch(() => undefined);
    let restarted: () => void;
    const pressed = new Promise<void>(resolve => (restarted = resolve));
    press = () => (restarted(), 'Restart Engine');
    process.kill(stopped, 'SIGSTOP');
    const unanswered = client.request('models/list', { folders: ['never'] });
    unanswered.catch(() => undefined);
    assert.deepEqual(await told(), {
      kind: 'warning',
      message: 'The engine does not answer.',
      buttons: ['Restart Engine'],
    });
    await pressed;
    await assert.rejects(unanswered, /The engine stopped/);
    assert.deepEqual(commands, ['attentionInspector.restartEngine']);
    assert.equal((await list())[0]?.ref, 'a');
    assert.notEqual(client.processId, stopped);
    assert.throws(() => process.kill(stopped, 0), { code: 'ESRCH' });
    assert.equal(recoveries, 0, 'what Restart Engine recovers is its own matter');
  });

  it('a death is told once, with the way to the log, and recovered from', async () => {
    press = message => (message.includes('started again') ? 'Show Log' : undefined);
    await client.request('models/list', { folders: ['die'] }).catch(() => undefined);
    assert.deepEqual(await told(), {
      kind: 'warning',
      message: 'The engine stopped (signal SIGKILL). It was started again.',
      buttons: ['Show Log'],
    });
    assert.equal(recoveries, 1);
    assert.deepEqual(commands, ['attentionInspector.showLog']);
    assert.equal(shown.length, 1);
  });
});
