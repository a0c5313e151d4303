import assert from 'node:assert/strict';
import { chooseTexts, type ChooseOptions } from '../../engine/corpus/chooseTexts';
import type { PlanEngine } from '../../engine/service/plan/texts';

/** A corpus of texts of one line; `spread` says how far plan and uniform choices differ there. */
const corpus = new Map(
  Array.from({ length: 20 }, (_, at) => [
    `${at}.txt`,
    { tokens: 200 + 37 * ((7 * at) % 20), spread: (11 * at) % 20 },
  ]),
);
corpus.set('short.txt', { tokens: 40, spread: 100 });
const files = [...corpus.keys(), 'broken.txt', 'copy.txt'].map(file => ({ file, kind: 'txt' }));
const read = async (file: string): Promise<string> => {
  if (file === 'broken.txt') throw new Error('It holds binary data.');
  return file === 'copy.txt' ? '3.txt' : file;
};

const options: ChooseOptions = {
  model: 'm',
  device: 'cpu',
  budget: 0.1,
  mechanisms: [],
  maxRuns: 20,
  maxTokens: null,
  stability: false,
  choose: 'random',
  texts: 4,
  heldOut: 5,
  seed: 1,
};

/** Answers what choosing asks, and keeps an account. */
function engineOf() {
  const open = new Map<string, string>();
  const fits: string[][] = [];
  const engine = {
    tokens: async ({ text }: { text: string }) => ({ tokens: { ids: { length: corpus.get(text)!.tokens } } }),
    analyze: async ({ id, text }: { id: string; text: string }) => void open.set(id, text),
    plan: async (ids: readonly string[]) => {
      fits.push(ids.map(id => open.get(id)!));
      return { assignment: [], uniform: [1, 2, 3, 4], random: [1] };
    },
    testPlan: async (id: string, { uniform, random }: { uniform: unknown[]; random: unknown[] }) => {
      assert.deepEqual([uniform.length, random.length], [3, 0]);
      const { spread } = corpus.get(open.get(id)!)!;
      return { effect: { delta: spread }, uniform: [{ delta: 0 }, { delta: 0 }] };
    },
    request: async (_: string, { id }: { id: string }) => void open.delete(id),
  };
  return { engine: engine as unknown as PlanEngine, open, fits };
}

const choose = async (more: Partial<ChooseOptions> = {}) => {
  const { engine, open, fits } = engineOf();
  const chosen = await chooseTexts(
    engine,
    files,
    read,
    { ...options, ...more },
    new AbortController().signal,
  );
  assert.equal(open.size, 0, 'analyses are left');
  const names = chosen.fitted.map(({ name }) => name);
  return { ...chosen, names, tested: chosen.heldOut.map(({ name }) => name), fits };
};

describe('texts that a plan is fitted to', () => {
  it('says what cannot be used, and counts the rest', async () => {
    const { skipped, names, tested, left } = await choose();
    const why = Object.fromEntries(skipped.map(({ name, why: reason }) => [name, reason]));
    assert.equal(why['broken.txt'], 'It holds binary data.');
    assert.equal(why['short.txt'], 'it has 40 tokens, and a plan needs 128');
    assert.match(why['copy.txt'] ?? why['3.txt']!, /^nearly the same as (3|copy)\.txt \(100 %\)$/);
    assert.equal(skipped.length, 3);
    assert.equal(names.length + tested.length + left, 20);
    assert.equal(new Set([...names, ...tested]).size, 9);
  });

  it('every way is tested on the same texts; another seed on others', async () => {
    const ways = await Promise.all(
      (['random', 'short-first', 'active'] as const).map(way => choose({ choose: way })),
    );
    for (const { tested, names } of ways) {
      assert.deepEqual(tested, ways[0]!.tested);
      assert.equal(names.length, 4);
    }
    assert.notDeepEqual((await choose({ seed: 2 })).tested, ways[0]!.tested);
  });

  it('short first: none that is left is shorter', async () => {
    const { names, tested } = await choose({ choose: 'short-first' });
    const longest = Math.max(...names.map(name => corpus.get(name)!.tokens));
    for (const [name, { tokens }] of corpus) {
      if (name !== 'short.txt' && name !== '3.txt' && !names.includes(name) && !tested.includes(name))
        assert.ok(tokens >= longest);
    }
  });

  it('actively: fitted anew each time, and the next text is where plan and rivals differ most', async () => {
    const { names, fits } = await choose({ choose: 'active' });
    assert.deepEqual(fits, [names.slice(0, 1), names.slice(0, 2), names.slice(0, 3)]);
    const { names: drawn } = await choose({ texts: 11 });
    // The first is drawn; then the most of the next six that are left.
    const left = drawn.slice(1).filter(name => corpus.has(name));
    const looked = left.slice(0, 6).map(name => corpus.get(name)!.spread);
    assert.equal(corpus.get(names[1]!)!.spread, Math.max(...looked));
  });

  it('a small corpus: one text at least is fitted to', async () => {
    const { engine } = engineOf();
    const few = files.slice(0, 3);
    const chosen = await chooseTexts(engine, few, read, options, new AbortController().signal);
    assert.deepEqual([chosen.fitted.length, chosen.heldOut.length, chosen.left], [1, 2, 0]);
  });
});
