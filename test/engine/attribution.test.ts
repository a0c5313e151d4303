import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { denseOutput } from '../../engine/attention/kernels/dense';
import { inductionModel, plantedText, writePlanted } from '../fixtures/plantedModels';
import { bareModel } from '../support/bareModel';

const FIXTURES = join(__dirname, '../../../shared/fixtures/models');

describe('direct attribution of heads', function () {
  this.timeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), 'attribution-'));
  const engine = new Engine();
  after(async () => {
    await engine.dispose();
    rmSync(folder, { recursive: true });
  });
  const analyze = (id: string, model: string, text: string) =>
    engine.analyze({
      ...{ id, model, text, device: 'cpu', maxTokens: 120 },
      ...{ mechanisms: [], propagate: false },
    });

  it('of an attention-only model: the last head is what its ablation costs, the first says nothing directly', async () => {
    writePlanted(folder, inductionModel());
    const passage = Array.from({ length: 50 }, (_, t) => t);
    await analyze('planted', folder, plantedText(101, { 1: passage, 51: passage }));
    const { heads } = await engine.request('analysis/attribution', { id: 'planted' });
    const [previous, induction] = heads;
    assert.deepEqual([previous!.logit.delta, previous!.loss.delta, previous!.copying], [0, 0, 0]);
    const { heads: ablated } = await engine.request('analysis/ablate', { id: 'planted' });
    assert.ok(Math.abs(induction!.loss.delta - ablated[1]!.zero.delta) < 2e-5);
    assert.ok(ablated[0]!.zero.delta > 0.5, 'which acts through the other alone');
    // It turns each named word's value into the logit 14 of that word; other words write nothing.
    assert.ok(induction!.copying > 0.95, `copies ${induction!.copying}`);
    assert.ok(induction!.logit.low > 0);
  });

  it('of the bundled model: the stream makes its logits, parts add up, and induction heads copy', async () => {
    const text = readFileSync('test/fixtures/sample.txt', 'utf8');
    const { tokens } = await analyze('prose', 'bundled', text);
    const analysis = engine.analysis('prose');
    const { signal } = new AbortController();
    const contexts: Float32Array[] = [];
    const output = await analysis.run(
      async ({ core }, input) => (contexts[core] = await denseOutput(input, analysis.context(signal))),
      { signal: neverCancelled },
    );
    await analysis.model.directly(tokens.ids, async path => {
      const stream = await path.stream(contexts);
      const [own, expected] = [
        await path.logits(stream.rows, stream),
        await output.read(0, tokens.ids.length),
      ];
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      own.forEach((value, at) => assert.ok(Math.abs(value - expected[at]!) < 2e-5 * largest));
      const context = contexts[2]!;
      const zero = await path.written(2, new Float32Array(context.length));
      const whole = await path.written(2, context);
      const sum = zero.slice();
      const size = context.length / 8;
      for (let head = 0; head < 8; head++) {
        const alone = new Float32Array(context.length);
        alone.set(context.subarray(head * size, (head + 1) * size), head * size);
        const part = await path.written(2, alone);
        part.forEach((value, at) => (sum[at]! += value - zero[at]!));
      }
      whole.forEach((value, at) => assert.ok(Math.abs(value - sum[at]!) < 2e-5));
    });
    const { heads } = await engine.request('analysis/attribution', { id: 'prose' });
    const copying = [...heads].sort((a, b) => b.copying - a.copying).slice(0, 5);
    // As `heads --probe` names them.
    const induction = new Set(['3.4', '3.6', '3.7', '4.5', '4.6']);
    for (const { core, head } of copying)
      assert.ok(induction.has(`${core}.${head}`), `${core}.${head} copies`);
  });

  it('at one token is what the whole text is made of there, toward what comes and toward what is asked for', async () => {
    const { tokens } = engine.analysis('prose');
    const count = 6;
    const few = await analyze('few', 'bundled', 'the light of the sea');
    const mean = await engine.request('analysis/attribution', { id: 'few' });
    const sums = mean.heads.map(() => ({ logit: 0, loss: 0 }));
    const predicted = few.tokens.ids.length - 1;
    assert.ok(few.tokens.ids.length < 8, 'fewer rows than heads of a layer');
    for (let token = 0; token < predicted; token++) {
      const found = await engine.request('analysis/tokenAttribution', { id: 'few', token });
      assert.equal(found.answer.id, few.tokens.ids[token + 1]);
      assert.ok(Math.abs(found.loss - few.loss!.perToken[token]!) < 1e-4);
      for (const [at, { logit, loss }] of found.heads.entries()) {
        sums[at]!.logit += logit / predicted;
        sums[at]!.loss += loss / predicted;
      }
    }
    for (const [at, { logit, loss }] of mean.heads.entries()) {
      assert.ok(Math.abs(sums[at]!.logit - logit.delta) < 1e-4, `${sums[at]!.logit} and ${logit.delta}`);
      assert.ok(Math.abs(sums[at]!.loss - loss.delta) < 1e-4);
    }
    // At the end of the text nothing comes: the likeliest is asked about; any other can be.
    const last = tokens.ids.length - 1;
    const likeliest = await engine.request('analysis/predictions', { id: 'prose', tokens: [last], count });
    const end = await engine.request('analysis/tokenAttribution', { id: 'prose', token: last });
    assert.equal(end.answer.id, likeliest[0]!.before[0]!.id);
    assert.ok(Math.abs(end.loss + Math.log(likeliest[0]!.before[0]!.probability)) < 1e-4);
    const other = likeliest[0]!.before[4]!;
    const asked = { id: 'prose', token: last, answer: other.id };
    const toOther = await engine.request('analysis/tokenAttribution', asked);
    assert.deepEqual([toOther.answer.id, toOther.answer.text], [other.id, other.text]);
    await assert.rejects(
      engine.request('analysis/tokenAttribution', { id: 'prose', token: 0, answer: 1e9 }),
      /no token of the id/,
    );
  });

  it('is refused where there is no direct path, or nothing is predicted', async () => {
    await analyze('bert', join(FIXTURES, 'bert-eager-script'), 'the cat sat');
    await assert.rejects(
      engine.request('analysis/attribution', { id: 'bert' }),
      /Direct attribution is told of decoders/,
    );
    await analyze('one', await bareModel(folder), 'x');
    assert.equal(engine.analysis('one').tokens.ids.length, 1);
    await assert.rejects(
      engine.request('analysis/attribution', { id: 'one' }),
      /No token of this text is predicted from others\./,
    );
    const { heads } = await engine.request('analysis/tokenAttribution', { id: 'one', token: 0 });
    assert.ok(
      heads.some(({ logit }) => Math.abs(logit) > 0.01),
      'what comes after it can be asked',
    );
  });
});
