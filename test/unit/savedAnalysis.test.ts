import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { uncompressed } from '../../extension/analysis/savedBytes';
import { pack } from '../../shared/packed';
import { NO_SELECTION } from '../../shared/protocol/host';
import {
  FORMAT,
  readSaved,
  readSavedFile,
  UnreadableError,
  VERSION,
  type SavedAnalysis,
} from '../../shared/saved/analysis';
import { isOneSentence } from '../fuzz/message';
import { bombs } from '../fuzz/savedFiles';
import { random, splitTokens, summaryOf, SyntheticEngine } from '../webview/syntheticEngine';
import { effect, plan } from '../webview/syntheticPlan';

const TEXT = 'The cat sat on the mat. The cat sat on the mat again, and then it slept. '.repeat(6);
const TOKENS = 80;

function example(): SavedAnalysis {
  const engine = new SyntheticEngine({ layers: 2, heads: 3, tokens: splitTokens(TEXT, TOKENS) });
  const list = [{ kind: 'head', core: 0, head: 1 } as const];
  return {
    format: FORMAT,
    version: VERSION,
    document: { uri: 'file:///a.txt', name: 'a.txt', length: TEXT.length, selectionStart: null },
    text: TEXT,
    targetUri: null,
    summary: summaryOf(engine, TEXT, TOKENS),
    plan: plan(engine, { budget: 0.2 }),
    searching: 0.1,
    interventions: {
      list,
      result: { interventions: list, effect: effect([0.1], TOKENS), notes: [] },
    },
    selection: { ...NO_SELECTION, core: 1, head: 2, token: 7, change: { kind: 'plan' } },
    given: false,
  };
}

const bytesOf = (value: unknown) => pack(value).slice().buffer as ArrayBuffer;
const read = (value: unknown) => readSaved(bytesOf(value));

describe('a saved analysis', () => {
  it('is read as it was', () => {
    const saved = example();
    // What JSON has no word for is not there.
    assert.deepEqual(read(saved), structuredClone(saved));
  });

  it('has what losing each head costs, where that was measured', () => {
    const change = { delta: 0.1, low: 0, high: 0.2 };
    const ablation = (head: number) => ({
      measure: 'loss',
      heads: [{ core: 0, head, zero: change, mean: change }],
    });
    assert.deepEqual(read({ ...example(), ablation: ablation(0) }).ablation, ablation(0));
    assert.throws(() => read({ ...example(), ablation: ablation(99) }), /do not belong together/);
  });

  const wrong: [string, (saved: SavedAnalysis) => unknown, RegExp][] = [
    ['another program', () => ({ format: 'else' }), /^It is no saved analysis\.$/],
    ['a later version', saved => ({ ...saved, version: 99 }), /another version \(format 99, not 1\)/],
    ['a summary without its cores', saved => ({ ...saved, summary: {} }), /damaged at summary\./],
    ['a pinned token behind the text', saved => withSelection(saved, { token: TOKENS }), /belong together/],
    ['a head that the model lacks', saved => withSelection(saved, { core: 1, head: 3 }), /belong together/],
    ['tokens behind the text', saved => ({ ...saved, text: 'The' }), /do not belong together/],
    [
      'a change of another text',
      saved => ({ ...saved, plan: { ...saved.plan, effect: effect([0.1], TOKENS - 5) } }),
      /do not belong together/,
    ],
    [
      'a setting under a false name',
      saved => withSelection(saved, { mechanism: { name: 'local', params: {}, key: 'lsh' } }),
      /damaged at selection.mechanism/,
    ],
    [
      'an array where another is due',
      saved => ({ ...saved, summary: { ...saved.summary, loss: { mean: 1, perToken: [1, 2] } } }),
      /damaged at summary.loss.perToken/,
    ],
  ];
  for (const [what, change, reason] of wrong)
    it(`is refused with a reason: ${what}`, () => {
      assert.throws(
        () => read(change(example())),
        (error: Error) => {
          assert.ok(error instanceof UnreadableError, String(error));
          assert.match(error.message, reason);
          return true;
        },
      );
    });

  it('is refused or whole, whatever bytes are changed', () => {
    const whole = new Uint8Array(bytesOf(example()));
    const next = random(7);
    const size = new DataView(whole.buffer).getUint32(0, true);
    for (let round = 0; round < 150; round++) {
      const bytes = whole.slice(0, round % 5 === 0 ? Math.floor(next() * whole.length) : undefined);
      // Most of them in what names the parts, where a change does most.
      for (let flips = 0; flips < 3 && bytes.length > 0; flips++)
        bytes[Math.floor(next() * Math.min(bytes.length, size + 4))] = Math.floor(next() * 256);
      try {
        assert.equal(readSaved(bytes.buffer).version, VERSION);
      } catch (error) {
        assert.ok(error instanceof UnreadableError, (error as Error).stack);
      }
    }
  });

  for (const [what, make] of Object.entries(bombs))
    it(`that is small and stands for much is refused: ${what}`, async () => {
      const file = make();
      assert.ok(file.length < 1 << 20);
      const open = await uncompressed(file);
      assert.throws(
        () => readSavedFile(open),
        (error: Error) => {
          assert.ok(error instanceof UnreadableError, error.stack);
          assert.equal(error.message, 'It is damaged, or no saved analysis.');
          return true;
        },
      );
    });

  it('is refused in one sentence of at most 300 characters, whatever it says', () => {
    for (const odd of ['x'.repeat(5000), { a: 1 }, [[[]]], '[a](command:b) \u001b[31m'])
      for (const change of [
        { version: odd },
        { document: odd },
        { text: [odd] },
        { targetUri: { [String(odd)]: 1 } },
      ])
        assert.throws(
          () => read({ ...example(), ...change }),
          (error: Error) => error instanceof UnreadableError && isOneSentence(error.message),
          JSON.stringify(change).slice(0, 60),
        );
  });

  it('that opens to more than it may is refused', async () => {
    await assert.rejects(uncompressed(gzipSync(Buffer.alloc(1 << 20)), { most: 1 << 16 }), UnreadableError);
    assert.equal(
      (await uncompressed(gzipSync(Buffer.alloc(1 << 10)), { most: 1 << 16 })).byteLength,
      1 << 10,
    );
  });
});

function withSelection(saved: SavedAnalysis, change: object): SavedAnalysis {
  return { ...saved, selection: { ...saved.selection, ...change } };
}
