import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { kvHead } from '../../engine/attention/core';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { lookBackModel, NAMED, plantedText, writePlanted } from '../fixtures/plantedModels';
import { close } from '../oracle/close';
import { oracleProbabilities } from '../oracle/dense';
import { random } from '../oracle/random';

const FIXTURES = join(__dirname, '../../../shared/fixtures/models');
const TOKENS = 60;

type Planted = ReturnType<typeof lookBackModel>;
type Entries = Planted['embedding'];

/** Heads that look around instead of at one token alone. */
function softened(): Planted {
  const model = lookBackModel([1, 4]);
  for (const head of model.layers[0]!) head.q = head.q.map(([from, to, w]) => [from, to, w * 0.03]);
  return model;
}

describe('attention weighed by values', function () {
  this.timeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), 'values-'));
  const engine = new Engine();
  after(async () => {
    await engine.dispose();
    rmSync(folder, { recursive: true });
  });
  const analyze = (id: string, model: string, text: string, target?: string) =>
    engine.analyze({
      ...{ id, model, text, device: 'cpu', maxTokens: TOKENS, mechanisms: [], propagate: false },
      ...(target !== undefined && { target }),
    });
  const row = (id: string, core: number, head: number, token: number, byValue: boolean) =>
    engine.request('analysis/row', { id, core, head, token, byValue, direction: 'from' });

  it('is the norm of what each key gives, through the output projection, in float64', async () => {
    const model = softened();
    const { normal } = random(5);
    const outputs: Entries[] = [];
    for (const head of model.layers[0]!) {
      const own = (wide: number, from: number) =>
        Array.from({ length: NAMED * wide }, (_, t): Entries[number] => {
          const [word, other] = [Math.floor(t / wide), t % wide];
          return from === 0 ? [other, model.width - NAMED + word, normal()] : [from + word, other, normal()];
        });
      head.v = own(7, model.width - NAMED);
      outputs.push((head.o = own(7, 0)));
    }
    writePlanted(join(folder, 'random'), model);
    const words = Array.from({ length: 40 }, (_, t) => (t * 11) % NAMED);
    await analyze('random', join(folder, 'random'), plantedText(TOKENS, { 3: words }));
    const { input } = await engine.analysis('random').tensors(0, neverCancelled);
    const { keys, valueDim } = input;
    for (const head of [0, 1]) {
      const norms = Float64Array.from({ length: keys }, (_, key) => {
        const written = new Float64Array(model.width);
        for (const [from, to, w] of outputs[head]!)
          written[to]! += Math.fround(w) * input.v[(head * keys + key) * valueDim + from]!;
        return Math.hypot(...written);
      });
      const { p } = oracleProbabilities(input, head);
      const sums = p.map(one => one.reduce((sum, mass, key) => sum + mass * norms[key]!, 0));
      const found = await engine.request('analysis/valueWeights', { id: 'random', core: 0, head });
      assert.equal(found.projected, true);
      close(found.norms, norms, 2e-5);
      close(found.sums, sums, 2e-5);
      const share = (i: number, j: number) => (sums[i]! > 0 ? (p[i]![j]! * norms[j]!) / sums[i]! : 0);
      for (const token of [5, 30, TOKENS - 1]) {
        const from = await row('random', 0, head, token, true);
        close(
          from,
          Float64Array.from({ length: keys }, (_, key) => share(token, key)),
          2e-5,
        );
        assert.ok(Math.abs(from.reduce((sum, value) => sum + value, 0) - 1) < 2e-5);
        const what = { id: 'random', core: 0, head, token, byValue: true, direction: 'to' as const };
        const to = await engine.request('analysis/row', what);
        close(
          to,
          Float64Array.from({ length: keys }, (_, query) => share(query, token)),
          2e-5,
        );
        const asked = { id: 'random', core: 0, head, tokens: [token], top: 4, mechanisms: null };
        const [told] = await engine.request('analysis/token', { ...asked, byValue: true });
        for (const { token: key, mass } of told!.looksAt) assert.equal(mass, from[key]);
        for (const { token: query, mass } of told!.lookedAtBy) assert.equal(mass, to[query]);
        const [plain] = await engine.request('analysis/token', asked);
        assert.equal(told!.entropy, plain!.entropy, 'the entropy is that of the attention');
      }
      const where = { id: 'random', core: 0, head, level: 0, row: 0, column: 0, reduce: 'max' as const };
      const { mass } = await engine.request('analysis/tile', { ...where, byValue: true });
      close(
        mass,
        Float64Array.from({ length: keys * keys }, (_, at) => share(Math.floor(at / keys), at % keys)),
        2e-5,
      );
      const attention = await engine.request('analysis/tile', where);
      close(
        attention.mass,
        p.flatMap(one => [...one]),
        2e-5,
      );
    }
  });

  it('is of one head: a mean over heads has no values', async () => {
    const what = { id: 'random', core: null, head: null, tokens: [3], top: 4, mechanisms: null };
    await assert.rejects(engine.request('analysis/token', { ...what, byValue: true }), /one head/);
  });

  it('with equal norms is the attention itself', async () => {
    writePlanted(join(folder, 'equal'), softened());
    const words = Array.from({ length: TOKENS }, (_, t) => (t * 7) % NAMED);
    await analyze('equal', join(folder, 'equal'), plantedText(TOKENS, { 0: words }));
    const { norms } = await engine.request('analysis/valueWeights', { id: 'equal', core: 0, head: 1 });
    close(norms, new Float32Array(TOKENS).fill(1), 2e-5);
    close(await row('equal', 0, 1, 50, true), await row('equal', 0, 1, 50, false), 2e-5);
  });

  it('of cross attention takes more keys than there are queries, and fewer', async () => {
    const text = 'the cat sat on the mat and the dog sat on the log';
    const norms: Float32Array[] = [];
    for (const target of ['a cat', `${text} ${text}`]) {
      await analyze('bart', join(FIXTURES, 'bart-eager-script'), text, target);
      const { cores } = engine.analysis('bart');
      const { core } = cores.find(({ result }) => result.info.kind === 'cross')!.result.info;
      const found = await engine.request('analysis/valueWeights', { id: 'bart', core, head: 1 });
      assert.equal(found.projected, true);
      norms.push(found.norms);
      const shares = await row('bart', core, 1, 2, true);
      assert.ok(Math.abs(shares.reduce((sum, value) => sum + value, 0) - 1) < 2e-5);
    }
    close(norms[0]!, norms[1]!, 2e-5);
  });

  it('is of the values alone where a norm comes before the sum', async () => {
    await analyze('gemma', join(FIXTURES, 'gemma2-eager-script'), 'the cat sat on the mat');
    const found = await engine.request('analysis/valueWeights', { id: 'gemma', core: 0, head: 1 });
    assert.equal(found.projected, false);
    const { input } = await engine.analysis('gemma').tensors(0, neverCancelled);
    const from = kvHead(input, 1) * input.keys * input.valueDim;
    const norm = Math.hypot(...input.v.subarray(from, from + input.valueDim));
    assert.ok(Math.abs(found.norms[0]! - norm) < 2e-5);
  });
});
