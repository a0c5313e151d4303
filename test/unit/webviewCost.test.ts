import assert from 'node:assert/strict';
import type { CostCurve, CostFormulas, CostPoint } from '../../shared/protocol/engine';
import { at, bytes, crossing, fitTime, milliseconds, operations } from '../../webview/model/cost';
import { CostPicture, type CostQuestion } from '../../webview/model/costPicture';
import { CostMemory } from '../../extension/analysis/costMemory';
import type { CostMeasurement } from '../../shared/protocol/engine';
import { DENSE } from '../../shared/setting';
import { setting } from '../support/settings';

const NARROW = '\u202f';
const curve = (flops: number[]): CostCurve => ({
  choice: DENSE,
  count: 'exact',
  pairs: flops,
  flops,
  bytes: flops,
  refused: null,
});
const point = (tokens: number, median: number): CostPoint => ({
  choice: DENSE,
  tokens,
  milliseconds: { median, low: median, high: median, runs: 1 },
  pairs: 1,
});

describe('costs: words', () => {
  it('bytes in powers of a thousand', () => {
    assert.equal(bytes(12 * 2 ** 20), `12.6${NARROW}MB`);
    assert.equal(bytes(150_994_944), `151${NARROW}MB`);
    assert.equal(bytes(603_979_776), `604${NARROW}MB`);
    assert.equal(bytes(2_415_919_104), `2.42${NARROW}GB`);
    assert.equal(bytes(999.6), `1${NARROW}kB`);
  });

  it('operations and times', () => {
    assert.equal(operations(950), '950');
    assert.equal(operations(3.15e23), `315${NARROW}Z`);
    assert.equal(milliseconds(0.0123), `12.3${NARROW}µs`);
    assert.equal(milliseconds(1500), `1.5${NARROW}s`);
  });
});

describe('costs: time by formula', () => {
  const points = (overhead: number, perOperation: number) =>
    [1e3, 1e5, 1e7].map(f => ({ operations: f, milliseconds: overhead + perOperation * f }));

  it('finds overhead and time per operation', () => {
    const fit = fitTime(points(2, 3e-6))!;
    assert.ok(Math.abs(fit.overhead - 2) < 1e-6 && Math.abs(fit.perOperation - 3e-6) < 1e-12);
  });

  it('never below 0', () => {
    // Faster than in proportion: a fit with an overhead below 0 would be best.
    const fit = fitTime([
      { operations: 10, milliseconds: 1 },
      { operations: 100, milliseconds: 100 },
    ])!;
    assert.ok(fit.overhead >= 0 && fit.perOperation > 0);
    assert.equal(fitTime([]), null);
    const one = fitTime([{ operations: 100, milliseconds: 5 }])!;
    assert.ok(Math.abs(one.overhead + one.perOperation * 100 - 5) < 1e-9);
  });

  it('between lengths as a power law', () => {
    assert.equal(at([10, 1000], [1, 100], 1000), 100);
    assert.ok(Math.abs(at([10, 1000], [100, 1_000_000], 100) - 10_000) < 1e-6);
    assert.equal(at([10, 1000], [1, 100], 5), 1);
  });
});

describe('costs: where dense is beaten', () => {
  const lengths = [128, 256, 512, 1024, 2048, 4096];
  const dense = curve(lengths.map(n => n * n));
  const linear = curve(lengths.map(n => n));
  const side = (c: CostCurve, times: [number, number][], fit = { overhead: 0, perOperation: 1 }) => ({
    curve: c,
    points: times.map(([n, t]) => point(n, t)),
    fit,
  });

  it('between two measured lengths, on the lines through the points', () => {
    const found = crossing(
      lengths,
      side(dense, [
        [128, 1],
        [512, 16],
      ]),
      side(linear, [
        [128, 4],
        [512, 4],
      ]),
    )!;
    // Ratio 4 at 128 and 1/4 at 512: even in the middle, at 256.
    assert.equal(found.how, 'measured');
    assert.ok(Math.abs(found.tokens - 256) < 1e-6);
  });

  it('at every length, or beyond the longest by the formulas, or never', () => {
    assert.deepEqual(crossing(lengths, side(dense, [[128, 5]]), side(linear, [[128, 1]])), {
      tokens: 0,
      how: 'measured',
    });
    const slow = { overhead: 2e6, perOperation: 1 };
    assert.deepEqual(crossing(lengths, side(dense, [[128, 5]]), side(linear, [[128, 9]], slow)), {
      tokens: 2048,
      how: 'extrapolated',
    });
    const slower = { overhead: 1e9, perOperation: 1 };
    assert.equal(crossing(lengths, side(dense, [[128, 5]]), side(linear, [[128, 9]], slower)), null);
    assert.equal(crossing(lengths, side(dense, [[128, 5]]), side(linear, [])), null);
  });
});

describe('costs: what was measured is remembered', () => {
  it('one measurement for each device and head shape, whatever the number of heads', async () => {
    const kept = new Map<string, unknown>();
    const memory = new CostMemory({
      get: (key: string, otherwise: unknown) => kept.get(key) ?? otherwise,
      update: async (key: string, value: unknown) => void kept.set(key, value),
      keys: () => [...kept.keys()],
    } as never);
    const point = {
      choice: setting('local'),
      tokens: 128,
      milliseconds: { median: 2, low: 1, high: 3, runs: 5 },
      pairs: 7,
    };
    // What an earlier version kept says nothing of blocks and held keys.
    const points: CostPoint[] = [point, { ...point, tokens: 256, blocks: 3, held: 128 }];
    const measured = (dim: number, date: string): CostMeasurement => ({
      shape: { dim, valueDim: dim, causal: true, heads: 4 },
      device: 'cpu',
      machine: 'this one',
      date,
      points,
      notes: [],
    });
    await memory.keep(measured(20, 'first'));
    await memory.keep(measured(64, 'other'));
    await memory.keep(measured(20, 'second'));
    const shape = { dim: 20, valueDim: 20, causal: true, heads: 99 };
    assert.equal(memory.recall('cpu', shape)?.date, 'second');
    assert.deepEqual(memory.recall('cpu', shape)?.points, points);
    assert.equal(memory.recall('webgpu', shape), null);
    assert.equal(memory.recall('cpu', { ...shape, causal: false }), null);
    for (let dim = 100; dim < 130; dim++) await memory.keep(measured(dim, 'more'));
    assert.equal(memory.recall('cpu', shape), null, 'old ones go');
  });
});

describe('costs: the picture', () => {
  const lengths = [128, 256, 512, 1024];
  const named = (name: string, flops: number[], refused: string | null = null): CostCurve => ({
    choice: setting(name),
    count: name === 'lsh' ? 'expected' : 'exact',
    pairs: flops.map(f => f / 2),
    flops,
    bytes: flops.map(f => 4 * f),
    refused,
  });
  const formulas = {
    lengths,
    dense: named(
      'dense',
      lengths.map(n => n * n),
    ),
    curves: [
      named(
        'local',
        lengths.map(n => n * 128),
      ),
      named(
        'lsh',
        lengths.map(n => n * 256),
      ),
      named('linformer', lengths, 'not on this model'),
    ],
  } as unknown as CostFormulas;
  const timed = (name: string, tokens: number, median: number): CostPoint => ({
    choice: setting(name),
    tokens,
    milliseconds: { median, low: median / 2, high: median * 2, runs: 3 },
    pairs: 7,
  });
  const ask = (question: Partial<CostQuestion> = {}, points: CostPoint[] = []) =>
    new CostPicture(
      {
        formulas,
        points,
        titleOf: name => name.toUpperCase(),
        counted: ({ name }) => (name === 'local' ? 9 : null),
      },
      {
        measure: 'memory',
        heads: 1,
        tokens: 512,
        shown: new Set(['local', 'lsh', 'linformer']),
        ...question,
      },
    );

  it('has dense first, and leaves out what is refused or not asked for', () => {
    const picture = ask({ shown: new Set(['lsh', 'linformer']) });
    assert.deepEqual(
      picture.rows.map(row => [row.title, picture.isShown(row)]),
      [
        ['DENSE', true],
        ['LOCAL', false],
        ['LSH', true],
        ['LINFORMER', false],
      ],
    );
    assert.deepEqual(
      picture.lines().map(({ name, dashed }) => [name, dashed]),
      [
        ['dense', false],
        ['lsh', true],
      ],
    );
  });

  it('takes the cost of one head times the heads', () => {
    const local = (picture: CostPicture) => picture.value(picture.rows[1]!, 1024);
    assert.equal(local(ask()), 4 * 1024 * 128);
    assert.equal(local(ask({ heads: 12 })), 12 * 4 * 1024 * 128);
    assert.equal(local(ask({ measure: 'pairs' })), 512 * 128);
    const picture = ask({ heads: 12 });
    assert.equal(picture.share(picture.rows[1]!, 1024), 1 / 8);
  });

  it('knows a time only of what was measured', () => {
    const points = [
      timed('dense', 256, 2),
      timed('dense', 512, 8),
      timed('local', 256, 4),
      timed('local', 512, 6),
    ];
    const picture = ask({ measure: 'time', heads: 3 }, points);
    assert.ok(Math.abs(picture.value(picture.dense, 512)! - 3 * 8) < 1e-9);
    assert.equal(picture.value(picture.rows[2]!, 512), null);
    const [dense, local] = picture.lines();
    assert.deepEqual(dense!.points[1], { tokens: 512, value: 24, low: 12, high: 48 });
    assert.match(local!.crossing!.words, /^LOCAL beats dense from \d+ tokens$/);
    assert.deepEqual(
      picture.lines().map(({ name }) => name),
      ['dense', 'local'],
    );
  });

  it('says who does better', () => {
    const least = ask().verdict()!;
    assert.ok(least.kind === 'less' && least.row.title === 'LOCAL' && least.share === 0.25);
    assert.equal(ask({ shown: new Set() }).verdict()!.kind, 'alone');
    assert.equal(ask({ measure: 'time' }).verdict(), null, 'nothing was measured');
    const slow = [timed('dense', 512, 1), timed('local', 512, 1e9)];
    assert.equal(ask({ measure: 'time' }, slow).verdict()!.kind, 'neverFaster');
    const fast = [timed('dense', 512, 10), timed('local', 512, 1), timed('lsh', 512, 2)];
    const first = ask({ measure: 'time' }, fast).verdict()!;
    assert.ok(first.kind === 'faster' && first.row.title === 'LOCAL' && first.crossing.tokens === 0);
  });

  it('blocks and cached keys: dense by formula, others between the lengths at which they were counted', () => {
    const dense = { ...formulas.dense, blocks: [1, 3, 10, 36], held: lengths };
    const read = (tokens: number, blocks?: number, held?: number): CostPoint => ({
      ...timed('local', tokens, 1),
      ...(blocks !== undefined && { blocks }),
      ...(held !== undefined && { held }),
    });
    const picture = (measure: 'blocks' | 'kv') =>
      new CostPicture(
        {
          formulas: { ...formulas, dense, keyBytes: 4 },
          points: [read(512, 8, 64), read(128, 2, 16), read(1024), timed('lsh', 512, 1)],
          titleOf: name => name,
          counted: () => null,
        },
        { measure, heads: 2, tokens: 256, shown: new Set(['local', 'lsh']) },
      );
    const blocks = picture('blocks');
    const [all, local, lsh] = blocks.rows;
    assert.equal(blocks.value(all!, 256), 2 * 3);
    assert.ok(Math.abs(blocks.value(local!, 256)! - 2 * 4) < 1e-9, 'a power law between 128 and 512');
    for (const tokens of [64, 1024]) assert.equal(blocks.value(local!, tokens), null, 'not counted there');
    assert.equal(blocks.value(lsh!, 256), null);
    assert.deepEqual(
      blocks.lines().map(({ name, dashed, points }) => [name, dashed, points.map(({ value }) => value)]),
      [
        ['dense', false, []],
        ['local', true, [16, 4]],
      ],
    );
    const verdict = blocks.verdict()!;
    assert.ok(verdict.kind === 'less' && verdict.row === local);
    assert.equal(picture('kv').value(picture('kv').rows[0]!, 256), 2 * 4 * 256);
    assert.ok(Math.abs(picture('kv').value(picture('kv').rows[1]!, 256)! - 2 * 4 * 32) < 1e-9);
    const saved = blocks.toCsv().split('\r\n');
    assert.match(saved[0]!, /blocks of 128 x 128 per head,bytes cached per head$/);
    assert.match(saved[1]!, /,1,512$/);
  });

  it('draws the pairs that were counted on this text', () => {
    const [dense, local] = ask({ measure: 'pairs', heads: 2 }).lines();
    assert.deepEqual(dense!.points, []);
    assert.deepEqual(local!.points, [{ tokens: 512, value: 18, low: 18, high: 18 }]);
  });

  it('is saved row by row, per head', () => {
    const rows = ask({ heads: 12 }, [timed('local', 300, 5)])
      .toCsv()
      .trim()
      .split(/\r?\n/);
    assert.equal(rows.length, 1 + 4 + 5 + 4);
    assert.ok(
      rows.some(row => /^local,"\{""window"":\d+\}",300,.*,5,2\.5,10,7,,,,$/.test(row)),
      rows.join('\n'),
    );
    assert.ok(rows.includes(`dense,{},128,${128 * 64},exact,${128 * 128},${4 * 128 * 128},,,,,,,,`));
  });
});
