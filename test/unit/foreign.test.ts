import assert from 'node:assert/strict';
import { foreign, markdown, oneSentence, told, visible, withoutLinks } from '../../shared/foreign';

/** Names that a stranger may give to a tensor, a file or a model. */
const LINK = '[Repair the model](command:workbench.action.terminal.new)';
const HOSTILE = [
  LINK,
  '![](https://example.org/seen.png)',
  '[ref]: https://example.org',
  '$(error) broken',
  '\u001b[2J\u001b]0;title\u0007',
  '\u009b31m',
  'abc\u202egnp.onnx',
  'a\u2066b\u2069\u200b\ufeff\u{e0041}',
  'x'.repeat(5000),
  'One. Two! Three? four\nfive',
  '\ud800',
];

describe('foreign names', () => {
  for (const name of HOSTILE)
    it(`only show: ${JSON.stringify(name.slice(0, 40))}`, () => {
      const shown = foreign(name);
      assert.ok(shown.length <= 120, `${shown.length} characters`);
      assert.doesNotMatch(shown, /[\p{Cc}\p{Cs}\u200b\u202a-\u202e\u2066-\u2069\ufeff]/u);
      assert.doesNotMatch(shown, /\][([:]|\$\(/);
      assert.doesNotMatch(shown, /[.!?]\s/);
    });

  it('are left as they are when they are harmless', () => {
    for (const name of [
      '/model/layers.0/attn/MatMul_1',
      '[CLS]',
      'größe',
      '日本語',
      '👩‍👩‍👧',
      'C:\\models\\a b.onnx',
    ])
      assert.equal(foreign(name), name);
  });

  it('keep both ends when they are cut', () => {
    const shown = foreign(`first${'x'.repeat(500)}last.onnx`);
    assert.match(shown, /^firstx+…x+last\.onnx$/);
  });

  it('share a sentence without pushing our own words out of it', () => {
    const sentence = told`The file ${'f'.repeat(4000)} is refused: the tensor ${'t'.repeat(4000)} has ${5} bytes, ${'not many'}.`;
    assert.ok(sentence.length <= 300);
    assert.match(sentence, /^The file f+…f+ is refused: the tensor t+…t+ has 5 bytes, not many\.$/);
    assert.equal(told`${'model.onnx'} holds no ONNX graph.`, 'model.onnx holds no ONNX graph.');
  });

  it('make one sentence of at most 300 characters of anything', () => {
    for (const name of HOSTILE) {
      const sentence = oneSentence(`It is refused: ${name}`);
      assert.ok(sentence.length <= 300 && !/[\n\p{Cc}]/u.test(sentence) && /[.!?]$/.test(sentence), sentence);
    }
  });

  it('are shown by escapes where they hide', () => {
    assert.equal(visible('a\u202eb\u001bc\u{e0041}'), 'a\\u202eb\\u001bc\\ue0041');
  });
});

describe('Markdown with foreign text', () => {
  it('has no links, pictures or addresses but those to the given commands', () => {
    const own = '[Pin](command:attentionInspector.pinToken?%5B1%5D)';
    assert.equal(withoutLinks(own, ['attentionInspector.pinToken']), own);
    for (const text of [
      LINK,
      '![](https://example.org/a.png)',
      '<https://example.org>',
      '[a]: https://x',
      own,
      '<img src=x>',
    ])
      assert.doesNotMatch(withoutLinks(text), /\][([:]|<[a-z]|:\/\//i, text);
    assert.doesNotMatch(withoutLinks(LINK, ['attentionInspector.pinToken']), /\]\(/);
  });

  it('shows foreign text as it is', () => {
    assert.equal(markdown('*a* [b](c) <d>'), '\\*a\\* \\[b\\]\\(c\\) \\<d\\>');
  });
});
