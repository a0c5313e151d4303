import assert from 'node:assert/strict';
import { checkedAnalysis } from '../../engine/export/readAnalysis';
import { ANALYSIS_SCHEMA } from '../../engine/export/json';
import { diffOf } from '../../engine/service/diff';
import type { Interval } from '../../shared/protocol/engine';
import { meanInterval } from '../../shared/uncertainty';
import { gaussians } from '../oracle/inputs';

const WORDS = Array.from({ length: 400 }, (_, t) => `w${t}`);
const sha256 = (letter: string) => letter.repeat(64);

interface Made {
  model?: string;
  text?: string;
  heads?: number;
  losses?: ArrayLike<number> | null;
  tokens?: string[];
  entropy?: number;
  change?: ArrayLike<number>;
}

/** What `analyze --json` writes, as far as it is read. */
function made({
  model = 'a',
  text = 'a',
  heads = 2,
  losses,
  tokens = WORDS,
  entropy = 1,
  change,
}: Made = {}) {
  const perToken =
    losses === undefined ? tokens.map((_, t) => 2 + (t % 7) / 7) : losses && Array.from(losses);
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const deltas = change && Array.from(change);
  return {
    schema: ANALYSIS_SCHEMA,
    provenance: { model: { sha256: sha256(model) }, inputs: [{ name: 'text', sha256: sha256(text) }] },
    model: { name: 'm', layers: 1, heads },
    tokens: tokens.length + 1,
    layers: [
      {
        core: 0,
        kind: 'self',
        layer: 0,
        heads: Array.from({ length: heads }, (_, head) => ({
          ...{ head, entropy: entropy + head, meanDistance: 3, span90: 1, span95: 2, span99: 3 },
          roles: [{ role: head === 0 ? 'previous' : 'self', score: 0.5 }],
        })),
      },
    ],
    loss: perToken && { mean: mean(perToken), perToken, tokens },
    mechanisms: deltas
      ? [
          {
            ...{
              name: 'local',
              setting: 'local:window=8',
              scope: 'propagated',
              recall: 0.5,
              outputError: 0.2,
            },
            ...{ pairs: 10, densePairs: 100, deltaLoss: mean(deltas), deltaLossPerToken: deltas },
          },
        ]
      : [],
  };
}

const diff = (a: Made, b: Made) =>
  diffOf(checkedAnalysis(made(a), 'a.json'), checkedAnalysis(made(b), 'b.json'));

describe('differences between analyses', () => {
  it('of one with itself are none, in heads, tokens and loss', () => {
    const { loss, tokens, heads, same, notes } = diff({}, {});
    assert.deepEqual(same, { model: true, text: true, tokens: true });
    assert.deepEqual(loss!.interval, { low: 0, high: 0 });
    assert.equal(loss!.delta, 0);
    assert.ok(tokens!.every(({ delta }) => delta === 0) && tokens!.length === 400);
    assert.ok(heads!.every(({ entropy, span95 }) => entropy.delta === 0 && span95.delta === 0));
    assert.deepEqual(notes, []);
  });

  it('pairs the losses of the same tokens: the interval is that of the changes, not of the losses', () => {
    const losses = gaussians(400, 3).map(x => 5 + x);
    const { loss, tokens } = diff({ losses }, { losses: losses.map((x, t) => x + 0.1 + (t % 2) / 100) });
    assert.ok(Math.abs(loss!.delta - 0.105) < 1e-5 && loss!.paired);
    const { low, high } = loss!.interval!;
    assert.ok(low > 0.104 && high < 0.106, `${low} to ${high}`);
    assert.deepEqual(
      tokens!.slice(0, 2).map(({ token, text }) => [token, text]),
      [
        [1, 'w0'],
        [2, 'w1'],
      ],
    );
  });

  it('of two texts under one model is unpaired, with the interval of two independent means', () => {
    const [x, y] = [gaussians(400, 5), gaussians(300, 9)];
    const other = { text: 'b', losses: y.map(v => 5.5 + v), tokens: WORDS.slice(0, 300).map(w => `${w}!`) };
    const { loss, tokens, heads } = diff({ losses: x.map(v => 5 + v) }, other);
    assert.ok(!loss!.paired && tokens === null && heads !== null);
    const width = ({ low, high }: Interval) => high - low;
    const [first, second] = [x, y].map(values => width(meanInterval([values])!));
    const { low, high } = loss!.interval!;
    assert.ok(Math.abs((high - low) / Math.hypot(first!, second!) - 1) < 0.1, `${low} to ${high}`);
    assert.ok(low < loss!.delta && loss!.delta < high);
  });

  it('compares the same mechanism, its loss paired', () => {
    const change = WORDS.map((_, t) => (t % 3) / 10);
    const { mechanisms } = diff({ change }, { change: change.map(x => x + 0.05) });
    assert.equal(mechanisms.length, 1);
    const { loss, pairs } = mechanisms[0]!;
    assert.ok(Math.abs(loss!.delta - 0.05) < 1e-9 && loss!.paired && pairs.a === 0.1);
    assert.ok(Math.abs(loss!.interval!.high - 0.05) < 1e-9);
  });

  it('compares two models by their losses where they have other heads, and by their heads where these are alike', () => {
    const wider = diff({}, { model: 'b', heads: 3 });
    assert.ok(wider.heads === null && wider.loss!.paired);
    const tuned = diff({}, { model: 'b', entropy: 2 });
    assert.deepEqual(
      tuned.heads!.map(({ entropy }) => entropy.delta),
      [1, 1],
    );
  });

  it('refuses what has no meaning', () => {
    const tokens = WORDS.map(word => word.toUpperCase());
    assert.throws(() => diff({}, { model: 'b', tokens }), /no difference between them has a meaning/);
    assert.throws(
      () => diff({}, { model: 'b', heads: 3, losses: null }),
      /no difference|not both have a loss/,
    );
    const same = { losses: null };
    assert.equal(diff(same, { ...same, model: 'b', entropy: 4 }).heads![0]!.entropy.delta, 3);
  });

  it('reads foreign files with care: one sentence for each fault', () => {
    const whole = made({});
    const wrong: [unknown, RegExp][] = [
      [null, /is not an analysis/],
      [[], /is not an analysis/],
      [{ ...whole, schema: 'other' }, /is not an analysis/],
      [{ ...whole, layers: 7 }, /layers/],
      [{ ...whole, layers: [{ ...whole.layers[0], heads: [{ head: 0 }] }] }, /layers\.0\.heads\.0/],
      [{ ...whole, loss: { ...whole.loss, tokens: ['x'] } }, /has not a token for each number/],
      [{ ...whole, loss: { ...whole.loss, mean: null } }, /loss\.mean/],
      [{ ...whole, loss: { ...whole.loss, mean: Infinity } }, /loss\.mean/],
      [{ ...whole, tokens: -1 }, /tokens/],
      [{ ...whole, provenance: { model: { sha256: '../x' }, inputs: [] } }, /no SHA-256/],
    ];
    for (const [value, message] of wrong) {
      assert.throws(
        () => checkedAnalysis(value, 'x.json'),
        (error: Error) => {
          assert.equal(error.name, 'RefusedError');
          assert.match(error.message, message);
          return true;
        },
      );
    }
  });
});
