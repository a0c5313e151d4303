import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import {
  connect,
  createServer as createNetServer,
  type AddressInfo,
  type Server as NetServer,
  type Socket,
} from 'node:net';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { proxiedFetch } from '../../engine/model/source/proxiedFetch';
import { networkEnvironment } from '../../extension/engine/networkEnvironment';

const NAMES = ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY', 'https_proxy', 'http_proxy', 'no_proxy'];

const CONTENT = 3e6;

describe('the proxy of the environment', () => {
  let hub: Server;
  let proxy: Server;
  let asked: string[];
  const before: NodeJS.ProcessEnv = {};

  const listening = (server: NetServer) =>
    new Promise<string>(resolve =>
      server.listen(0, '127.0.0.1', () =>
        resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
      ),
    );
  let hubUrl: string;
  let proxyUrl: string;

  beforeEach(async () => {
    for (const name of NAMES) {
      before[name] = process.env[name];
      delete process.env[name];
    }
    asked = [];
    hub = createServer((_request, response) => response.end('from the hub'));
    // A proxy that joins the two ends of a tunnel, as they all do.
    proxy = createServer();
    proxy.on('connect', (request: { url: string }, client: Socket) => {
      asked.push(request.url);
      const [host, port] = request.url.split(':') as [string, string];
      const end = connect(Number(port), host, () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        end.pipe(client);
        client.pipe(end);
      });
      end.on('error', () => client.destroy());
      client.on('error', () => end.destroy());
    });
    hubUrl = await listening(hub);
    proxyUrl = await listening(proxy);
  });

  afterEach(() => {
    for (const name of NAMES) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
    for (const server of [hub, proxy]) {
      server.closeAllConnections();
      server.close();
    }
  });

  const text = async () => (await proxiedFetch(hubUrl)).text();

  it('is not used when none is set', async () => {
    assert.equal(await text(), 'from the hub');
    assert.deepEqual(asked, []);
  });

  it('is used when it is set, in upper and in lower case', async () => {
    for (const name of ['HTTP_PROXY', 'http_proxy']) {
      process.env[name] = proxyUrl;
      assert.equal(await text(), 'from the hub');
      delete process.env[name];
    }
    assert.ok(asked.length >= 1, 'the proxy was asked');
    assert.ok(asked.every(host => host === new URL(hubUrl).host));
  });

  it('is left out for the hosts of NO_PROXY', async () => {
    process.env.HTTP_PROXY = proxyUrl;
    process.env.NO_PROXY = '127.0.0.1';
    assert.equal(await text(), 'from the hub');
    assert.deepEqual(asked, []);
  });

  it('that is no address is refused by the name of its variable, without its value', async () => {
    process.env.HTTP_PROXY = 'ftp://user:secret@proxy';
    await assert.rejects(text(), (error: Error) => {
      assert.equal(error.name, 'RefusedError');
      assert.match(error.message, /^HTTP_PROXY is not the address of a proxy/);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  });

  /** Reads slowly from a server that closes after its answer; says what came of it. */
  async function readOfClosing(env: NodeJS.ProcessEnv): Promise<string> {
    const closing = createNetServer(socket =>
      socket
        .on('error', () => undefined)
        .once('data', () => {
          socket.write(`HTTP/1.0 200 OK\r\ncontent-length: ${CONTENT}\r\n\r\n`);
          socket.end(Buffer.alloc(CONTENT));
        }),
    );
    const url = await listening(closing);
    // A process of its own: what it must bear is thrown at nobody, and the tests before have loaded the proxy's client.
    const program = `
      const { proxiedFetch } = require(${JSON.stringify(join(__dirname, '../../engine/model/source/proxiedFetch.ts'))});
      const stall = new AbortController();
      setTimeout(() => stall.abort(), 4000).unref();
      (async () => {
        let bytes = 0;
        const { body } = await proxiedFetch(${JSON.stringify(url)}, { signal: stall.signal });
        for await (const chunk of body) {
          bytes += chunk.length;
          await new Promise(done => setTimeout(done, 10));
        }
        console.log(bytes);
      })().catch(() => console.log('ended by its limit'));`;
    const run = promisify(execFile)(process.execPath, ['--import', 'tsx', '-e', program], {
      cwd: join(__dirname, '../..'),
      env: { ...process.env, ...env },
    });
    const { stdout } = await run.finally(() => closing.close());
    return stdout.trim();
  }

  it('bears a server that closes after its answer while that is still read', async () => {
    assert.equal(await readOfClosing({}), String(CONTENT));
  });

  it('bears it through a proxy too, where the read may have to begin again', async () => {
    assert.match(
      await readOfClosing({ HTTP_PROXY: proxyUrl }),
      new RegExp(`^${CONTENT}$|^ended by its limit$`),
    );
  });
});

describe('the proxy of the editor', () => {
  const settings = (values: Record<string, unknown>) => ({ get: <T>(name: string) => values[name] as T });

  it('reaches the engine by the environment', () => {
    const http = settings({ proxy: 'http://proxy:3128', noProxy: ['localhost', '.example'] });
    assert.deepEqual(networkEnvironment({}, http), {
      HTTPS_PROXY: 'http://proxy:3128',
      HTTP_PROXY: 'http://proxy:3128',
      NO_PROXY: 'localhost,.example',
    });
  });

  it('gives way to what the environment says, and to "off"', () => {
    const http = settings({ proxy: 'http://proxy:3128' });
    assert.deepEqual(networkEnvironment({ https_proxy: 'http://other:1' }, http), {});
    assert.deepEqual(
      networkEnvironment({}, settings({ proxy: 'http://proxy:3128', proxySupport: 'off' })),
      {},
    );
    assert.deepEqual(networkEnvironment({}, settings({ proxy: '' })), {});
  });
});
