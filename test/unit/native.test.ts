import assert from 'node:assert/strict';
import { byCore } from '../../engine/service/changedRun';
import { denseIsWhatIf, learnedNumber, learnedWords, nativeWords, standingOf } from '../../shared/native';
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

  it('take it as their own where their mask is all that makes them native', () => {
    const local = { name: 'local', native: true, params: { window: 64 } };
    const masked = { core: 0, heads: 2, attention: local, ownSetting: 'local', ownMask: true } as const;
    const choice = settingOf(findMechanism('dense').info, {});
    assert.deepEqual(byCore([masked as unknown as CoreInfo], [{ core: 0, head: 1, choice }]), [[null, null]]);
    assert.equal(standingOf(choice, [masked, {}]), 'native');
    assert.equal(denseIsWhatIf([masked, {}]), false);
    assert.equal(standingOf(choice, [masked, { attention: span }]), 'native in part');
    assert.equal(denseIsWhatIf([masked, { attention: span }]), true);
    assert.equal(standingOf({ key: 'local' }, [masked]), 'native');
  });
});
