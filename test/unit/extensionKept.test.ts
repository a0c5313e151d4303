import assert from 'node:assert/strict';
import { CostMemory } from '../../extension/analysis/costMemory';
import { CrashedDevices } from '../../extension/engine/crashedDevices';
import { Kept, shortText } from '../../extension/kept';
import { isViewState, viewState } from '../../extension/views/viewState';
import { Memory } from '../support/memory';

const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, i]));
const HOSTILE: unknown[] = [
  null,
  7,
  'head',
  [],
  {},
  { view: 'head' },
  { view: 'nowhere', options: {} },
  { view: ['head'], options: {} },
  { view: 'head', options: { head: 1 } },
  { view: 'head', options: { head: { camera: { deep: 1 } } } },
  { view: 'head', options: { head: { camera: 'x'.repeat(100_000) } } },
  { view: 'head', options: { head: { zoom: NaN } } },
  { view: 'head', options: { head: many(5000) } },
  { view: 'head', options: Object.fromEntries(Object.keys(many(5000)).map(name => [name, {}])) },
];

describe('extension: what outlives the window', () => {
  const state = {
    view: 'spans',
    options: { spans: { ramp: 16, by: 'mass', on: true, none: null } },
  } as const;

  it('comes back as it was kept, under the version of its form', async () => {
    const memory = new Memory();
    const kept = new Kept(memory, 'view.panel', viewState);
    assert.equal(kept.value, null);
    await kept.keep(state);
    assert.deepEqual(memory.get('view.panel'), { version: 1, value: state });
    assert.deepEqual(kept.value, state);
    await kept.keep(null);
    assert.equal(memory.get('view.panel'), undefined);
  });

  it('counts as nothing where it is of another version, or not as it must be', async () => {
    const memory = new Memory();
    const kept = new Kept(memory, 'view.panel', viewState);
    const others = [state, { value: state }, { version: 0, value: state }, { version: 2, value: state }];
    for (const value of [...others, ...HOSTILE, ...HOSTILE.map(each => ({ version: 1, value: each }))]) {
      await memory.update('view.panel', value);
      assert.equal(kept.value, null, JSON.stringify(value)?.slice(0, 200));
    }
  });

  it('takes no names of prototypes', async () => {
    const hostile = JSON.parse(
      '{"version": 1, "value": {"view": "head", "__proto__": {"options": {}}, "options": {"__proto__": {"a": 1}, "constructor": {"b": 1}, "head": {"__proto__": "x", "z": 1}}}}',
    ) as unknown;
    const memory = new Memory();
    await memory.update('view.panel', hostile);
    const found = new Kept(memory, 'view.panel', viewState).value;
    assert.deepEqual(found, { view: 'head', options: { head: { z: 1 } } });
    assert.equal(Object.getPrototypeOf(found!.options), Object.prototype);
    assert.equal(({} as { a?: unknown }).a, undefined);
  });

  it('is held to the same form when a page says it', () => {
    assert.ok(isViewState(state));
    for (const value of HOSTILE) assert.ok(!isViewState(value), JSON.stringify(value)?.slice(0, 200));
  });

  it('breaks nothing that reads it: devices, measurements, names', async () => {
    for (const value of [
      ...HOSTILE,
      [null],
      [{ device: 'toaster' }],
      [{ shape: null }],
      'x',
      { version: 1, value: [null] },
    ]) {
      const memory = new Memory();
      for (const key of ['crashedDevices', 'costs', 'name']) await memory.update(key, value);
      const devices = new CrashedDevices(memory, '1.0.0');
      assert.deepEqual(devices.all, []);
      const shape = { dim: 8, valueDim: 8, causal: true, heads: 1 };
      const costs = new CostMemory(memory as never);
      assert.equal(costs.recall('cpu', shape), null);
      assert.equal(new Kept(memory, 'name', shortText).value, null);
      const measured = { shape, device: 'cpu', machine: 'm', date: 'd', points: [], notes: [] } as const;
      await costs.keep({ ...measured, points: [], notes: [] });
      assert.equal(costs.recall('cpu', shape)?.date, 'd');
    }
  });
});
