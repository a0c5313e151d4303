import assert from 'node:assert/strict';
import { mechanismInfos } from '../../engine/attention/registry';
import {
  AUTO,
  chosenParams,
  describeSetting,
  distinct,
  isSetting,
  numberOf,
  numberOrAuto,
  readSetting,
  SettingError,
} from '../../shared/setting';

const read = (name: string, params: Record<string, unknown> = {}) =>
  readSetting({ name, params }, mechanismInfos);

describe('settings', () => {
  it('have every parameter of the mechanism, in its order, and say what follows from the text', () => {
    for (const info of mechanismInfos) {
      const { params, key } = read(info.name);
      assert.deepEqual(
        Object.keys(params),
        info.parameters.map(p => p.name),
      );
      for (const parameter of info.parameters)
        assert.equal(params[parameter.name], parameter.default ?? AUTO, `${info.name}.${parameter.name}`);
      assert.ok(key === info.name || key.startsWith(`${info.name}:`));
    }
    assert.equal(read('strided').key, 'strided:stride=auto');
    assert.equal(read('dense').key, 'dense');
  });

  it('are the same when their keys are: however they were written', () => {
    const [first, ...others] = [
      read('lsh'),
      read('lsh', { rounds: 2 }),
      read('lsh', { bucketSize: '64', rounds: ' 2 ' }),
      read('lsh', { sharedQK: 'False', rounds: null }),
      read('lsh', { rounds: 2.0, bucketSize: '6.4e1' }),
    ];
    for (const other of others) assert.deepEqual(other, first);
    assert.equal(read('longformer', { globals: '7 + 0|3,3' }).key, 'longformer:window=64;globals=0,3,7');
    assert.equal(read('adaptive-span', { ramp: -0 }).key, read('adaptive-span', { ramp: 0 }).key);
  });

  it('differ when what was asked for differs, though it may come to the same on a text', () => {
    const keys = [{}, { stride: 8 }, { stride: 23 }].map(params => read('strided', params).key);
    assert.equal(new Set(keys).size, 3);
    for (const info of mechanismInfos) {
      for (const parameter of info.parameters.filter(p => p.default === null)) {
        const [auto, given] = [read(info.name), read(info.name, { [parameter.name]: 1 })];
        assert.notEqual(auto.key, given.key);
        assert.equal(read(info.name, { [parameter.name]: AUTO }).key, auto.key);
      }
    }
  });

  it('refuse what they cannot be, in one sentence', () => {
    const refuses = (pattern: RegExp, name: string, params?: Record<string, unknown>) =>
      assert.throws(
        () => read(name, params),
        error => error instanceof SettingError && pattern.test(error.message),
      );
    refuses(/no mechanism "loca"/, 'loca');
    refuses(/no parameter "windows" \(it has: window\)/, 'local', { windows: 3 });
    refuses(/window of local must be a whole number, not "1.5"/, 'local', { window: 1.5 });
    refuses(/must be at least 1/, 'strided', { stride: 0 });
    refuses(/must be a number, not "auto"/, 'local', { window: AUTO });
    refuses(/must be one of exact, iterative/, 'nystrom', { pinv: 'svd' });
    refuses(/must be true or false/, 'lsh', { sharedQK: 'maybe' });
    refuses(/must be token indices, not "0,-1"/, 'longformer', { globals: '0,-1' });
  });

  it('know themselves in a message', () => {
    const setting = read('strided', { stride: 4 });
    assert.ok(isSetting(JSON.parse(JSON.stringify(setting))));
    assert.ok(!isSetting({ ...setting, params: { stride: 5 } }), 'a key of other parameters');
    assert.ok(!isSetting({ name: 'strided', params: { stride: 4 } }), 'no key');
    assert.ok(!isSetting({ ...setting, params: { stride: { deep: 1 } } }));
    assert.ok(!isSetting(null));
  });

  it('each once: the first of those that are the same', () => {
    const list = [read('lsh'), read('local'), read('lsh', { rounds: 2 }), read('lsh', { rounds: 3 })];
    assert.deepEqual(distinct(list), [list[0], list[1], list[3]]);
    assert.equal(distinct(list)[0], list[0]);
  });

  it('tell what was chosen, and never fill in', () => {
    assert.deepEqual(chosenParams(read('routing', { window: 8 })), {
      window: 8,
      sharedQK: false,
      localHeads: 0,
      localWindow: 256,
    });
    assert.equal(describeSetting(read('strided')), 'strided');
    assert.equal(describeSetting(read('local', { window: 9 })), 'local (window 9)');
    const { params } = read('strided');
    assert.equal(numberOrAuto(params, 'stride', 23), 23);
    assert.throws(() => numberOf(params, 'stride'), /no number \(auto\)/);
    assert.throws(() => numberOrAuto({}, 'stride', 23), /no number \(undefined\)/);
  });
});
