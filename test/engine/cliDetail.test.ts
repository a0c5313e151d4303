import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { Engine } from '../../engine/engine';
import { greyPng } from '../../engine/export/png';
import { ASKED, OTHER, OWN, type Asked } from '../../engine/cli/details';
import { neverCancelled } from '../../engine/runtime/cancellation';
import type {
  Ablation,
  AnalysisSummary,
  CostFormulas,
  CostMeasurement,
  EdgePatching,
  ForwardTimes,
  LossGroups,
  Patching,
  Provenance,
  ResidualPatching,
  SpanFit,
} from '../../shared/protocol/engine';
import { buildCli, runCli, type CliRun } from '../fixtures/cli';
import { setting } from '../support/settings';

const TEXT = 'The cat sat on the mat. The dog sat on the log.\n'.repeat(3);

describe('command line: detail', function () {
  this.timeout(120_000);
  let folder: string;
  let cli: string;
  let summary: AnalysisSummary;
  const engine = new Engine(() => undefined);
  const analyze = (id: string, text: string) =>
    engine.request('analysis/start', {
      ...{ id, model: 'bundled', text, device: 'cpu', maxTokens: null },
      ...{ mechanisms: [], propagate: false },
    });
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'detail-'));
    cli = await buildCli();
    await writeFile(join(folder, 'text.txt'), TEXT);
    summary = await analyze(OWN, TEXT);
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
    assert.equal(tokens, engine.analysis(OWN).tokens.ids.length);
    const expected = await engine.request('analysis/spans', { id: OWN, budget: 0.3, ramp: 32 });
    assert.deepEqual(result, JSON.parse(JSON.stringify(expected)));
    assert.ok(provenance);
    const buckets = await run('buckets', 'text.txt', '--mechanism', 'lsh:bucketSize=8', '--head', '1.2');
    assert.equal(buckets.code, 0, buckets.stderr);
    const found = (JSON.parse(buckets.stdout) as { result: { queryBucket: number[][] } }).result;
    assert.equal(found.queryBucket[0]!.length, tokens);
  });

  const whole = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as { result: unknown };
  };
  const resultOf = async (...args: string[]) => (await whole(...args)).result;
  const plain = (value: object) =>
    JSON.parse(
      JSON.stringify(value, (_, one: unknown) => (one instanceof Float32Array ? Array.from(one) : one)),
    ) as object;
  /** What the command asks for, without a process of its own. */
  const told = <T>(what: keyof typeof ASKED, asked: Partial<Asked>): Promise<T> => {
    const nothing = { param: {}, part: 'heads', resample: false, measure: false, byValue: false } as const;
    return ASKED[what](
      engine,
      { mechanisms: [], ...nothing, ...asked },
      summary,
      neverCancelled,
    ) as Promise<T>;
  };

  it('tells at tokens what each head writes to the logits', async () => {
    const last = engine.analysis(OWN).tokens.ids.length - 1;
    const at = (token: number) =>
      engine.request('analysis/tokenAttribution', { id: OWN, token, answer: 300 });
    assert.deepEqual(
      await resultOf('attribution', 'text.txt', '--tokens', '9,last', '--answer', '300'),
      plain({ tokens: [await at(9), await at(last)] }),
    );
  });

  it('tells where tokens look, what a mechanism loses there, and what lies outside of a span', async () => {
    const head = { core: 3, head: 4 };
    const where = { id: OWN, ...head, tokens: [9], top: 8, mechanisms: null };
    assert.deepEqual(
      await told('token', { head, tokens: [9] }),
      await engine.request('analysis/token', where),
    );
    const mechanism = setting('local', { window: 2 });
    const lost = await told<{
      measure: string;
      tokens: { query: number; change: number; lost: { distance: number } | null }[];
    }>('lost', { mechanisms: [{ setting: mechanism, bare: false }] });
    const { deltaLossPerToken: changes } = await engine.request('analysis/mechanism', {
      ...{ id: OWN, mechanism, scope: 'propagated' },
    });
    assert.equal(lost.measure, 'loss');
    assert.equal(lost.tokens[0]!.change, Math.max(...changes!));
    for (const { query, change, lost: key } of lost.tokens) {
      assert.equal(change, changes![query]);
      assert.ok(key === null || key.distance >= 2);
    }
    const { heads, outside, ramp } = await told<SpanFit & { outside: object }>('spans', { head });
    const { span } = heads.find(one => one.core === head.core && one.head === head.head)!;
    const found = await engine.request('analysis/outsideSpan', { id: OWN, ...head, span, ramp });
    assert.deepEqual(outside, { ...head, ...found });
  });

  it('tells what mechanisms cost by formula, and as they are measured here', async () => {
    const asked = ['--mechanism', 'local:window=16,performer', '--head', '2.1', '--lengths', '256,64,256'];
    const { asked: settled, result } = (await whole('cost', 'text.txt', ...asked, '--measure')) as {
      asked: { mechanisms: { settled: object }[]; lengths: number[]; measure: boolean };
      result: CostFormulas & { measured: CostMeasurement; forward: ForwardTimes };
    };
    assert.deepEqual([settled.lengths, settled.measure], [[64, 256], true]);
    const features = Math.floor(20 * Math.log(20));
    assert.deepEqual(
      settled.mechanisms.map(one => one.settled),
      [{ window: 16 }, { features, seed: 1 }],
    );
    const formulas = await engine.request('cost/formulas', {
      ...{ id: OWN, core: 2, lengths: [64, 256] },
      mechanisms: [setting('local', { window: 16 }), setting('performer')],
    });
    const { measured, forward, ...told } = result;
    assert.deepEqual(told, plain(formulas));
    const { points, shape, notes } = measured;
    assert.deepEqual(shape, formulas.shape);
    const ofPoints = points.map(({ choice, tokens, pairs, held }) => [choice.name, tokens, pairs, held]);
    const dense = (tokens: number) => (tokens * (tokens + 1)) / 2;
    const local = (tokens: number) => 16 * tokens - (16 * 15) / 2;
    assert.deepEqual(ofPoints, [
      ['dense', 64, dense(64), 64],
      ['local', 64, local(64), 16],
      ['performer', 64, dense(64), undefined],
      ['dense', 256, dense(256), 256],
      ['local', 256, local(256), 16],
      ['performer', 256, dense(256), undefined],
    ]);
    for (const { milliseconds } of points) {
      const { low, median, high, runs } = milliseconds;
      assert.ok(0 < low && low <= median && median <= high && runs >= 5);
    }
    assert.ok(Array.isArray(notes) && !Number.isNaN(Date.parse(measured.date)));
    assert.equal(forward.tokens, engine.analysis(OWN).tokens.ids.length);
    assert.deepEqual(
      forward.cores.map(({ core }) => core),
      [0, 1, 2, 3, 4, 5],
    );
    for (const time of [...forward.cores.flatMap(one => [one.attention, one.rest]), forward.output])
      assert.ok(time > 0);
  });

  it('names all that was read and asked for', async () => {
    const reference = 'The mat, the log and the dog.\n';
    await writeFile(join(folder, 'reference.txt'), reference);
    const { asked, provenance, result } = (await whole(
      ...['loss', 'text.txt', '--mechanism', 'strided,local:window=4', '--reference', 'reference.txt'],
    )) as { asked: object; provenance: Provenance; result: LossGroups };
    const tokens = engine.analysis(OWN).tokens.ids.length;
    assert.deepEqual(asked, {
      mechanisms: [
        {
          ...{ name: 'strided', params: {}, setting: 'strided:stride=auto' },
          settled: { stride: Math.ceil(Math.sqrt(tokens)) },
        },
        {
          ...{ name: 'local', params: { window: 4 }, setting: 'local:window=4', settled: { window: 4 } },
        },
      ],
    });
    assert.deepEqual(
      provenance.inputs,
      [
        ['text', TEXT],
        ['reference', reference],
      ].map(([name, text]) => ({ name, sha256: createHash('sha256').update(text!).digest('hex') })),
    );
    assert.ok(result.referenceTokens > 5 && result.referenceTokens < 15);
  });

  it('tells what the model loses without each head', async () => {
    const { heads } = await told<Ablation>('ablation', { resample: true });
    assert.equal(heads.length, 48);
    assert.ok(heads.every(({ resample }) => resample));
  });

  it('rolls attention out, weighs it by values and patches heads', async () => {
    const last = engine.analysis(OWN).tokens.ids.length - 1;
    const rolled = await engine.request('analysis/rollout', { id: OWN, tokens: [5, last] });
    assert.deepEqual(await resultOf('rollout', 'text.txt', '--tokens', '5,last'), {
      tokens: [5, last],
      ...plain(rolled),
    });
    const weights = await engine.request('analysis/valueWeights', { id: OWN, core: 3, head: 1 });
    const where = { core: 3, head: 1 };
    assert.deepEqual(await resultOf('values', 'text.txt', '--head', '3.1'), { ...where, ...plain(weights) });
    const other = 'The dog sat on the log. The cat sat on the mat.\n'.repeat(3);
    await writeFile(join(folder, 'other.txt'), other);
    const patched = await resultOf('patch', 'text.txt', '--from', 'other.txt', '--answers', '300,400');
    const same = await run('patch', 'text.txt', '--from', 'text.txt', '--part', 'residual', '--put', '4');
    const { asked, notes } = JSON.parse(same.stdout) as { asked: object; notes: string[] };
    assert.deepEqual(asked, { part: 'residual', put: [4] });
    assert.match(
      notes.join(),
      /^Both texts go on with ".+" \(\d+\), so only the loss .+ --answers says which/,
    );
    assert.equal(same.stderr, `${notes.join()}\n`);
    const { at, heads, answers } = patched as Patching;
    assert.deepEqual([at, heads.length, answers.own.id, answers.other.id], [last, 48, 300, 400]);
    await analyze(OTHER, other);
    const states = await told<ResidualPatching>('patch', { part: 'residual', put: [1, 7] });
    assert.deepEqual([states.at, states.tokens, states.cells.length], [last, [1, 7], 12]);
    const chosen = [
      { query: 9, key: 1 },
      { query: 8, key: 2 },
    ];
    const { edges } = await told<EdgePatching>('patch', {
      ...{ part: 'edges', head: { core: 3, head: 1 }, edges: chosen },
    });
    assert.deepEqual(
      edges.map(({ query, key }) => ({ query, key })),
      chosen,
    );
  });

  it("writes a head's map as a picture", async () => {
    const { code, stderr } = await run('map', 'text.txt', '--head', '3.1', '--png', 'map.png');
    assert.equal(code, 0, stderr);
    const { size, pixels } = decoded(await readFile(join(folder, 'map.png')));
    assert.equal(size, engine.analysis(OWN).tokens.ids.length);
    const row = await engine.request('analysis/row', {
      ...{ id: OWN, core: 3, head: 1, token: 20, direction: 'from' as const },
    });
    row.forEach((mass, key) => {
      assert.ok(Math.abs(pixels[20 * size + key]! - 255 * Math.sqrt(mass)) <= 1, `key ${key}`);
    });
  });

  it('writes what a mechanism keeps of a map, and the map sorted by buckets', async () => {
    const kept = await run(
      ...['map', 'text.txt', '--head', '3.1', '--mechanism', 'local:window=3', '--png', 'kept.png'],
    );
    assert.equal(kept.code, 0, kept.stderr);
    const { size, pixels } = decoded(await readFile(join(folder, 'kept.png')));
    const row = await engine.request('analysis/row', {
      ...{ id: OWN, core: 3, head: 1, token: 20, direction: 'from' as const },
    });
    row.forEach((mass, key) => {
      const wanted = key > 17 ? 255 * Math.sqrt(mass) : 0;
      assert.ok(Math.abs(pixels[20 * size + key]! - wanted) <= 1, `key ${key}`);
    });
    const buckets = await run(
      ...['buckets', 'text.txt', '--head', '3.1', '--mechanism', 'lsh:bucketSize=8', '--png', 'buckets.png'],
    );
    assert.equal(buckets.code, 0, buckets.stderr);
    const map = await engine.request('analysis/bucketMap', {
      ...{ id: OWN, core: 3, head: 1, round: 0, size, mechanism: setting('lsh', { bucketSize: 8 }) },
    });
    const sorted = decoded(await readFile(join(folder, 'buckets.png'))).pixels;
    map.mass.forEach((mass, at) => {
      assert.ok(Math.abs(sorted[at]! - 255 * Math.sqrt(mass)) <= 1, `cell ${at}`);
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
      [['cost', 'text.txt', '--lengths', '64,0'], /--lengths takes numbers of tokens from 1 to 131072/],
      [['ablation', 'text.txt', '--mechanism', 'local'], /goes with the detail buckets, cost, map, token, /],
      [['rollout', 'text.txt', '--budget', '10%'], /--budget goes with the detail spans\./],
      [['map', 'text.txt', '--png', 'm.png', '--json', 'm.json'], /--json goes with the detail lens, /],
      [['map', 'text.txt', '--png', 'm.png', '--mechanism', 'performer'], /Performer keeps no set of pairs/],
      [['patch', 'text.txt', '--from', 'text.txt', '--head', '3.1'], /--head goes with --part edges\./],
      [['lost', 'text.txt'], /What is lost is lost under one mechanism/],
      [['attribution', 'text.txt', '--answer', '3'], /--answer goes with the detail attribution at --tokens/],
      [['patch', 'text.txt', '--from', 'text.txt', '--edges', '1>2'], /--edges goes with --part edges/],
      [
        ['patch', 'text.txt', '--from', 'text.txt', '--part', 'rib'],
        /--part is one of heads, residual, edges/,
      ],
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
