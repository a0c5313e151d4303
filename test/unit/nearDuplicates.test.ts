import assert from 'node:assert/strict';
import { NearDuplicates, SAME } from '../../engine/corpus/nearDuplicates';
import { seededUniform } from '../../shared/random';

const random = seededUniform(5);
const wordsOf = (count: number): string[] =>
  Array.from({ length: count }, () => `w${Math.floor(random() * 3000)}`);
/** The same words, each by chance another. */
const changed = (words: readonly string[], share: number): string[] =>
  words.map(word => (random() < share ? `x${Math.floor(random() * 3000)}` : word));
const shingles = (words: readonly string[]): Set<string> =>
  new Set(words.slice(4).map((_, at) => words.slice(at, at + 5).join(' ')));

function jaccard(a: readonly string[], b: readonly string[]): number {
  const [one, other] = [shingles(a), shingles(b)];
  const both = [...one].filter(shingle => other.has(shingle)).length;
  return both / (one.size + other.size - both);
}

describe('near-duplicates', () => {
  it('a text with a few words changed is the same, one with many is not', () => {
    const known = new NearDuplicates();
    const texts = Array.from({ length: 30 }, () => wordsOf(400));
    for (const [at, words] of texts.entries()) assert.equal(known.add(`${at}`, words.join(' ')), null);
    for (const [at, words] of texts.entries()) {
      const near = changed(words, 0.004);
      const found = known.add(`${at} again`, near.join('\n '));
      assert.equal(found?.of, `${at}`);
      assert.ok(Math.abs(found.similarity - jaccard(words, near)) < 0.13);
      const far = changed(words, 0.15);
      assert.ok(jaccard(words, far) < SAME - 0.13);
      assert.equal(known.add(`${at} otherwise`, far.join(' ')), null);
    }
  });

  it('short and empty texts', () => {
    const known = new NearDuplicates();
    assert.equal(known.add('a', 'Two words'), null);
    assert.equal(known.add('b', 'two  WORDS')?.of, 'a');
    assert.equal(known.add('c', ''), null);
    assert.equal(known.add('d', 'Three other words'), null);
  });
});
