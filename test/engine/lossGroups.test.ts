import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Engine } from '../../engine/engine';
import { contextsOf, effectiveContext, FREQUENCIES, lossGroups } from '../../engine/measure/lossGroups';
import { random } from '../oracle/random';
import { setting } from '../support/settings';

describe('the loss by groups of tokens', function () {
  this.timeout(120_000);

  it('groups every token once; means and changes are those of the tokens', () => {
    const { normal, uniform } = random(3);
    const loss = Float32Array.from({ length: 500 }, () => 3 + normal());
    const change = Float32Array.from({ length: 500 }, normal);
    const counts = Array.from({ length: 500 }, () => Math.floor(10 ** (4 * uniform())) - 1);
    const groups = lossGroups(token => counts[token]!, FREQUENCIES, loss, [change]);
    assert.equal(
      groups.reduce((sum, { tokens }) => sum + tokens, 0),
      500,
    );
    for (const { from, to, tokens, loss: own, changes } of groups) {
      const members = [...counts.keys()].filter(t => counts[t]! >= from && counts[t]! <= (to ?? Infinity));
      assert.equal(tokens, members.length);
      const mean = (values: Float32Array) => members.reduce((sum, t) => sum + values[t]!, 0) / tokens;
      assert.ok(Math.abs(own.mean - mean(loss)) < 2e-5 && Math.abs(changes[0]!.delta - mean(change)) < 2e-5);
      assert.ok(own.low <= own.mean && own.mean <= own.high);
    }
  });

  it('the effective context is where the loss stops falling', () => {
    const { normal } = random(8);
    const falls = (until: number) =>
      Float32Array.from(
        { length: 2048 },
        (_, t) => 8 - Math.log2(Math.min(t + 1, until)) / 2 + 0.3 * normal(),
      );
    const edges = contextsOf(2048);
    assert.deepEqual(edges.slice(0, 4), [1, 32, 64, 128]);
    assert.equal(effectiveContext(falls(128), edges), 128);
    assert.equal(effectiveContext(falls(1024), edges), 1024);
    assert.equal(effectiveContext(falls(1), edges), 1);
    assert.equal(effectiveContext(new Float32Array(20), contextsOf(20)), null);
  });

  it('of a text: by its own tokens or a reference, with what a mechanism changes', async () => {
    const engine = new Engine();
    const text = readFileSync('test/fixtures/sample.txt', 'utf8');
    const { tokens, loss } = await engine.analyze({
      ...{ id: 'a', model: 'bundled', text, device: 'cpu', maxTokens: 200 },
      ...{ mechanisms: [], propagate: false },
    });
    const window = setting('local', { window: 8 });
    const ask = (reference: string | null) =>
      engine.request('analysis/lossGroups', { id: 'a', reference, mechanisms: [window] });
    const own = await ask(null);
    assert.equal(own.referenceTokens, tokens.ids.length);
    assert.ok(own.frequency[0]!.from > 0, 'no token of the text is missing in it');
    const run = await engine.request('analysis/mechanism', {
      id: 'a',
      mechanism: window,
      scope: 'propagated',
    });
    for (const groups of [own.frequency, own.context]) {
      const whole = (value: (group: (typeof groups)[number]) => number) =>
        groups.reduce((sum, group) => sum + group.tokens * value(group), 0) / (tokens.ids.length - 1);
      assert.ok(Math.abs(whole(group => group.loss.mean) - loss!.mean) < 2e-5);
      assert.ok(Math.abs(whole(({ changes: [change] }) => change!.delta) - run.deltaLoss!) < 2e-5);
    }
    const other = await ask('A text of other words.');
    assert.equal(other.frequency[0]!.from, 0);
    await engine.dispose();
  });
});
