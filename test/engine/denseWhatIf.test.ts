import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { denseIsWhatIf, standingOf } from '../../shared/native';
import type { AnalysisSummary, MechanismResult } from '../../shared/protocol/engine';

const TEXT = readFileSync(join(__dirname, '..', 'fixtures', 'sample.txt'), 'utf8').slice(0, 700);
const FIXTURES = join(__dirname, '..', '..', '..', 'shared', 'fixtures');

/** Models by where they lie, what each was made with, and what dense attention is in them. */
const CASES = [
  // Exports of plain operators: what they were made with is read off the graph.
  { model: 'native/routing', made: 'routing', dense: 'what-if' },
  { model: 'native/xl', made: 'transformer-xl', dense: 'what-if' },
  { model: 'native/adaptive-span', made: 'adaptive-span', dense: 'what-if' },
  { model: 'native/shaped', made: 'shaped', dense: 'what-if' },
  // A window in some layers, which dense attention is run under.
  { model: 'models/gemma2-eager-script', made: 'local', dense: 'native' },
  { model: 'models/llama-eager-script', made: null, dense: 'native' },
] as const;

describe('dense attention is what it is called', function () {
  this.timeout(120_000);
  const engine = new Engine();
  before(() => engine.request('initialize', { device: 'cpu', memoryLimitMiB: 4096 }));
  after(() => engine.dispose());

  for (const { model, made, dense } of CASES)
    it(`${model}: ${dense}`, async function () {
      const folder = join(FIXTURES, model);
      if (!existsSync(folder)) {
        console.log(`SKIPPED: no model at ${folder}`);
        return this.skip();
      }
      const summary: AnalysisSummary = await engine.request('analysis/start', {
        ...{ id: model, model: folder, text: TEXT, device: 'cpu', maxTokens: 150, target: null },
        ...{ mechanisms: [{ name: 'dense', params: {} }], propagate: true },
      });
      const { cores } = summary.model;
      const found = cores.map(({ attention }) => attention?.name);
      if (made === null) assert.ok(found.every(name => name === undefined));
      else assert.ok(found.includes(made), found.join());
      const { setting, outputError, recall, deltaLoss }: MechanismResult = summary.mechanisms[0]!;
      assert.equal(standingOf(setting, cores), dense);
      assert.equal(denseIsWhatIf(cores), dense === 'what-if');
      // As an intervention in every head it is the same run.
      const everywhere = { kind: 'mechanism', core: null, head: null, choice: setting } as const;
      const { effect } = await engine.request('analysis/intervene', {
        id: model,
        interventions: [everywhere],
      });
      assert.ok(Math.abs(effect.delta - deltaLoss!) < 1e-5, `${effect.delta} ${deltaLoss}`);
      if (dense === 'native') {
        assert.ok(outputError < 1e-5 && Math.abs(deltaLoss!) < 1e-5, 'it is the very same attention');
        assert.ok(recall! > 0.9999);
      } else {
        assert.ok(outputError > 0.01 && Math.abs(deltaLoss!) > 1e-6, 'it is another attention');
        assert.equal(recall, null, 'what sees more than the model keeps no share of its mass');
      }
    });

  it('zoo/lsh: what a window takes away of its own map is told', async () => {
    const [id, model] = ['tied', 'zoo/lsh'];
    const local = { name: 'local', params: { window: 8 } };
    const { mechanisms, model: info }: AnalysisSummary = await engine.request('analysis/start', {
      ...{ id, model, text: TEXT, device: 'cpu', maxTokens: 150, target: null },
      ...{ mechanisms: [local], propagate: false },
    });
    const [near] = mechanisms.filter(({ setting }) => setting.name === 'local');
    const heads = info.cores.flatMap(({ core, heads }) =>
      Array.from({ length: heads }, (_, head) => ({ core, head, choice: near!.setting })),
    );
    const lost = await engine.request('analysis/worst', { id, heads, queries: [60, 100, 140] });
    for (const { query, lost: one } of lost) assert.ok(one && query - one.key >= 8 && one.mass > 1e-3);
  });
});
