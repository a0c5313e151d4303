import { getProxyForUrl } from 'proxy-from-env';
import type { ProxyAgent } from 'undici';
import { RefusedError, told } from '../../errors';

/** One agent for each proxy that was used; there is hardly ever more than one. */
const agents = new Map<string, ProxyAgent>();

/**
 * `fetch`, through the proxy that the environment names: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY (upper or lower
 * case), which Node's own `fetch` does not read.
 * @throws RefusedError where one of them is no address; its value, which may hold a password, is not told
 */
export async function proxiedFetch(url: string | URL | Request, init: RequestInit = {}): Promise<Response> {
  const address = url instanceof Request ? url.url : String(url);
  const proxy = getProxyForUrl(address);
  if (proxy === '') return fetch(url, init);
  const server = checked(proxy, address);
  const undici = await proxyClient();
  const dispatcher = agents.get(proxy) ?? new undici.ProxyAgent(server);
  agents.set(proxy, dispatcher);
  return (await undici.fetch(address, { ...(init as object), dispatcher })) as unknown as Response;
}

let client: Promise<typeof import('undici')> | null = null;

/**
 * Loaded only where a proxy is named: Node's own `fetch` uses it from then on. An answer without keep-alive that ends while it is
 * read makes it throw at nobody (undici 5360; mended in versions that need a newer Node): the read then ends by its own limit,
 * and may begin again.
 */
function proxyClient(): Promise<typeof import('undici')> {
  client ??= import('undici').then(undici => {
    process.on('uncaughtException', error => {
      if ((error as NodeJS.ErrnoException).code === 'ERR_ASSERTION') return;
      console.error(error);
      process.exit(1);
    });
    return undici;
  });
  return client;
}

function checked(proxy: string, address: string): string {
  const isAddress =
    URL.canParse(proxy) && /^https?:$/.test(new URL(proxy).protocol) && new URL(proxy).hostname !== '';
  if (isAddress) return proxy;
  const variable = `${new URL(address).protocol.slice(0, -1).toUpperCase()}_PROXY`;
  throw new RefusedError(told`${variable} is not the address of a proxy, such as http://proxy.example:3128.`);
}
