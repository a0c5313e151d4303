import assert from 'node:assert/strict';
import type {
  HeadComparison,
  HeadProfile,
  MechanismResult,
  Plan,
  RunEffect,
  Spending,
} from '../../shared/protocol/engine';
import { mechanismInfos } from '../../engine/attention/registry';
import { changedPlan, withHead } from '../../shared/host/planEdits';
import { CSV_HEADER, bestOf, csvRows, numbersOf, sorted } from '../../webview/model/compareRows';
import { fairComparison } from '../../webview/model/fairComparison';
import { headMeasures } from '../../webview/model/measures';
import { mechanismLook, parameterWords, settingTitles } from '../../webview/model/mechanismLook';
import { barLimit } from '../../webview/plots/barLimit';
import {
  allTried,
  atBudget,
  front,
  inUnit,
  placeLabels,
  points,
  share,
  type Point,
} from '../../webview/model/tried';
import { setting } from '../support/settings';
import { settingOf } from '../../shared/setting';

const head = (core: number, at: number, recall: number, pairs: number): HeadComparison => ({
  core,
  head: at,
  recall,
  recallP5: recall,
  outputError: 1 - recall,
  pairs,
  densePairs: 100,
  uncovered: 0,
});

/** A setting of a mechanism that has these parameters. */
const madeUp = (name: string, params: Record<string, unknown>) => {
  const parameters = Object.keys(params).map(parameter => ({
    name: parameter,
    type: 'number' as const,
    default: null,
    description: '',
  }));
  return settingOf({ name, parameters }, params);
};

const result = (
  name: string,
  params: Record<string, unknown>,
  heads: HeadComparison[],
  deltaLoss: number | null = null,
): MechanismResult => ({
  setting: madeUp(name, params),
  settled: {},
  scope: deltaLoss === null ? 'local' : 'propagated',
  recall: heads.reduce((sum, h) => sum + h.recall!, 0) / heads.length,
  sparsity: 0,
  outputError: heads.reduce((sum, h) => sum + h.outputError, 0) / heads.length,
  deltaLoss,
  deltaOutput: null,
  pairs: 0,
  densePairs: 0,
  milliseconds: 1,
  heads,
  notes: [],
});

const effect = (delta: number): RunEffect => ({
  measure: 'loss',
  delta,
  perToken: new Float32Array(64).fill(delta),
});

const plan = (change: Partial<Plan> = {}): Plan => ({
  budget: 0.1,
  pairs: 20,
  densePairs: 200,
  heads: [],
  effect: effect(0.05),
  uniform: [],
  random: { runs: 3, mean: 0.4, least: 0.2, most: 0.6 },
  wins: 'yes',
  curve: [],
  tried: [],
  candidates: [],
  notes: [],
  ...change,
});

describe('webview: what a comparison may say', () => {
  const wide = result('adaptive-span', {}, [head(0, 0, 0.96, 80)], 0.01);
  const cheap = result('routing', {}, [head(0, 0, 0.3, 2)]);
  const window = result('local', { window: 9 }, [head(0, 0, 0.64, 10)], 0.08);
  const strided = result('strided', { stride: 9 }, [head(0, 0, 0.62, 9)]);
  const of = (results: MechanismResult[], budget: number | null, made: Plan | null = null) => {
    const options = { head: null, measure: 'recall' as const, budget, plan: made };
    const { ranked, over, apart, runs, notRun } = fairComparison(allTried(results, null), options);
    const names = (list: { choice: { name: string } }[]) => list.map(({ choice }) => choice.name);
    const [a, b, c, d] = [names(ranked.map(({ row }) => row)), names(over), names(runs), names(notRun)];
    return { ranked: a, over: b, apart, runs: c, notRun: d };
  };

  it('ranks what is within the budget, and names what is over it and what was not run', () => {
    assert.deepEqual(of([wide, cheap, strided, window], 0.1), {
      ranked: ['local', 'strided', 'routing'],
      over: ['adaptive-span'],
      apart: null,
      runs: ['local'],
      notRun: ['strided', 'routing'],
    });
  });

  it('ranks nothing that spends differently where no budget is set', () => {
    const { ranked, runs, apart } = of([wide, cheap, window], null);
    assert.deepEqual([ranked, runs, apart], [[], [], { least: 0.02, most: 0.8 }]);
    assert.deepEqual(of([strided, window], null).ranked, []);
    assert.deepEqual(of([window, result('bp', {}, [head(0, 0, 0.5, 10.5)])], null).ranked, ['local', 'bp']);
  });

  it('counts what the plan ran on with one mechanism in every head: both sentences name the same best', () => {
    const best = { choice: setting('adaptive-span', { massTarget: 0.7 }), share: 0.1, effect: effect(0.03) };
    const dear = { choice: setting('bigbird'), share: 0.5, effect: effect(0) };
    const { runs } = of([window, strided], 0.1, plan({ uniform: [best, dear] }));
    assert.deepEqual(runs, ['adaptive-span', 'local']);
  });
});

describe('webview: what was tried', () => {
  it('keeps the default of a mechanism apart from a setting of it', () => {
    const heads = [head(0, 0, 0.5, 10)];
    const results = [setting('strided'), setting('strided', { stride: 8 })].map(one => ({
      ...result('strided', {}, heads),
      setting: one,
    }));
    const all = allTried(results, null);
    assert.deepEqual(
      all.map(one => one.key),
      ['strided:stride=auto', 'strided:stride=8'],
    );
  });

  it('joins local and propagated results of one setting', () => {
    const heads = [head(0, 0, 0.5, 10), head(0, 1, 0.7, 30)];
    const all = allTried(
      [result('local', { window: 8 }, heads), result('local', { window: 8 }, heads, 0.3)],
      null,
    );
    assert.equal(all.length, 1);
    assert.deepEqual(all[0]!.effect, { measure: 'loss', delta: 0.3 });
    assert.equal(share(all[0]!), 0.2);
  });

  it('adds up what a plan tried in every head, and leaves out what only some heads tried', () => {
    const everywhere = setting('lsh', { rounds: 1 });
    const made = plan({
      candidates: [
        { ...head(0, 0, 0.4, 10), choice: everywhere, onFront: true },
        { ...head(0, 1, 0.8, 20), choice: everywhere, onFront: true },
        { ...head(0, 1, 0.9, 50), choice: setting('routing'), onFront: false },
      ],
      uniform: [{ choice: everywhere, share: 0.15, effect: effect(0.21) }],
    });
    const [only, ...others] = allTried([], made);
    assert.equal(others.length, 0);
    assert.ok(Math.abs(only!.recall! - 0.6) < 1e-12);
    assert.equal(share(only!), 0.15);
    assert.equal(only!.effect!.delta, 0.21);
    assert.deepEqual(
      points(allTried([], made), made, '0.1').map(p => [p.choice.name, p.share, p.recall]),
      [
        ['lsh', 0.2, 0.8],
        ['routing', 0.5, 0.9],
      ],
    );
  });

  it('chooses for each mechanism the setting that spends about the budget', () => {
    const all = allTried(
      [4, 9, 10.5, 30].map(pairs => result('local', { window: pairs }, [head(0, 0, pairs / 100, pairs)])),
      null,
    ).concat(
      allTried(
        [40, 60].map(pairs => result('lsh', { rounds: pairs }, [head(0, 0, 0.5, pairs)])),
        null,
      ),
    );
    assert.deepEqual(
      atBudget(all, 0.1).map(one => [one.choice.name, one.pairs]),
      [
        ['local', 10.5],
        ['lsh', 40],
      ],
    );
  });
});

describe('webview: rows of the comparison', () => {
  const a = result('a', {}, [head(0, 0, 0.9, 10), head(0, 1, 0.1, 20)], 0.3);
  const b = result('b', {}, [head(0, 0, 0.4, 40), head(0, 1, 0.8, 30)]);
  const blind = { ...result('c', {}, [{ ...head(0, 0, 0.2, 5), recall: null }], 0.1), recall: null };
  const all = allTried([a, b, blind], null);
  const names = (rows: typeof all) => rows.map(row => row.choice.name).join('');

  it('say the numbers of all heads or of one', () => {
    assert.ok(Math.abs(numbersOf(all[0]!, null)!.recall! - 0.5) < 1e-12);
    assert.equal(numbersOf(all[0]!, null)!.share, 0.15);
    assert.equal(numbersOf(all[0]!, '0.1')!.recall, 0.1);
    assert.equal(numbersOf(all[2]!, '0.1'), null);
  });

  it('are sorted by any column, the unknown last', () => {
    const by = (column: string, descending: boolean, of: string | null = null) =>
      names(sorted(all, column, descending, of, row => row.choice.name));
    assert.equal(by('name', true), 'cba');
    assert.equal(by('recall', true), 'bac');
    assert.equal(by('recall', false), 'abc');
    assert.equal(by('recall', true, '0.0'), 'abc');
    assert.equal(by('effect', false), 'cab');
    assert.equal(by('share', false), 'cab');
  });

  it('mark the best of each column, where there is a choice', () => {
    const [first, second, third] = all.map(row => row.key);
    assert.deepEqual(bestOf(all, null), {
      ...{ recall: second, outputError: second, effect: third, embedding: null },
    });
    assert.equal(bestOf(all, '0.0').recall, first);
    assert.equal(bestOf(all.slice(0, 1), null).recall, null);
  });

  it('in another unit are what is spent of it, and left out where that is not known', () => {
    const spending = { pairs: [5, 10], flops: [6, 10], blocks: [8, 10], kv: [9, 10] } as const;
    const of = Object.fromEntries(
      Object.entries(spending).map(([unit, [own, dense]]) => [unit, { own, dense }]),
    ) as unknown as Spending;
    const [row, other] = all;
    const heads = new Map([...row!.heads].map(([key, head]) => [key, { ...head, spending: of }] as const));
    const priced = inUnit([{ ...row!, spending: of, heads }, other!], 'kv');
    assert.deepEqual(
      priced.map(({ key }) => key),
      [row!.key],
    );
    assert.equal(numbersOf(priced[0]!, null)!.share, 0.9);
    assert.equal(numbersOf(priced[0]!, [...heads.keys()][0]!)!.share, 0.9);
    assert.deepEqual(inUnit(all, 'pairs'), all);
  });

  it('are written with every number of every head', () => {
    const rows = csvRows(all, (_, core) => `what-if in core ${core}`);
    assert.equal(rows.length, 5);
    assert.ok(rows.every(row => row.length === CSV_HEADER.length));
    assert.deepEqual(rows[1]!.slice(0, 5), ['a', '{}', 'what-if in core 0', 0, 1]);
    const perToken = Float32Array.from({ length: 64 }, (_, t) => (t < 32 ? 0.5 : 0.1));
    const effect = { measure: 'loss' as const, delta: 0.3, perToken };
    const cells = csvRows([{ ...all[0]!, effect }], () => 'what-if')[0]!;
    const [delta, low, high] = ['change, all heads (propagated)', 'change, 95 % from', 'change, 95 % to'].map(
      title => cells[CSV_HEADER.indexOf(title)] as number,
    );
    assert.ok(low! <= delta! && delta! <= high! && low! < 0.2 && high! > 0.4, `${low} to ${high}`);
  });
});

describe('webview: the Pareto front', () => {
  const point = (at: number, recall: number | null): Point => ({
    key: `${at}`,
    choice: setting('local'),
    share: at,
    recall,
    outputError: 1 - (recall ?? 0),
  });

  it('keeps what nothing beats, cheapest first', () => {
    const all = [
      point(0.5, 0.9),
      point(0.1, 0.6),
      point(0.2, 0.5),
      point(0.3, 0.8),
      point(0.3, 0.7),
      point(0.6, 0.9),
    ];
    assert.deepEqual(
      front(all, 'recall').map(p => [p.share, p.recall]),
      [
        [0.1, 0.6],
        [0.3, 0.8],
        [0.5, 0.9],
      ],
    );
    assert.deepEqual(
      front(all, 'outputError').map(p => p.share),
      [0.1, 0.3, 0.5],
    );
  });

  it('leaves out what has no recall', () => {
    assert.deepEqual(
      front([point(0.1, null), point(0.2, 0.3)], 'recall').map(p => p.share),
      [0.2],
    );
    assert.deepEqual(front([], 'recall'), []);
  });

  it('puts labels where there is room, or nowhere', () => {
    const frame = { x: 0, y: 0, width: 100, height: 40 };
    const wide = (text: string) => text.length * 10;
    assert.deepEqual(placeLabels([{ text: 'abc', x: 20, y: 20 }], [], frame, wide), [{ x: 28, y: 13.5 }]);
    const [near] = placeLabels([{ text: 'abc', x: 90, y: 20 }], [], frame, wide);
    assert.deepEqual(near, { x: 52, y: 13.5 }, 'left of a point at the right end');
    const tight = { x: 0, y: 0, width: 100, height: 20 };
    assert.equal(placeLabels([{ text: 'abcdefghijkl', x: 50, y: 10 }], [], tight, wide)[0], null);
    const two = placeLabels(
      [
        { text: 'abc', x: 20, y: 20 },
        { text: 'abc', x: 21, y: 20 },
      ],
      [],
      frame,
      wide,
    );
    assert.notDeepEqual(two[0], two[1]);
  });
});

describe('webview: the look of mechanisms', () => {
  const dark = { background: [31, 31, 31], foreground: [204, 204, 204] } as const;
  const light = { background: [255, 255, 255], foreground: [51, 51, 51] } as const;

  it('gives each its own colour and a label that is a word of its own', () => {
    for (const theme of [dark, light]) {
      const looks = mechanismInfos.map(({ name }) => mechanismLook(name, mechanismInfos, theme));
      assert.equal(new Set(looks.map(look => String(look.fill))).size, mechanismInfos.length);
      assert.equal(new Set(looks.map(look => look.label)).size, mechanismInfos.length);
      for (const { label } of looks) assert.ok(label.length >= 1 && label.length <= 7, label);
    }
    assert.equal(mechanismLook('adaptive-span', mechanismInfos, dark).label, 'span');
    assert.equal(mechanismLook('unknown', mechanismInfos, dark).label, 'unknown');
  });

  it('tells the parameters that are not the defaults', () => {
    const info = {
      parameters: [
        { name: 'bucketSize', type: 'integer', default: 64, description: '' },
        { name: 'rounds', type: 'integer', default: 2, description: '' },
      ],
    } as never;
    const choice = madeUp('lsh', { bucketSize: 32, rounds: 2 });
    assert.equal(parameterWords(choice, info), 'bucket size 32');
    assert.equal(parameterWords(choice), 'bucket size 32, rounds 2');
  });
});

describe('extension: a plan changed by hand', () => {
  const dense = setting('dense');
  const local = setting('local', { window: 8 });
  const byHand = { kind: 'byHand' as const, text: 'Changed by hand since it was found.' };
  const before = plan({
    heads: [
      { ...head(0, 0, 1, 100), choice: dense, sensitivity: 3 },
      { ...head(0, 1, 0.7, 30), choice: local, sensitivity: 5 },
    ],
    uniform: [{ choice: local, share: 0.1, effect: effect(0.2) }],
  });

  it('changes one head and keeps the others', () => {
    const change = { core: 0, head: 0, choice: local };
    const heads = withHead(before, change);
    assert.deepEqual(
      heads.map(h => h.choice.name),
      ['local', 'local'],
    );
    const after = changedPlan(before, change, heads, {
      effect: effect(0.25),
      heads: [head(0, 0, 0.6, 20), head(0, 1, 0.7, 30)],
      pairs: 50,
      densePairs: 200,
    });
    assert.deepEqual(
      after.heads.map(h => [h.choice.name, h.pairs, h.sensitivity]),
      [
        ['local', 20, 3],
        ['local', 30, 5],
      ],
    );
    assert.equal(after.wins, 'no', 'the best uniform choice loses less');
    assert.deepEqual(after.notes, [byHand]);
    assert.match(after.tried.at(-1)!.what, /by hand: .*local \(window 8\)/);
    assert.equal(before.heads[0]!.choice.name, 'dense', 'the old plan is untouched');
  });

  it('judges the changed plan anew; a tie is undecided', () => {
    const change = { core: 0, head: 0, choice: local };
    const ofText = { kind: 'looksAhead' as const, text: 'Of the text.' };
    const lost = {
      ...before,
      notes: [{ kind: 'defeat' as const, text: 'Another lost less.' }, ofText, byHand],
    };
    const found = { heads: [head(0, 0, 0.6, 20)], pairs: 20, densePairs: 200 };
    const after = changedPlan(lost, change, [change], { ...found, effect: effect(0.2) });
    assert.equal(after.wins, 'undecided');
    assert.deepEqual(after.notes, [ofText, byHand]);
  });
});

describe('webview: what the plan says of a head', () => {
  it('is a measure like the others', () => {
    const made = plan({
      heads: [{ ...head(2, 1, 0.7, 30), choice: setting('local'), sensitivity: 1 }],
    });
    const measure = headMeasures([], made).find(m => m.id === 'plan-share')!;
    assert.equal(measure.value({ core: 2, head: 1 } as HeadProfile), 0.3);
    assert.equal(measure.value({ core: 2, head: 2 } as HeadProfile), null);
    assert.ok(!headMeasures([]).some(m => m.id === 'plan-share'));
  });

  it('breaks off the bars of what fails altogether', () => {
    assert.equal(barLimit([0.1, 0.2, 0.3]), 0.3);
    assert.equal(barLimit([0.1, 0.2, 9]), 0.8);
    assert.ok(barLimit([0, 0]) > 0);
    assert.ok(barLimit([-0.1, -0.2]) > 0);
  });

  it('tells settings of one mechanism apart by what is not their default', () => {
    const infos = [
      {
        name: 'span',
        title: 'Span',
        parameters: [{ name: 'ramp', type: 'integer' as const, default: 8, description: '' }],
      },
      { name: 'local', title: 'Local', parameters: [] },
    ];
    assert.deepEqual(
      settingTitles(
        [
          madeUp('span', { budget: 0.1, ramp: 8 }),
          setting('local', { window: 3 }),
          madeUp('span', { span: 9, ramp: 4 }),
        ],
        infos,
      ),
      ['Span, budget 0.1', 'Local', 'Span, span 9, ramp 4'],
    );
  });
});
