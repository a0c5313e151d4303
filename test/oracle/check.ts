import assert from 'node:assert/strict';
import type { CoreInput } from '../../engine/attention/core';
import type { Attended, Mechanism } from '../../engine/attention/mechanism';
import { readParams } from '../../engine/attention/parameters';
import type { Runtime } from '../../engine/runtime/runtime';
import { neverCancelled } from '../../engine/runtime/cancellation';
import type { Tensor } from '../../engine/runtime/tensor';
import { apply, type Matrix } from './approximations';
import { denseLse, value, type OracleResult } from './edges';

export const TOLERANCE = 2e-5;

/** Runs a mechanism as an analysis does: prepare what is missing, then attend. */
export async function run(
  mechanism: Mechanism,
  input: CoreInput,
  params: Record<string, unknown>,
  runtime: Runtime,
  own: Record<string, Tensor> = {},
): Promise<Attended & { own: Record<string, Tensor> }> {
  const read = readParams(mechanism.info, params);
  assert.equal(mechanism.refuses?.(input, read) ?? null, null);
  const context = { runtime, signal: neverCancelled, own };
  const prepared = await mechanism.prepare?.(input, read, context);
  const all = { ...prepared, ...own };
  return { ...(await mechanism.attend(input, read, { ...context, own: all })), own: all };
}

export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  what: string,
  tolerance = TOLERANCE,
): number {
  assert.equal(actual.length, expected.length, `${what}: length`);
  let worst = 0;
  let at = 0;
  for (let t = 0; t < actual.length; t++) {
    const difference = Math.abs(actual[t]! - expected[t]!);
    if (!(difference <= worst)) [worst, at] = [difference, t];
    if (Number.isNaN(difference)) break;
  }
  assert.ok(
    worst <= tolerance,
    `${what}: differs by ${worst} at ${at} (${actual[at]} against ${expected[at]})`,
  );
  return worst;
}

/** Output, recall, pair counts and rows of an edge-set mechanism against its oracle. Returns the largest output error. */
export function assertMatches(
  input: CoreInput,
  attended: Attended,
  oracle: OracleResult,
  what: string,
  tolerance = TOLERANCE,
): number {
  const worst = assertClose(attended.output, oracle.output, `${what}: output`, tolerance);
  assert.deepEqual([...attended.pairs], oracle.pairs, `${what}: pairs`);
  const { heads, queries } = input;
  for (let h = 0; h < heads; h++) {
    for (let i = 0; i < queries; i++) {
      const dense = denseLse(input, h, i);
      const lse = attended.lse![h * queries + i]!;
      const recall = lse === -Infinity ? 0 : Math.exp(lse - dense);
      assert.ok(
        Math.abs(recall - oracle.recall[h * queries + i]!) <= tolerance,
        `${what}: recall of query ${i} is ${recall}, not ${oracle.recall[h * queries + i]}`,
      );
    }
  }
  assertRows(input, attended, oracle.weights, what);
  return worst;
}

/** The rows given on demand are the oracle's, and add up to the output. */
export function assertRows(
  input: CoreInput,
  attended: Attended,
  weights: Float64Array[][] | null,
  what: string,
  tolerance = TOLERANCE,
  weightTolerance = 1e-6,
): void {
  const { heads, queries, keys, valueDim } = input;
  for (let h = 0; h < heads; h++) {
    for (let i = 0; i < queries; i++) {
      const row = attended.row(h, i);
      const full = new Float64Array(keys);
      row.keys.forEach((key, t) => {
        assert.ok(t === 0 || key > row.keys[t - 1]!, `${what}: keys of row ${i} ascend`);
        full[key] = row.weights[t]!;
      });
      if (weights) assertClose(full, weights[h]![i]!, `${what}: row ${h}, ${i}`, weightTolerance);
      const output = Float64Array.from({ length: valueDim }, (_, c) =>
        full.reduce((sum, w, j) => sum + w * value(input, h, j, c), 0),
      );
      const at = (h * queries + i) * valueDim;
      assertClose(
        attended.output.subarray(at, at + valueDim),
        output,
        `${what}: row ${h}, ${i} x values`,
        tolerance,
      );
    }
  }
}

/** Output and rows of a mechanism that has a whole map, against that of each head, [queries][keys]. */
export function assertMaps(
  input: CoreInput,
  attended: Attended,
  maps: Matrix[],
  what: string,
  { tolerance = TOLERANCE, weightTolerance = 1e-6 } = {},
): void {
  assertClose(
    attended.output,
    maps.flatMap((map, h) => apply(input, h, map)),
    `${what}: output`,
    tolerance,
  );
  const weights = maps.map(map => map.map(row => Float64Array.from(row)));
  assertRows(input, attended, weights, what, tolerance, weightTolerance);
}

/** Runs a mechanism that keeps no set of pairs, and compares it with the whole map of each head. */
export async function assertApproximates(
  mechanism: Mechanism,
  input: CoreInput,
  params: Record<string, unknown>,
  oracle: (head: number) => Matrix,
  {
    runtime,
    own,
    tolerance = TOLERANCE,
  }: { runtime: Runtime; own?: Record<string, Tensor>; tolerance?: number },
): Promise<void> {
  const attended = await run(mechanism, input, params, runtime, own);
  assert.equal(attended.lse, null);
  const maps = Array.from({ length: input.heads }, (_, head) => oracle(head));
  assertMaps(input, attended, maps, mechanism.info.name, { tolerance, weightTolerance: tolerance });
}

/** Changing token t must leave the outputs of all earlier queries as they were. */
export async function assertNoFuture(
  input: CoreInput,
  attend: (input: CoreInput) => Promise<Attended>,
  token: number,
  what: string,
): Promise<void> {
  const before = await attend(input);
  const changed = { ...input, q: input.q.slice(), k: input.k.slice(), v: input.v.slice() };
  const query = token - (input.keys - input.queries);
  const disturb = (data: Float32Array, heads: number, rows: number, width: number, row: number) => {
    for (let h = 0; h < heads; h++) {
      for (let c = 0; c < width; c++) data[(h * rows + row) * width + c]! += 3 + c;
    }
  };
  disturb(changed.q, input.heads, input.queries, input.dim, query);
  disturb(changed.k, input.kvHeads, input.keys, input.dim, token);
  disturb(changed.v, input.kvHeads, input.keys, input.valueDim, token);
  const after = await attend(changed);
  for (let h = 0; h < input.heads; h++) {
    const at = h * input.queries * input.valueDim;
    assertClose(
      after.output.subarray(at, at + query * input.valueDim),
      before.output.subarray(at, at + query * input.valueDim),
      `${what}: head ${h} before token ${token}`,
      1e-6,
    );
  }
  const own = query * input.valueDim;
  assert.notDeepEqual(
    [...after.output.subarray(own, own + input.valueDim)],
    [...before.output.subarray(own, own + input.valueDim)],
    `${what}: token ${token} itself is expected to notice`,
  );
}
