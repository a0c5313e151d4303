import assert from 'node:assert/strict';
import { join } from 'node:path';
import { parseHubRef } from '../../engine/model/source/hub';
import { absoluteRef, hubId, precisionOf, typedRef, type Disk } from '../../extension/model/modelRef';

const disk = (found: string[] = [], folder: string | null = '/ws'): Disk => ({
  folder,
  home: '/home/me',
  exists: path => found.includes(path),
});

describe('extension: model references', () => {
  it('takes a hub id as typed or as pasted, and nothing else', () => {
    assert.equal(hubId(' org/na.me-1 '), 'org/na.me-1');
    assert.equal(hubId('org/name@v1.0'), 'org/name@v1.0');
    assert.equal(hubId('https://huggingface.co/org/name/'), 'org/name');
    const wrong = [
      '',
      'name',
      '/org/name',
      'org/',
      'org/../x',
      '../x/y',
      'a b/c',
      'org/name/x',
      'org/model.onnx',
    ];
    for (const typed of wrong) assert.equal(hubId(typed), null, typed);
  });

  it('takes only ids that the engine takes', () => {
    for (const typed of ['org/name', 'a/b@main', 'https://huggingface.co/o.r-g/n_1'])
      assert.ok(parseHubRef(hubId(typed)!), typed);
  });

  it('tells the precision by the name of the file', () => {
    assert.equal(precisionOf('onnx/model.onnx'), null);
    assert.equal(precisionOf('onnx/model_fp16.onnx'), 'float16');
    assert.equal(precisionOf('onnx/decoder_model_merged_quantized.onnx'), '8-bit');
    assert.equal(precisionOf('model_q4f16.onnx'), '4-bit weights, float16');
    assert.equal(precisionOf('model_q4.onnx'), '4-bit weights');
  });

  it('keeps a file of a hub model apart from a file of the workspace', () => {
    const ref = (given: string, found: string[] = [], folder: string | null = '/ws') =>
      absoluteRef(given, disk(found, folder));
    const file = 'org/name/onnx/model_int8.onnx';
    assert.equal(ref(file), file);
    assert.ok(parseHubRef(file));
    assert.equal(ref(file, [join('/ws', file)]), join('/ws', file));
    assert.equal(ref('org/name@v1/model.onnx'), 'org/name@v1/model.onnx');
    assert.equal(ref('models/a.onnx'), join('/ws', 'models/a.onnx'));
    assert.equal(ref('./org/name/a.onnx'), join('/ws', 'org/name/a.onnx'));
    assert.equal(ref('~/models'), join('/home/me', 'models'));
    assert.equal(ref('a.onnx', [], null), 'a.onnx');
    for (const same of ['bundled', 'org/name', '/abs/a.onnx']) assert.equal(ref(same), same);
  });

  it('takes what exists on the disk before a model of the hub', () => {
    const found = ['/ws/bert', '/ws/models/bert', '/ws/bundled'].map(path => join(path));
    const ref = (given: string) => absoluteRef(given, disk(found));
    assert.equal(ref('bert'), join('/ws/bert'));
    assert.equal(ref('models/bert'), join('/ws/models/bert'));
    assert.equal(ref('models/gpt'), 'models/gpt');
    assert.equal(ref('bundled'), 'bundled');
    assert.equal(absoluteRef('bert', disk(found, null)), 'bert');
  });

  it('offers what was typed, if it can be a model', () => {
    const typed = (text: string) => typedRef(text, disk([join('/ws/bert')]));
    for (const text of [
      './bert',
      './missing',
      '../x',
      '/abs/x',
      '~/x',
      'C:\\x',
      'a.onnx',
      'bert',
      'org/name',
    ])
      assert.equal(typed(text), text, text);
    assert.equal(typed('https://huggingface.co/org/name'), 'org/name');
    for (const text of ['', ' ', 'gpt', 'two words', '.']) assert.equal(typed(text), null, text);
  });
});
