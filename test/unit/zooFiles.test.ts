import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CancelledError, RefusedError } from '../../engine/errors';
import { cachedModels } from '../../engine/model/source/hubCache';
import { assetName, fetchZoo, ZOO, zooFolder, type ZooModel } from '../../engine/model/source/zoo';
import { zooManifest } from '../../scripts/zooAssets';
import type { HubModel } from '../../shared/protocol/engine';
import { withVscode } from '../fixtures/fakeVscode';
import { HubServer } from '../fixtures/hubServer';

const FILES = {
  'config.json': Buffer.from('{"title": "Tiny"}'),
  'onnx/model.onnx': Buffer.from(Uint8Array.from({ length: 400_000 }, (_, i) => (i * i) >> 3)),
};
const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');
const TINY: ZooModel = {
  name: 'zoo/tiny',
  title: 'Tiny',
  files: Object.entries(FILES).map(([path, data]) => ({
    ...{ path, size: data.length, sha256: sha256(data), gitSha1: null },
  })),
};

describe('models of papers that come with the release', () => {
  let server: HubServer;
  let cache: string;
  let cancelled: AbortController;
  const messages: string[] = [];
  const wishes = () => ({
    signal: cancelled.signal,
    onProgress: (message: string) => void messages.push(message),
    timing: { attempts: 2, pauseMs: 5, stallMs: 10_000 },
  });

  beforeEach(async () => {
    server = await new HubServer().start();
    const assets = Object.entries(FILES).map(([path, data]) => [assetName('zoo/tiny', path), data] as const);
    server.add('our/release', Object.fromEntries(assets));
    cache = await mkdtemp(join(tmpdir(), 'zoo-'));
    const release = `${server.url}/our/release/resolve/v1`;
    Object.assign(process.env, { ATTENTION_INSPECTOR_RELEASE: release, ATTENTION_INSPECTOR_CACHE: cache });
    cancelled = new AbortController();
    messages.length = 0;
  });
  afterEach(async () => {
    for (const name of ['ATTENTION_INSPECTOR_RELEASE', 'ATTENTION_INSPECTOR_CACHE', 'HF_HUB_OFFLINE'])
      delete process.env[name];
    await server.stop();
    await rm(cache, { recursive: true });
  });

  const assertRefused = (message: RegExp) =>
    assert.rejects(fetchZoo(TINY, wishes()), (error: Error) => {
      assert.ok(error instanceof RefusedError, error.stack);
      assert.match(error.message, message);
      return true;
    });

  it('are fetched once, every file checked, and stand in the cache', async () => {
    assert.equal(await zooFolder(TINY), null);
    const folder = await fetchZoo(TINY, wishes());
    for (const [path, data] of Object.entries(FILES))
      assert.deepEqual(await readFile(join(folder, path)), data);
    assert.deepEqual(server.downloads, ['zoo-tiny-config.json', 'zoo-tiny-model.onnx']);
    assert.match(messages.at(-1)!, /zoo\/tiny.*0\.4 .*0\.4 MB/);
    assert.equal(await zooFolder(TINY), folder);
    assert.equal(await fetchZoo(TINY, wishes()), folder);
    assert.equal(server.downloads.length, 2, 'nothing is fetched twice');
    assert.deepEqual(
      (await cachedModels()).map(({ id }) => id),
      ['zoo/tiny'],
    );

    // One that was trained further is another one.
    const [config, model] = TINY.files;
    const newer = { ...TINY, files: [config!, { ...model!, sha256: sha256(Buffer.from('newer')) }] };
    assert.equal(await zooFolder(newer), null);
  });

  it('go on where they were cancelled', async () => {
    server.fault = (_, response, content) => {
      if (content.length < 1000) return false;
      response.setHeader('content-length', content.length);
      response.write(content.subarray(0, 100_000), () => setTimeout(() => cancelled.abort(), 50));
      return true;
    };
    await assert.rejects(fetchZoo(TINY, wishes()), CancelledError);
    server.fault = () => false;
    cancelled = new AbortController();
    await fetchZoo(TINY, wishes());
    assert.match(server.requests.at(-1)!.range!, /^bytes=[1-9]\d*-$/);
  });

  it('say what a server answers that does not give them', async () => {
    const answers = (status: number, headers: Record<string, string> = {}) => {
      server.fault = (_, response) => {
        response.writeHead(status, headers).end();
        return true;
      };
    };
    answers(403);
    // No token of the hub opens a release.
    await assertRefused(/^127\.0\.0\.1:\d+ answered 403 when asked for zoo-tiny-config\.json\.$/);
    const asked = server.requests.length;
    answers(302, { location: 'file:///etc/passwd' });
    await assertRefused(/^The download of config\.json leads nowhere: /);
    answers(302, { location: `${server.url}/our/release/resolve/v1/zoo-tiny-config.json` });
    await assertRefused(/^The download of config\.json leads nowhere: redirect count exceeded\.$/);
    assert.ok(server.requests.length - asked <= 30, 'it is not tried again');
  });

  it('a file that is to be empty is not there before it came', async () => {
    const empty = { path: 'none.txt', size: 0, sha256: sha256(Buffer.alloc(0)), gitSha1: null };
    const model = { ...TINY, files: [...TINY.files.slice(0, 1), empty] };
    server.add('our/release', {
      [assetName('zoo/tiny', 'config.json')]: FILES['config.json'],
      [assetName('zoo/tiny', 'none.txt')]: Buffer.alloc(0),
    });
    assert.equal(await zooFolder(model), null);
    const folder = await fetchZoo(model, wishes());
    assert.equal((await stat(join(folder, 'none.txt'))).size, 0);
  });

  it('are refused where they are not what the package knows', async () => {
    server.fault = (_, response, content) => {
      response.end(Buffer.alloc(content.length));
      return true;
    };
    await assertRefused(/^config\.json arrived damaged: its checksum is not the one that was announced/);
    server.fault = (_, response, content) => {
      response.end(Buffer.concat([content, content]));
      return true;
    };
    await assertRefused(/^config\.json is longer than was announced\.$/);
    assert.equal(await zooFolder(TINY), null);
  });

  it('say in a sentence why there is none', async () => {
    process.env.HF_HUB_OFFLINE = '1';
    await assertRefused(/^zoo\/tiny is not in the cache, and HF_HUB_OFFLINE is set\.$/);
    delete process.env.HF_HUB_OFFLINE;
    process.env.ATTENTION_INSPECTOR_RELEASE = 'http://127.0.0.1:9';
    await assertRefused(/^The download of config\.json broke off \(.*\); what has arrived is kept/);
    for (const address of ['http://mirror.example.org/v1', 'ftp://127.0.0.1', 'mirror'])
      await assertRefused(
        ((process.env.ATTENTION_INSPECTOR_RELEASE = address), /must be an address that begins with https:/),
      );
    process.env.ATTENTION_INSPECTOR_RELEASE = '';
    await assertRefused(/^zoo\/tiny comes with a release, and this program was built outside of one: /);
  });

  it('stand in the list with what there is to download', async () => {
    const vscode = {
      l10n: { t: (text: string, ...values: string[]) => text.replace('{0}', () => values[0] ?? '') },
      QuickPickItemKind: { Separator: -1 },
    };
    const { modelItems } = await withVscode(vscode, () => import('../../extension/workbench/pickers'));
    const paper = (more: Partial<HubModel>): HubModel => ({
      ...{ ref: 'zoo/tiny', label: 'Tiny (zoo/tiny)', detail: '', source: 'papers', ...more },
    });
    const [heading, item] = modelItems([paper({ download: 1_600_000 })], 'bundled');
    assert.equal(heading!.label, 'The papers');
    assert.equal(item!.label, '$(cloud-download) Tiny (zoo/tiny)');
    assert.equal(item!.description, 'download, 1.6 MB');
    const [, here] = modelItems([paper({ detail: '1.6 MB, decoder' })], 'zoo/tiny');
    assert.deepEqual(
      [here!.label, here!.description, here!.detail],
      ['Tiny (zoo/tiny)', 'current', '1.6 MB, decoder'],
    );
  });

  it('are described as they lie in engine/bundled (npm run zoo-assets)', async () => {
    const described = Object.entries(zooManifest()).map(([name, { title, files }]) => ({
      name: `zoo/${name}`,
      title,
      files: Object.entries(files).map(([path, file]) => ({ path, ...file, gitSha1: null })),
    }));
    assert.deepEqual(ZOO, described);
    const assets = ZOO.flatMap(({ name, files }) => files.map(({ path }) => assetName(name, path)));
    assert.equal(new Set(assets).size, assets.length, 'no two files share the name of an asset');
    for (const { files } of ZOO) {
      const bytes = files.reduce((sum, { size }) => sum + size, 0);
      assert.ok(bytes < 3.5e6, `${bytes}`);
      assert.ok(files.some(({ path }) => path === 'onnx/model.onnx'));
    }
    assert.ok((await stat(join(__dirname, '../../engine/bundled/zoo.json'))).size < 20_000);
  });
});
