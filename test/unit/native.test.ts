import assert from 'node:assert/strict';
import { byCore } from '../../engine/service/changedRun';
import { learnedNumber, learnedWords, nativeWords } from '../../shared/native';
import type { CoreInfo } from '../../shared/protocol/engine';
import { settingOf } from '../../engine/attention/parameters';
import { findMechanism } from '../../engine/attention/registry';

const span = { name: 'adaptive-span', native: true, params: { ramp: 32, span: [3, 40] } };

describe('native cores', () => {
  it('say so, and what each head learned', () => {
    assert.equal(nativeWords(span), 'native: adaptive-span');
    assert.equal(nativeWords(undefined), null);
    assert.equal(nativeWords({ name: 'dense', native: false, params: {} }), null);
    assert.equal(learnedNumber(span, 'span', 1), 40);
    assert.equal(learnedNumber(span, 'ramp', 0), null);
    assert.equal(learnedNumber(undefined, 'span', 0), null);
    assert.deepEqual(learnedWords(span, 1), ['span 40']);
    const shaped = { name: 'shaped', native: true, params: { alpha: [1, 0.517], beta: [2, 1] } };
    assert.deepEqual(learnedWords(shaped, 1), ['alpha 0.517', 'beta 1']);
    assert.deepEqual(learnedWords(undefined, 0), []);
  });

  it('take dense attention as a what-if; a dense core stays as it is', () => {
    const info = (core: number, more: object) => ({ core, heads: 2, ...more }) as CoreInfo;
    const choice = settingOf(findMechanism('dense').info, {});
    const heads = [0, 1].map(core => ({ core, head: 1, choice }));
    const [native, dense] = byCore([info(0, { attention: span }), info(1, {})], heads);
    assert.deepEqual(native, [null, choice]);
    assert.deepEqual(dense, [null, null]);
  });
});
