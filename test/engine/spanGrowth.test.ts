import Ajv from 'ajv';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Engine } from '../../engine/engine';
import schema from '../../engine/export/analysis.schema.json';
import { fitSpans, spanPairs, spansAt, type SpanCore } from '../../shared/softSpan';
import { setting } from '../support/settings';

describe('spans against the length of the text', function () {
  this.timeout(180_000);

  /** Mean mass at each distance of one head that spreads evenly over `reach` tokens, over a text of so many. */
  function evenOver(tokens: number, reach: (position: number) => number): Float32Array {
    const mass = new Float32Array(tokens);
    for (let i = 0; i < tokens; i++) {
      const seen = Math.min(i + 1, reach(i));
      for (let x = 0; x < seen; x++) mass[x]! += 1 / seen / tokens;
    }
    return mass;
  }

  it('a span that the text cuts off is marked, and grows as it did; one that ends before is not', () => {
    const tokens = 512;
    const reaches = [(_: number) => 20, (i: number) => i + 1, (i: number) => Math.ceil(Math.sqrt(i + 1))];
    const massOf = (length: number) =>
      Float32Array.from(reaches.flatMap(reach => [...evenOver(length, reach)]));
    const core: SpanCore = {
      queries: tokens,
      keys: tokens,
      mask: { causal: true, window: null },
      byDistance: massOf(tokens),
      prefixes: [128, 256].map(queries => ({ queries, byDistance: massOf(queries) })),
      heads: { length: reaches.length },
    };
    const fit = fitSpans([core], { massTarget: 0.95, ramp: 0 });
    const [fixed, whole, root] = fit.heads;
    assert.deepEqual([fixed!.censored, whole!.censored, root!.censored], [false, true, true]);
    assert.deepEqual({ ...fixed!.growth, most: 0 }, { least: 0, likely: 0, most: 0 });
    assert.ok(fixed!.growth.most < 0.1);
    assert.ok(whole!.growth.likely > 0.95 && whole!.growth.least <= 1 && whole!.growth.most === 2);
    assert.ok(Math.abs(root!.growth.likely - 0.5) < 0.1, `${root!.growth.likely}`);
    const at = spansAt(fit, tokens, 32_768);
    assert.equal(at.least[0], at.likely[0]);
    // What such heads really need there.
    for (const [head, reach] of reaches.entries()) {
      const real = fitSpans(
        [
          {
            ...core,
            queries: 32_768,
            keys: 32_768,
            byDistance: evenOver(32_768, reach),
            prefixes: [],
            heads: [0],
          },
        ],
        { massTarget: 0.95, ramp: 0 },
      ).heads[0]!.span;
      const slack = 1.1;
      assert.ok(at.least[head]! / slack <= real && real <= at.most[head]! * slack, `${head}: ${real}`);
    }
    assert.deepEqual(
      spansAt(fit, tokens, 100).likely,
      fit.heads.map(({ span }) => span),
    );
    const windowed = { ...core, mask: { causal: true, window: { before: 400, after: 0 } } };
    assert.ok(fitSpans([windowed], { massTarget: 0.95, ramp: 0 }).heads.every(head => !head.censored));
  });

  it('costs beyond the text come as a range, which holds what a longer text needs', async () => {
    const engine = new Engine();
    try {
      const choice = setting('adaptive-span', { massTarget: 0.9 });
      const fitted = async (id: string, maxTokens: number) => {
        const text = readFileSync('test/fixtures/sample.txt', 'utf8');
        const common = { model: 'bundled', device: 'cpu', mechanisms: [choice], propagate: false } as const;
        const { mechanisms } = await engine.analyze({ id, text, maxTokens, ...common });
        const fit = await engine.request('analysis/spans', { id, massTarget: 0.9, ramp: 32 });
        return { fit, heads: mechanisms[0]!.heads };
      };
      const { fit, heads } = await fitted('short', 512);
      assert.ok(fit.heads.some(({ censored }) => censored) && fit.heads.some(({ censored }) => !censored));
      const published = schema.definitions.mechanism.properties.heads.items.properties.growth;
      const isPublished = new Ajv().compile(published);
      assert.ok(
        heads.every(({ growth }) => isPublished(growth)),
        'as the schema of the JSON has it',
      );
      assert.ok(heads.some(({ growth }) => growth!.likely > 1));
      for (const [at, { span, censored, growth }] of heads.entries()) {
        const shown = fit.heads[at]!;
        assert.deepEqual(
          [span, censored],
          [shown.span, shown.censored],
          'JSON and the Spans view say the same',
        );
        assert.ok(Math.abs(growth!.likely - shown.growth.likely) < 0.05);
      }
      const lengths = [128, 512, 1024, 32_768];
      const asked = { id: 'short', core: 0, mechanisms: [choice], lengths };
      const [curve] = (await engine.request('cost/formulas', asked)).curves;
      const { low, high } = curve!.range!;
      for (const at of [0, 1]) assert.deepEqual([low[at], high[at]], [curve!.pairs[at], curve!.pairs[at]]);
      assert.ok(low[3]! < curve!.pairs[3]! && curve!.pairs[3]! < high[3]!, 'a range at 32k');
      assert.equal(curve!.count, 'expected', 'not exact');
      const longer = await fitted('long', 1024);
      const mask = { causal: true, window: null };
      const pairs = longer.fit.heads.map(({ span }) => spanPairs(mask, 1024, 1024, span, 32));
      const needed = pairs.reduce((sum, one) => sum + one, 0) / pairs.length;
      assert.ok(low[2]! <= needed && needed <= high[2]!, `${needed} in ${low[2]} to ${high[2]}`);
      // Grown no faster than the text, as was assumed before, spans fall short of what twice as long a text needs.
      const slower = fit.heads.map(({ span, growth }) => (span + 1) * 2 ** Math.min(1, growth.most) - 1);
      const assumed = slower.reduce((sum, span) => sum + spanPairs(mask, 1024, 1024, span, 32), 0);
      assert.ok(assumed / slower.length < high[2]!);
      // As it was: the spans of the short text, as if no text could need longer ones.
      const before = fit.heads.reduce((sum, { span }) => sum + spanPairs(mask, 1024, 1024, span, 32), 0);
      assert.ok(before / fit.heads.length < needed);
    } finally {
      await engine.dispose();
    }
  });
});
