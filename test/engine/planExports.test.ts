import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { visibleKeys } from '../../engine/attention/core';
import { mechanisms } from '../../engine/attention/registry';
import { Engine } from '../../engine/engine';
import { duoAttention } from '../../engine/export/duoAttention';
import { flexAttention } from '../../engine/export/flexAttention';
import { PLAN_FILES } from '../../engine/service/plan/exportPlan';
import { holds, type HeadMask } from '../../engine/attention/mask';
import type { CoreMasks } from '../../engine/export/headMasks';
import { minference } from '../../engine/export/minference';
import { planCsv } from '../../engine/export/planCsv';
import type { HeadAssignment, ModelInfo, PlannedHead } from '../../shared/protocol/engine';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { headMasks } from '../../engine/service/plan/headMasks';
import { spread } from '../reference/planHeads';

/** What a mask says of a pair; the same rules as in the exported Python, which test/reference/flex_check.py runs in PyTorch. */
function keeps(mask: HeadMask, tokens: number, query: number, key: number): boolean {
  const apart = Math.abs(query - key);
  switch (mask.kind) {
    case 'dense':
    case 'none':
      return true;
    case 'rule':
      return holds(mask.rule, query, key);
    case 'soft':
      return apart < mask.span + mask.ramp;
    case 'blocks': {
      const count = Math.sqrt(mask.seen.length);
      return mask.seen[Math.floor(query / mask.block) * count + Math.floor(key / mask.block)] === 1;
    }
    case 'lines':
      return mask.columns.includes(key) || mask.diagonals.includes(query - key);
    case 'ring':
      for (let r = 0; r < mask.rounds; r++) {
        for (let other = 0; other < mask.rounds; other++) {
          if (mask.buckets) {
            const { queries, keys } = mask.buckets;
            if (other !== r || queries[r * tokens + query] !== keys[r * tokens + key]) continue;
          }
          const place = mask.places[other * tokens + key]!;
          const at = r * tokens + query;
          if (place >= mask.first[at]! && place < mask.end[at]!) return true;
          if (place >= mask.wrap[at]!) return true;
        }
      }
      return false;
    case 'clusters':
      for (let w = 0; w < mask.words; w++) {
        if (mask.queries[query * mask.words + w]! & mask.keys[key * mask.words + w]!) return true;
      }
      return false;
    case 'pairs':
      return ((mask.bits[query * Math.ceil(tokens / 8) + (key >> 3)]! >> (key & 7)) & 1) === 1;
  }
}

describe('exported plans', function () {
  this.timeout(120_000);
  const engine = new Engine();
  let model: ModelInfo;
  let heads: HeadAssignment[];
  let cores: CoreMasks[];
  const tokens = 150;

  before(async () => {
    await engine.request('initialize', { device: 'cpu', memoryLimitMiB: 4096 });
    const summary = await engine.request('analysis/start', {
      id: 'a',
      model: 'bundled',
      text: readFileSync('test/fixtures/sample.txt', 'utf8'),
      device: 'cpu',
      maxTokens: tokens,
      mechanisms: [],
      propagate: false,
    });
    model = summary.model;
    heads = spread(model);
    cores = await headMasks(engine.analysis('a'), heads, neverCancelled);
  });
  after(() => engine.dispose());

  const planned = (): PlannedHead[] =>
    heads.map(({ core, head, choice }) => ({
      core,
      head,
      choice,
      recall: 0.75,
      recallP5: 0.5,
      outputError: 0.1,
      pairs: 10,
      densePairs: 100,
      uncovered: 0,
      sensitivity: 1,
    }));

  it('lists of single pairs stay within a bound, and the others stay dense', async () => {
    const bytes = tokens * Math.ceil(tokens / 8);
    const found = await headMasks(engine.analysis('a'), heads, neverCancelled, bytes);
    const masks = (list: CoreMasks[]) => list.flatMap(core => core.heads.map(({ mask }) => mask));
    const before = masks(cores).filter(({ kind }) => kind === 'pairs').length;
    assert.ok(before > 1);
    assert.equal(masks(found).filter(({ kind }) => kind === 'pairs').length, 1);
    const long = masks(found).filter(mask => mask.kind === 'none' && /too long/.test(mask.reason));
    assert.equal(long.length, before - 1);
  });

  it('masks are the pairs that the mechanisms keep, in every head', async () => {
    const analysis = engine.analysis('a');
    const kinds = new Set<string>();
    const ruled = new Set<string>();
    for (const { info, heads: masks } of cores) {
      const { input } = await analysis.tensors(info.core, neverCancelled);
      for (const { head, choice, mask } of masks) {
        if (mask.kind === 'none' || mask.kind === 'dense') continue;
        kinds.add(mask.kind);
        if (mask.kind === 'rule') ruled.add(choice.name);
        const attended = await analysis.attendHead(choice, info.core, head, input, neverCancelled);
        for (let query = 0; query < tokens; query++) {
          const { from, to } = visibleKeys(input, query);
          const said: number[] = [];
          for (let key = from; key < to; key++) if (keeps(mask, tokens, query, key)) said.push(key);
          const name = `${choice.name}, core ${info.core}, head ${head}, query ${query}`;
          assert.deepEqual(
            said,
            [...attended.row(0, query).keys].sort((a, b) => a - b),
            name,
          );
        }
      }
    }
    const all = ['rule', 'soft', 'blocks', 'lines', 'ring', 'clusters', 'pairs'];
    assert.deepEqual([...kinds].sort(), all.sort());
    for (const { info, rule } of mechanisms)
      if (rule) assert.ok(ruled.has(info.name), `${info.name} is among them`);
  });

  it('what no mask can say is refused by name, and stays dense', () => {
    const { text, notes } = flexAttention(model, cores);
    const refused = cores.flatMap(core => core.heads).filter(({ mask }) => mask.kind === 'none');
    assert.deepEqual(
      new Set(refused.map(({ choice }) => choice.name)),
      new Set(['entmax', 'performer', 'lsh']),
    );
    const told = notes.filter(note => note.includes('stays dense'));
    assert.equal(told.length, refused.length);
    for (const note of notes) assert.ok(text.includes(`* ${note}`), note);
  });

  it('the FlexAttention file is imported under the name that it is saved under', () => {
    const { text } = flexAttention(model, cores);
    assert.match(text, new RegExp(`import ${PLAN_FILES.flex.replace(/\.py$/, '')} as plan`));
  });

  it('the FlexAttention file says what k is where the model shares queries and keys', () => {
    const made = (params: Record<string, number | boolean>) => {
      const attention = { name: 'routing', native: true, params };
      return flexAttention({ ...model, cores: model.cores.map(core => ({ ...core, attention })) }, cores)
        .text;
    };
    assert.match(made({ sharedQK: true }), /shares queries and keys: their k are the queries at unit length/);
    assert.match(made({ sharedQK: true, localHeads: 2 }), /in all heads but the first 2:/);
    assert.doesNotMatch(made({ sharedQK: false }), /unit length/);
  });

  it('the FlexAttention file is Python, with a layer for every core', function () {
    const { text } = flexAttention({ ...model, name: 'a """ \\ name' }, cores);
    assert.equal(text.match(/^def layer_\d+\(/gm)!.length, model.cores.length);
    assert.match(text, /^HEADS = \[8, 8, 8, 8, 8, 8\]$/m);
    const python = ['python3', 'python'].find(name => spawnSync(name, ['--version']).status === 0);
    if (!python) {
      console.log('      SKIPPED: no Python on this machine to read the file');
      this.skip();
    }
    execFileSync(python, ['-c', 'import ast, sys; ast.parse(sys.stdin.read())'], { input: text });
  });

  it('MInference: a pattern for every head, sinks and windows as they are, the rest marked', () => {
    const { text, notes } = minference(model, cores, planned());
    const layers = JSON.parse(text) as Record<string, [string, number, number, number]>[];
    assert.equal(layers.length, model.cores.length);
    for (const layer of layers) {
      assert.deepEqual(Object.keys(layer), ['0', '1', '2', '3', '4', '5', '6', '7']);
      for (const [kind, vertical, slash, score] of Object.values(layer)) {
        assert.ok(['stream_llm', 'vertical_and_slash', 'block_sparse'].includes(kind));
        assert.ok(Number.isInteger(vertical) && Number.isInteger(slash) && score === 0.75);
      }
    }
    assert.deepEqual(layers[0]!['1'], ['stream_llm', 0, 17, 0.75]);
    assert.deepEqual(layers[0]!['7'], ['stream_llm', 0, 21, 0.75]);
    assert.ok(!notes.some(note => note.startsWith('Layer 0, head 1:')));
    assert.ok(notes.some(note => note.startsWith('Layer 0, head 4:') && note.includes('left out')));
    assert.ok(notes.some(note => note.includes('bigbird is written as block_sparse')));
  });

  it('DuoAttention: full heads are 1, windows the mass that they lose', () => {
    const { text, notes } = duoAttention(model, cores, planned());
    const rows = text
      .trim()
      .split('\n')
      .map(line => line.split('\t').map(Number));
    assert.deepEqual([rows.length, rows[0]!.length], [6, 8]);
    assert.deepEqual(rows[0], [1, 0.25, 1, 1, 1, 1, 1, 0.25]);
    assert.match(notes[0]!, /^Not written with it.*config\.json.*"recent_size": \d+/);
    const grouped = {
      ...cores[0]!,
      info: { ...cores[0]!.info, kvHeads: 4 },
    };
    assert.equal(duoAttention(model, [grouped], planned()).text, '1\t1\t1\t1\n');
  });

  it('both refuse a model that is no causal decoder', () => {
    for (const make of [minference, duoAttention]) {
      assert.throws(
        () => make({ ...model, kind: 'encoder', causal: false }, cores, planned()),
        /causal decoders/,
      );
    }
  });

  it('CSV: a line per head', () => {
    const lines = planCsv(model, planned()).trim().split('\r\n');
    assert.equal(lines.length, 49);
    assert.equal(lines[2], '0,self,0,1,local,window=17,0.75,0.1,10,100,0.1,0,');
    assert.match(lines[5]!, /longformer,"window=9;globals=0,1,2,40"/);
  });
});
