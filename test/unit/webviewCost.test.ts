import assert from 'node:assert/strict';
import type { CostCurve, CostPoint } from '../../shared/protocol/engine';
import { at, bytes, crossing, fitTime, milliseconds, operations } from '../../webview/model/cost';
import { CostMemory } from '../../extension/analysis/costMemory';
import type { CostMeasurement } from '../../shared/protocol/engine';

const NARROW = '\u202f';
const curve = (flops: number[]): CostCurve => ({
  choice: { name: 'x', params: {} },
  count: 'exact',
  pairs: flops,
  flops,
  bytes: flops,
  refused: null,
});
const point = (tokens: number, median: number): CostPoint => ({
  choice: { name: 'x', params: {} },
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
    const measured = (dim: number, date: string): CostMeasurement => ({
      shape: { dim, valueDim: dim, causal: true, heads: 4 },
      device: 'cpu',
      machine: 'this one',
      date,
      points: [],
      notes: [],
    });
    await memory.keep(measured(20, 'first'));
    await memory.keep(measured(64, 'other'));
    await memory.keep(measured(20, 'second'));
    const shape = { dim: 20, valueDim: 20, causal: true, heads: 99 };
    assert.equal(memory.recall('cpu', shape)?.date, 'second');
    assert.equal(memory.recall('webgpu', shape), null);
    assert.equal(memory.recall('cpu', { ...shape, causal: false }), null);
    for (let dim = 100; dim < 130; dim++) await memory.keep(measured(dim, 'more'));
    assert.equal(memory.recall('cpu', shape), null, 'old ones go');
  });
});
