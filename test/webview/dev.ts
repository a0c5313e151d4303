/**
 * `npm run dev [-- --port N] [--model REF] [--text FILE]`: builds what changes and serves the views on 127.0.0.1 without
 * VS Code, reloading them after each build. The page has the views on a synthetic engine, and on the real one after an
 * analysis of the sample text; the theme and the place (panel, side) are chosen by links.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, watch } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { INITIAL_SETTINGS } from '../../shared/host/hostState';
import { MemoryHost } from '../../shared/host/memoryHost';
import type {
  AnalysisSummary,
  EngineMethod,
  EngineParams,
  EngineResult,
  MechanismInfo,
} from '../../shared/protocol/engine';
import {
  ENGINE_METHODS,
  NO_SELECTION,
  type HostMessage,
  type Place,
  type ViewMessage,
  type ViewMethod,
  type ViewParams,
} from '../../shared/protocol/host';
import { ready, type EngineLike } from './fakeHost';
import { MECHANISMS, splitTokens, summaryOf, SyntheticEngine } from './syntheticEngine';
import { THEMES, themeStyle, type ThemeName } from './themes';

const ROOT = join(__dirname, '..', '..');
const DIST = join(ROOT, 'dist');

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '5173' },
    model: { type: 'string', default: 'bundled' },
    text: { type: 'string', default: join(ROOT, 'test/fixtures/sample.txt') },
  },
});

interface Analyzed {
  engine: EngineLike;
  summary: AnalysisSummary;
  mechanisms: MechanismInfo[];
}

const text = readFileSync(values.text, 'utf8');

/** Made when a page asks for it first, then kept. */
const engines: Record<string, () => Promise<Analyzed>> = {
  synthetic: once(async () => {
    const engine = new SyntheticEngine({ layers: 6, heads: 8, tokens: splitTokens(text, 700) });
    return { engine, summary: summaryOf(engine, text, 700), mechanisms: MECHANISMS };
  }),
  real: once(async () => {
    const { analyzed } = await import('./realEngine');
    return analyzed(text, values.model);
  }),
};

/** One open page: the host model that the extension has too, over a stream of events. */
class DevHost extends MemoryHost {
  constructor(
    place: Place,
    theme: ThemeName,
    private readonly analyzed: Analyzed,
    private readonly stream: ServerResponse,
  ) {
    super(place, message => this.post(message), {
      analysis: ready(analyzed.summary),
      mechanisms: analyzed.mechanisms,
      selection: NO_SELECTION,
      settings: { ...INITIAL_SETTINGS, themeKind: theme, model: values.model },
    });
  }

  async ask<M extends EngineMethod>(method: M, params: EngineParams<M>): Promise<EngineResult<M>> {
    return (await this.analyzed.engine.request(method, params)) as EngineResult<M>;
  }

  async answer<M extends ViewMethod>(method: M, params: ViewParams<M>): Promise<unknown> {
    if ((ENGINE_METHODS as readonly string[]).includes(method))
      return this.ask(method as EngineMethod, params as never);
    return method === 'host/text' ? text : null;
  }

  perform(wish: object): void {
    console.log('wish', JSON.stringify(wish));
  }

  receive(message: ViewMessage): Promise<void> {
    return this.session.receive(message);
  }

  private post(message: HostMessage): void {
    this.stream.write(`data: ${JSON.stringify(message, writeArrays)}\n\n`);
  }
}

/** Typed arrays as base64 with their kind; the page's `readArrays` makes them again. */
function writeArrays(_key: string, value: unknown): unknown {
  if (!ArrayBuffer.isView(value)) return value;
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return { $array: value.constructor.name, base64: bytes.toString('base64') };
}

const hosts = new Map<string, DevHost>();
const streams = new Set<ServerResponse>();

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const { pathname, searchParams } = url;
  if (pathname === '/') return send(response, 'text/html', page(searchParams));
  if (pathname === '/events') return open(searchParams, response);
  if (pathname === '/message' && request.method === 'POST') {
    const message = JSON.parse(await bodyOf(request)) as ViewMessage;
    void hosts.get(searchParams.get('id') ?? '')?.receive(message);
    return send(response, 'text/plain', '');
  }
  const file = join(DIST, pathname.slice(1));
  if (/^\/[\w.-]+\.(js|css|ttf|map)$/.test(pathname) && existsSync(file)) {
    const types: Record<string, string> = { js: 'text/javascript', css: 'text/css', ttf: 'font/ttf' };
    return send(response, types[pathname.split('.').pop()!] ?? 'application/json', readFileSync(file));
  }
  response.writeHead(404).end();
}

async function open(search: URLSearchParams, response: ServerResponse): Promise<void> {
  const id = search.get('id') ?? '';
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const { place, theme, engine } = choice(search);
  const host = new DevHost(place, theme, await engines[engine]!(), response);
  hosts.set(id, host);
  streams.add(response);
  response.on('close', () => {
    hosts.delete(id);
    streams.delete(response);
  });
  response.write('event: open\ndata: 1\n\n');
}

function choice(search: URLSearchParams): { place: Place; theme: ThemeName; engine: string } {
  const theme = search.get('theme') ?? '';
  const engine = search.get('engine') ?? '';
  return {
    place: search.get('place') === 'side' ? 'side' : 'panel',
    theme: theme in THEMES ? (theme as ThemeName) : 'dark',
    engine: engine in engines ? engine : 'synthetic',
  };
}

function page(search: URLSearchParams): string {
  const chosen = choice(search);
  const links = (name: keyof typeof chosen, all: readonly string[]) =>
    all
      .map(value =>
        value === chosen[name]
          ? `<b>${value}</b>`
          : `<a href="/?${new URLSearchParams({ ...chosen, [name]: value })}">${value}</a>`,
      )
      .join(' ');
  return `<!DOCTYPE html><html lang="en" style="${themeStyle(chosen.theme)}"><head><meta charset="utf-8"><title>Attention</title>
<link rel="stylesheet" href="/webview.css"><style>nav { font: 12px sans-serif; padding: 4px; display: flex; gap: 2em } nav a { color: inherit }</style></head>
<body class="${THEMES[chosen.theme].bodyClass}">
<nav><span>${links('engine', Object.keys(engines))}</span><span>${links('place', ['panel', 'side'])}</span><span>${links('theme', Object.keys(THEMES))}</span></nav>
<script>
const id = Math.random().toString(36).slice(2);
const state = JSON.parse(sessionStorage.getItem('state') ?? 'null');
const readArrays = (key, value) => {
  if (!value?.$array) return value;
  const bytes = Uint8Array.from(atob(value.base64), c => c.charCodeAt(0));
  return new globalThis[value.$array](bytes.buffer);
};
globalThis.acquireVsCodeApi = () => ({
  postMessage: message => void fetch('/message?id=' + id, { method: 'POST', body: JSON.stringify(message) }),
  getState: () => state,
  setState: value => sessionStorage.setItem('state', JSON.stringify(value)),
});
const events = new EventSource('/events?id=' + id + '&' + location.search.slice(1));
events.onmessage = ({ data }) => postMessage(JSON.parse(data, readArrays), '*');
events.addEventListener('reload', () => location.reload());
// The views speak first; they are loaded when the host listens.
events.addEventListener('open', () => {
  const app = document.createElement('attention-app');
  app.dataset.place = ${JSON.stringify(chosen.place)};
  document.body.append(app);
  const script = document.createElement('script');
  script.src = '/webview.js';
  document.body.append(script);
}, { once: true });
</script></body></html>`;
}

function send(response: ServerResponse, type: string, body: string | Buffer): void {
  response
    .writeHead(200, { 'content-type': `${type}; charset=utf-8`, 'cache-control': 'no-store' })
    .end(body);
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null;
  return () => (made ??= make());
}

const builder = spawn(process.execPath, ['esbuild.mjs', '--watch'], {
  cwd: ROOT,
  stdio: ['pipe', 'inherit', 'inherit'],
});
process.once('exit', () => builder.kill());

let reload: NodeJS.Timeout | undefined;
watch(DIST, (_event, name) => {
  if (!/^webview\.(js|css)$/.test(name ?? '')) return;
  clearTimeout(reload);
  reload = setTimeout(() => {
    for (const stream of streams) stream.write('event: reload\ndata: 1\n\n');
  }, 100);
});

createServer((request, response) => {
  serve(request, response).catch((error: Error) => {
    console.error(error);
    if (!response.headersSent) response.writeHead(500);
    response.end(error.message);
  });
}).listen(Number(values.port), '127.0.0.1', () => {
  console.log(`The views without VS Code: http://127.0.0.1:${values.port}/`);
});
