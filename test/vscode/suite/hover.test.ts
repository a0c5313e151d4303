import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import type { TokenTable } from '../../../shared/protocol/engine';
import { analyze, api, closeAll, hoverAt, openText, run } from '../support/session';

/** Scripts, combining marks, surrogate pairs and joined emoji; every listed word is hovered. */
const TEXT = [
  'plain words first',
  'naïve cafe\u0301 Ångström',
  'emoji 😀 and 👩‍👩‍👧 joined 👍🏽 end',
  'עברית שלום עולם',
  'العربية مرحبا',
  '汉字 漢字 日本語',
  '𝒳𝒴𝒵 math',
].join('\n');
const WORDS = ['words', 'cafe\u0301', 'Ångström', '😀', '👩‍👩‍👧', '👍🏽', 'שלום', 'مرحبا', '漢字', '𝒳𝒴𝒵', 'math'];

/** The tokens on [start, end), found the slow and plain way. */
function tokensOn(table: TokenTable, start: number, end: number): number[] {
  return [...table.ids.keys()].filter(
    t => table.end[t]! > table.start[t]! && table.start[t]! < end && table.end[t]! > start,
  );
}

describe('hover', () => {
  afterEach(closeAll);

  it('stands on the whole word and tells of its tokens, in every script', async () => {
    const editor = await openText(TEXT);
    const { summary } = await analyze(editor);
    for (const word of WORDS) {
      const start = TEXT.indexOf(word);
      for (const offset of [start, start + word.length - 1]) {
        const hover = await hoverAt(editor.document, offset);
        assert.ok(hover, `hover on ${word} at ${offset}`);
        assert.equal(editor.document.getText(hover.range), word);
        const tokens = tokensOn(summary.tokens, start, start + word.length);
        assert.ok(tokens.length > 0);
        const told = /tokens? (\d+)(?: to (\d+))? \(of 0 to \d+\)/.exec(hover.text)!;
        const [first, last] = [Number(told[1]), Number(told[2] ?? told[1])];
        assert.deepEqual([first, last], [tokens[0], tokens.slice(0, 12).at(-1)], `tokens of ${word}`);
      }
    }
  });

  it('says nothing of a document that was not analyzed', async () => {
    const editor = await openText('Nobody asked.');
    assert.equal(await hoverAt(editor.document, 2), undefined);
  });

  it('has the mass of the selected head, all of it when the token sees one key', async () => {
    const editor = await openText('One two three four five six seven.');
    const { summary } = await analyze(editor);
    const special = summary.tokens.special[0] === 1;
    const first = await hoverAt(editor.document, 0);
    // The first token of a causal model sees itself alone (and a start token, if there is one).
    if (!special) {
      assert.match(first!.text, /Looks at: [^·\n]*100\s% \(itself\)/);
      assert.match(first!.text, /entropy (?:0|[\d.]+e−\d+) nats/);
    }
    const later = await hoverAt(editor.document, 10);
    const looks = /Looks at: (.*)/.exec(later!.text)![1]!;
    const masses = [...looks.matchAll(/([\d.]+)\s%/g)].map(match => Number(match[1]));
    assert.ok(masses.length > 1 && masses.length <= 3);
    assert.deepEqual(
      masses,
      [...masses].sort((a, b) => b - a),
    );
    assert.ok(masses.reduce((a, b) => a + b) <= 100.5);
    for (const { setting } of summary.mechanisms)
      assert.match(later!.text, new RegExp(`\\| ${setting.name.replace('-', '\\\\-')}`));
  });

  it('pins the token at the cursor and unpins it again', async () => {
    const inspector = await api();
    const editor = await openText('One two three four five.');
    const { summary } = await analyze(editor);
    const { document } = editor;
    const start = document.getText().indexOf('three');
    const at = document.positionAt(start + 1);
    editor.selection = new vscode.Selection(at, at);
    await run('pinToken');
    const pinned = inspector.getSelection().token;
    assert.equal(pinned, tokensOn(summary.tokens, start, start + 'three'.length)[0]);
    await run('pinToken');
    assert.equal(inspector.getSelection().token, null);
  });

  it('pins by its link, and takes no token that is not there', async () => {
    const inspector = await api();
    const editor = await openText('One two three four five.');
    await analyze(editor);
    const uri = editor.document.uri.toString();
    const link = /\(command:attentionInspector\.pinToken\?([^)]*)\)/.exec(
      (await hoverAt(editor.document, 5))!.text,
    );
    const [linkUri, token] = JSON.parse(decodeURIComponent(link![1]!)) as [string, number];
    assert.equal(linkUri, uri);
    await run('pinToken', linkUri, token);
    assert.equal(inspector.getSelection().token, token);
    await run('pinToken', uri, 1e6);
    await run('pinToken', uri, 'x');
    await run('pinToken', 'file:///elsewhere', 0);
    assert.equal(inspector.getSelection().token, token);
    await run('clear');
    assert.equal(inspector.getSelection().token, null);
  });
});
