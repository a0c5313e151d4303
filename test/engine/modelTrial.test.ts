import assert from 'node:assert/strict';
import { cpSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveModel } from '../../engine/model/source/source';
import { EngineClient } from '../../extension/engine/engineClient';
import { buildEngine } from '../fixtures/cli';
import { endlessModel } from '../fixtures/endlessModel';
import { gone, inNativeCode } from '../fixtures/nativeCode';

describe('unknown models in the engine of the editor', function () {
  this.timeout(60_000);
  let folder: string;
  let client: EngineClient;
  /** What the engine said that it does. */
  const steps: string[] = [];
  const lines: string[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'trial-'));
    const { onnx, folder: bundled } = await resolveModel('bundled');
    for (const name of ['endless', 'sound', 'moved']) {
      await mkdir(join(folder, name));
      cpSync(join(bundled, 'tokenizer.json'), join(folder, name, 'tokenizer.json'));
    }
    await writeFile(join(folder, 'endless/model.onnx'), endlessModel(onnx));
    for (const name of ['sound', 'moved']) cpSync(onnx, join(folder, name, 'model.onnx'));
    const log = (line: string) => void lines.push(line);
    client = new EngineClient({
      module: await buildEngine(),
      initialize: () => ({ device: 'cpu', memoryLimitMiB: 1024 }),
      environment: () => ({ ATTENTION_INSPECTOR_CACHE: join(folder, 'cache') }),
      log: { info: log, warn: log, error: log },
    });
    client.on('analysis/progress', ({ message }) => void steps.push(message ?? ''));
  });
  after(async () => {
    client.dispose();
    await rm(folder, { recursive: true });
  });

  const load = (name: string, token?: Parameters<EngineClient['request']>[2]) =>
    client.request('models/load', { ref: join(folder, name), device: 'cpu' }, token);
  const readings = async (name: string) => {
    steps.length = 0;
    await load(name);
    return steps.filter(step => step === 'Reading the model').length;
  };
  const known = () => readdirSync(join(folder, 'cache/known')).length;

  it('does not try the bundled model', async () => {
    steps.length = 0;
    await client.request('models/load', { ref: 'bundled', device: 'cpu' });
    assert.equal(steps.filter(step => step === 'Reading the model').length, 1);
  });

  it('loads a model in a trial first, and only once, whatever it is called', async () => {
    assert.equal(await readings('sound'), 2, 'in the trial and here');
    assert.equal(known(), 2);
    await client.restart();
    assert.equal(await readings('sound'), 1);
    assert.equal(await readings('moved'), 1, 'the same content elsewhere');
  });

  // The children of a process are read from /proc.
  (process.platform === 'linux' ? describe : describe.skip)('that ends or blocks its process', () => {
    it('ends its trial only: one sentence with its name', async () => {
      const engine = client.processId!;
      const failed = assert.rejects(load('endless'), (error: Error) => {
        assert.match(error.message, /endless cannot be used: it crashed ONNX Runtime \(SIGSEGV\)\.$/);
        return true;
      });
      process.kill(await inNativeCode(engine), 'SIGSEGV');
      await failed;
      assert.equal(client.processId, engine);
      assert.equal(client.state, 'running');
      await load('sound');
    });

    it('is cancelled at once', async () => {
      const engine = client.processId!;
      let cancel = () => undefined as void;
      const token = {
        isCancellationRequested: false,
        onCancellationRequested: (listener: () => void) => {
          cancel = listener;
          return { dispose: () => undefined };
        },
      };
      const failed = assert.rejects(load('endless', token), /Cancelled/);
      const trial = await inNativeCode(engine);
      cancel();
      await failed;
      await gone(trial);
      assert.equal(client.processId, engine);
    });

    it('ends with the engine', async () => {
      const failed = assert.rejects(load('endless'));
      const trial = await inNativeCode(client.processId!);
      client.stop();
      await failed;
      await gone(trial);
    });
  });
});
