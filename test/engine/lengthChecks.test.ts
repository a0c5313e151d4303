import assert from 'node:assert/strict';
import { densePairs, type CoreInput } from '../../engine/attention/core';
import { findMechanism } from '../../engine/attention/registry';
import { readSetting } from '../../engine/service/readSettings';
import { denseOutput, denseRows } from '../../engine/attention/kernels/dense';
import { profileCore } from '../../engine/measure/profile';
import type { CutModel } from '../../engine/model/cut/cutModel';
import { referenceAttend, referenceWeights } from '../../engine/model/verify/proof';
import { rowsToCheck } from '../../engine/model/cut/rowsToCheck';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { ElementType } from '../../engine/runtime/onnxProto';
import type { ModelWriter } from '../fixtures/onnxModels';
import { aroundHeads, dropped, positions, scaled, softmax, transposed } from './attentionLayers';
import { assertReproduces, Bench, DIM, HEADS, layered, VOCABULARY, type Layer } from './cutHarness';

/** Tokens beyond every length that a load looks at. */
const TOKENS = 300;

type Pair = { row: string; column: string; distance: string };

/** Scores under a mask and a bias that are computed from the positions of query and key. */
function positioned(
  make: (m: ModelWriter, at: Pair, id: string, x: string) => { keep?: string; bias?: string },
): Layer {
  return aroundHeads((m, { q, k, v, x }, id) => {
    const row = positions(m, x, `r${id}`, [-1, 1]);
    const column = positions(m, x, `c${id}`, [1, -1]);
    const distance = m.op('Sub', [row, column]);
    const { keep, bias } = make(m, { row, column, distance }, id, x);
    let scores = scaled(m, m.op('MatMul', [q, transposed(m, k)]), id);
    if (bias) scores = m.op('Add', [scores, bias]);
    if (keep) scores = dropped(m, keep, scores, id);
    return m.op('MatMul', [softmax(m, scores), v]);
  });
}

const causal = (m: ModelWriter, { row, column }: Pair) => m.op('LessOrEqual', [column, row]);
const real = (m: ModelWriter, x: string) => m.op('Cast', [x], { to: ElementType.float32 });

const chunks = positioned((m, at, id) => {
  const size = m.ints(`size${id}`, [100], []);
  const same = m.op('Equal', [m.op('Div', [at.row, size]), m.op('Div', [at.column, size])]);
  return { keep: m.op('And', [same, causal(m, at)]) };
});

/** A slope by distance within chunks. */
const slopedChunks = positioned((m, at, id) => {
  const size = m.ints(`size${id}`, [90], []);
  const same = m.op('Equal', [m.op('Div', [at.row, size]), m.op('Div', [at.column, size])]);
  const slopes = m.floats(`slopes${id}`, [-0.5, -0.25, -0.1, 0], [1, HEADS, 1, 1]);
  return {
    keep: m.op('And', [same, causal(m, at)]),
    bias: m.op('Mul', [real(m, at.distance), slopes]),
  };
});

/** Which blocks of 32 see which stands in a small square table, which is no mask of 8 tokens. */
const tableOfBlocks = positioned((m, at, id) => {
  const size = m.ints(`size${id}`, [32], []);
  const last = m.ints(`last${id}`, [7], []);
  const block = (of: string) => m.op('Min', [m.op('Div', [of, size]), last]);
  const place = m.op('Add', [m.op('Mul', [block(at.row), m.ints(`eight${id}`, [8], [])]), block(at.column)]);
  const bits = Uint8Array.from({ length: 64 }, (_, t) => Number(t % 9 === 0 || (t * 7) % 5 < 2));
  const flat = m.op('Flatten', [m.raw(`blocks${id}`, ElementType.bool, bits, [8, 8])], { axis: 0 });
  const table = m.op('Reshape', [flat, m.ints(`whole${id}`, [-1])]);
  return { keep: m.op('And', [m.op('Gather', [table, place]), causal(m, at)]) };
});

const onlyWhatComes = positioned((m, { row, column }) => ({ keep: m.op('LessOrEqual', [row, column]) }));

/** The window's size comes filled into a tensor of the distances' shape. */
const fullLike = positioned((m, at, id) => {
  const like = m.op('Expand', [m.ints(`size${id}`, [90], [1, 1]), m.op('Shape', [at.distance])]);
  return { keep: m.op('And', [m.op('Less', [at.distance, like]), causal(m, at)]) };
});

const fractional = positioned((m, at, id) => {
  const half = m.op('Div', [real(m, at.distance), m.floats(`two${id}`, [2], [])]);
  return { keep: m.op('And', [m.op('Less', [half, m.floats(`t${id}`, [45.25], [])]), causal(m, at)]) };
});

/** Distances are cut off at 80 and those at the cut hidden. */
const clamped = positioned((m, at, id) => {
  const size = m.floats(`size${id}`, [80], []);
  const near = m.op('Clip', [real(m, at.distance), '', size]);
  return { keep: m.op('And', [m.op('Less', [near, size]), causal(m, at)]) };
});

const windowPerHead = positioned((m, at, id) => {
  const sizes = m.ints(`sizes${id}`, [7, 40, 95, 200], [1, HEADS, 1, 1]);
  return { keep: m.op('And', [m.op('Less', [at.distance, sizes]), causal(m, at)]) };
});

const clampedAlibi = positioned((m, at, id) => {
  const near = m.op('Min', [real(m, m.op('Abs', [at.distance])), m.floats(`far${id}`, [120], [])]);
  const slopes = m.floats(`slopes${id}`, [-0.5, -0.25, -0.1, -0.02], [1, HEADS, 1, 1]);
  return { bias: m.op('Mul', [near, slopes]), keep: causal(m, at) };
});

/** T5's buckets up to a distance of 512, by logarithms. */
const buckets = positioned((m, at, id) => {
  const near = m.op('Max', [at.distance, m.ints(`none${id}`, [0], [])]);
  const exact = m.floats(`exact${id}`, [16], []);
  const far = m.op('Max', [real(m, near), exact]);
  const logarithm = m.op('Div', [
    m.op('Log', [m.op('Div', [far, exact])]),
    m.floats(`log${id}`, [Math.log(32)], []),
  ]);
  const large = m.op('Add', [m.op('Mul', [logarithm, exact]), exact]);
  const bucket = m.op('Min', [m.op('Floor', [large]), m.floats(`last${id}`, [31], [])]);
  const small = m.op('Less', [real(m, near), exact]);
  const index = m.op('Cast', [m.op('Where', [small, real(m, near), bucket])], { to: ElementType.int64 });
  const table = m.op('Gather', [m.weight(`table${id}`, [32, HEADS], 2), index]);
  return { bias: m.op('Transpose', [table], { perm: [2, 0, 1] }), keep: causal(m, at) };
});

/** The first 100 tokens see each other, the rest what is before: causal as far as a short text shows. */
const latePrefix = positioned((m, at, id) => {
  const border = m.ints(`border${id}`, [100], []);
  const late = m.op('And', [m.op('Less', [border, at.row]), m.op('Less', [border, at.column])]);
  return { keep: m.op('Or', [late, causal(m, at)]) };
});

/** A window of half the text, which is another rule at each length. */
const halfOfText = positioned((m, at, id, x) => {
  const count = m.op('Gather', [m.op('Shape', [x]), m.ints(`one${id}`, [1], [])], { axis: 0 });
  const size = m.op('Max', [m.op('Div', [count, m.ints(`two${id}`, [2], [])]), m.ints(`m${id}`, [70], [])]);
  return { keep: m.op('And', [m.op('Less', [at.distance, size]), causal(m, at)]) };
});

/** A triangle kept as a table in which one row, beyond every probe, hides one more key. */
const oneRow = positioned((m, _, id, x) => {
  const size = 320;
  const lower = Uint8Array.from({ length: size * size }, (_, i) => {
    const [row, column] = [Math.floor(i / size), i % size];
    return Number(column <= row && !(row === 217 && column === 211));
  });
  m.raw(`buffer${id}`, ElementType.bool, lower, [1, 1, size, size]);
  const count = m.op('Slice', [m.op('Shape', [x]), m.ints(`s1${id}`, [1]), m.ints(`s2${id}`, [2])]);
  const zero = m.ints(`s0${id}`, [0]);
  const rows = m.op('Slice', [`buffer${id}`, zero, count, m.ints(`a2${id}`, [2])]);
  return { keep: m.op('Slice', [rows, zero, count, m.ints(`a3${id}`, [3])]) };
});

/** The triangle as dynamo writes it: columns at or before rows by Trilu on ones. */
const triangle = positioned((m, at, id) => {
  const ones = m.op('Expand', [m.floats(`ones${id}`, [1], [1, 1]), m.op('Shape', [at.distance])]);
  const lower = m.op('Cast', [m.op('Trilu', [ones], { upper: 0 })], { to: ElementType.bool });
  const far = m.op('Cast', [m.op('Trilu', [ones, m.ints(`below${id}`, [-110], [])], { upper: 0 })], {
    to: ElementType.bool,
  });
  return { keep: m.op('And', [lower, m.op('Not', [far])]) };
});

/** Relative positions as DeBERTa has them: a slice of a table that is 200 long on each side; its size is read off. */
const spanned = aroundHeads((m, { q, k, v, x }, id) => {
  const one = (name: string, value: number) => m.ints(`${name}${id}`, [value]);
  const count = m.op('Gather', [m.op('Shape', [x]), one('axis', 1)], { axis: 0 });
  const span = m.op('Min', [count, one('span', 200)]);
  const middle = one('middle', 200);
  const ends = [m.op('Sub', [middle, span]), m.op('Add', [middle, span])];
  const near = m.op('Slice', [m.weight(`table${id}`, [400, DIM], 0.5), ...ends, one('rows', 0)]);
  const size = m.op('Gather', [m.op('Shape', [near]), one('first', 0)], { axis: 0 });
  const terms = m.op('MatMul', [q, m.op('Transpose', [near], { perm: [1, 0] })]);
  const distance = m.op('Sub', [positions(m, x, `r${id}`, [-1, 1]), positions(m, x, `c${id}`, [1, -1])]);
  const half = m.op('Div', [size, one('two', 2)]);
  const last = m.op('Sub', [size, one('less', 1)]);
  const index = m.op('Min', [m.op('Max', [m.op('Add', [distance, half]), one('none', 0)]), last]);
  const shape = m.op('Concat', [m.ints(`lead${id}`, [1, HEADS]), count, count], { axis: 0 });
  const bias = m.op('GatherElements', [terms, m.op('Expand', [index, shape])], { axis: -1 });
  const scores = m.op('Add', [scaled(m, m.op('MatMul', [q, transposed(m, k)]), id), bias]);
  return m.op('MatMul', [softmax(m, scores), v]);
});

/** Two pairs far in the text are written over, as `index_put` does: no rows of it can be had alone. */
const writtenOver = positioned((m, at, id, x) => {
  const keep = real(m, causal(m, at));
  const count = m.op('Gather', [m.op('Shape', [x]), m.ints(`axis${id}`, [1], [])], { axis: 0 });
  const last = m.op('Sub', [count, m.ints(`one${id}`, [1], [])]);
  const pairs = m.op('Min', [m.ints(`pairs${id}`, [150, 3, 151, 4], [2, 2]), last]);
  const changed = m.op('ScatterND', [keep, pairs, m.floats(`zeros${id}`, [0, 0])]);
  return { keep: m.op('Cast', [changed], { to: ElementType.bool }) };
});

/** Rows joined of two parts, which resists as well. */
const joined = positioned((m, at, id) => {
  const part = (from: number, to: number) =>
    m.op('Slice', [
      real(m, at.distance),
      m.ints(`from${from}${id}`, [from]),
      m.ints(`to${from}${id}`, [to]),
      m.ints(`rows${from}${id}`, [0]),
    ]);
  const all = m.op('Abs', [m.op('Concat', [part(0, 2), part(2, 1e9)], { axis: 0 })]);
  const near = m.op('Min', [all, m.floats(`far${id}`, [140], [])]);
  return { bias: m.op('Mul', [near, m.floats(`slope${id}`, [-0.1], [])]), keep: causal(m, at) };
});

const dilated = positioned((m, at, id) => {
  const rest = m.op('Mod', [at.distance, m.ints(`two${id}`, [2], [])]);
  const even = m.op('Equal', [rest, m.ints(`none${id}`, [0], [])]);
  const near = m.op('Less', [at.distance, m.ints(`far${id}`, [130], [])]);
  return { keep: m.op('And', [m.op('And', [even, near]), causal(m, at)]) };
});

/** A logarithm of the distance never becomes even. */
const logarithmic = positioned((m, at, id) => {
  const distance = real(m, m.op('Abs', [at.distance]));
  const logarithm = m.op('Log', [m.op('Add', [distance, m.floats(`one${id}`, [1], [])])]);
  const slopes = m.floats(`slopes${id}`, [-1, -0.5, -2, -0.1], [1, HEADS, 1, 1]);
  return { bias: m.op('Mul', [logarithm, slopes]), keep: causal(m, at) };
});

/** A window on both sides, and the first token for all. */
const firstForAll = positioned((m, at, id) => {
  const near = m.op('Less', [m.op('Abs', [at.distance]), m.ints(`size${id}`, [120], [])]);
  return { keep: m.op('Or', [near, m.op('Equal', [at.column, m.ints(`first${id}`, [0], [])])]) };
});

/** One query far in the text, told by its number alone, does not see one key. */
const oddQuery = positioned((m, at, id) => {
  const square = (of: string, root: number) =>
    m.op('Equal', [m.op('Mul', [of, of]), m.ints(`square${root}${id}`, [root * root], [])]);
  const odd = m.op('And', [square(at.row, 777), square(at.column, 431)]);
  return { keep: m.op('And', [m.op('Not', [odd]), causal(m, at)]) };
});

/** The same query sees its scores doubled: what a mask without scores cannot show. */
const oddScale: Layer = aroundHeads((m, { q, k, v, x }, id) => {
  const row = positions(m, x, `r${id}`, [-1, 1]);
  const odd = m.op('Equal', [m.op('Mul', [row, row]), m.ints(`square${id}`, [777 * 777], [])]);
  const gain = m.op('Where', [odd, m.floats(`twice${id}`, [2], []), m.floats(`once${id}`, [1], [])]);
  const scores = m.op('Mul', [scaled(m, m.op('MatMul', [q, transposed(m, k)]), id), gain]);
  return m.op('MatMul', [softmax(m, scores), v]);
});

/** A query from which every key is hidden by a large negative number: its softmax spreads evenly over all of them. */
const blindQuery = positioned((m, at, id) => {
  const square = m.ints(`square${id}`, [777 * 777], []);
  const blind = m.op('Equal', [m.op('Mul', [at.row, at.row]), square]);
  return { keep: m.op('And', [m.op('Not', [blind]), causal(m, at)]) };
});

/** StreamingLLM: what is near, and the first four tokens. */
const streams = positioned((m, at, id) => {
  const near = m.op('Less', [at.distance, m.ints(`size${id}`, [80], [])]);
  const first = m.op('Less', [at.column, m.ints(`first${id}`, [4], [])]);
  return { keep: m.op('And', [m.op('Or', [near, first]), causal(m, at)]) };
});

/** Positions in 16 bits, which those of ONNX Runtime are not: it drops the rounding before it compares them. */
const roundedPositions = positioned((m, at, id) => {
  const rounded = (of: string) =>
    m.op('Cast', [m.op('Add', [of, m.ints(`far${id}`, [5000], [])])], { to: ElementType.float16 });
  return { keep: m.op('LessOrEqual', [rounded(at.column), rounded(at.row)]) };
});

const cases: { name: string; layer: Layer; mask: string | RegExp }[] = [
  { name: 'attention in chunks of 100', layer: chunks, mask: 'causal, chunks of 100' },
  { name: 'a slope in chunks of 90', layer: slopedChunks, mask: 'causal, chunks of 90, ALiBi' },
  { name: 'blocks by a table', layer: tableOfBlocks, mask: /^causal, bias computed/ },
  { name: 'only what comes', layer: onlyWhatComes, mask: 'full, window 0 before, any after' },
  { name: 'a window filled into a tensor', layer: fullLike, mask: 'causal, window 90' },
  { name: 'a window by a fractional threshold', layer: fractional, mask: 'causal, window 91' },
  { name: 'a window by a clamp', layer: clamped, mask: 'causal, window 80' },
  {
    name: 'a window of its own for each head',
    layer: windowPerHead,
    mask: 'causal, windows of 7 to 200 by head',
  },
  { name: 'ALiBi clamped at a distance', layer: clampedAlibi, mask: 'causal, relative bias' },
  { name: 'buckets up to 512 tokens', layer: buckets, mask: 'causal, relative bias' },
  { name: 'a border far in the text', layer: latePrefix, mask: /^full, / },
  { name: 'a window of half the text', layer: halfOfText, mask: 'causal, window 150' },
  { name: 'a band by triangles', layer: triangle, mask: 'causal, window 110' },
  { name: 'a span that ends with its table', layer: spanned, mask: /^full, bias computed/ },
  { name: 'pairs written over', layer: writtenOver, mask: /^causal, bias computed/ },
  { name: 'rows joined of two parts', layer: joined, mask: 'causal, relative bias' },
  { name: 'every second key of a window', layer: dilated, mask: 'causal, pattern by distance' },
  { name: 'a bias by the logarithm of the distance', layer: logarithmic, mask: 'causal, relative bias' },
  {
    name: 'a window and the first token',
    layer: firstForAll,
    mask: 'full, window 119 before, 119 after and first token',
  },
  { name: 'a window and the first tokens', layer: streams, mask: 'causal, window 80 and first 4 tokens' },
  { name: 'positions rounded to 16 bits', layer: roundedPositions, mask: 'causal' },
  { name: 'one odd row in a table', layer: oneRow, mask: /^causal, / },
];

describe('rules at the length of the text', function () {
  this.timeout(60_000);
  let bench: Bench;
  before(async () => {
    bench = await Bench.open();
  });
  after(() => bench.close());

  for (const { name, layer, mask } of cases)
    it(`${name}: what the short probe cannot see is found before a long text is analysed`, async () => {
      const cut = await bench.load(layered(layer));
      await cut.checkRules(new Int32Array(TOKENS), { signal: neverCancelled });
      const found = cut.info.cores[0]!.mask;
      if (typeof mask === 'string') assert.equal(found, mask);
      else assert.match(found, mask);
      await assertReproduces(cut, 2e-5, TOKENS);
      // And again at another length, shorter and longer.
      await assertReproduces(cut, 2e-5, 40);
      await assertReproduces(cut, 2e-5, 317);
      await cut.dispose();
    });

  it('one odd query of many is found by its number alone: every row is compared, and it is the graph that says what it sees', async () => {
    const cut = await bench.load(layered(oddQuery));
    await cut.checkRules(new Int32Array(900), { signal: neverCancelled });
    assert.match(cut.info.cores[0]!.mask, /^causal, bias computed/);
    await assertReproduces(cut, 2e-5, 900);
    await cut.checkRules(new Int32Array(700), { signal: neverCancelled });
    assert.equal(cut.info.cores[0]!.mask, 'causal');
    await cut.dispose();
  });

  for (const [what, layer] of [
    ['whose scores are scaled otherwise', oddScale],
    ['from which every key is hidden', blindQuery],
  ] as const)
    it(`one query ${what} is refused, and not shown as if it were another`, async () => {
      const cut = await bench.load(layered(layer));
      await cut.checkRules(new Int32Array(700), { signal: neverCancelled });
      await assert.rejects(cut.checkRules(new Int32Array(900), { signal: neverCancelled }), {
        message:
          'What the attention of layer 0 (self) does to its scores in a text of 900 tokens is not understood.',
      });
      await cut.dispose();
    });

  it('every core of every run gets a rule that was compared at its very lengths', async () => {
    for (const layer of [chunks, windowPerHead, clampedAlibi]) {
      const cut = await bench.load(layered(layer));
      for (const tokens of [5, 61, TOKENS])
        for (const input of await inputsOf(cut, tokens))
          assert.deepEqual(input.rule.checked, { queries: tokens, keys: tokens });
      await cut.dispose();
    }
  });

  it('a window of each head: the block kernel hides the same keys, and counts those that are left', async () => {
    const cut = await bench.load(layered(windowPerHead));
    const context = { runtime: bench.runtime, signal: neverCancelled, own: {} };
    const [input] = await inputsOf(cut, TOKENS);
    const own = await denseOutput(input!, context);
    const expected = referenceAttend(input!);
    assert.ok(own.every((value, t) => Math.abs(value - expected[t]!) < 1e-5));
    const marks = {
      ids: new Int32Array(TOKENS),
      separator: new Uint8Array(TOKENS),
      punctuation: new Uint8Array(TOKENS),
    };
    const profile = await profileCore(input!, cut.info.cores[0]!, marks, context);
    // The first head sees 7 keys: its entropy is relative to that of 7 even ones.
    let relative = 0;
    for (let query = 1; query < TOKENS; query++) {
      const entropy = referenceWeights(input!, 0, query).reduce(
        (sum, p) => sum - (p > 0 ? p * Math.log(p) : 0),
        0,
      );
      relative += entropy / Math.log(Math.min(7, query + 1)) / (TOKENS - 1);
    }
    assert.ok(Math.abs(profile.heads[0]!.relativeEntropy - relative) < 1e-4);
    assert.ok(relative > 0.01);
    await cut.dispose();
  });

  for (const [name, layer, seenBy] of [
    ['causal', streams, (i: number) => Math.min(i + 1, 80 + Math.min(4, Math.max(0, i - 79)))],
    [
      'on both sides',
      firstForAll,
      (i: number) => Math.min(TOKENS - 1, i + 119) - Math.max(0, i - 119) + 1 + Number(i > 119),
    ],
  ] as const)
    it(`first tokens and a window, ${name}: no matrix is kept, and kernels, counts and mechanisms see the same keys`, async () => {
      const cut = await bench.load(layered(layer));
      const context = { runtime: bench.runtime, signal: neverCancelled, own: {} };
      const [input] = await inputsOf(cut, TOKENS);
      assert.equal(input!.rule.bias, null);
      const expected = referenceAttend(input!);
      let pairs = 0;
      for (let query = 0; query < TOKENS; query++) {
        pairs += seenBy(query);
        const seen = referenceWeights(input!, 1, query).filter(p => p > 0).length;
        assert.equal(seen, seenBy(query), `query ${query}`);
      }
      assert.equal(densePairs(input!), pairs);
      const near = (own: Float32Array, what: string) =>
        assert.ok(
          own.every((value, t) => Math.abs(value - expected[t]!) < 1e-5),
          what,
        );
      near(await denseOutput(input!, context), 'dense');
      // Of mechanisms, those that keep all pairs at these settings give the model's own attention.
      for (const [mechanism, params] of [
        ['local', { window: TOKENS }],
        ['streaming', { sinks: 4, window: 120 }],
        ['top-k', { k: TOKENS }],
      ] as const) {
        const chosen = readSetting({ name: mechanism, params });
        const attended = await findMechanism(mechanism).attend(input!, chosen.params, context);
        near(attended.output, mechanism);
        const { keys, weights } = attended.row(3, 290);
        const whole = referenceWeights(input!, 3, 290);
        keys.forEach((key, t) => assert.ok(Math.abs(weights[t]! - whole[key]!) < 1e-5, mechanism));
      }
      const rows = await denseRows(input!, 2, 0, TOKENS, context);
      for (const query of [0, 3, 79, 80, 84, 200, 299])
        referenceWeights(input!, 2, query).forEach((p, key) =>
          assert.ok(Math.abs(p - rows[query * TOKENS + key]!) < 1e-5),
        );
      await cut.dispose();
    });

  it('sampled rows hold the ends, powers of two, multiples of constants and borders, with their neighbours', () => {
    const rows = rowsToCheck(5000, [700, 33.5], [1234], 7, 0);
    for (const row of [0, 1, 4999, 4998, 1023, 1024, 1025, 699, 700, 701, 4900, 1233, 1234, 1235, 33, 34])
      assert.ok(rows.includes(row), `row ${row}`);
    assert.ok(rows.length < 400);
    assert.notDeepEqual(rows, rowsToCheck(5000, [700, 33.5], [1234], 8, 0));
    assert.equal(rowsToCheck(500, [], [], 7, 1).length, 500);
  });
});

async function inputsOf(cut: CutModel, tokens: number): Promise<CoreInput[]> {
  const inputs: CoreInput[] = [];
  const ids = Int32Array.from({ length: tokens }, (_, i) => (i * i + 3) % VOCABULARY);
  await cut.run(
    ids,
    async (_, input) => {
      inputs.push(input);
      return referenceAttend(input);
    },
    { signal: neverCancelled },
  );
  return inputs;
}
