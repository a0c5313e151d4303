import assert from 'node:assert/strict';
import type { CoreInfo, TokenAttention, TokenTable } from '../../shared/protocol/engine';
import {
  describeHead,
  hoverText,
  predictionText,
  tokenCode,
  type Translate,
} from '../../extension/editor/hoverText';
import { scaled, step, STEPS, weight, WEIGHTS } from '../../extension/editor/massScale';
import { signed } from '../../shared/numbers';
import { setting } from '../support/settings';

const t: Translate = (message, ...args) =>
  message.replace(/\{(\d)\}/g, (_, index) => String(args[Number(index)]));

/** What is between the isolating marks. */
const bare = (code: string) => code.replace(/[\u2068\u2069]/g, '');

describe('extension: a token as Markdown code', () => {
  it('shows spaces, ends of lines and tabs', () => {
    assert.equal(bare(tokenCode(' the')), '`␣the`');
    assert.equal(bare(tokenCode('\n')), '`⏎`');
    assert.equal(bare(tokenCode('\r\n\t')), '`⏎⇥`');
    assert.equal(bare(tokenCode('')), '`∅`');
  });

  it('cannot be broken out of', () => {
    assert.equal(bare(tokenCode('`')), '`` ` ``');
    assert.equal(bare(tokenCode('a```b')), '```` a```b ````');
    assert.equal(bare(tokenCode('a|b', true)), '`a¦b`');
    assert.equal(bare(tokenCode('[x](command:evil)')), '`[x](command:evil)`');
    assert.ok(!tokenCode('x\u2028y\n').includes('\u2028'));
  });

  it('is isolated from text of the other direction, and shows direction marks', () => {
    assert.equal(tokenCode('שלום'), '\u2068`שלום`\u2069');
    assert.equal(bare(tokenCode('a\u202eb')), '`a\\u202eb`');
  });
});

describe('extension: text of a hover', () => {
  const tokens: TokenTable = {
    ids: Int32Array.of(1, 2, 3),
    start: Int32Array.of(0, 3, 7),
    end: Int32Array.of(3, 7, 11),
    text: ['The', ' cat', ' sat'],
    special: new Uint8Array(3),
    total: 3,
  };
  const attention: TokenAttention = {
    token: 1,
    entropy: 0.6931,
    loss: 3.21,
    looksAt: [
      { token: 0, mass: 0.75 },
      { token: 1, mass: 0.25 },
    ],
    looksAtSide: 'text',
    lookedAtBySide: 'text',
    lookedAtBy: [{ token: 2, mass: 0.5 }],
    kept: [
      {
        mechanism: setting('local', { window: 1 }),
        mass: 0.25,
        costliestLost: { token: 0, mass: 0.75 },
        deltaLoss: null,
      },
    ],
  };
  const options = {
    text: 'The cat sat',
    tokens,
    of: 'layer 3, head 5',
    stale: false,
    links: () => '[Pin](command:x)',
    pin: (token: number, words: string) => `[${words}](command:pin${token})`,
    cores: [],
    mechanisms: [],
    t,
  };
  const text = (change: Partial<TokenAttention> = {}, stale = false) =>
    bare(hoverText([{ ...attention, ...change }], { ...options, stale }));

  it('names the token, the head and their numbers', () => {
    assert.match(text(), /^layer 3, head 5\n/);
    assert.match(
      text(),
      /`␣cat`\*\* token 1 \(of 0 to 2\) · entropy 0\.693 nats · loss 3\.21 nats · \[Pin\]/,
    );
    assert.doesNotMatch(text({ loss: null }), /loss/);
  });

  it('says where it looks and who looks at it, with mass and distance', () => {
    assert.match(
      text(),
      /Looks at: \[`The`\]\(command:pin0\) cat sat 75\u202f% \(1 back\) · …?The \[`cat`\]\(command:pin1\) sat 25\u202f% \(itself\)/,
    );
    assert.match(text(), /Looked at by: .*\[`sat`\]\(command:pin2\) 50\u202f% \(1 ahead\)/);
  });

  it('says what the head does and what losing it costs, where that is known', () => {
    const about = ['induction 39\u202f%', 'without it the loss changes by +0.05 nats'];
    assert.match(
      bare(hoverText([attention], { ...options, about })),
      /^layer 3, head 5 · induction 39\u202f% · without/,
    );
  });

  it('has three lines for a whole word, its subwords joined', () => {
    const pieces: TokenTable = {
      ids: Int32Array.of(1, 2, 3, 4, 5),
      start: Int32Array.of(0, 2, 4, 7, 9),
      end: Int32Array.of(2, 4, 7, 9, 12),
      text: ['Wh', 'it', ' sa', 'w ', 'Wh'],
      special: new Uint8Array(5),
      total: 5,
    };
    const bytes = { ...attention, kept: [], lookedAtBy: [], loss: 1 };
    const word = [
      {
        ...bytes,
        token: 2,
        looksAt: [
          { token: 0, mass: 0.5 },
          { token: 1, mass: 0.25 },
        ],
      },
      {
        ...bytes,
        token: 3,
        looksAt: [
          { token: 0, mass: 0.25 },
          { token: 1, mass: 0.5 },
        ],
      },
    ];
    const shown = bare(hoverText(word, { ...options, text: 'Whit saw Whit', tokens: pieces }));
    const [, lines] = shown.split('\n\n');
    assert.equal(lines!.split('\n').length, 2, 'nothing looks at it');
    assert.match(lines!, /tokens 2 to 3 \(of 0 to 4\) · entropy 0\.693 nats · loss 2 nats/);
    assert.match(lines!, /Looks at: \[`Whit`\]\(command:pin0\).* 75\u202f% \(2 back\)$/);
  });

  it('has the cross attention of a mean beside that within the text', () => {
    const across = { looksAt: [{ token: 1, mass: 0.6 }], lookedAtBy: [] };
    const other = {
      text: 'Die Katze saß',
      tokens: {
        ...tokens,
        start: Int32Array.of(0, 3, 9),
        end: Int32Array.of(3, 9, 13),
        text: ['Die', ' Katze', ' saß'],
      },
    };
    const shown = bare(
      hoverText([{ ...attention, across, looksAtSide: 'target', lookedAtBySide: 'target' }], {
        ...options,
        side: 'target',
        other,
      }),
    );
    assert.match(shown, /Looks at: \[`The`\]/);
    assert.match(shown, /Looks at \(in the source text\): .*`Katze`.* 60\u202f%/);
  });

  it('says what is predicted, before and after what was taken away', () => {
    const before = [
      { id: 1, text: ' on', probability: 0.5 },
      { id: 2, text: '`', probability: 0.25 },
    ];
    const came = { id: 1, text: ' on', before: 0.5, after: null };
    const prediction = { token: 1, of: 'next' as const, before, after: null, came };
    assert.equal(
      bare(predictionText(prediction, t)),
      'Predicted next: `␣on` 50\u202f%, `` ` `` 25\u202f%  \n`␣on` stands there: 50\u202f%',
    );
    const changed = { ...prediction, after: before.slice(1), came: { ...came, after: 0.125 } };
    assert.match(
      bare(predictionText(changed, t)),
      /Without what was taken away: `` ` `` 25\u202f% {2}\n`␣on` stands there: 50\u202f%, then 12\.5\u202f%$/,
    );
    assert.match(
      predictionText({ ...prediction, of: 'masked', came: null }, t),
      /^Predicted in its place: [^\n]*$/,
    );
  });

  it('has a row for each mechanism, with the costliest lost key', () => {
    assert.match(text(), /\| local, what\\-if \| 25\u202f% \| `The` 75\u202f% \(1 back\) \|/);
    const kept = attention.kept.map(one => ({ ...one, deltaLoss: 0.021, costliestLost: null }));
    assert.match(text({ kept }), /\| 25\u202f% \| none \| \+0\.021 nats \|/);
    assert.match(text({ kept }), /loss change \(propagated\)/);
  });

  it('has one row for each mechanism over a word of several tokens', () => {
    const word = [attention, { ...attention, token: 2, kept: [{ ...attention.kept[0]!, mass: 0.75 }] }];
    const shown = bare(hoverText(word, options));
    assert.match(shown, /\| local, what\\-if \| 50\u202f% \| `The` 75\u202f% \(1 back\) \|/);
    assert.equal([...shown.matchAll(/\[Pin\]/g)].length, 1);
  });

  it('tells two settings of one mechanism apart', () => {
    const [one] = attention.kept;
    const kept = [one!, { ...one!, mechanism: setting('local', { window: 8 }) }];
    assert.match(text({ kept }), /\| local \\\(window 8\\\), what\\-if \|/);
  });

  it('tells what the plan keeps', () => {
    const [one] = attention.kept;
    const planned = setting('lsh', { rounds: 2 });
    const kept = [one!, { ...one!, mechanism: planned, deltaLoss: -0.5 }];
    const shown = bare(hoverText([{ ...attention, kept }], { ...options, planned }));
    assert.match(shown, /\| local, what\\-if \| 25\u202f%/);
    assert.match(
      shown,
      /\| the plan: lsh \\\(bucketSize 64, rounds 2, .*\\\), what\\-if \| 25\u202f% \| .* \| −0\.5 nats \|/,
    );
    const dense = bare(hoverText([attention], { ...options, planned: setting('dense') }));
    assert.match(dense, /leaves this head dense/);
    assert.doesNotMatch(text(), /plan/);
  });

  it('says that the text has changed', () => {
    assert.doesNotMatch(text(), /has changed/);
    assert.match(text({}, true), /The text has changed/);
  });

  it('says of which text the linked tokens are', () => {
    const start = Int32Array.of(0, 3, 9);
    const end = Int32Array.of(3, 9, 13);
    const other = {
      text: 'Die Katze saß',
      tokens: { ...tokens, start, end, text: ['Die', ' Katze', ' saß'] },
    };
    const shown = (change: Partial<TokenAttention>, side: 'text' | 'target') =>
      bare(hoverText([{ ...attention, ...change }], { ...options, side, other }));
    const query = shown({ looksAtSide: 'text', lookedAtBy: [], lookedAtBySide: 'target' }, 'target');
    assert.match(query, /`␣cat`\*\* token 1 \(of 0 to 2\) · entropy/);
    assert.match(
      query,
      /Looks at \(in the source text\): \[`Die`\].* 75\u202f% · .*\[`Katze`\].* 25\u202f%\n/,
    );
    assert.match(query, /\| local, what\\-if \| 25\u202f% \| `Die` 75\u202f% \|/);
    assert.doesNotMatch(query, /Looked at by|back|itself/);
    const key = shown({ looksAt: [], looksAtSide: 'text', lookedAtBySide: 'target' }, 'text');
    assert.match(key, /Looked at by \(in the target text\): .*\[`saß`\].* 50\u202f%$/);
    assert.doesNotMatch(key, /entropy|Looks at|mechanism/);
    assert.match(shown({ looksAt: [], lookedAtBy: [] }, 'text'), /choose a head of its own side/);
  });

  it('says of what the mean is', () => {
    const info = { kvHeads: 2, heads: 2, dim: 8, mask: 'causal', causal: true };
    const cores: CoreInfo[] = [
      { ...info, core: 0, layer: 0, kind: 'self' },
      { ...info, core: 1, layer: 0, kind: 'cross' },
    ];
    assert.equal(describeHead({ core: null, head: null }, cores, t), 'mean of all heads');
    assert.equal(describeHead({ core: 0, head: null }, cores, t), 'mean of the heads of layer 0');
    assert.equal(describeHead({ core: 0, head: 1 }, cores, t), 'layer 0, head 1');
    const attention = { name: 'lsh', native: true, params: {} };
    const native = cores.map(info => ({ ...info, attention }));
    assert.equal(describeHead({ core: 0, head: 1 }, native, t), 'layer 0, head 1 (native: lsh)');
    assert.equal(describeHead({ core: 1, head: 1 }, cores, t), 'cross layer 0, head 1');
  });
});

describe('extension: numbers and scales', () => {
  it('has at most three significant digits', () => {
    assert.equal(signed(-0.5), '−0.5');
    assert.equal(signed(0), '0');
  });

  it('scales between nothing and the heaviest', () => {
    for (const scale of ['linear', 'sqrt', 'log'] as const) {
      assert.equal(scaled(0, 1, scale), 0);
      assert.equal(scaled(0.3, 0.3, scale), 1);
      assert.equal(scaled(0.1, 0, scale), 0);
      assert.equal(step(0.3, 0.3, scale), STEPS);
    }
    assert.equal(scaled(0.25, 1, 'linear'), 0.25);
    assert.equal(scaled(0.25, 1, 'sqrt'), 0.5);
    assert.equal(scaled(0.01, 1, 'log'), 0.5);
    assert.equal(scaled(1e-6, 1, 'log'), 0);
  });

  it('underlines a link by its own mass, whatever the heaviest is', () => {
    assert.deepEqual([0.001, 0.09, 0.1, 0.45, 0.999].map(weight), [0, 0, 1, 2, WEIGHTS.length]);
  });
});
