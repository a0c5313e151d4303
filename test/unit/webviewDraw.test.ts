import assert from 'node:assert/strict';
import { withRoom } from '../../webview/plots/axes';
import type { HeadProfile } from '../../shared/protocol/engine';
import { namesAfter } from '../../webview/model/bucketNames';
import { agreement, coverage, evenSize, imbalance, tellingWords } from '../../webview/model/buckets';
import {
  bucketColour,
  contrast,
  diverging,
  luminance,
  lutColour,
  massAt,
  niceCeiling,
  parseColour,
  scaleMass,
  sequential,
  type Rgb,
  type ThemeColours,
} from '../../webview/draw/colour';
import { count, csv, exact, number, percent, signed, tokenLabel, tokens } from '../../shared/numbers';
import {
  findMeasure,
  headMeasures,
  measureRange,
  writeInterval,
  writeMeasure,
} from '../../webview/model/measures';
import { parseNumber, words } from '../../webview/model/parameters';
import { distanceBins, massOutside, softMask } from '../../webview/plots/distance';
import { setting } from '../support/settings';

const BLACK: Rgb = [0, 0, 0];
const theme = (dark: boolean): ThemeColours => ({
  dark,
  highContrast: false,
  background: dark ? [31, 31, 31] : [255, 255, 255],
  foreground: dark ? [204, 204, 204] : [59, 59, 59],
  muted: [128, 128, 128],
  border: [128, 128, 128],
  focus: [0, 120, 212],
});

describe('webview: numbers', () => {
  it('writes at most three significant digits', () => {
    assert.deepEqual([0, 0.012345, 4.5678, 12.345, 123.45, 1234.5, 98765].map(number), [
      '0',
      '0.0123',
      '4.57',
      '12.3',
      '123',
      '1,230',
      '98,800',
    ]);
    assert.equal(number(-2.5), '−2.5');
    assert.equal(number(NaN), '–');
  });

  it('does not round a share up to all or down to nothing', () => {
    assert.equal(percent(1), '100\u202f%');
    assert.equal(percent(0.99999), '>\u202f99.9\u202f%');
    assert.equal(percent(0.9312), '93.1\u202f%');
    assert.equal(percent(0), '0\u202f%');
    assert.match(percent(1e-9), /^<\u202f0\.0001/);
  });

  it('counts exactly, with units and signs', () => {
    assert.equal(count(12345), '12,345');
    assert.equal(tokens(1), '1 token');
    assert.equal(tokens(812), '812 tokens');
    assert.equal(signed(0.5), '+0.5');
    assert.equal(signed(-0.5), '−0.5');
    assert.equal(exact(0.123456789, 'nats'), '0.12345679 nats');
  });

  it('makes blank tokens visible and cuts long ones by characters, not code units', () => {
    assert.equal(tokenLabel(' the'), 'the');
    assert.equal(tokenLabel(' '), '␣');
    assert.equal(tokenLabel('\n\n'), '⏎⏎');
    assert.equal(tokenLabel('😀😀😀😀', 3), '😀😀…');
  });

  it('quotes CSV cells', () => {
    assert.equal(
      csv(
        ['a', 'b'],
        [
          ['x,"y"', null],
          [1, 'line\nbreak'],
        ],
      ),
      'a,b\r\n"x,""y""",\r\n1,"line\nbreak"\r\n',
    );
  });
});

describe('webview: colours', () => {
  it('reads what themes write', () => {
    assert.deepEqual(parseColour('#0af'), [0, 170, 255]);
    assert.deepEqual(parseColour('#1f1f1fcc'), [31, 31, 31]);
    assert.deepEqual(parseColour('rgba(1, 2, 3, 0.5)'), [1, 2, 3]);
    assert.equal(parseColour('var(--x)'), null);
  });

  for (const dark of [true, false]) {
    it(`mass on a ${dark ? 'dark' : 'light'} theme: starts at the background and only moves away from it`, () => {
      const lut = sequential(theme(dark));
      assert.deepEqual(lutColour(lut, 0), theme(dark).background);
      let last = luminance(lutColour(lut, 0));
      for (let i = 8; i <= 256; i += 8) {
        const now = luminance(lutColour(lut, i / 256));
        // A little slack where the violet end of viridis leaves a dark background.
        assert.ok(dark ? now >= last - 0.004 : now <= last + 0.004, `step ${i}: ${last} to ${now}`);
        last = now;
      }
      assert.ok(contrast(lutColour(lut, 1), theme(dark).background) > 7);
    });

    it(`change on a ${dark ? 'dark' : 'light'} theme: zero is the background, the ends differ by hue`, () => {
      const lut = diverging(theme(dark));
      const [r, g, b] = lutColour(lut, 0.5);
      theme(dark).background.forEach((c, i) => assert.ok(Math.abs(c - [r, g, b][i]!) <= 2));
      const [below, above] = [lutColour(lut, 0), lutColour(lut, 1)];
      assert.ok(below[2] > below[0] && above[0] > above[2]);
    });
  }

  it('scales mass and back', () => {
    for (const scale of ['linear', 'sqrt', 'log'] as const) {
      for (const mass of [0.5, 0.01, 0.002]) {
        const t = scaleMass(mass, 0.5, scale);
        assert.ok(Math.abs(massAt(t, 0.5, scale) - mass) < 1e-12, `${scale} ${mass}`);
      }
      assert.equal(scaleMass(0, 0.5, scale), 0);
      assert.equal(scaleMass(2, 0.5, scale), 1);
    }
    assert.equal(scaleMass(1, 0, 'sqrt'), 0);
  });

  it('ends legends at round numbers', () => {
    assert.deepEqual([0.93, 0.21, 0.2, 0.0031, 0].map(niceCeiling), [1, 0.5, 0.2, 0.005, 1]);
  });

  it('tells buckets apart beyond the hues, with legible text', () => {
    const looks = new Set<string>();
    for (let bucket = 0; bucket < 40; bucket++) {
      const { fill, text, pattern } = bucketColour(bucket, theme(true));
      looks.add([...fill, pattern].join());
      assert.ok(contrast(fill, text) >= 4.5, `bucket ${bucket}`);
    }
    assert.equal(looks.size, 40);
    assert.notDeepEqual(bucketColour(-1, theme(true)).fill, BLACK);
  });
});

describe('webview: buckets', () => {
  it('agreement: 1 for the same company every round, less when it changes', () => {
    const same = Int32Array.of(0, 0, 1, 1);
    const renamed = Int32Array.of(1, 1, 0, 0);
    const crossed = Int32Array.of(0, 1, 0, 1);
    assert.deepEqual([...agreement([same, renamed], 2)], [1, 1, 1, 1]);
    // Buckets {0,1} and {0,2} share one of three members.
    agreement([same, crossed], 2).forEach(a => assert.ok(Math.abs(a - 1 / 3) < 1e-6));
    assert.deepEqual([...agreement([same], 2)], [1, 1, 1, 1]);
    assert.equal(agreement([Int32Array.of(-1, 0), Int32Array.of(0, 0)], 1)[0], 0);
  });

  it('keep the numbers that they had before a small edit, whatever a clustering calls them now', () => {
    const ids = Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    const buckets = Int32Array.of(0, 0, 0, 1, 1, 2, 2, 2);
    const names = namesAfter(null, ids, buckets, 3);
    assert.deepEqual([...names], [0, 1, 2]);
    // A word more at the front, and the same clusters under other numbers.
    const edited = Int32Array.of(9, 1, 2, 3, 4, 5, 6, 7, 8);
    const again = Int32Array.of(2, 2, 2, 2, 0, 0, 1, 1, 1);
    const kept = namesAfter({ ids, buckets, names }, edited, again, 3);
    assert.deepEqual(
      Array.from(again, bucket => kept[bucket]).slice(1),
      Array.from(buckets, b => names[b]),
    );
    // Another text altogether starts anew, every number once.
    const other = namesAfter({ ids, buckets, names }, Int32Array.of(20, 21, 22), Int32Array.of(1, 0, 1), 3);
    assert.deepEqual([...other].sort(), [0, 1, 2]);
  });

  it('are told apart by the words that they hold more often than chance', () => {
    const tokens = ['the', ' cat', ' the', ' dog', 'the', ' cat', ' dog', '\n'];
    const buckets = Int32Array.of(0, 1, 0, 1, 1, 1, 1, 0);
    const telling = tellingWords(tokens, buckets, 2, 2);
    assert.equal(telling[0]![0], 'the');
    assert.deepEqual(telling[1]!.slice().sort(), ['cat', 'dog']);
  });

  it('counts tokens in no bucket and in several', () => {
    assert.deepEqual(coverage({ rounds: 1, multiplicity: Int32Array.of(0, 1, 2, 3, 1) }), {
      none: 1,
      several: 2,
    });
    assert.deepEqual(coverage({ rounds: 4, multiplicity: Int32Array.of(4, 4) }), { none: 0, several: 0 });
  });

  it('compares sizes with the even one', () => {
    assert.equal(evenSize(Int32Array.of(6, 2, 1)), 3);
    assert.equal(imbalance(Int32Array.of(6, 2, 1)), 2);
    assert.equal(imbalance(Int32Array.of(0, 0)), 1);
  });
});

describe('webview: parameters', () => {
  it('takes only numbers that the mechanism permits', () => {
    const integer = { type: 'integer', minimum: 1, maximum: 64 } as const;
    assert.deepEqual(
      ['8', '0', '65', '1.5', 'x'].map(t => parseNumber(t, integer)),
      [8, null, null, null, null],
    );
    assert.equal(parseNumber('1.5', { type: 'number' }), 1.5);
  });

  it('writes names as words', () => {
    assert.deepEqual(['window', 'bucketSize', 'sharedQK', 'attendAcrossBuckets'].map(words), [
      'window',
      'bucket size',
      'shared QK',
      'attend across buckets',
    ]);
  });
});

describe('webview: measures and distances', () => {
  const head = (over: Partial<HeadProfile>): HeadProfile => ({
    core: 0,
    head: 0,
    entropy: 1,
    relativeEntropy: 0.5,
    meanDistance: 10,
    span90: 1,
    span95: 2,
    span99: 3,
    span90Quantiles: { p5: 0, p25: 0, p50: 0, p75: 0, p95: 0 },
    span95Quantiles: { p5: 0, p25: 0, p50: 0, p75: 0, p95: 0 },
    span99Quantiles: { p5: 0, p25: 0, p50: 0, p75: 0, p95: 0 },
    to: { self: 0, previous: 0, next: 0, first: 0, separator: 0, punctuation: 0 },
    roles: [],
    distance: { edges: Int32Array.of(0, 1, 2, 4, 8), mass: Float32Array.of(0.5, 0.25, 0.125, 0.125) },
    thumbnail: { size: 1, pixels: Uint8Array.of(0) },
    ...over,
  });

  it('lays out distances from the least to the most, shares from zero', () => {
    const heads = [head({ meanDistance: 3, entropy: 1 }), head({ meanDistance: 255, entropy: 4 })];
    const measures = headMeasures([]);
    const distance = measureRange(findMeasure(measures, 'meanDistance'), heads)!;
    assert.equal(distance.position(3), 0);
    assert.equal(distance.position(255), 1);
    assert.ok(Math.abs(distance.position(31) - 0.5) < 1e-9, 'log(1 + x)');
    assert.ok(Math.abs(distance.valueAt(0.5) - 31) < 1e-9);
    assert.equal(measureRange(findMeasure(measures, 'entropy'), heads)!.position(1), 0.25);
    assert.equal(measureRange(findMeasure(measures, 'entropy'), []), null);
  });

  it('writes the interval of what comes from a sample of queries', () => {
    const within = (mean: number, low: number, high: number) => ({ mean, low, high });
    const sampled = {
      queries: 192,
      pairs: 50,
      densePairs: 200,
      missed: within(0.4, 0.3, 0.5),
      entropy: within(1, 0.8, 1.2),
      span95: within(3, 2, 4),
    };
    const heads = [head({ sampled })];
    const measures = headMeasures([], null, heads);
    const written = (id: string) => {
      const measure = findMeasure(measures, id);
      return [writeMeasure(measure, measure.value(heads[0]!)), writeInterval(measure, heads[0]!)];
    };
    assert.deepEqual(written('entropy'), ['1 nats', '0.8 to 1.2']);
    assert.deepEqual(written('missed'), ['40\u202f%', '30\u202f% to 50\u202f%']);
    assert.deepEqual(written('pairs'), ['25\u202f%', null]);
    assert.ok(!headMeasures([], null, [head({})]).some(({ id }) => id === 'missed'));
  });

  it('knows the recall of a mechanism only for the heads it was computed for', () => {
    const result = {
      setting: setting('local'),
      settled: {},
      scope: 'local' as const,
      recall: 0.8,
      sparsity: 0.5,
      outputError: 0.1,
      deltaLoss: null,
      deltaOutput: null,
      pairs: 1,
      densePairs: 2,
      milliseconds: 0,
      heads: [
        {
          core: 0,
          head: 0,
          recall: 0.8,
          recallP5: 0.7,
          outputError: 0.1,
          pairs: 1,
          densePairs: 2,
          uncovered: 0,
        },
      ],
      notes: [],
    };
    const recall = headMeasures([result]).find(m => m.id === 'recall-local')!;
    assert.equal(recall.value(head({})), 0.8);
    assert.equal(recall.value(head({ head: 1 })), null);
  });

  it('bins: density per token, cumulative to 1', () => {
    const bins = distanceBins(head({}));
    assert.deepEqual(
      bins.map(b => b.density),
      [0.5, 0.25, 0.0625, 0.03125],
    );
    assert.equal(bins[3]!.cumulative, 1);
  });

  it('soft mask: whole up to the span, then a ramp to nothing', () => {
    assert.equal(softMask(5, 5, 32), 1);
    assert.equal(softMask(21, 5, 32), 0.5);
    assert.equal(softMask(37, 5, 32), 0);
    assert.equal(massOutside(distanceBins(head({})), 1000, 32), 0);
    assert.ok(Math.abs(massOutside(distanceBins(head({})), 0, 1e-9) - 0.5) < 1e-9);
  });
});

describe('webview: labels of an axis', () => {
  it('are written where they have room, from the first on', () => {
    const at = (...places: number[]) => withRoom(places.map(place => ({ at: place, text: '10,000' })));
    assert.deepEqual(at(100, 200, 300), [true, true, true]);
    assert.deepEqual(at(100, 130, 160), [true, false, true]);
  });
});
