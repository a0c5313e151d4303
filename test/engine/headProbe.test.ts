import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { probeDocument } from '../../shared/probe/document';
import { probeCsv, probeJson } from '../../shared/probe/files';
import { english } from '../../shared/translate';
import { inductionModel, writePlanted } from '../fixtures/plantedModels';
import { assertMadeFrom } from '../support/provenance';
import type { HeadProbe } from '../../shared/protocol/engine';

describe('the canonical probe', function () {
  this.timeout(120_000);
  const engine = new Engine();
  let found: HeadProbe;

  before(async () => {
    found = await engine.request('heads/probe', { model: 'bundled', device: 'cpu' });
  });
  after(() => engine.dispose());

  it('makes the bundled model repeat what it has read', () => {
    const { first, repeated } = found.loss!;
    assert.ok(first > 6, `random words are no surprise: ${first}`);
    assert.ok(repeated < 0.5, `what was said before is not known: ${repeated}`);
  });

  it('ranks every head by what the model loses without it, with intervals', () => {
    assert.equal(found.heads.length, 48);
    const deltas = found.heads.map(({ ablation }) => ablation.zero.delta);
    assert.deepEqual(
      deltas,
      [...deltas].sort((a, b) => b - a),
    );
    for (const { zero, mean } of found.heads.map(head => head.ablation))
      for (const { delta, low, high } of [zero, mean]) assert.ok(low <= delta && delta <= high);
  });

  it('names the induction circuit: a previous-token head of layer 2 before induction heads of layer 3', () => {
    // Heads that look at their own token alone are no part of it: they make the tokens, they move nothing between them.
    const moving = found.heads.filter(({ roles }) => roles[0]?.role !== 'self');
    const [first, second] = moving;
    assert.deepEqual([first?.layer, first?.roles[0]?.role], [2, 'previous']);
    assert.ok(first!.ablation.zero.low > 6 && first!.ablation.zero.high < 8);
    assert.deepEqual([second?.layer, second?.roles[0]?.role], [3, 'induction']);
  });

  it('says of the circuit which head costs most, and by how much more than the next, with its interval', () => {
    const { heads, lead } = found.circuit!;
    const [most, next] = heads;
    assert.deepEqual([most!.layer, most!.part], [2, 'previous']);
    assert.ok(heads.some(({ layer, part }) => layer === 3 && part === 'induction'));
    for (const { part, layer, roles } of heads) {
      assert.equal(roles[0]!.role, part);
      const others = heads.filter(one => one.part !== part).map(one => one.layer);
      assert.ok(others.some(other => (part === 'previous' ? layer < other : layer > other)));
    }
    const difference = most!.ablation.zero.delta - next!.ablation.zero.delta;
    assert.ok(Math.abs(lead.delta - difference) < 1e-6, `${lead.delta}, ${difference}`);
    assert.ok(lead.low > 0 && lead.low <= lead.delta && lead.delta <= lead.high, 'it leads beyond chance');
  });

  it('is the same again with the same seed, and has other words with another', async () => {
    const model = mkdtempSync(join(tmpdir(), 'probe-'));
    try {
      const planted = inductionModel();
      // The probe says 128 different words.
      const more = Array.from({ length: 160 }, (_, t) => `more${t}`);
      writePlanted(model, { ...planted, words: [...planted.words, ...more] });
      const probe = (seed?: number) => engine.request('heads/probe', { model, device: 'cpu', seed });
      const [one, again, other] = [await probe(), await probe(1), await probe(2)];
      assert.deepEqual([again.ids, again.heads], [one.ids, one.heads]);
      assert.notDeepEqual(other.ids, one.ids);
      assert.notDeepEqual(other.loss, one.loss);
    } finally {
      rmSync(model, { recursive: true });
    }
  });

  it('is written as a document, with the place that heads have in the circuit', () => {
    const lines = probeDocument(found, english).split('\n');
    assert.match(lines[0]!, /^# The heads of .*prose.* on repeated random words$/);
    const [most] = found.circuit!.heads;
    const said = lines.find(one => one.startsWith('Its induction circuit'))!;
    assert.ok(
      said.includes(`Of these ${most!.core}.${most!.head} (layer ${most!.layer}) costs most: +6.`),
      said,
    );
    const rows = lines.filter(one => /^\| \d/.test(one));
    assert.equal(rows.length, 48);
    const circuit = rows.filter(row => /\d\/\d+ \|$/.test(row));
    assert.equal(circuit.length, found.circuit!.heads.length);
    assert.ok(
      circuit[0]!.startsWith(`| ${most!.layer} | ${most!.core}.${most!.head} |`) &&
        / 1\/\d+ \|$/.test(circuit[0]!),
    );
  });

  it('is written as JSON and CSV, a line for each head', () => {
    const json = JSON.parse(JSON.stringify(probeJson(found)));
    assertMadeFrom(json.provenance, { model: 'engine/bundled/prose-2m', inputs: {} });
    assert.equal(json.provenance.seeds.probe, 1);
    assert.deepEqual(Object.keys(json.probe), ['tokens', 'repeats', 'seed']);
    assert.deepEqual(Object.keys(json.heads[0].ablation.mean).sort(), ['delta', 'high', 'low']);
    const lines = probeCsv(found).trim().split(/\r?\n/);
    assert.equal(lines.length, 49);
    assert.ok(lines[1]!.startsWith(`${found.heads[0]!.core},`));
  });
});
