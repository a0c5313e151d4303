import assert from 'node:assert/strict';
import { reason } from '../../engine/model/source/download';
import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { CancelledError, RefusedError } from '../../engine/errors';
import { fetchModel, listVariants, parseHubRef, type HubOptions } from '../../engine/model/source/hub';
import { cachedModels, touchAndEvict } from '../../engine/model/source/hubCache';
import { listHubVariants, listModels, resolveModel } from '../../engine/model/source/source';
import { readSkeleton } from '../../engine/model/onnx/skeleton';
import { HubServer, serve } from '../fixtures/hubServer';
import { plainModel } from '../fixtures/onnxModels';

/** Content that differs everywhere, so that a wrong offset shows. */
const noise = (size: number, seed: number): Buffer => {
  let state = seed;
  return Buffer.from(
    Uint8Array.from({ length: size }, () => (state = (state * 1103515245 + 12345) >>> 0) >>> 24),
  );
};

describe('models from the hub', function () {
  this.timeout(20_000);
  const MODEL = noise(3_000_000, 1);
  const DATA = noise(50_000, 2);
  const INT8 = noise(10_000, 3);
  let server: HubServer;
  let cache: string;
  const messages: string[] = [];
  let cancelled: AbortController;
  const options: HubOptions = {
    get signal() {
      return cancelled.signal;
    },
    onProgress: message => messages.push(message),
    timing: { attempts: 3, pauseMs: 5, stallMs: 400 },
  };

  beforeEach(async () => {
    server = await new HubServer().start();
    server.add('org/tiny', {
      '.gitattributes': 'x',
      'README.md': '---\nlicense: apache-2.0\n---\n',
      'config.json': '{"model_type": "gpt2"}',
      'tokenizer.json': '{"é": 1}',
      'pytorch_model.bin': noise(100_000, 4),
      'onnx/model.onnx': MODEL,
      'onnx/model.onnx_data': DATA,
      'onnx/model_int8.onnx': INT8,
    });
    cache = await mkdtemp(join(tmpdir(), 'hub-'));
    Object.assign(process.env, { HF_ENDPOINT: server.url, ATTENTION_INSPECTOR_CACHE: cache });
    cancelled = new AbortController();
    messages.length = 0;
  });
  afterEach(async () => {
    for (const name of ['HF_ENDPOINT', 'ATTENTION_INSPECTOR_CACHE', 'HF_TOKEN', 'HF_HUB_OFFLINE']) {
      delete process.env[name];
    }
    await server.stop();
    await rm(cache, { recursive: true });
  });

  const fetchTiny = (ref = 'org/tiny') => fetchModel(parseHubRef(ref)!, options);

  async function assertRefused(work: Promise<unknown>, message: RegExp): Promise<void> {
    await assert.rejects(work, (error: Error) => {
      assert.ok(error instanceof RefusedError, `${error.name}: ${error.message}`);
      assert.match(error.message, message);
      return true;
    });
  }

  /** Every file under the cache, without the folders. */
  const cached = async (): Promise<string[]> =>
    (await readdir(cache, { recursive: true, withFileTypes: true }))
      .filter(e => !e.isDirectory())
      .map(e => e.name);

  it('reads references', () => {
    const ref = (id: string, revision = 'main', file: string | null = null) => ({ id, revision, file });
    assert.deepEqual(parseHubRef('org/name'), ref('org/name'));
    assert.deepEqual(parseHubRef('Org-1/na.me_2@v1.0'), ref('Org-1/na.me_2', 'v1.0'));
    assert.deepEqual(parseHubRef('org/name/onnx/m_q4.onnx'), ref('org/name', 'main', 'onnx/m_q4.onnx'));
    assert.deepEqual(parseHubRef('org/name@abc/m.onnx'), ref('org/name', 'abc', 'm.onnx'));
    const page = 'https://huggingface.co/org/name';
    assert.deepEqual(parseHubRef(page), ref('org/name'));
    assert.deepEqual(parseHubRef(`${page}/tree/v2?x=1`), ref('org/name', 'v2'));
    assert.deepEqual(parseHubRef(`${page}/blob/main/onnx/m.onnx`), ref('org/name', 'main', 'onnx/m.onnx'));
    assert.equal(parseHubRef('https://elsewhere.org/org/name'), null);
    for (const bad of [
      'name',
      '../name',
      'org/../x.onnx',
      'org/name/a/b/c.onnx',
      '/org/name',
      'org/name/x.bin',
      'org/model.onnx',
    ]) {
      assert.equal(parseHubRef(bad), null, bad);
    }
  });

  it('brings the best model with its external data, tokenizer and card, and nothing else', async () => {
    const { onnx, folder } = await fetchTiny();
    assert.deepEqual(await readFile(onnx), MODEL);
    assert.deepEqual(await readFile(`${onnx}_data`), DATA);
    assert.equal(onnx, join(folder, 'onnx/model.onnx'));
    assert.equal(await readFile(join(folder, 'tokenizer.json'), 'utf8'), '{"é": 1}');
    assert.deepEqual((await cached()).sort(), [
      'README.md',
      'config.json',
      'main.json',
      'model.onnx',
      'model.onnx_data',
      'tokenizer.json',
    ]);
    assert.match(messages.at(-1)!, /^Downloading org\/tiny: 3\.1 of 3\.1 MB$/);
  });

  it('brings encoder and decoder of a model in two files, of the same variant', async () => {
    server.add('org/seq', {
      'tokenizer.json': '{}',
      'onnx/encoder_model.onnx': MODEL,
      'onnx/encoder_model_int8.onnx': INT8,
      'onnx/decoder_model.onnx': DATA,
      'onnx/decoder_model_merged_int8.onnx': noise(10_500, 5),
    });
    const { onnx, encoder, folder } = await fetchTiny('org/seq');
    assert.equal(onnx, join(folder, 'onnx/decoder_model.onnx'));
    assert.deepEqual(await readFile(encoder!), MODEL);
    const small = await fetchTiny('org/seq/onnx/decoder_model_merged_int8.onnx');
    assert.deepEqual(await readFile(small.encoder!), INT8);
    const { variants } = await listVariants(parseHubRef('org/seq')!, options);
    assert.deepEqual(variants[0], { path: 'onnx/decoder_model.onnx', bytes: MODEL.length + DATA.length });
  });

  it('takes the variant asked for', async () => {
    const { onnx } = await fetchTiny('org/tiny/onnx/model_int8.onnx');
    assert.deepEqual(await readFile(onnx), INT8);
    assert.ok(!server.downloads.includes('onnx/model.onnx'));
    await assertRefused(
      fetchTiny('org/tiny/onnx/none.onnx'),
      /^org\/tiny has no onnx\/none\.onnx: give one of org\/tiny\/onnx\/model\.onnx, /,
    );
  });

  it('lists variants with their sizes, the best first, over several pages', async () => {
    server.pageSize = 2;
    assert.deepEqual(await listVariants(parseHubRef('org/tiny')!, options), {
      variants: [
        { path: 'onnx/model.onnx', bytes: MODEL.length + DATA.length },
        { path: 'onnx/model_int8.onnx', bytes: INT8.length },
      ],
      licence: 'apache-2.0',
    });
    assert.deepEqual((await listHubVariants('org/tiny', options))[1], {
      ref: 'org/tiny/onnx/model_int8.onnx',
      label: 'onnx/model_int8.onnx',
      detail: '0.0 MB, licence apache-2.0',
      source: 'hub',
    });
    server.add('org/bare', { 'model.onnx': INT8 });
    assert.equal((await listHubVariants('org/bare', options))[0]!.detail, '0.0 MB');
  });

  it('brings what says how an embedding is made', async () => {
    const pooling = { pooling_mode_cls_token: true, pooling_mode_mean_tokens: false };
    server.add('org/embed', {
      'config.json': '{}',
      '1_Pooling/config.json': JSON.stringify(pooling),
      '2_Dense/config.json': '{}',
      'onnx/model.onnx': INT8,
    });
    assert.equal((await resolveModel('org/embed', options)).pooling, 'first');
    assert.ok(server.downloads.every(file => !file.startsWith('2_Dense')));
    assert.equal((await resolveModel('org/tiny', options)).pooling, undefined);
  });

  it('resolves like any other model, and downloads once', async () => {
    const files = await resolveModel('org/tiny', options);
    assert.equal(files.name, 'org/tiny');
    assert.deepEqual(files.config, { model_type: 'gpt2' });
    const { length } = server.downloads;
    await resolveModel('org/tiny', options);
    assert.equal(server.downloads.length, length);
    const [model] = (await listModels([])).filter(m => m.source === 'hub');
    assert.equal(model!.ref, 'org/tiny');
    assert.match(model!.detail, /^3\.1 MB downloaded, gpt2, licence apache-2\.0$/);
  });

  it('brings weights under the names that the .onnx file gives them', async () => {
    const model = plainModel();
    for (const tensor of model.initializers) {
      const length = String(tensor.raw_data!.length);
      tensor.raw_data = new Uint8Array(0);
      tensor.data_location = 1;
      const entries = { location: 'shards/part-1.bin', offset: '0', length };
      tensor.external_data = Object.entries(entries).map(([key, value]) => ({ key, value }));
    }
    const part = noise(32 * 64 * 4, 9);
    server.add('org/named', {
      'config.json': '{}',
      'onnx/model.onnx': Buffer.from(model.encode()),
      'onnx/shards/part-1.bin': part,
      'onnx/shards/other.bin': part,
    });
    const { onnx } = await fetchTiny('org/named');
    assert.equal(readSkeleton(onnx).model.graph!.initializer.length, 2);
    assert.ok(!(await cached()).includes('other.bin'));
  });

  it('says which variable is wrong', async () => {
    process.env.HF_ENDPOINT = 'mirror.example.org';
    await assertRefused(fetchTiny(), /HF_ENDPOINT is "mirror\.example\.org": it must .* https:/);
  });

  it('goes on where a broken connection stopped', async () => {
    let breaks = 2;
    server.fault = (request, response, content) => {
      if (!request.url!.endsWith('/model.onnx') || breaks-- <= 0) return false;
      const from = Number(/\d+/.exec(request.headers.range ?? '0')![0]);
      response.writeHead(from ? 206 : 200, {
        'content-length': content.length - from,
        ...(from && { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }),
      });
      response.write(content.subarray(from, from + 1_000_000), () =>
        setTimeout(() => response.destroy(), 30),
      );
      return true;
    };
    assert.deepEqual(await readFile((await fetchTiny()).onnx), MODEL);
    const ranges = server.requests.filter(r => r.path.endsWith('/model.onnx')).map(r => r.range);
    const [first, ...later] = ranges;
    const starts = later.map(range => Number(/^bytes=(\d+)-$/.exec(range!)![1]));
    // A busy machine may lose the end of what was sent.
    assert.equal(first, undefined);
    assert.equal(starts.length, 2);
    assert.ok(
      0 < starts[0]! && starts[0]! <= 1_000_000 && starts[0]! < starts[1]! && starts[1]! <= 2_000_000,
    );
  });

  it('brings a file once for all who ask for it at once, and goes on where the first is cancelled', async () => {
    const first = new AbortController();
    const others = [1, 2, 3].map(() => fetchTiny());
    const cancelledOne = fetchModel(parseHubRef('org/tiny')!, { ...options, signal: first.signal });
    first.abort();
    await assert.rejects(cancelledOne, CancelledError);
    for (const { onnx } of await Promise.all(others)) assert.deepEqual(await readFile(onnx), MODEL);
  });

  it('goes on in a later call, after giving up', async () => {
    server.fault = (request, response, content) => {
      if (!request.url!.endsWith('/model.onnx')) return false;
      if (request.headers.range) response.destroy();
      else {
        response.writeHead(200, { 'content-length': content.length });
        response.write(content.subarray(0, 500_000), () => setTimeout(() => response.destroy(), 30));
      }
      return true;
    };
    await assertRefused(
      fetchTiny(),
      /^The download of model\.onnx broke off \(.*\); what has arrived is kept/,
    );
    server.fault = () => false;
    assert.deepEqual(await readFile((await fetchTiny()).onnx), MODEL);
    assert.equal(server.requests.filter(r => r.path.endsWith('/model.onnx')).at(-1)!.range, 'bytes=500000-');
  });

  it('starts over when the server cannot resume', async () => {
    let broken = false;
    server.fault = (request, response, content) => {
      if (!request.url!.endsWith('/model.onnx')) return false;
      response.writeHead(200, { 'content-length': content.length });
      if (broken) response.end(content);
      else response.write(content.subarray(0, 700_000), () => setTimeout(() => response.destroy(), 30));
      broken = true;
      return true;
    };
    assert.deepEqual(await readFile((await fetchTiny()).onnx), MODEL);
  });

  it('gives up on a server that goes silent', async () => {
    server.fault = (request, response, content) => {
      if (!request.url!.endsWith('/model.onnx')) return false;
      response.writeHead(200, { 'content-length': content.length }).write('x');
      return true;
    };
    // What arrived ("x") is wrong, but it is the silence that ends it.
    await assertRefused(fetchTiny(), /broke off \(the server went silent\)/);
  });

  it('waits for a busy server', async () => {
    let busy = 2;
    server.fault = (_request, response) => {
      if (busy-- <= 0) return false;
      response.writeHead(busy ? 503 : 429).end();
      return true;
    };
    assert.deepEqual(await readFile((await fetchTiny()).onnx), MODEL);
  });

  it('refuses a file with a wrong checksum and does not keep it', async () => {
    for (const wrong of ['/model.onnx', '/tokenizer.json']) {
      server.fault = (request, response, content) => {
        if (!request.url!.endsWith(wrong)) return false;
        const damaged = Buffer.from(content);
        damaged[5]! ^= 1;
        serve(request.headers.range, response, damaged);
        return true;
      };
      await assertRefused(
        fetchTiny(),
        new RegExp(
          `^${wrong.slice(1)} arrived damaged: its checksum is not the one that was announced; try again\\.$`,
        ),
      );
      assert.ok(!(await cached()).some(name => name.startsWith(wrong.slice(1)) && !name.endsWith('_data')));
    }
    server.fault = () => false;
    assert.deepEqual(await readFile((await fetchTiny()).onnx), MODEL);
  });

  it('refuses a file that is longer than announced', async () => {
    server.fault = (request, response, content) => {
      if (!request.url!.endsWith('/model.onnx')) return false;
      response.end(Buffer.concat([content, Buffer.from('more')]));
      return true;
    };
    await assertRefused(fetchTiny(), /^model\.onnx is longer than was announced\./);
  });

  it('tells what is missing: 404, no ONNX files, no such file', async () => {
    await assertRefused(fetchTiny('org/none'), /^There is no model org\/none on 127\.0\.0\.1:\d+\.$/);
    server.add('org/torch', { 'pytorch_model.bin': 'x' });
    await assertRefused(fetchTiny('org/torch'), /^org\/torch has no ONNX files on the hub\.$/);
    server.fault = (request, response) => {
      if (!request.url!.endsWith('/model.onnx')) return false;
      response.writeHead(404).end();
      return true;
    };
    await assertRefused(fetchTiny(), /^There is no model\.onnx on 127/);
  });

  it('prints no secret of the environment', async () => {
    process.env.HF_ENDPOINT = 'https://ann:hunter2@hub.example.org';
    await assertRefused(
      fetchTiny(),
      /^The environment variable HF_ENDPOINT holds a user name or a password: [^@]*$/,
    );
    process.env.HF_ENDPOINT = 'ann:hunter2@hub.example.org';
    await assertRefused(fetchTiny(), /^(?!.*hunter2).*HF_ENDPOINT is/);
    process.env.HF_ENDPOINT = server.url;
    process.env.HF_TOKEN = 'hf_abc\nhf_def';
    await assertRefused(fetchTiny(), /^(?!.*hf_).*HF_TOKEN holds characters that no token has\.$/);
    process.env.HF_TOKEN = 'hf_abc';
    assert.equal(
      reason(new Error('bad header Bearer hf_abc for //ann:pw@host/x')),
      'bad header Bearer … for //…@host/x',
    );
    delete process.env.HF_TOKEN;
  });

  it('asks for a token when refused, and sends HF_TOKEN', async () => {
    server.add('org/secret', { 'model.onnx': MODEL, 'tokenizer.json': '{}' }, 'hf_abc');
    await assertRefused(
      fetchTiny('org/secret'),
      /does not give model org\/secret to everybody: .* set HF_TOKEN\.$/,
    );
    process.env.HF_TOKEN = 'hf_wrong';
    await assertRefused(fetchTiny('org/secret'), /set HF_TOKEN/);
    process.env.HF_TOKEN = 'hf_abc';
    assert.deepEqual(await readFile((await fetchTiny('org/secret')).onnx), MODEL);
  });

  it('follows redirects to another server without giving it the token', async () => {
    const storage = await new HubServer().start();
    storage.add('any/where', { 'model.onnx': MODEL });
    try {
      process.env.HF_TOKEN = 'hf_abc';
      server.fault = (request, response) => {
        if (!request.url!.endsWith('/onnx/model.onnx')) return false;
        const { commit } = storage.repositories.get('any/where')!;
        response.writeHead(302, { location: `${storage.url}/any/where/resolve/${commit}/model.onnx` }).end();
        return true;
      };
      assert.deepEqual(await readFile((await fetchTiny()).onnx), MODEL);
      assert.equal(server.requests.at(-1)!.authorization, 'Bearer hf_abc');
      assert.deepEqual(
        storage.requests.map(r => r.authorization),
        [undefined],
      );
    } finally {
      await storage.stop();
    }
  });

  it('stops when cancelled and keeps what has arrived', async () => {
    server.fault = (request, response, content) => {
      if (!request.url!.endsWith('/model.onnx') || request.headers.range) return false;
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, 900_000));
      const looking = setInterval(() => {
        if (messages.some(message => /^Downloading org\/tiny: (?!0\.0 )/.test(message))) cancelled.abort();
      }, 5);
      response.on('close', () => clearInterval(looking));
      return true;
    };
    await assert.rejects(fetchTiny(), CancelledError);
    // How much has arrived by then depends on the machine; whatever it is, the rest is asked for.
    const all = await readdir(cache, { recursive: true });
    const { size } = await stat(
      join(
        cache,
        all.find(name => name.endsWith('model.onnx.part'))!,
      ),
    );
    assert.ok(size > 0 && size <= 900_000, `${size} bytes`);
    cancelled = new AbortController();
    assert.deepEqual(await readFile((await fetchTiny()).onnx), MODEL);
    assert.equal(server.requests.filter(r => r.path.endsWith('/model.onnx')).at(-1)!.range, `bytes=${size}-`);
  });

  it('works offline from the cache', async () => {
    await fetchTiny();
    const mirror = server.url;
    await server.stop();
    assert.deepEqual(await readFile((await fetchTiny()).onnx), MODEL);
    await assertRefused(
      fetchTiny('org/other'),
      /^Cannot reach 127\.0\.0\.1:\d+ \(ECONNREFUSED\), and org\/other is not in the cache\.$/,
    );
    process.env.HF_HUB_OFFLINE = '1';
    assert.deepEqual(await readFile((await fetchTiny()).onnx), MODEL);
    await assertRefused(
      fetchTiny('org/other'),
      /^org\/other is not in the cache, and HF_HUB_OFFLINE is set\.$/,
    );
    await assertRefused(
      fetchTiny('org/tiny/onnx/model_int8.onnx'),
      /^org\/tiny is not complete in the cache/,
    );
    assert.match(mirror, /127/);
    server = await new HubServer().start();
  });

  it('does not wait for a hub that is silent or refuses, once the model is in the cache', async () => {
    await fetchTiny();
    server.silent = true;
    const hasty = { ...options, patienceMs: 100 };
    assert.deepEqual(await readFile((await fetchModel(parseHubRef('org/tiny')!, hasty)).onnx), MODEL);
    // Another file of it is not there yet, so this one waits: until it is cancelled.
    const waiting = fetchModel(parseHubRef('org/tiny/onnx/model_int8.onnx')!, hasty);
    setTimeout(() => cancelled.abort(), 400);
    await assert.rejects(waiting, CancelledError);
    cancelled = new AbortController();
    server.silent = false;
    server.repositories.get('org/tiny')!.token = 'hf_new';
    assert.deepEqual(await readFile((await fetchTiny()).onnx), MODEL);
    server.repositories.delete('org/tiny');
    assert.deepEqual(await readFile((await fetchTiny()).onnx), MODEL);
  });

  it('takes a new revision when there is one', async () => {
    await fetchTiny();
    server.add('org/tiny', { 'model.onnx': INT8, 'tokenizer.json': '{}' });
    assert.deepEqual(await readFile((await fetchTiny()).onnx), INT8);
  });

  it('downloads only what a new revision has changed', async () => {
    const before = await fetchTiny();
    server.add('org/tiny', {
      'README.md': 'new',
      'tokenizer.json': '{"é": 1}',
      'onnx/model.onnx': MODEL,
      'onnx/model.onnx_data': DATA,
    });
    const { length } = server.downloads;
    const after = await fetchTiny();
    assert.notEqual(after.folder, before.folder);
    assert.deepEqual(await readFile(after.onnx), MODEL);
    assert.deepEqual(server.downloads.slice(length), ['README.md']);
  });

  it('says that the disk is full', async function () {
    if (process.platform !== 'linux') return this.skip();
    const { commit } = server.repositories.get('org/tiny')!;
    const folder = join(cache, 'org--tiny', commit, 'onnx');
    await mkdir(folder, { recursive: true });
    await symlink('/dev/full', join(folder, 'model.onnx.part'));
    await assertRefused(fetchTiny(), /^The disk is full: model\.onnx cannot be stored in /);
  });

  it('refuses what does not fit on the disk before downloading it', async () => {
    const { files } = server.repositories.get('org/tiny')!;
    const huge = Object.assign(Buffer.from('x'), {});
    Object.defineProperty(huge, 'length', { value: 2 ** 52 });
    files.set('onnx/model.onnx_data', huge);
    await assertRefused(
      fetchTiny(),
      /^org\/tiny needs \d+ MiB more on the disk of .*, which has \d+ MiB left\.$/,
    );
    assert.deepEqual(server.downloads, []);
  });

  it('never leaves its folder, whatever paths the server lists', async () => {
    server.add('org/evil', {
      '../../evil.onnx': MODEL,
      'onnx/../../../evil.onnx': MODEL,
      'model.onnx': INT8,
      '../config.json': '{}',
      'tokenizer.json': '{}',
    });
    const { folder } = await fetchTiny('org/evil');
    assert.deepEqual((await cached()).sort(), ['main.json', 'model.onnx', 'tokenizer.json']);
    assert.deepEqual((await readdir(folder)).sort(), ['model.onnx', 'tokenizer.json']);
  });

  describe('a hub whose answers have no end or no sense', () => {
    const json = (response: ServerResponse, value: unknown) =>
      response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
    /** Writes for as long as it is read. */
    const pour = (to: Writable, chunk: Buffer) => {
      let alive = true;
      to.on('close', () => (alive = false)).on('error', () => (alive = false));
      const more = () => {
        while (alive && to.write(chunk));
        if (alive) to.once('drain', more);
      };
      more();
    };
    const brief = (more: Partial<HubOptions>) =>
      fetchModel(parseHubRef('org/tiny')!, { ...options, ...more });

    for (const kind of ['revision', 'tree']) {
      it(`is not read to the end: JSON without one (${kind})`, async () => {
        server.answerApi = (asked, _, response) => {
          if (asked !== kind) return false;
          response.setHeader('content-type', 'application/json').write('[');
          pour(response, Buffer.alloc(1 << 16, ' '));
          return true;
        };
        await assertRefused(fetchTiny(), /^127\.0\.0\.1:\d+ answers with more than 32 MiB\.$/);
      });

      it(`is not unpacked to the end: compressed JSON (${kind})`, async () => {
        const packed = gzipSync(Buffer.alloc(200 << 20, ' '), { level: 1 });
        const before = process.memoryUsage().rss;
        server.answerApi = (asked, _, response) => {
          if (asked !== kind) return false;
          response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
          response.end(packed);
          return true;
        };
        await assertRefused(fetchTiny(), /answers with more than 32 MiB\.$/);
        assert.ok(process.memoryUsage().rss - before < 160 * 2 ** 20);
      });

      it(`is given up when it drips (${kind})`, async () => {
        server.answerApi = (asked, _, response) => {
          if (asked !== kind) return false;
          response.setHeader('content-type', 'application/json').write('[');
          const drip = setInterval(() => response.write(' '), 20);
          response.on('close', () => clearInterval(drip));
          return true;
        };
        await assertRefused(
          brief({ answerMs: 300 }),
          /^Cannot reach 127.*, and org\/tiny is not in the cache\.$/,
        );
      });
    }

    it('is not asked for pages without end', async () => {
      let pages = 0;
      server.answerApi = (kind, request, response) => {
        if (kind !== 'tree') return false;
        response.setHeader(
          'Link',
          `<${server.url}${request.url!.split('?')[0]}?cursor=${++pages}>; rel="next"`,
        );
        json(response, []);
        return true;
      };
      await assertRefused(fetchTiny(), /lists the files of org\/tiny without an end\.$/);
      assert.ok(pages <= 100, `${pages} pages`);
    });

    for (const [name, entry] of Object.entries({
      'no size': { path: 'model.onnx' },
      'a negative size': { path: 'model.onnx', size: -5 },
      'a size that is no number': { path: 'model.onnx', size: '12' },
      'a size beyond all whole numbers': { path: 'model.onnx', size: 1e300 },
      'no path': { size: 12 },
      'a path that is no text': { path: ['model.onnx'], size: 12 },
    })) {
      it(`is refused: a file with ${name}`, async () => {
        server.answerApi = (kind, _, response) => {
          if (kind !== 'tree') return false;
          json(response, [{ type: 'file', oid: '0'.repeat(40), ...entry }]);
          return true;
        };
        await assertRefused(fetchTiny(), /names a file of org\/tiny without a path or a size\.$/);
      });
    }

    for (const sha of ['../../x', '', null, 12, 'x'.repeat(1000)]) {
      it(`is refused: a commit ${JSON.stringify(sha)?.slice(0, 20)}`, async () => {
        server.answerApi = (kind, _, response) => {
          if (kind !== 'revision') return false;
          json(response, { id: 'org/tiny', _id: '1', sha });
          return true;
        };
        await assertRefused(fetchTiny(), /names no commit for org\/tiny\.$/);
      });
    }

    for (const [kind, body] of [
      ['revision', 'null'],
      ['revision', '<html>'],
      ['tree', '{"0": {"type": "file"}}'],
      ['tree', '[null]'],
      ['tree', ''],
    ] as const) {
      it(`is refused in our own words: ${body || 'nothing'} (${kind})`, async () => {
        server.answerApi = (asked, _, response) => {
          if (asked !== kind) return false;
          response.setHeader('content-type', 'application/json').end(body);
          return true;
        };
        await assertRefused(
          fetchTiny(),
          /^127\.0\.0\.1:\d+ does not answer as a hub does when asked for org\/tiny\.$/,
        );
      });
    }

    it('is given up when a file drips', async () => {
      let asked = 0;
      server.fault = (request, response, content) => {
        if (!request.url!.endsWith('/model.onnx')) return false;
        asked++;
        const from = Number(/\d+/.exec(request.headers.range ?? '0')![0]);
        response.writeHead(from ? 206 : 200, {
          'content-length': content.length - from,
          ...(from && { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }),
        });
        let at = from;
        const drip = setInterval(() => response.write(content.subarray(at, ++at)), 20);
        response.on('close', () => clearInterval(drip));
        return true;
      };
      await assertRefused(fetchTiny(), /^The download of model\.onnx broke off \(the server went silent\)/);
      assert.equal(asked, options.timing!.attempts);
    });
  });

  it('takes odd files in the cache for none', async () => {
    await fetchTiny();
    const path = join(cache, 'org--tiny', 'refs', 'main.json');
    const whole = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    process.env.HF_HUB_OFFLINE = '1';
    for (const odd of [
      'null',
      '[]',
      '{"id": "org/tiny"',
      JSON.stringify({ ...whole, commit: '../../elsewhere' }),
      JSON.stringify({ ...whole, commit: 7 }),
      JSON.stringify({ ...whole, files: null }),
      JSON.stringify({ ...whole, files: { 0: 1 } }),
      JSON.stringify({ ...whole, files: [null] }),
      JSON.stringify({ ...whole, files: [{ path: 3, size: 1 }] }),
      JSON.stringify({ ...whole, files: [{ path: 'model.onnx', size: -1 }] }),
    ]) {
      await writeFile(path, odd);
      await assertRefused(fetchTiny(), /^org\/tiny is not in the cache, and HF_HUB_OFFLINE is set\.$/);
    }
    await rm(path);
    await mkdir(path);
    await assertRefused(fetchTiny(), /^org\/tiny is not in the cache/);
    await rm(path, { recursive: true });
    if (process.platform !== 'win32') {
      execFileSync('mkfifo', [path]);
      await assertRefused(fetchTiny(), /^org\/tiny is not in the cache/);
      await rm(path);
    }
    await writeFile(path, JSON.stringify(whole));
    assert.deepEqual(await readFile((await fetchTiny()).onnx), MODEL);
  });

  it('evicts the models used longest ago', async () => {
    await fetchTiny();
    for (const [name, year] of [
      ['org--old', 2001],
      ['org--older', 2000],
    ] as const) {
      await cp(join(cache, 'org--tiny'), join(cache, name), { recursive: true });
      await utimes(join(cache, name), new Date(year, 0), new Date(year, 0));
    }
    await writeFile(join(cache, 'not a model'), 'x');
    assert.deepEqual(
      (await cachedModels()).map(model => model.id),
      ['org/tiny', 'org/old', 'org/older'],
    );
    assert.deepEqual(await touchAndEvict('org/tiny', 7e6), ['org/older']);
    assert.deepEqual(await touchAndEvict('org/tiny', 1), ['org/old']);
    assert.deepEqual(
      (await cachedModels()).map(model => model.id),
      ['org/tiny'],
    );
  });
});
