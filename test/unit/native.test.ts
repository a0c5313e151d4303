import assert from 'node:assert/strict';
import { byCore } from '../../engine/service/changedRun';
import {
  denseIsWhatIf,
  learnedNumber,
  learnedWords,
  nativeWords,
  standingOf,
  standingWords,
} from '../../shared/native';
import type { CoreInfo } from '../../shared/protocol/engine';
import { settingOf } from '../../engine/attention/parameters';
import { findMechanism, mechanismInfos } from '../../engine/attention/registry';

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

  it('are one of two maps where the model subtracts them: a what-if stays within its subtraction', () => {
    const attention = { name: 'differential', native: true, params: { lambda: 0.2, factor: [1, -0.2] } };
    const core = { attention, ownMask: true } as const;
    const words = (setting: { name: string; key: string }) => standingWords(setting, [core], mechanismInfos);
    assert.equal(nativeWords(attention), 'native: differential, a head is one of two maps');
    assert.deepEqual(learnedWords(attention, 1), ['factor −0.2']);
    assert.equal(words(settingOf(findMechanism('dense').info, {})), 'native');
    assert.equal(denseIsWhatIf([core]), false);
    const [local, performer] = ['local', 'performer'].map(name => settingOf(findMechanism(name).info, {}));
    assert.equal(words(local!), "what-if within the model's subtraction");
    assert.equal(words(performer!), "what-if within the model's subtraction, approximate");
  });
});
