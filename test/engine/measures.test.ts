import assert from 'node:assert/strict';
import { visibleKeys, type CoreInput } from '../../engine/attention/core';
import { denseCore } from '../../engine/attention/kernels/dense';
import { MassByOffset } from '../../engine/measure/distance';
import { foldTogether } from '../../engine/measure/measure';
import { profileCore, type TokenMarks } from '../../engine/measure/profile';
import { LOCAL_REACH } from '../../engine/measure/roles';
import { QUERY_MEASURES, type QueryMeasure } from '../../shared/protocol/corpus';
import { Repeats } from '../../engine/measure/repeats';
import { SPAN_SHARES, Spans } from '../../engine/measure/spans';
import type { CoreInfo } from '../../shared/protocol/engine';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { entropyOf } from '../../engine/statistics';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { coreZoo, oracleOutput, oracleProbabilities } from '../oracle/dense';
import { oracleMeasures } from '../oracle/measures';
import { random } from '../oracle/random';
import { close } from '../oracle/close';

const info = (input: CoreInput): CoreInfo => ({
  core: 3,
  kind: 'self',
  layer: 0,
  heads: input.heads,
  kvHeads: input.kvHeads,
  dim: input.dim,
  mask: '',
  causal: input.rule.mask.causal,
});

function randomMarks(keys: number, kinds = 7): TokenMarks {
  const { uniform } = random(keys);
  const ids = Int32Array.from({ length: keys }, () => Math.floor(uniform() * kinds));
  return {
    ids,
    separator: Uint8Array.from(ids, id => Number(id === 0)),
    punctuation: Uint8Array.from(ids, id => Number(id === 1)),
  };
}

describe('measures', () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await createRuntime('cpu');
  });
  after(() => runtime.dispose());

  for (const [name, input] of Object.entries(coreZoo(7))) {
    it(`equal the float64 oracle: ${name}`, async () => {
      const context = { runtime, signal: neverCancelled };
      const marks = randomMarks(input.keys);
      const profile = await profileCore(input, info(input), marks, context);
      const { queries, keys, valueDim } = input;
      const spans = new Spans(input);
      const repeats = new Repeats(input, marks.ids);
      const offsets = new MassByOffset(input);
      const onDevice = new Spans(input, 'there');
      await denseCore(input, context, foldTogether([spans, repeats, offsets]));
      await denseCore(input, context, foldTogether([onDevice]));
      for (let head = 0; head < input.heads; head++) {
        const { p, lse } = oracleProbabilities(input, head);
        const oracle = oracleMeasures(input, p, marks.ids);
        const found = profile.heads[head]!;
        const part = (values: Float32Array, length: number) =>
          values.subarray(head * length, (head + 1) * length);
        close(part(profile.output, queries * valueDim), oracleOutput(input, head, p), 2e-5);
        close(part(profile.lse, queries), lse, 2e-5);
        close(part(profile.entropy, queries), oracle.entropy, 5e-5);
        close([found.entropy], [oracle.meanEntropy], 2e-5);
        const relative = oracle.entropy.flatMap((value, i) => {
          const seen = visible(input, head, i);
          return seen > 1 ? [value / Math.log(seen)] : [];
        });
        close([found.relativeEntropy], [average(relative)], 2e-5);
        close([found.meanDistance], [oracle.meanDistance], 2e-5);
        close(part(profile.byDistance, keys), oracle.byDistance.slice(0, keys), 1e-5);
        close(part(profile.received, keys), oracle.received, 2e-5);
        for (const target of ['self', 'previous', 'next', 'first'] as const) {
          close([found.to[target]], [oracle.to[target]], 1e-5);
        }
        const sees = Math.max(1, oracle.alive.filter(Boolean).length);
        const on = (flags: Uint8Array) =>
          oracle.received.reduce((sum, mass, j) => sum + mass * flags[j]!, 0) / sees;
        close([found.to.separator, found.to.punctuation], [on(marks.separator), on(marks.punctuation)], 1e-5);
        close([repeats.score(head, 'duplicate')], [oracle.duplicate], 1e-5);
        close([repeats.score(head, 'induction')], [oracle.induction], 1e-5);
        checkBins(found.distance.edges, found.distance.mass, oracle.byDistance);
        for (const [s, share] of SPAN_SHARES.entries()) {
          const perQuery = part(spans.perQuery[s]!, queries);
          const there = part(onDevice.perQuery[s]!, queries);
          for (let i = 0; i < queries; i++) {
            checkSpan(perQuery[i]!, share, oracle.within[i]!, oracle.alive[i]!);
            checkSpan(there[i]!, share, oracle.within[i]!, oracle.alive[i]!);
          }
          const seen = perQuery.filter(span => span >= 0);
          close([found[`span${Math.round(share * 100)}` as 'span90']], [average(Array.from(seen))], 1e-6);
        }
        checkThumbnail(found.thumbnail, p);
      }
    });
  }

  for (const [name, input] of Object.entries(coreZoo(7))) {
    it(`of every query equal the float64 oracle: ${name}`, async () => {
      const context = { runtime, signal: neverCancelled };
      const marks = randomMarks(input.keys);
      const { queries: found, output } = await profileCore(input, info(input), marks, context, true);
      const { queries, keys, valueDim } = input;
      for (let head = 0; head < input.heads; head++) {
        const { p } = oracleProbabilities(input, head);
        for (let i = 0; i < queries; i++) {
          const row = p[i]!;
          const position = i + keys - queries;
          const at = head * queries + i;
          const of = (measure: QueryMeasure) => found!.values[measure][at]!;
          if (row.every(mass => mass === 0)) {
            for (const measure of QUERY_MEASURES) {
              if (measure !== 'outputNorm' || visible(input, head, i) === 0)
                assert.ok(Number.isNaN(of(measure)));
            }
            continue;
          }
          const far = [...row].map((mass, j) => (j > 0 && Math.abs(j - position) > LOCAL_REACH ? mass : 0));
          const norm = Math.hypot(...output.subarray(at * valueDim, (at + 1) * valueDim));
          const distance = row.reduce((sum, mass, j) => sum + mass * Math.abs(j - position), 0);
          close(
            [of('entropy'), of('self'), of('previous'), of('next'), of('first'), of('largestMass')],
            [entropyOf(row), ...[0, -1, 1].map(o => row[position + o] ?? 0), row[0]!, Math.max(...row)],
            5e-5,
          );
          close(
            [of('meanDistance'), of('farMass'), of('outputNorm')],
            [distance, Math.max(...far), norm],
            5e-5,
          );
          const key = found!.farKey[at]!;
          if (of('farMass') > 1e-4) close([row[key]!], [of('farMass')], 5e-5);
          else if (of('farMass') === 0) assert.equal(key, -1);
        }
      }
    });
  }

  it('the heads of a group may not be mixed up: swapping two heads of q swaps their profiles', async () => {
    const input = coreZoo()['grouped queries']!;
    const size = input.queries * input.dim;
    const q = input.q.slice();
    q.set(input.q.subarray(0, size), size);
    q.set(input.q.subarray(size, 2 * size), 0);
    const context = { runtime, signal: neverCancelled };
    const marks = randomMarks(input.keys);
    const [a, b] = [
      await profileCore(input, info(input), marks, context),
      await profileCore({ ...input, q }, info(input), marks, context),
    ];
    close([a.heads[0]!.entropy, a.heads[1]!.span95], [b.heads[1]!.entropy, b.heads[0]!.span95], 1e-6);
    assert.notEqual(a.heads[0]!.entropy, a.heads[1]!.entropy);
  });
});

function average(values: number[]): number {
  return values.length === 0 ? 0 : values.reduce((a, b) => a + b, 0) / values.length;
}

/** Keys that a query sees, -Infinity of an opaque bias included. */
function visible(input: CoreInput, head: number, query: number): number {
  const { from, to } = visibleKeys(input, query);
  const { bias } = input.rule;
  if (bias?.kind !== 'opaque') return to - from;
  const at = ((bias.heads === 1 ? 0 : head) * input.queries + query) * input.keys;
  return bias.data.subarray(at + from, at + to).filter(value => value > -Infinity).length;
}

/** Exact, but for quantiles so close to a distance's mass that float32 may tip either way. */
function checkSpan(span: number, share: number, within: Float64Array, alive: boolean): void {
  if (!alive) return assert.equal(span, -1);
  const exact = within.findIndex(mass => mass >= share);
  if (span === exact) return;
  const margin = Math.min(Math.abs(within[span]! - share), Math.abs(within[exact]! - share));
  assert.ok(Math.abs(span - exact) <= 1 && margin < 1e-6, `span ${span}, exactly ${exact}, margin ${margin}`);
}

function checkBins(edges: Int32Array, mass: Float32Array, byDistance: number[]): void {
  assert.equal(mass.length, edges.length - 1);
  assert.ok(edges[edges.length - 1]! >= byDistance.length, 'the last bin reaches the longest distance');
  for (let b = 0; b < mass.length; b++) {
    close([mass[b]!], [byDistance.slice(edges[b]!, edges[b + 1]!).reduce((x, y) => x + y, 0)], 1e-5);
  }
}

function checkThumbnail({ size, pixels }: { size: number; pixels: Uint8Array }, p: Float64Array[]): void {
  const [queries, keys] = [p.length, p[0]!.length];
  const cells = new Float64Array(size * size);
  const rows = new Float64Array(size);
  for (const [i, row] of p.entries()) {
    const r = Math.floor((i * size) / queries);
    rows[r]!++;
    row.forEach((mass, j) => (cells[r * size + Math.floor((j * size) / keys)]! += mass));
  }
  const mean = cells.map((mass, t) => mass / rows[Math.floor(t / size)]!);
  const heaviest = Math.max(...mean);
  const shades = mean.map(mass => Math.sqrt(mass / heaviest));
  close(
    Array.from(pixels, pixel => pixel / 255),
    shades,
    0.51 / 255,
  );
}
