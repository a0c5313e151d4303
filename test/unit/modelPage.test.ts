import assert from 'node:assert/strict';
import { modelPage, type PageAction } from '../../extension/views/modelPage';
import type { ModelInspection } from '../../shared/protocol/engine';

const t = (message: string, ...values: (string | number)[]) =>
  message.replace(/\{(\d)\}/g, (_, i) => String(values[Number(i)]));

const inspection: ModelInspection = {
  facts: {
    bytes: 12_345_678,
    irVersion: 8,
    opsets: [{ domain: '', version: 17 }],
    producer: 'pytorch',
    nodes: 321,
    inputs: [{ name: 'input_ids', type: 'int64', dims: ['batch', 'sequence'] }],
    outputs: [{ name: 'logits', type: 'float32', dims: null }],
    tokenizer: false,
  },
  info: {
    name: 'tiny',
    ref: 'tiny',
    kind: 'decoder',
    layers: 1,
    heads: 2,
    causal: true,
    parameters: 2_500_000,
    context: 2048,
    vocabulary: 8192,
    languageModelHead: true,
    cores: [{ core: 0, kind: 'self', layer: 0, heads: 2, kvHeads: 1, dim: 16, mask: 'causal', causal: true }],
    verified: { maxAbsDiff: 6e-6, maxRelDiff: 1e-7, bitEqual: true, reference: 'the uncut model' },
  },
  refused: null,
};

const use: PageAction = { label: 'Use', command: 'x.use', args: ['/a "b"/<c>.onnx'] };
const page = (state: Parameters<typeof modelPage>[0]['state'], name = 'tiny.onnx') =>
  modelPage({ name, language: 'en', source: 'vscode-resource:', state, t });

describe('extension: page of an .onnx file', () => {
  it('says what the file is, how the model was verified, and what each core is', () => {
    const html = page({ inspection, actions: [use] });
    for (const words of [
      '12.3 MB',
      'ai.onnx 17',
      'pytorch',
      '321',
      'batch × sequence',
      'the uncut model',
      '6.0e-6',
      'identical bits',
      'missing: without tokenizer.json',
      'causal',
      'dense',
    ])
      assert.ok(html.includes(words), words);
    assert.ok(
      html.includes(`command:x.use?${encodeURIComponent(JSON.stringify(use.args)).replaceAll("'", '&#39;')}`),
    );
  });

  it('keeps the facts of a file that cannot be used, with the reason', () => {
    const html = page({
      inspection: { ...inspection, info: null, refused: 'It has no attention.' },
      actions: [],
    });
    assert.match(html, /role="status">It has no attention\./);
    assert.match(html, /ai\.onnx 17/);
    assert.doesNotMatch(html, /Attention cores|command:/);
  });

  it('shows hostile names as text, without scripts', () => {
    const evil = `"><script>alert(1)</script><a href='command:evil'>\u202e`;
    const facts = {
      ...inspection.facts!,
      producer: evil,
      inputs: [{ name: evil, type: evil, dims: [evil] }],
    };
    const html = page({ inspection: { facts, info: null, refused: evil }, actions: [] }, evil);
    assert.doesNotMatch(html, /<script|<a |\u202e/);
    assert.match(html, /default-src &#39;none&#39;/);
  });
});
