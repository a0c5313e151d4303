import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { writeEncoderDecoder } from '../../fixtures/encoderDecoder';
import {
  analyze,
  api,
  closeAll,
  openText,
  pickOtherText,
  run,
  until,
  withSettings,
} from '../support/session';

describe('a target text that the model reads', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pair-'));
  before(() => writeEncoderDecoder(folder));
  after(() => rmSync(folder, { recursive: true }));
  afterEach(closeAll);

  it('is hovered as tokens of its own, and attention to it is blocked in the decoder', async () => {
    const target = await openText('then it left');
    const source = await openText('the cat sat on the mat');
    await withSettings({ model: folder, mechanisms: [] }, async () => {
      await pickOtherText();
      const { summary } = await analyze(source);
      assert.equal(summary.target?.source, 'given');
      assert.equal(summary.loss?.perToken.length, summary.target.tokens.ids.length - 1);
      const hovers = await vscode.commands.executeCommand<vscode.Hover[]>(
        'vscode.executeHoverProvider',
        target.document.uri,
        new vscode.Position(0, 6),
      );
      const said = hovers.flatMap(({ contents }) =>
        contents.map(one => (typeof one === 'string' ? one : one.value)),
      );
      assert.match(said.join('\n'), /token 2 \(of 0 to 4\)/);

      const editor = await vscode.window.showTextDocument(target.document);
      editor.selection = new vscode.Selection(0, 5, 0, 7);
      await run('blockSelection');
      const state = await until('the effect', async () => {
        const now = (await api()).getState(source.document.uri);
        return now.status === 'ready' && now.interventions.result ? now : null;
      });
      assert.deepEqual(state.interventions.list, [
        { kind: 'span', core: null, head: null, from: 2, to: 3, queries: null, side: 'target' },
      ]);
      const { perToken } = state.interventions.result!.effect;
      assert.equal(perToken.length, 4);
      assert.ok(Math.abs(perToken[0]!) < 1e-5 && Math.abs(perToken[2]!) > 1e-5, 'from its first reader on');
    });
  });
});
