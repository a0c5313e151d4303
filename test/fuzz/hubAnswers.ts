/** Damaged answers of a hub: each ends in a model or in a refusal of one sentence, soon, and writes nothing outside its folder. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RefusedError } from '../../engine/errors';
import { fetchModel, listVariants, parseHubRef, type HubOptions } from '../../engine/model/source/hub';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { HubServer } from '../fixtures/hubServer';
import { plainModel } from '../fixtures/onnxModels';
import { attackJson, changeJson } from './json';
import { isOneSentence } from './message';
import { HOSTILE_NAMES, mutate } from './mutate';
import { below, oneOf, seeded, type Random } from './random';

const ID = 'org/tiny';
const COMMIT = 'c'.repeat(40);
const OPTIONS: HubOptions = {
  signal: neverCancelled,
  onProgress: () => undefined,
  timing: { attempts: 2, pauseMs: 1, stallMs: 300 },
  answerMs: 1000,
  patienceMs: 100,
};
/** Far more than OPTIONS allow: asking and downloading end on their own. */
const SECONDS = 30;

const MODEL = Buffer.from(plainModel().encode());
const FILES: Record<string, string | Buffer> = {
  'README.md': '---\nlicense: mit\n---\n',
  'config.json': '{"model_type": "x"}',
  'tokenizer.json': '{}',
  'onnx/model.onnx': MODEL,
  'onnx/model.onnx_data': Buffer.alloc(1000, 7),
};

/** Tries damaged answers; gives what went wrong, by seed. */
export async function fuzzHub(seeds: readonly number[]): Promise<string[]> {
  const failures: string[] = [];
  const home = mkdtempSync(join(tmpdir(), 'fuzz-hub-'));
  const before = { ...process.env };
  const server = await new HubServer().start();
  server.add(ID, FILES);
  Object.assign(process.env, { HF_ENDPOINT: server.url });
  try {
    for (const seed of seeds) {
      const cache = join(home, 'cache');
      process.env.ATTENTION_INSPECTOR_CACHE = cache;
      writeFileSync(join(home, 'beside'), 'mine');
      const wrong = (await tryOne(server, cache, seeded(seed))) ?? outside(home);
      if (wrong !== null) failures.push(`hub ${seed}: ${wrong}`);
      rmSync(cache, { recursive: true, force: true });
    }
  } finally {
    process.env = before;
    await server.stop();
    rmSync(home, { recursive: true });
  }
  return failures;
}

async function tryOne(server: HubServer, cache: string, random: Random): Promise<string | null> {
  const ref = parseHubRef(ID)!;
  [server.answerApi, server.fault] = [() => false, () => false];
  const began = performance.now();
  try {
    if (random() < 0.15) {
      await fetchModel(ref, OPTIONS);
      damageMemory(join(cache, 'org--tiny', 'refs', 'main.json'), random);
      if (random() < 0.5) server.silent = true;
    } else damage(server, random);
    if (random() < 0.3) await listVariants(ref, OPTIONS);
    await fetchModel(ref, OPTIONS);
  } catch (error) {
    if (!(error instanceof RefusedError)) return (error as Error).stack ?? String(error);
    if (!isOneSentence(error.message)) return `not one sentence: ${error.message}`;
  } finally {
    server.silent = false;
  }
  const seconds = (performance.now() - began) / 1000;
  return seconds > SECONDS ? `${seconds} s` : null;
}

function outside(home: string): string | null {
  const names = readdirSync(home).filter(name => name !== 'cache');
  const isUntouched = names.join() === 'beside' && readFileSync(join(home, 'beside'), 'utf8') === 'mine';
  return isUntouched ? null : `written outside the cache: ${names.join()}`;
}

function damage(server: HubServer, random: Random): void {
  const list = Object.entries(FILES).map(([path, content]) => ({
    ...{ type: 'file', path, size: content.length, oid: '0'.repeat(40) },
    ...(path.includes('.onnx') && { lfs: { oid: '0'.repeat(64), size: content.length, pointerSize: 100 } }),
  }));
  const answers: Record<string, unknown> = {
    revision: { id: ID, _id: '1', sha: COMMIT, cardData: { license: 'mit' }, private: false },
    tree: list,
  };
  const target = oneOf(random, ['revision', 'tree', 'tree', 'file']);
  if (target === 'file') return damageFiles(server, random);
  const seed = below(random, 2 ** 31);
  const change = oneOf<(value: unknown) => string | Buffer>(random, [
    value => JSON.stringify(changeJson(value, random)) ?? '',
    value => JSON.stringify(attackJson(value, random)) ?? '',
    value => JSON.stringify(oneOf(random, [value, [value], { ...list }, null, 'x', 1, [null], [[]]])),
    value => mutate(Buffer.from(JSON.stringify(value)), seed),
  ]);
  const [status, type, link] = [
    oneOf(random, [200, 200, 200, 200, 200, 204, 206, 301, 304, 400, 404, 418, 500, 503]),
    oneOf(random, ['application/json', 'application/json', 'text/html', '']),
    random() < 0.1 ? oneOf(random, LINKS(server.url)) : null,
  ];
  server.answerApi = (asked, _, response) => {
    if (asked !== target && asked !== 'tree') return false;
    if (asked === target && link !== null) response.setHeader('link', link);
    if (asked === target && status === 301) response.setHeader('location', oneOf(random, LOCATIONS));
    if (asked !== target) answer(response, 200, 'application/json', JSON.stringify(list));
    else
      answer(
        response,
        status,
        type,
        safely(() => change(answers[target])),
      );
    return true;
  };
}

const LOCATIONS = ['/', '//', 'file:///etc/passwd', 'http://127.0.0.1:1/x', 'javascript:1', '\\\\x', ''];
const LINKS = (url: string) => [
  `<${url}/api/models/org/tiny/tree/${COMMIT}?a>; rel="next"`,
  '<file:///etc/passwd>; rel="next"',
  '<>; rel="next"',
  '<http://127.0.0.1:1/>; rel="next"',
  'x'.repeat(8000),
];

function answer(response: ServerResponse, status: number, type: string, body: string | Buffer): void {
  response.writeHead(status, type === '' ? {} : { 'content-type': type });
  response.end([204, 304].includes(status) ? undefined : body);
}

/** What is too deep to be written is left out. */
function safely(make: () => string | Buffer): string | Buffer {
  try {
    return make();
  } catch {
    return '';
  }
}

function damageFiles(server: HubServer, random: Random): void {
  const seed = below(random, 2 ** 31);
  const how = oneOf<(response: ServerResponse, content: Buffer) => void>(random, [
    (response, content) => response.end(mutate(content, seed)),
    (response, content) => response.end(Buffer.concat([content, content])),
    (response, content) => response.writeHead(206, { 'content-range': 'bytes -1--5/x' }).end(content),
    response => response.writeHead(416).end(),
    (response, content) => response.writeHead(200, { 'content-length': 10 * content.length }).write(content),
    response => response.destroy(),
    response => response.writeHead(oneOf(random, [204, 304, 401, 403, 410, 429, 500])).end(),
    response => response.writeHead(302, { location: oneOf(random, LOCATIONS) }).end(),
    (response, content) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(content),
  ]);
  server.fault = (_, response, content) => {
    if (random() < 0.5) return false;
    how(response, content);
    return true;
  };
}

/** What the cache remembers of a revision may be anybody's. */
function damageMemory(path: string, random: Random): void {
  const text = readFileSync(path, 'utf8');
  const whole = JSON.parse(text) as { files: unknown[]; commit: string };
  const damaged = oneOf<() => string | Buffer>(random, [
    () => JSON.stringify(changeJson(whole, random)) ?? '',
    () => JSON.stringify(attackJson(whole, random)) ?? '',
    () => mutate(Buffer.from(text), below(random, 2 ** 31)),
    () =>
      JSON.stringify({
        ...whole,
        files: HOSTILE_NAMES.map(name => ({ path: `${name}.onnx`, size: 1, sha256: null, gitSha1: null })),
      }),
  ]);
  writeFileSync(path, safely(damaged));
}
