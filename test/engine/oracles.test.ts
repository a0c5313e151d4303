import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CoreInput } from '../../engine/attention/core';
import { readParams, settledParams } from '../../engine/attention/parameters';
import { findMechanism, mechanisms } from '../../engine/attention/registry';
import { createRuntime } from '../../engine/runtime/ort';
import type { Runtime } from '../../engine/runtime/runtime';
import { assertMatches, run } from '../oracle/check';
import { maskedAttention, type MaskOracle } from '../oracle/edges';
import { randomInput, type Shape } from '../oracle/inputs';

const ORACLES = join(__dirname, '../oracle/mechanisms');

/** Mechanisms that are compared with oracles of other forms, and the tests that do it. */
const BY_HAND: Record<string, string> = {
  dense: 'mechanisms.test.ts',
  'adaptive-span': 'mechanisms.test.ts',
  bigbird: 'mechanisms-patterns.test.ts',
  entmax: 'mechanisms-patterns.test.ts',
  'vertical-slash': 'mechanisms-patterns.test.ts',
  lsh: 'mechanisms-lsh.test.ts',
  routing: 'mechanisms-routing.test.ts',
  'transformer-xl': 'mechanisms-recurrence.test.ts',
  compressive: 'mechanisms-recurrence.test.ts',
  performer: 'mechanisms-approximations.test.ts',
  linformer: 'mechanisms-approximations.test.ts',
  nystrom: 'mechanisms-approximations.test.ts',
  sparsefinder: 'mechanisms-lenses.test.ts',
  bp: 'mechanisms-lenses.test.ts',
  continuous: 'mechanisms-lenses.test.ts',
  shaped: 'mechanisms-approximations.test.ts',
};

const shapes: Record<string, Shape & { repeated?: number }> = {
  'keys that repeat': { queries: 40, causal: true, repeated: 7 },
  'one token': { queries: 1, causal: true },
  causal: { queries: 53, causal: true },
  bidirectional: { queries: 53 },
  'causal, several blocks': { queries: 203, causal: true, heads: 1 },
  'grouped queries': { queries: 29, heads: 4, kvHeads: 2, causal: true },
  'more keys than queries': { queries: 11, keys: 40, causal: true },
  'more keys than queries, bidirectional': { queries: 11, keys: 40 },
  'soft cap and alibi': { queries: 33, causal: true, softCap: 2, bias: 'alibi' },
  'relative bias': { queries: 33, bias: 'relative' },
  'opaque bias': { queries: 33, causal: true, bias: 'opaque' },
  'model window': { queries: 50, causal: true, window: { before: 9, after: 0 } },
};

describe('mechanisms and their oracles', function () {
  this.timeout(60_000);
  let runtime: Runtime;
  before(async () => (runtime = await createRuntime('cpu')));
  after(() => runtime.dispose());

  const found = readdirSync(ORACLES).map(file => file.replace(/\.ts$/, ''));

  it('every mechanism has one', () => {
    const names = mechanisms.map(({ info }) => info.name).sort();
    assert.deepEqual([...Object.keys(BY_HAND), ...found].sort(), names);
    for (const [name, file] of Object.entries(BY_HAND)) {
      assert.ok(readFileSync(join(__dirname, file), 'utf8').includes(name), `${file} tests ${name}`);
    }
  });

  for (const name of found) {
    describe(name, () => {
      for (const [what, shape] of Object.entries(shapes)) {
        it(what, async () => {
          const { oracle } = (await import(join(ORACLES, name))) as { oracle: MaskOracle };
          const mechanism = findMechanism(name);
          const input = repeatKeys(randomInput(shape), shape.repeated ?? Infinity);
          for (const given of [{}, ...mechanism.examples]) {
            const params = readParams(mechanism.info, given);
            if (mechanism.refuses?.(input, params)) continue;
            const attended = await run(mechanism, input, given, runtime);
            const mask = oracle(input, settledParams(mechanism, input, params));
            assertMatches(input, attended, maskedAttention(input, mask), `${name} ${JSON.stringify(given)}`);
          }
        });
      }
    });
  }
});

/** The input with the first keys of every head over and over: their scores are equal. */
function repeatKeys(input: CoreInput, different: number): CoreInput {
  const { keys, dim } = input;
  const k = input.k.map((own, t) => {
    const row = Math.floor(t / dim);
    const key = row % keys;
    return key < different ? own : input.k[(row - key + (key % different)) * dim + (t % dim)]!;
  });
  return { ...input, k };
}
