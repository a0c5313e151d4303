import assert from 'node:assert/strict';
import { readMechanisms } from '../../extension/workbench/mechanismSetting';
import { ownBuffers } from '../../extension/engine/ownBuffers';
import { isViewMessage } from '../../extension/views/viewMessage';
import { webviewHtml } from '../../extension/views/webviewHtml';
import { setting } from '../support/settings';
import { mechanismInfos } from '../../engine/attention/registry';

describe('extension: setting of mechanisms', () => {
  it('takes names and objects', () => {
    const list = ['local', { name: 'lsh', params: { rounds: 3, bucketSize: null } }];
    const { given, settings, problems } = readMechanisms(list, mechanismInfos);
    assert.deepEqual(settings, [setting('local'), setting('lsh', { rounds: 3 })]);
    assert.deepEqual(
      given.map(({ name }) => name),
      ['local', 'lsh'],
    );
    assert.deepEqual(problems, []);
    assert.deepEqual(readMechanisms(list, null), { given, settings: [], problems });
  });

  it('leaves out what cannot be read, and says which', () => {
    const list = [
      3,
      '',
      { params: {} },
      { name: 'local', params: [1] },
      { name: 'local', params: { window: { deep: 1 } } },
      'lsh',
      { name: 'lsh', params: { rounds: 2 } },
    ];
    const { settings, problems } = readMechanisms(list, mechanismInfos);
    assert.deepEqual(settings, [setting('lsh')]);
    assert.deepEqual(
      problems.map(problem => Number(/^Entry (\d)/.exec(problem)?.[1])),
      [1, 2, 3, 4, 5, 7],
    );
    assert.deepEqual(readMechanisms('local', null).problems, ['The setting is not a list.']);
    assert.deepEqual(readMechanisms(undefined, null), { given: [], settings: [], problems: [] });
  });

  it('hands on to the engine what no mechanism can be set to, and says so', () => {
    const list = ['loca', { name: 'local', params: { window: 0 } }, 'lsh'];
    const { given, settings, problems } = readMechanisms(list, mechanismInfos);
    assert.equal(given.length, 3);
    assert.deepEqual(settings, [setting('lsh')]);
    assert.match(problems.join(), /Entry 1: There is no mechanism "loca".*Entry 2: .*at least 1/);
  });
});

describe('extension: messages of a view', () => {
  it('takes what the protocol has', () => {
    for (const message of [
      { type: 'ready' },
      { type: 'request', id: 1, method: 'analysis/tile', params: {} },
      { type: 'select', selection: { core: 1, head: null } },
      { type: 'select', selection: { mechanism: setting('local') } },
      { type: 'select', selection: { mechanism: null } },
      { type: 'preview', token: null },
      { type: 'reveal', tokens: [1, 2] },
      { type: 'openView', view: 'spans' },
      { type: 'findPlan', budget: 0.1, mechanisms: ['local'] },
      { type: 'findPlan', budget: 0.1, unit: 'kv', mechanisms: [] },
      { type: 'cancelPlan' },
      { type: 'changePlan', change: { core: 0, head: 1, choice: setting('local', { window: 3 }) } },
      { type: 'exportPlan', format: 'flex' },
      {
        type: 'intervene',
        toggle: { kind: 'mechanism', core: null, head: null, choice: setting('local') },
      },
      { type: 'viewState', view: { view: 'head', options: { head: { camera: '0,0' } } } },
      { type: 'log', level: 'error', message: 'x' },
    ])
      assert.ok(isViewMessage(message), JSON.stringify(message));
  });

  it('refuses everything else', () => {
    for (const message of [
      null,
      'ready',
      [],
      {},
      { type: 'constructor' },
      { type: '__proto__' },
      { type: 'request', id: 'a', method: 'analysis/tile', params: {} },
      { type: 'request', id: 1, method: 'analysis/tile' },
      { type: 'select', selection: { core: -1 } },
      { type: 'select', selection: { token: 1.5 } },
      { type: 'select', selection: { other: 1 } },
      { type: 'select', selection: { mechanism: { name: 3 } } },
      { type: 'reveal', tokens: ['1'] },
      { type: 'openView', view: 'elsewhere' },
      { type: 'findPlan', budget: 2, mechanisms: [] },
      { type: 'findPlan', budget: 0.1, mechanisms: [1] },
      { type: 'findPlan', budget: 0.1, unit: 'euro', mechanisms: [] },
      { type: 'changePlan', change: { core: 0, head: 1, choice: null } },
      { type: 'changePlan', change: { core: 0, head: 1, choice: { name: 'local' } } },
      { type: 'exportPlan', format: 'exe' },
      { type: 'intervene', toggle: { kind: 'mechanism', core: null, head: null } },
      { type: 'viewState', view: {} },
      { type: 'viewState', view: { view: 'elsewhere', options: {} } },
      { type: 'viewState', view: { view: 'head', options: { head: 1 } } },
      { type: 'log', level: 'dispose', message: 'x' },
    ])
      assert.ok(!isViewMessage(message), JSON.stringify(message));
  });
});

describe('extension: typed arrays from the engine', () => {
  it('get a buffer of their own, wherever they are', () => {
    const message = new ArrayBuffer(1000);
    const shared = new Float32Array(message, 100, 3).fill(0.5);
    const whole = new Int32Array([1, 2]);
    const value = ownBuffers({ a: [{ row: shared }], whole, text: 'x', none: null });
    assert.equal(value.a[0]!.row.buffer.byteLength, 12);
    assert.ok(value.a[0]!.row instanceof Float32Array);
    assert.deepEqual([...value.a[0]!.row], [0.5, 0.5, 0.5]);
    assert.equal(value.whole, whole);
    const view = new DataView(message, 8, 4);
    view.setInt32(0, 42);
    assert.equal(ownBuffers(view).buffer.byteLength, 4);
    assert.equal(ownBuffers(view).getInt32(0), 42);
  });
});

describe('extension: page of a view', () => {
  const page = () =>
    webviewHtml({
      place: 'side',
      title: 'A "B" <c>',
      language: 'en',
      script: 'S?a&b',
      style: 'T',
      source: 'src:',
    });

  it('allows nothing but its own script and styles', () => {
    const policy = /Content-Security-Policy" content="([^"]*)"/.exec(page())![1]!;
    assert.match(policy, /^default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe-eval|script-src[^;]*unsafe-inline|\*/);
    const nonce = /script-src 'nonce-([^']+)'/.exec(policy)![1]!;
    assert.equal([...page().matchAll(/<script /g)].length, 1);
    assert.match(page(), /<script nonce="[^"]{20,}"/);
    assert.notEqual(/script-src 'nonce-([^']+)'/.exec(page())![1], nonce, 'a new nonce for each page');
  });

  it('escapes what it is given', () => {
    assert.match(page(), /<title>A &#34;B&#34; &#60;c&#62;<\/title>/);
    assert.match(page(), /src="S\?a&#38;b"/);
  });
});
