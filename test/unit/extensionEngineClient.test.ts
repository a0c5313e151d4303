import assert from 'node:assert/strict';
import { join } from 'node:path';
import { CancellationTokenSource } from 'vscode-jsonrpc/node';
import { ErrorCode, type CrashedDevice } from '../../shared/protocol/engine';
import { CrashedDevices } from '../../extension/engine/crashedDevices';
import { EngineClient, EngineDiedError, EngineError, type Death } from '../../extension/engine/engineClient';
import { english } from '../../shared/translate';
import { Memory } from '../support/memory';

const MODULE = join(__dirname, '..', 'support', 'fakeEngine.cjs');

describe('extension: engine client', () => {
  let client: EngineClient;
  let logged: string[];

  function make(
    environment: NodeJS.ProcessEnv = {},
    maximumDeaths = 3,
    crashed = () => [] as CrashedDevice[],
  ): EngineClient {
    logged = [];
    const log = (level: string) => (message: string) => void logged.push(`${level} ${message}`);
    return (client = new EngineClient({
      module: MODULE,
      initialize: () => ({ device: 'cpu', memoryLimitMiB: 512, crashed: crashed() }),
      log: { info: log('info'), warn: log('warn'), error: log('error') },
      environment: () => environment,
      maximumDeaths,
      // Of a language that has but one sentence.
      t: (message, ...values) =>
        message === 'There is no token {0}.' ? `No hay token ${values[0]}.` : english(message, ...values),
    }));
  }
  const list = (folder: string, source?: CancellationTokenSource) =>
    client.request('models/list', { folders: [folder] }, source?.token);
  const death = () => new Promise<Death>(resolve => client.onDeath(resolve));

  afterEach(() => client.dispose());

  it('starts the process at the first request, not before', async () => {
    make();
    assert.equal(client.processId, undefined);
    assert.equal(client.state, 'stopped');
    assert.equal((await list('a'))[0]?.ref, 'a');
    assert.equal(client.state, 'running');
    assert.equal(client.capabilities?.version, 'fake cpu');
    assert.ok(client.processId);
  });

  it('runs the engine as Node in Electron too, without the options of the editor', async () => {
    process.env.NODE_OPTIONS = '--no-warnings';
    try {
      make({ FAKE_ENGINE: 'tells its environment' });
      await list('a');
      assert.deepEqual(JSON.parse(client.capabilities!.version), ['1', '']);
    } finally {
      delete process.env.NODE_OPTIONS;
    }
  });

  it('starts one process for requests made at once', async () => {
    make();
    const replies = await Promise.all([list('a'), list('b'), list('c')]);
    assert.deepEqual(
      replies.map(([first]) => first?.ref),
      ['a', 'b', 'c'],
    );
    assert.equal(logged.filter(line => /process \d+ started/.test(line)).length, 1);
  });

  it("tells refusals in the user's language, and logs them as they were said", async () => {
    make();
    await assert.rejects(list('refuse: There is no token 7.'), { message: 'No hay token 7.' });
    await assert.rejects(list('refuse: A driver said no.'), { message: 'A driver said no.' });
    assert.ok(logged.some(line => line.endsWith('There is no token 7.')));
  });

  it('hands typed arrays over with a buffer of their own', async () => {
    make();
    const row = await client.request('analysis/row', {
      id: 'x',
      core: 0,
      head: 0,
      token: 0,
      direction: 'from',
    });
    assert.ok(row instanceof Float32Array);
    assert.deepEqual([...row], [0.25, 0.5, 0.25]);
    assert.equal(row.buffer.byteLength, 12);
  });

  it('keeps the code and the sentence of a refusal', async () => {
    make();
    await assert.rejects(list('refuse'), (error: EngineError) => {
      assert.equal(error.code, ErrorCode.refused);
      assert.equal(error.message, 'The file is not a model.');
      return true;
    });
    assert.equal(client.state, 'running');
  });

  it('rejects a cancelled request although the engine is deaf', async () => {
    make();
    await client.start();
    const source = new CancellationTokenSource();
    const blocked = list('block', source);
    let answered = false;
    const next = list('after').then(() => (answered = true));
    source.cancel();
    await assert.rejects(blocked, (error: EngineError) => error.cancelled);
    assert.equal(answered, false, 'the engine was still busy when the cancelled request was rejected');
    await next; // the same process answers again when it hears again
    assert.equal(logged.filter(line => /process \d+ started/.test(line)).length, 1);
  });

  it('rejects a request whose token was cancelled before', async () => {
    make();
    const source = new CancellationTokenSource();
    source.cancel();
    await assert.rejects(list('a', source), (error: EngineError) => error.cancelled);
  });

  it('notices a death, rejects what was asked, starts again', async () => {
    make();
    await client.start();
    const first = client.processId;
    const told = death();
    const waiting = list('never');
    waiting.catch(() => undefined);
    await assert.rejects(list('die'), EngineDiedError);
    await assert.rejects(waiting, EngineDiedError);
    assert.deepEqual(await told, {
      message: 'The engine stopped (signal SIGKILL).',
      native: false,
      restarting: true,
    });
    assert.equal((await list('b'))[0]?.ref, 'b');
    assert.notEqual(client.processId, first);
  });

  it('the CPU takes over from a device whose driver ends the engine, until Restart Engine', async () => {
    const crashed = new CrashedDevices(new Memory(), '1.0.0');
    make({}, 3, () => crashed.all);
    client.on('device/used', report => crashed.uses(report));
    const blamed: unknown[] = [];
    client.onDeath(one => blamed.push(crashed.died(one)));
    const told = death();
    await assert.rejects(list('run'), EngineDiedError);
    assert.equal((await told).native, true);
    assert.deepEqual(blamed, [{ device: 'webgpu', adapter: 'A GPU' }]);
    assert.equal((await list('run'))[0]?.ref, 'run', 'it runs');
    await crashed.forget();
    await client.restart();
    await assert.rejects(list('run'), EngineDiedError);
  });

  it('gives up after too many deaths, until it is restarted by hand', async () => {
    make({}, 2);
    const deaths: Death[] = [];
    client.onDeath(one => deaths.push(one));
    await client.start();
    for (let round = 0; round < 2; round++) {
      const told = death();
      await assert.rejects(list('die'), EngineDiedError);
      await told;
    }
    assert.deepEqual(
      deaths.map(({ restarting }) => restarting),
      [true, false],
    );
    assert.equal(client.state, 'failed');
    await assert.rejects(list('a'), /Restart Engine/);
    await client.restart();
    assert.equal((await list('a'))[0]?.ref, 'a');
  });

  it('says why an engine that dies at the start did, in the log', async () => {
    make({ FAKE_ENGINE: 'dies at start' }, 1);
    const told = death();
    await assert.rejects(client.start(), /exit code 7/);
    assert.equal((await told).restarting, false);
    assert.ok(logged.some(line => line.includes('no such library')));
  });

  it('notices a process that does not answer, once, and that it answers again', async () => {
    make();
    client.dispose();
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    client = new EngineClient({
      module: MODULE,
      initialize: () => ({ device: 'cpu', memoryLimitMiB: 512 }),
      log,
      patience: 300,
    });
    let silences = 0;
    client.onSilence(() => silences++);
    await list('a');
    await list('block'); // deaf for 3 s
    assert.equal(silences, 1);
    const waiting = list('never');
    waiting.catch(() => undefined);
    await new Promise(resolve => setTimeout(resolve, 700));
    assert.equal(silences, 1, 'a request that takes long is no silence');
    process.kill(client.processId!, 'SIGSTOP');
    await new Promise<void>(resolve => client.onSilence(() => resolve()));
  });

  it('passes the log of the engine on', async () => {
    make();
    await list('log');
    assert.ok(logged.includes('warn from the engine'));
  });

  it('does not take a stop for a death, and leaves no process behind', async () => {
    make();
    let died = false;
    client.onDeath(() => (died = true));
    await client.start();
    const pid = client.processId!;
    const waiting = list('never');
    await list('sent after it');
    client.dispose();
    await assert.rejects(waiting, EngineDiedError);
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
    assert.equal(died, false);
    await assert.rejects(list('a'), /shutting down/);
  });
});
