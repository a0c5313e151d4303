import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { decodeModel, ElementType, encodeModel } from '../../engine/runtime/onnxProto';
import { trialIn } from '../../engine/service/modelTrial';
import { resolveModel } from '../../engine/model/source/source';
import { EngineClient, type EngineError } from '../../extension/engine/engineClient';
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
  /** What this process itself remembers of models lies in the folder of the test, too. */
  const withCache = async (work: () => Promise<void>) => {
    process.env.ATTENTION_INSPECTOR_CACHE = join(folder, 'own-cache');
    try {
      await work();
    } finally {
      delete process.env.ATTENTION_INSPECTOR_CACHE;
    }
  };
  const known = () => readdirSync(join(folder, 'cache/known')).length;

  it('tries a model again that is declared otherwise', async () => {
    const path = join(folder, 'declared');
    cpSync(join(folder, 'sound'), path, { recursive: true });
    const files = await resolveModel(path);
    const tried: string[] = [];
    const trial = trialIn(await buildEngine());
    const options = {
      memoryLimitMiB: 1024,
      signal: neverCancelled,
      onProgress: (step: string) => tried.push(step),
    };
    await withCache(async () => {
      await trial.attempt(files, options);
      assert.ok(tried.length > 0);
      tried.length = 0;
      await trial.attempt(files, options);
      assert.deepEqual(tried, []);
      const attention = { cores: [{ mechanism: 'entmax', q: 'a', k: 'b', v: 'c', context: 'd' }] };
      await assert.rejects(
        trial.attempt({ ...files, attention }, options),
        /attention\.json does not fit the model/,
      );
    });
  });

  it('refuses weights that no machine holds before it reads any of them', async () => {
    const path = join(folder, 'hollow');
    cpSync(join(folder, 'sound'), path, { recursive: true });
    const model = decodeModel(readFileSync(join(path, 'model.onnx')));
    // One file by many names: larger than any disk, and no single one of a size that is refused for being empty.
    const [bytes, names] = [2 ** 31, 2048];
    for (let i = 0; i < names; i++)
      model.graph!.initializer.push({
        ...{ name: `huge${i}`, dims: [bytes / 4], data_type: ElementType.float32, data_location: 1 },
        external_data: [{ key: 'location', value: `${'./'.repeat(i)}huge.bin` }],
      } as never);
    await writeFile(join(path, 'model.onnx'), encodeModel(model));
    await writeFile(join(path, 'huge.bin'), '');
    // A file with a hole takes no room on the disk.
    await truncate(join(path, 'huge.bin'), bytes);
    await assert.rejects(load('hollow'), (error: EngineError) => {
      assert.match(error.message, /is refused: its weights take 4398\.\d GB, and this machine has/);
      // Through the trial's process and the engine's.
      assert.ok(error.isOfMemory, String(error.code));
      return true;
    });
  });

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

  it('looks at a model without loading it here: the file, and every core as it is when loaded', async () => {
    const inspect = (name: string) => client.request('models/inspect', { ref: join(folder, name) });
    const { facts, info, refused } = await inspect('sound/model.onnx');
    assert.equal(refused, null);
    assert.deepEqual(info!.cores, (await load('sound')).cores);
    assert.equal(info!.verified.bitEqual, true);
    assert.ok(facts!.opsets.some(({ domain, version }) => domain === '' && version > 10));
    assert.ok(facts!.nodes > 100 && facts!.bytes > 1e6 && facts!.tokenizer);
    assert.deepEqual(
      facts!.inputs.map(({ name, type }) => [name, type]),
      [['input_ids', 'int64']],
    );
    await writeFile(join(folder, 'text.onnx'), 'this is a text');
    const text = await inspect('text.onnx');
    assert.deepEqual([text.facts, text.info], [null, null]);
    assert.match(text.refused!, /is text, no ONNX model\.$/);
  });

  // The children of a process are read from /proc.
  (process.platform === 'linux' ? describe : describe.skip)('that ends or blocks its process', () => {
    it('ends its trial only: one sentence with its name, and the analyses that are there go on', async () => {
      const engine = client.processId!;
      const id = 'first';
      await client.request('analysis/start', {
        ...{ id, model: 'bundled', text: 'The cat sat on the mat.', device: 'cpu' },
        ...{ maxTokens: null, mechanisms: [], propagate: false },
      });
      const row = () => client.request('analysis/row', { id, core: 0, head: 0, token: 3, direction: 'from' });
      const before = await row();
      const failed = assert.rejects(load('endless'), (error: Error) => {
        assert.match(error.message, /endless cannot be used: it crashed ONNX Runtime \(SIGSEGV\)\.$/);
        return true;
      });
      process.kill(await inNativeCode(engine), 'SIGSEGV');
      await failed;
      assert.equal(client.processId, engine);
      assert.equal(client.state, 'running');
      assert.deepEqual(await row(), before);
      await client.request('analysis/dispose', { id });
      await load('sound');
    });

    it('ends, or is given up, while it is only looked at; the engine answers meanwhile', async () => {
      const ref = join(folder, 'endless/model.onnx');
      const engine = client.processId!;
      const looked = client.request('models/inspect', { ref });
      const trial = await inNativeCode(engine);
      assert.equal((await load('sound')).name, 'sound');
      process.kill(trial, 'SIGSEGV');
      const { facts, info, refused } = await looked;
      assert.equal(info, null);
      assert.ok(facts!.nodes > 100, 'what was read before stays');
      assert.match(refused!, /crashed ONNX Runtime/);
      assert.equal(client.processId, engine);
    });

    it('is ended when a step of it takes too long', async () => {
      const trial = trialIn(await buildEngine(), 4);
      const files = await resolveModel(join(folder, 'endless'));
      const options = { memoryLimitMiB: 1024, signal: neverCancelled, onProgress: () => undefined };
      await withCache(() =>
        assert.rejects(
          trial.attempt(files, options),
          /endless cannot be used: it takes more than \d s to load\.$/,
        ),
      );
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
