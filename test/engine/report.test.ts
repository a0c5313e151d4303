import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Engine } from '../../engine/engine';
import { pack, unpack } from '../../shared/packed';
import { headsCsv } from '../../engine/export/headsCsv';
import type {
  AnalysisSummary,
  EngineMethod,
  EngineParams,
  EngineResult,
  Setting,
  ReportData,
  Tile,
  TokenAttention,
} from '../../shared/protocol/engine';
import { neverCancelled } from '../../engine/runtime/cancellation';
import { gatherReport } from '../../engine/service/report';
import { Report } from '../../webview/report/report';
import { setting } from '../support/settings';

/** What a report answers against what the engine answers; masses are rounded to squares of 1/255 of the largest. */
describe('report', function () {
  this.timeout(120_000);
  const engine = new Engine();
  let summary: AnalysisSummary;
  let data: ReportData;
  let report: Report;
  const TOKENS = 150;
  const head = { id: 'r', core: 1, head: 2 };

  before(async () => {
    await engine.request('initialize', { device: 'cpu', memoryLimitMiB: 4096 });
    summary = await engine.request('analysis/start', {
      id: 'r',
      model: 'bundled',
      text: readFileSync('test/fixtures/sample.txt', 'utf8'),
      device: 'cpu',
      maxTokens: TOKENS,
      mechanisms: [
        { name: 'local', params: { window: 12 } },
        { name: 'adaptive-span', params: { massTarget: 0.8 } },
        { name: 'lsh', params: { bucketSize: 16 } },
        { name: 'routing', params: { window: 20 } },
        { name: 'performer', params: {} },
      ],
      propagate: false,
    });
    const interventions = [{ kind: 'head' as const, core: 1, head: 2 }];
    const intervention = await engine.request('analysis/intervene', { id: 'r', interventions });
    const what = { document: 'a.txt', text: 'x', summary, plan: null, intervention };
    data = await gatherReport(engine.analysis('r'), what, '0', neverCancelled);
    report = new Report(unpack(pack(data).slice().buffer) as ReportData);
  });
  after(() => engine.dispose());

  const both = async <M extends EngineMethod>(method: M, params: EngineParams<M>) => [
    report.answer(method as never, params) as EngineResult<M>,
    await engine.request(method, params),
  ];
  const choice = (name: string): Setting => {
    return summary.mechanisms.find(m => m.setting.name === name)!.setting;
  };
  /** A value of the root code is off by at most half a step of the root. */
  const near = (found: ArrayLike<number>, wanted: ArrayLike<number>, largest: number, what: string) => {
    assert.equal(found.length, wanted.length, what);
    for (let i = 0; i < wanted.length; i++) {
      const off = Math.abs(Math.sqrt(found[i]! / largest) - Math.sqrt(wanted[i]! / largest));
      assert.ok(off <= 0.502 / 255, `${what} at ${i}: ${found[i]} for ${wanted[i]}`);
    }
  };

  it('survives packing', () => {
    assert.deepEqual(unpack(pack(data).slice().buffer), data);
  });

  it('holds every pair of a short text, and coarser tiles made from them', async () => {
    assert.equal(data.level, 0);
    for (const [level, row, column] of [
      [0, 0, 0],
      [0, 1, 1],
      [1, 0, 0],
      [3, 0, 0],
    ] as const) {
      for (const reduce of ['max', 'mean'] as const) {
        const params = { ...head, level, row, column, reduce };
        const [found, wanted] = (await both('analysis/tile', params)) as [Tile, Tile];
        assert.deepEqual([found.rows, found.columns], [wanted.rows, wanted.columns]);
        const largest = data.cores[1]!.heads[2]!.max.largest;
        if (reduce === 'max' || level === 0) near(found.mass, wanted.mass, largest, `level ${level}`);
        else
          found.mass.forEach((mass, i) => {
            assert.ok(Math.abs(mass - wanted.mass[i]!) < 0.004 * largest, `mean of cell ${i}`);
          });
      }
    }
  });

  it('holds what mechanisms keep', async () => {
    for (const name of ['local', 'adaptive-span', 'lsh', 'routing']) {
      for (const level of [0, 1]) {
        const params = { ...head, level, row: 0, column: 0, reduce: 'max' as const, mechanism: choice(name) };
        const [found, wanted] = (await both('analysis/tile', params)) as [Tile, Tile];
        let mass = 0;
        let off = 0;
        wanted.mass.forEach((value, i) => {
          mass += value;
          off += value * Math.abs(found.kept![i]! - wanted.kept![i]!);
        });
        assert.ok(off < 0.03 * mass, `${name}, level ${level}: ${off} of ${mass}`);
      }
    }
  });

  it('says where a token looks, what is kept of it, and what is lost', async () => {
    for (const token of [0, 40, 149]) {
      const params = { ...head, tokens: [token], top: 5, mechanisms: [] };
      const [[found], [wanted]] = (await both('analysis/token', params)) as [
        TokenAttention[],
        TokenAttention[],
      ];
      assert.deepEqual(
        found!.looksAt.map(link => link.token),
        wanted!.looksAt.map(link => link.token).slice(0, found!.looksAt.length),
      );
      found!.looksAt.forEach((link, i) =>
        assert.ok(Math.abs(link.mass - wanted!.looksAt[i]!.mass) < 2e-3, `link ${i}`),
      );
      assert.ok(Math.abs(found!.entropy - wanted!.entropy) < 1e-3 * (1 + wanted!.entropy));
      assert.equal(found!.loss, wanted!.loss);
      for (const kept of found!.kept) {
        const same = wanted!.kept.find(each => each.mechanism.name === kept.mechanism.name)!;
        assert.ok(Math.abs(kept.mass - same.mass) < 0.003, kept.mechanism.name);
        if ((same.costliestLost?.mass ?? 0) > 0.01) {
          assert.equal(kept.costliestLost!.token, same.costliestLost!.token);
        }
      }
    }
  });

  it('rows and columns hold the heaviest links and nothing else', async () => {
    for (const direction of ['from', 'to'] as const) {
      const [found, wanted] = await both('analysis/row', { ...head, token: 60, direction });
      found!.forEach((mass, i) => {
        if (mass > 0) assert.ok(Math.abs(mass - wanted![i]!) < 2e-3);
      });
      const heaviest = wanted!.indexOf(wanted!.reduce((a, b) => Math.max(a, b), 0));
      assert.ok(found![heaviest]! > 0);
    }
  });

  it('refits spans by itself, as the engine does', async () => {
    for (const params of [
      { massTarget: 0.9, ramp: 8 },
      { budget: 0.2, ramp: 32 },
    ]) {
      const [found, wanted] = await both('analysis/spans', { id: 'r', ...params });
      found!.heads.forEach((fit, i) => {
        const other = wanted!.heads[i]!;
        assert.deepEqual([fit.core, fit.head, fit.densePairs], [other.core, other.head, other.densePairs]);
        assert.ok(Math.abs(fit.span - other.span) <= 1, `head ${i}`);
        assert.ok(Math.abs(fit.recall - other.recall) < 1e-3);
      });
    }
    const [found, wanted] = await both('analysis/outsideSpan', { ...head, span: 10, ramp: 8 });
    assert.ok(Math.abs(found!.mass - wanted!.mass) < 1e-3);
    const [worst] = wanted!.heaviest;
    assert.deepEqual(
      [found!.heaviest[0]!.query, found!.heaviest[0]!.key, found!.heaviest[0]!.distance],
      [worst!.query, worst!.key, worst!.distance],
    );
  });

  it('holds buckets and the maps sorted by them', async () => {
    for (const name of ['lsh', 'routing']) {
      const params = { ...head, mechanism: choice(name) };
      const [found, wanted] = await both('analysis/buckets', params);
      const { projection: points, ...same } = found!;
      const { projection, ...rest } = wanted!;
      assert.deepEqual(same, rest);
      points.queries.forEach((value, i) =>
        assert.ok(Math.abs(value - projection.queries[i]!) < 0.02, `${value} for ${projection.queries[i]}`),
      );
      const size = data.cores[1]!.heads[2]!.buckets.find(each => each)!.maps[0]!.rows;
      const [map, whole] = await both('analysis/bucketMap', { ...params, round: 0, size });
      assert.deepEqual([map!.rows, map!.rowStarts], [whole!.rows, whole!.rowStarts]);
      near(
        map!.mass,
        whole!.mass,
        whole!.mass.reduce((a, b) => Math.max(a, b), 0),
        name,
      );
    }
  });

  it('the map sorted by bucket holds all mass', async () => {
    for (const size of [TOKENS, 37]) {
      const map = await engine.request('analysis/bucketMap', {
        ...head,
        mechanism: choice('lsh'),
        round: 1,
        size,
      });
      // Cells of 4 or 5 tokens a side when 150 tokens are put into 37.
      const side = (cell: number) =>
        Math.ceil(((cell + 1) * TOKENS) / size) - Math.ceil((cell * TOKENS) / size);
      let sum = 0;
      map.mass.forEach((mass, c) => (sum += mass * side(Math.floor(c / size)) * side(c % size)));
      assert.ok(Math.abs(sum - TOKENS) < 1e-3, `${sum}`);
    }
  });

  it('holds the costs by formula', async () => {
    const mechanisms = [choice('lsh'), choice('local')];
    const [found, wanted] = await both('cost/formulas', {
      id: 'r',
      core: 1,
      mechanisms,
      lengths: [256, 32768],
    });
    assert.deepEqual(found, wanted);
  });

  it('holds the keys that the worst tokens of a changed run lost', async () => {
    const { interventions, effect } = data.intervention!;
    const worst = effect.perToken.indexOf(effect.perToken.reduce((a, b) => Math.max(a, b)));
    const params = { id: 'r', heads: [], interventions, queries: [worst] };
    const [found, wanted] = await both('analysis/worst', params);
    assert.deepEqual(found, wanted);
    assert.equal(found![0]!.lost!.core, 1);
  });

  it('refuses what only an engine could answer', () => {
    const mechanism = setting('local', { window: 99 });
    assert.throws(
      () => report.answer('analysis/mechanism', { id: 'r', mechanism, scope: 'local' }),
      /holds what was computed/,
    );
    assert.throws(() => report.answer('analysis/worst', { id: 'r', heads: [], queries: [3] }), /holds what/);
    const tile = { ...head, level: 0, row: 0, column: 0, reduce: 'max', mechanism };
    assert.throws(() => report.answer('analysis/tile', tile), /holds what was computed/);
  });

  it('a mechanism without a set of pairs keeps no overlay', () => {
    const mechanism = choice('performer');
    const params = { ...head, level: 1, row: 0, column: 0, reduce: 'max' as const, mechanism };
    assert.ok((report.answer('analysis/tile', params) as Tile).kept!.every(share => share === 1));
  });

  it('all head profiles as CSV', () => {
    const lines = headsCsv(summary).trim().split('\r\n');
    assert.equal(lines.length, 49);
    const titles = lines[0]!.split(',');
    const cells = lines[1 + 8 + 2]!.split(',');
    assert.deepEqual(cells.slice(0, 4), ['1', 'self', '1', '2']);
    const profile = summary.cores[1]!.heads[2]!;
    assert.equal(Number(cells[titles.indexOf('span95 [tokens]')]), profile.span95);
    const local = summary.mechanisms[0]!.heads.find(h => h.core === 1 && h.head === 2)!;
    assert.equal(Number(cells[titles.indexOf('recall (local what-if): local:window=12')]), local.recall);
  });
});
