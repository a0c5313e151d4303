import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { denseOutput } from '../../engine/attention/kernels/dense';
import { Engine } from '../../engine/engine';
import { tokenLoss } from '../../engine/measure/loss';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { inductionModel, NAMED, plantedText, writePlanted } from '../fixtures/plantedModels';
import { oracleOutput, oracleProbabilities } from '../oracle/dense';

const FIXTURES = join(__dirname, '../../../shared/fixtures/models');
/** What the planted model multiplies a predicted word by. */
const STRENGTH = 14;
/** Exactly: the same run twice. */
const NO_CHANGE = { delta: 0, low: 0, high: 0 };

describe('activation patching', function () {
  this.timeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), 'patching-'));
  const engine = new Engine();
  const signal = neverCancelled;
  after(async () => {
    await engine.dispose();
    rmSync(folder, { recursive: true });
  });
  const analyze = (id: string, model: string, text: string, maxTokens = 60) =>
    engine.analyze({
      ...{ id, model, text, device: 'cpu', maxTokens },
      ...{ mechanisms: [], propagate: false },
    });

  it('of the head that predicts gives the other text, in float64; of the one before it, through it', async () => {
    writePlanted(folder, inductionModel());
    // The last word is w3 in both; behind it stood w4 in the one and w9 in the other.
    await analyze('own', folder, plantedText(41, { 1: [1, 2, 3, 4, 5], 40: [3] }));
    await analyze('other', folder, plantedText(41, { 1: [1, 2, 3, 9, 5], 40: [3] }));
    const { at, answers, differences, heads } = await engine.request('analysis/patch', {
      ...{ id: 'own', from: 'other' },
    });
    assert.equal(at, 40);
    assert.deepEqual([answers.own.text, answers.other.text], ['w4', 'w9']);
    const { input } = await engine.analysis('other').tensors(1, signal);
    const context = oracleOutput(input, 0, oracleProbabilities(input, 0).p);
    const logits = (row: number) => context.subarray(row * input.valueDim, row * input.valueDim + NAMED);
    const wanted = STRENGTH * (logits(40)[9]! - logits(40)[4]!);
    const [before, predicts] = heads;
    assert.ok(Math.abs(predicts!.difference - wanted) < 2e-5 * wanted);
    assert.ok(Math.abs(predicts!.restored! - 1) < 2e-5);
    assert.ok(differences.own < -10 && differences.other > 10);
    // Both texts have the same word before each token but one, which is looked for by no other.
    assert.ok(Math.abs(before!.restored!) < 2e-5);
    const own = engine.analysis('own');
    const { ids } = own.tokens;
    const words = inductionModel().words.length;
    let change = 0;
    for (let row = 0; row < 40; row++) {
      const all = Float64Array.from({ length: words }, (_, id) =>
        id < NAMED ? STRENGTH * logits(row)[id]! : 0,
      );
      const loss = Math.log(all.reduce((sum, logit) => sum + Math.exp(logit), 0)) - (all[ids[row + 1]!] ?? 0);
      change += (loss - own.loss![row]!) / 40;
    }
    assert.ok(Math.abs(predicts!.loss.delta - change) < 2e-5);
  });

  it('of the bundled model is the run with that head from the other text', async () => {
    const text = readFileSync('test/fixtures/sample.txt', 'utf8');
    await analyze('a', 'bundled', text, 48);
    await analyze('b', 'bundled', text.slice(text.length / 2), 48);
    const [a, b] = [engine.analysis('a'), engine.analysis('b')];
    const answers = { own: 300, other: 400 };
    const { heads } = await engine.request('analysis/patch', { id: 'a', from: 'b', at: 20, answers });
    assert.equal(heads.length, 48);
    const contexts: Float32Array[] = [];
    await b.run(async ({ core }, input) => (contexts[core] = await denseOutput(input, b.context(signal))), {
      signal,
    });
    for (const { core, head, loss, difference } of [heads[3]!, heads[29]!]) {
      const output = await a.run(
        async (info, input) => {
          const own = (await denseOutput(input, a.context(signal))).slice();
          const size = own.length / info.heads;
          const from = contexts[core]!.subarray(head * size, (head + 1) * size);
          if (info.core === core) own.set(from, head * size);
          return own;
        },
        { signal },
      );
      const row = await output.read(20, 21);
      assert.ok(Math.abs(row[400]! - row[300]! - difference) < 2e-5);
      const losses = await tokenLoss(output, a.tokens.ids, a.context(signal));
      const change = losses.reduce((sum, value, t) => sum + value - a.loss![t]!, 0) / losses.length;
      assert.ok(Math.abs(change - loss.delta) < 2e-5);
    }
    const nothing = await engine.request('analysis/patch', { id: 'a', from: 'a' });
    for (const { loss, difference, restored } of nothing.heads)
      assert.deepEqual([loss, difference, restored], [NO_CHANGE, 0, null]);
  });

  it('of the residual stream: the token that differs is the other text before layer 0, and what is read of it later', async () => {
    const { at, tokens, cells, differences } = await engine.request('analysis/patchResidual', {
      ...{ id: 'own', from: 'other' },
    });
    const differs = 4;
    assert.deepEqual([at, tokens[0], tokens.at(-1), cells.length], [40, differs, 40, 2 * tokens.length]);
    const cell = (core: number, token: number) =>
      cells.find(one => one.core === core && one.token === token)!;
    const other = engine.analysis('other').loss!;
    const own = engine.analysis('own').loss!;
    const change = other.reduce((sum, value, t) => sum + value - own[t]!, 0) / own.length;
    // All but the prediction of that token itself, whose id the loss of the text that is run asks for.
    const asked = cell(0, differs).loss.delta;
    assert.ok(Math.abs(cell(0, differs).difference - differences.other) < 2e-5 * differences.other);
    assert.ok(Math.abs(asked - change) < 40 / own.length, `${asked}, ${change}`);
    assert.ok(Math.abs(cell(1, differs).restored! - 1) < 2e-5, 'the last head reads its value');
    for (const token of [5, 20, 40])
      for (const core of [0, 1])
        assert.ok(Math.abs(cell(core, token).restored!) < 2e-5, `${core}, token ${token}`);
    const named = await engine.request('analysis/patchResidual', {
      ...{ id: 'own', from: 'other', tokens: [20, differs] },
    });
    assert.deepEqual(named.cells, [cell(0, 20), cell(0, differs), cell(1, 20), cell(1, differs)]);
  });

  it('of single edges: what the head carries over each adds up to what its output carries', async () => {
    const asked = { id: 'own', from: 'other', core: 1, head: 0 };
    const { edges, differences } = await engine.request('analysis/patchEdges', asked);
    const [most] = edges;
    assert.equal(edges.length, 16);
    assert.deepEqual([most!.query, most!.key], [40, 4]);
    assert.ok(Math.abs(most!.restored! - 1) < 1e-3, `${most!.restored}`);
    assert.ok(edges.every(({ moved }, at) => at === 0 || moved <= edges[at - 1]!.moved));
    const all = Array.from({ length: 41 }, (_, key) => ({ query: 40, key }));
    const { edges: each } = await engine.request('analysis/patchEdges', { ...asked, edges: all });
    const carried = each.reduce((sum, { difference }) => sum + difference - differences.own, 0);
    const { heads } = await engine.request('analysis/patch', { id: 'own', from: 'other' });
    const whole = heads[1]!.difference - differences.own;
    assert.ok(Math.abs(carried - whole) < 1e-4 * Math.abs(whole), `${carried}, ${whole}`);
    const same = each.filter(({ key }) => key > 4);
    assert.ok(same.every(({ difference }) => Math.abs(difference - differences.own) < 1e-4));
  });

  it('of a model of many layers a token put into its own text changes nothing, and one that differs makes the other text', async () => {
    const words = 'The light of the sea was grey and the boats lay still in the small harbour that day.';
    await analyze('sea', 'bundled', words);
    await analyze('sky', 'bundled', words.replace(' sea ', ' war '));
    const [sea, sky] = [engine.analysis('sea'), engine.analysis('sky')];
    const differing = [...sea.tokens.ids.keys()].filter(t => sea.tokens.ids[t] !== sky.tokens.ids[t]);
    assert.equal(differing.length, 1);
    const asked = { id: 'sea', from: 'sky', at: 12, answers: { own: 300, other: 400 } };
    const [token] = differing as [number];
    const { cells, differences } = await engine.request('analysis/patchResidual', asked);
    const [first] = cells;
    assert.deepEqual([first!.core, first!.token], [0, token]);
    assert.equal(first!.difference, differences.other, 'all that is read is the other text');
    const later = cells.filter(one => one.token === token).map(({ difference }) => difference);
    assert.ok(Math.abs(later.at(-1)! - differences.other) > 1e-3, 'other tokens have read it by then');
    const none = { ...asked, from: 'sea', tokens: [3, token] };
    const states = await engine.request('analysis/patchResidual', none);
    const edge = { query: token, key: 2 };
    const carried = await engine.request('analysis/patchEdges', { ...none, core: 2, head: 5, edges: [edge] });
    for (const { loss, difference } of [...states.cells, ...carried.edges])
      assert.deepEqual([loss.delta, difference], [0, differences.own]);
    for (const one of (await engine.request('analysis/patchEdges', { ...asked, core: 2, head: 5, most: 3 }))
      .edges)
      assert.ok(one.query >= token && one.query <= 12 && one.moved > 0);
    await assert.rejects(
      engine.request('analysis/patchResidual', { ...asked, at: token - 1 }),
      /both texts have the same tokens/,
    );
  });

  it('says why two texts cannot be patched', async () => {
    await analyze('short', 'bundled', 'The cat sat.');
    await analyze('bert', join(FIXTURES, 'bert-eager-script'), 'the cat sat');
    const patch = (id: string, from: string, at?: number) =>
      assert.rejects.bind(null, engine.request('analysis/patch', { id, from, at }));
    await patch('a', 'short')(/texts of equal length, token by token: they have 48 and \d tokens\./);
    await patch('a', 'own')(/read by the same model/);
    await patch('bert', 'bert')(/decoders that predict the next token/);
    await patch('a', 'b', 48)(/There is no token 48\./);
  });
});
