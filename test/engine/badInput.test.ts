import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine, UnknownAnalysisError } from '../../engine/engine';
import { CancelledError, RefusedError } from '../../engine/errors';
import { resolveModel } from '../../engine/model/source/source';
import type { AnalysisSummary, AnalyzeParams } from '../../shared/protocol/engine';
import { GraphBuilder } from '../../engine/runtime/graphBuilder';
import { decodeModel, encodeModel, type ModelProto } from '../../engine/runtime/onnxProto';
import { buildCli, runCli } from '../fixtures/cli';
import { bareModel } from '../support/bareModel';

/** Whatever a user may hand in by mistake (or by malice) ends in one clear sentence and a working engine. */
describe('bad input', function () {
  this.timeout(120_000);
  let folder: string;
  let tokenizer: string;
  let bundled: string;
  const engine = new Engine();
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bad-'));
    const files = await resolveModel('bundled');
    bundled = files.onnx;
    tokenizer = join(files.folder, 'tokenizer.json');
    await writeFile(join(folder, 'secret.bin'), new Uint8Array(4096));
    await engine.request('initialize', { device: 'cpu', memoryLimitMiB: 2048 });
  });
  after(async () => {
    await engine.dispose();
    await rm(folder, { recursive: true });
  });

  /** A folder with the bundled tokenizer and this model. */
  async function modelFolder(name: string, onnx: Uint8Array | string): Promise<string> {
    const path = join(folder, name);
    await mkdir(path, { recursive: true });
    await cp(tokenizer, join(path, 'tokenizer.json'));
    await writeFile(join(path, 'model.onnx'), onnx);
    return path;
  }

  const load = (ref: string) => engine.request('models/load', { ref, device: 'cpu' });

  async function assertRefused(work: Promise<unknown>, message: RegExp): Promise<void> {
    await assert.rejects(work, (error: Error) => {
      assert.ok(error instanceof RefusedError, `${error.name}: ${error.message}`);
      assert.match(error.message, message);
      assert.match(error.message, /^\S.*[^.]\.$/, 'one sentence on one line');
      return true;
    });
  }

  describe('models', () => {
    for (const share of [0, 0.001, 0.1, 0.5, 0.99, 0.99999]) {
      it(`refuses a model cut to ${share} of its size`, async () => {
        const bytes = await readFile(bundled);
        const path = await modelFolder(`cut-${share}`, bytes.subarray(0, Math.floor(bytes.length * share)));
        await assertRefused(load(path), /cut short|empty|no ONNX|no complete ONNX|bytes where/);
      });
    }

    it('refuses a text that is named .onnx', async () => {
      await assertRefused(load(await modelFolder('text', 'Dear reader,\nthis is a letter.\n')), /is text/);
    });

    it('refuses noise', async () => {
      const noise = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 2654435761) >>> 24);
      await assertRefused(load(await modelFolder('noise', noise)), /no ONNX model/);
    });

    it('refuses an ONNX model without attention', async () => {
      const graph = new GraphBuilder();
      const ids = graph.input('input_ids', 'int64', [1, 'tokens']);
      const table = graph.float(
        Float32Array.from({ length: 4096 * 4 }, (_, i) => Math.sin(i)),
        [4096, 4],
      );
      const head = graph.float(
        Float32Array.from({ length: 4 * 4096 }, (_, i) => Math.cos(i)),
        [4, 4096],
      );
      graph.output('logits', graph.op('MatMul', [graph.op('Gather', [table, ids]), head]));
      await assertRefused(load(await modelFolder('no-attention', graph.encode())), /attention/);
    });

    const outside: [string, (path: string) => Promise<string>][] = [
      ['one folder up', async () => '../secret.bin'],
      ['an absolute path', async () => join(folder, 'secret.bin')],
      ['a way round', async () => 'onnx/../../secret.bin'],
      ['a Windows path', async () => '..\\secret.bin'],
      [
        'a link',
        async path => {
          await symlink('../secret.bin', join(path, 'link.bin'));
          return 'link.bin';
        },
      ],
    ];
    for (const [name, location] of outside) {
      it(`refuses external data outside the model's folder: ${name}`, async () => {
        const path = await modelFolder(`outside-${name.replaceAll(' ', '-')}`, '');
        const model = decodeModel(await readFile(bundled));
        await writeFile(join(path, 'model.onnx'), withExternalData(model, await location(path)));
        await assertRefused(load(path), /outside the model's folder/);
      });
    }

    it('refuses external data that is missing or too short', async () => {
      const model = decodeModel(await readFile(bundled));
      const path = await modelFolder('missing-data', withExternalData(model, 'weights.bin'));
      await assertRefused(load(path), /weights\.bin is missing/);
      await writeFile(join(path, 'weights.bin'), new Uint8Array(10));
      await assertRefused(load(path), /weights\.bin, which may be cut short/);
    });

    it('refuses a model without a tokenizer', async () => {
      const path = join(folder, 'no-tokenizer');
      await mkdir(path);
      await cp(bundled, join(path, 'model.onnx'));
      await assertRefused(load(path), /^No tokenizer in .*no-tokenizer/);
    });
  });

  describe('texts', () => {
    const start = (text: string, more: Partial<AnalyzeParams> = {}): Promise<AnalysisSummary> =>
      engine.request('analysis/start', {
        id: 'text',
        model: 'bundled',
        text,
        device: 'cpu',
        maxTokens: 64,
        mechanisms: [],
        propagate: false,
        ...more,
      });

    it('refuses a tokenizer that does not match the model', async () => {
      const path = await modelFolder('foreign', await readFile(bundled));
      const foreign = JSON.parse(await readFile(tokenizer, 'utf8')) as { added_tokens: object[] };
      const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
      const size = Object.keys((foreign as unknown as { model: { vocab: object } }).model.vocab).length;
      foreign.added_tokens.push({ id: size, content: '<foreign>', special: false, ...flags });
      await writeFile(join(path, 'tokenizer.json'), JSON.stringify(foreign));
      await assertRefused(
        start('Some <foreign> text.', { model: path }),
        /^The tokenizer does not match the model: token "<foreign>" has id \d+/,
      );
    });

    it('refuses an empty document', async () => {
      await assertRefused(start(''), /^The text is empty\.$/);
    });

    it('takes 50 MB of text, analyses the beginning and says so', async () => {
      const text = 'The quick brown fox jumps over the lazy dog.\n'.repeat(50e6 / 45);
      const summary = await start(text);
      assert.equal(summary.tokens.ids.length, 64);
      assert.equal(summary.tokens.estimated, true);
      assert.ok(
        summary.notes.some(note => /^Only the first 64 tokens of the text were analyzed/.test(note)),
        summary.notes.join(),
      );
    });

    it('takes one line of 200,000 characters', async () => {
      const summary = await start('lorem ipsum '.repeat(200_000 / 12));
      assert.equal(summary.tokens.ids.length, 64);
      const solid = await start('x'.repeat(200_000));
      assert.equal(solid.tokens.ids.length, 64);
    });

    it('takes one character', async () => {
      const summary = await start('a', { model: await bareModel(folder) });
      assert.equal(summary.tokens.ids.length, 1);
      for (const core of summary.cores) {
        for (const head of core.heads)
          assert.ok(Math.abs(head.to.self - 1) < 1e-5, 'it can only look at itself');
      }
    });

    for (const [name, text] of Object.entries({
      emoji: 'so 😀 good 👩‍👩‍👧‍👦!',
      combining: 'cafe\u0301 na\u0308ive',
      'right-to-left': 'he said שלום עולם and left',
    })) {
      it(`gives the token under each character its own range: ${name}`, async () => {
        const { tokens } = await start(text);
        for (let at = 0; at < text.length; at++) {
          const found = [...tokens.ids.keys()].filter(i => tokens.start[i]! <= at && at < tokens.end[i]!);
          assert.ok(found.length > 0, `a token at ${at}`);
          const [hover] = await engine.request('analysis/token', {
            ...{ id: 'text', core: 0, head: 0, tokens: [found[0]!], top: 3, mechanisms: [] },
          });
          assert.equal(hover!.token, found[0]);
          for (const link of hover!.looksAt) assert.ok(link.token <= found[0]!);
        }
      });
    }

    it('replaces an analysis that is started twice', async () => {
      const text = 'One thing after another. '.repeat(20);
      const first = start(text);
      const second = start(`${text}Again.`);
      await assert.rejects(first, CancelledError);
      assert.match((await second).tokens.text[1]!, /O/);
      await engine.request('analysis/row', { id: 'text', core: 0, head: 0, token: 5, direction: 'from' });
    });

    it('stops when the document is closed meanwhile, and goes on serving', async () => {
      const cancelled = new AbortController();
      const watched = new Engine(name => {
        if (name === 'analysis/core') cancelled.abort();
      });
      const params = { ...{ id: 'closed', model: 'bundled', device: 'cpu' as const, maxTokens: null } };
      const text = 'One thing after another. '.repeat(50);
      const all = { ...params, text, mechanisms: [], propagate: false };
      await assert.rejects(watched.request('analysis/start', all, cancelled.signal), CancelledError);
      await assert.rejects(
        watched.request('analysis/row', { id: 'closed', core: 0, head: 0, token: 0, direction: 'from' }),
        UnknownAnalysisError,
      );
      const summary = await watched.request('analysis/start', all);
      assert.ok(summary.cores.length > 0);
      await watched.request('analysis/dispose', { id: 'closed' });
      await watched.dispose();
    });
  });

  describe('on the command line', () => {
    let cli: string;
    before(async () => {
      cli = await buildCli();
    });
    const cases: [string, () => Promise<string[]>, RegExp][] = [
      ['a missing text', async () => ['none.txt'], /^There is no file none\.txt\./],
      ['a folder', async () => ['.'], /^\. is a folder, not a text\./],
      ['an empty text', () => text('empty.txt', ''), /^The text is empty\./],
      ['a byte order mark alone', () => text('mark.txt', '\ufeff'), /^The text is empty\./],
      ['binary data', () => text('binary.txt', Uint8Array.of(77, 90, 0, 3)), /binary data\./],
      ['another encoding', () => text('latin.txt', Uint8Array.of(99, 97, 102, 233)), /is not UTF-8 text\./],
      [
        'UTF-16',
        () => text('wide.txt', Buffer.from('\ufeffwide', 'utf16le')),
        /is UTF-16 text: save it as UTF-8\./,
      ],
      [
        'UTF-16 without a mark',
        () => text('bare.txt', Buffer.from('wide text', 'utf16le')),
        /is UTF-16 text/,
      ],
      [
        'a broken model',
        async () => [
          ...(await text('fine.txt', 'Fine.')),
          '--model',
          await modelFolder('letter', 'Dear reader'),
        ],
        /is text/,
      ],
      [
        'a model that is not there',
        async () => [...(await text('fine.txt', 'Fine.')), '--model', 'none.onnx'],
        /^There is no file none\.onnx\./,
      ],
    ];
    async function text(name: string, content: string | Uint8Array): Promise<string[]> {
      await writeFile(join(folder, name), content);
      return [name];
    }
    for (const [name, args, message] of cases) {
      it(`exits with 3: ${name}`, async () => {
        const result = await runCli(cli, ['analyze', ...(await args()), '--json', 'never.json'], {
          cwd: folder,
        });
        assert.equal(result.code, 3, result.stderr);
        assert.match(result.stderr, message);
        assert.equal(result.stderr.trim().split('\n').length, 1);
        await assert.rejects(readFile(join(folder, 'never.json')), { code: 'ENOENT' });
      });
    }
  });
});

/** The model with its largest weight moved to a file. */
function withExternalData(model: ModelProto, location: string): Uint8Array {
  const [largest] = [...model.graph!.initializer].sort((a, b) => b.raw_data.length - a.raw_data.length);
  largest!.raw_data = new Uint8Array(0);
  largest!.data_location = 1;
  largest!.external_data = [{ key: 'location', value: location }];
  return encodeModel(model);
}
