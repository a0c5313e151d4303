import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { Engine } from '../../engine/engine';
import { greyPng } from '../../engine/export/png';
import type { Patching } from '../../shared/protocol/engine';
import { buildCli, runCli, type CliRun } from '../fixtures/cli';

const TEXT = 'The cat sat on the mat. The dog sat on the log.\n'.repeat(3);

describe('command line: detail', function () {
  this.timeout(120_000);
  let folder: string;
  let cli: string;
  const engine = new Engine(() => undefined);
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'detail-'));
    cli = await buildCli();
    await writeFile(join(folder, 'text.txt'), TEXT);
    const what = { model: 'bundled', text: TEXT, device: 'cpu', maxTokens: null } as const;
    await engine.request('analysis/start', { id: 'a', ...what, mechanisms: [], propagate: false });
  });
  after(async () => {
    await engine.dispose();
    await rm(folder, { recursive: true });
  });
  const run = (...args: string[]): Promise<CliRun> =>
    runCli(cli, ['detail', ...args, '--device', 'cpu'], { cwd: folder });

  it('gives what the views ask for as JSON', async () => {
    const spans = await run('spans', 'text.txt', '--budget', '30%');
    assert.equal(spans.code, 0, spans.stderr);
    const { result, provenance, tokens } = JSON.parse(spans.stdout) as {
      result: unknown;
      provenance: object;
      tokens: number;
    };
    assert.equal(tokens, engine.analysis('a').tokens.ids.length);
    const expected = await engine.request('analysis/spans', { id: 'a', budget: 0.3, ramp: 32 });
    assert.deepEqual(result, JSON.parse(JSON.stringify(expected)));
    assert.ok(provenance);
    const buckets = await run('buckets', 'text.txt', '--mechanism', 'lsh:bucketSize=8', '--head', '1.2');
    assert.equal(buckets.code, 0, buckets.stderr);
    const found = (JSON.parse(buckets.stdout) as { result: { queryBucket: number[][] } }).result;
    assert.equal(found.queryBucket[0]!.length, tokens);
  });

  it('rolls attention out, weighs it by values and patches heads', async () => {
    const resultOf = async (...args: string[]) => {
      const { code, stdout, stderr } = await run(...args);
      assert.equal(code, 0, stderr);
      return (JSON.parse(stdout) as { result: unknown }).result;
    };
    const plain = (value: object) =>
      JSON.parse(
        JSON.stringify(value, (_, one: unknown) => (one instanceof Float32Array ? Array.from(one) : one)),
      ) as object;
    const last = engine.analysis('a').tokens.ids.length - 1;
    const rolled = await engine.request('analysis/rollout', { id: 'a', tokens: [5, last] });
    assert.deepEqual(await resultOf('rollout', 'text.txt', '--tokens', '5,last'), {
      tokens: [5, last],
      ...plain(rolled),
    });
    const weights = await engine.request('analysis/valueWeights', { id: 'a', core: 3, head: 1 });
    const where = { core: 3, head: 1 };
    assert.deepEqual(await resultOf('values', 'text.txt', '--head', '3.1'), { ...where, ...plain(weights) });
    const other = 'The dog sat on the log. The cat sat on the mat.\n'.repeat(3);
    await writeFile(join(folder, 'other.txt'), other);
    const patched = await resultOf('patch', 'text.txt', '--from', 'other.txt', '--answers', '300,400');
    const { at, heads, answers } = patched as Patching;
    assert.deepEqual([at, heads.length, answers.own.id, answers.other.id], [last, 48, 300, 400]);
  });

  it("writes a head's map as a picture", async () => {
    const { code, stderr } = await run('map', 'text.txt', '--head', '3.1', '--png', 'map.png');
    assert.equal(code, 0, stderr);
    const { size, pixels } = decoded(await readFile(join(folder, 'map.png')));
    assert.equal(size, engine.analysis('a').tokens.ids.length);
    const row = await engine.request('analysis/row', {
      ...{ id: 'a', core: 3, head: 1, token: 20, direction: 'from' as const },
    });
    row.forEach((mass, key) => {
      assert.ok(Math.abs(pixels[20 * size + key]! - 255 * Math.sqrt(mass)) <= 1, `key ${key}`);
    });
  });

  it('says what is missing', async () => {
    for (const [args, message] of [
      [['rib', 'text.txt'], /There is no detail "rib" \(there are: lens, /],
      [['map', 'text.txt'], /--png goes with/],
      [['lens', 'text.txt'], /--lens says which: flash, /],
      [['buckets', 'text.txt'], /Buckets are those of one mechanism/],
      [['spans', 'text.txt', '--head', '3'], /--head is CORE\.HEAD/],
      [['values', 'text.txt', '--by-value'], /--by-value goes with/],
      [['patch', 'text.txt'], /--from goes with/],
      [['patch', 'text.txt', '--from', 'text.txt', '--answers', '3'], /--answers is two ids/],
      [['rollout', 'text.txt', '--tokens', 'first'], /--tokens takes tokens/],
    ] as const) {
      const { code, stderr } = await run(...args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
    }
  });

  it('pictures hold what they were given', () => {
    const pixels = Uint8Array.from({ length: 9 }, (_, t) => t * 30);
    assert.deepEqual(decoded(greyPng(3, 3, pixels)).pixels, pixels);
  });
});

/** A square picture as this program writes it. */
function decoded(png: Buffer): { size: number; pixels: Uint8Array } {
  const size = png.readUInt32BE(16);
  const at = png.indexOf('IDAT');
  const lines = inflateSync(png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4)));
  const pixels = new Uint8Array(size * size);
  for (let row = 0; row < size; row++) {
    assert.equal(lines[row * (size + 1)], 0);
    pixels.set(lines.subarray(row * (size + 1) + 1, (row + 1) * (size + 1)), row * size);
  }
  return { size, pixels };
}
