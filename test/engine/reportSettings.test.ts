import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Engine } from '../../engine/engine';
import { pack, unpack } from '../../shared/packed';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { gatherReport } from '../../engine/service/report';
import type {
  AnalysisSummary,
  ReportData,
  Setting,
  Tile,
  TokenAttention,
} from '../../shared/protocol/engine';
import { Report } from '../../webview/report/report';
import { setting } from '../support/settings';

/** Mechanisms whose default follows from the text, and a setting of each that is not the default. */
const PAIRS: [name: string, params: Record<string, unknown>][] = [
  ['strided', { stride: 4 }],
  ['fixed', { block: 8 }],
  ['routing', { clusters: 3, window: 16 }],
  ['transformer-xl', { memory: 16, segment: 16 }],
  ['compressive', { memory: 8, segment: 16, compressed: 8 }],
  ['adaptive-span', { span: 5 }],
];

/** Two settings of one mechanism, side by side: neither stands for the other, in the engine nor in a report. */
describe('two settings of one mechanism', function () {
  this.timeout(240_000);
  const engine = new Engine();
  const head = { id: 's', core: 3, head: 4 };
  let summary: AnalysisSummary;
  let data: ReportData;
  let report: Report;

  before(async () => {
    await engine.request('initialize', { device: 'cpu', memoryLimitMiB: 4096 });
    summary = await engine.request('analysis/start', {
      id: 's',
      model: 'bundled',
      text: readFileSync('test/fixtures/sample.txt', 'utf8'),
      device: 'cpu',
      maxTokens: 110,
      mechanisms: PAIRS.flatMap(([name, params]) => [
        { name, params: {} },
        { name, params },
      ]),
      propagate: true,
    });
    const what = { document: 'a.txt', text: 'x', summary, plan: null, intervention: null };
    data = await gatherReport(engine.analysis('s'), what, '0', neverCancelled);
    report = new Report(unpack(pack(data).slice().buffer) as ReportData);
  });
  after(() => engine.dispose());

  const tileOf = (mechanism: Setting) => ({
    ...head,
    level: 0,
    row: 0,
    column: 0,
    reduce: 'max' as const,
    mechanism,
  });

  for (const [name, params] of PAIRS) {
    it(`${name}: the default and ${JSON.stringify(params)}`, async () => {
      const settings = [setting(name), setting(name, params)];
      assert.notEqual(settings[0]!.key, settings[1]!.key);
      const results = settings.map(({ key }) => summary.mechanisms.find(m => m.setting.key === key)!);
      assert.notEqual(results[0]!.pairs, results[1]!.pairs, 'they keep different pairs');

      for (const mechanism of settings) {
        const wanted = await engine.request('analysis/tile', tileOf(mechanism));
        const found = report.answer('analysis/tile' as never, tileOf(mechanism)) as Tile;
        let off = 0;
        let mass = 0;
        wanted.mass.forEach((value, i) => {
          mass += value;
          off += value * Math.abs(found.kept![i]! - wanted.kept![i]!);
        });
        assert.ok(off < 0.03 * mass, `${mechanism.key}: the report's map is another setting's`);
      }
      const [first, second] = settings.map(
        s => (report.answer('analysis/tile' as never, tileOf(s)) as Tile).kept!,
      );
      assert.ok(
        first!.some((value, i) => value !== second![i]),
        'the two maps differ',
      );
    });
  }

  it('a loss and a change of exactly 0 are numbers', () => {
    const still: ReportData = structuredClone(data);
    still.summary.loss!.perToken.fill(0);
    for (const { deltaLossPerToken } of still.summary.mechanisms) deltaLossPerToken?.fill(0);
    const [found] = new Report(still).answer('analysis/token' as never, {
      ...head,
      tokens: [40],
      top: 5,
      mechanisms: [],
    }) as TokenAttention[];
    assert.equal(found!.loss, 0);
    assert.ok(found!.kept.length > 0);
    for (const { deltaLoss } of found!.kept) assert.equal(deltaLoss, 0);
  });
});
