import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { shared } from '../../webview/ui/styles';
import { THEMES } from '../webview/themes';

describe('webview: what is chosen', () => {
  it('has a text colour of its own pair in every theme, those that leave one of the two out as well', () => {
    const styles = [shared.cssText, readFileSync('webview/views/sideStyles.ts', 'utf8')].join('\n');
    const used = [...styles.matchAll(/var\(--vscode-list-activeSelectionForeground(.*)\);/g)];
    assert.equal(used.length, 2);
    for (const [, fallback] of used) assert.equal(fallback, ', inherit');
    const { variables } = THEMES['high-contrast-light'];
    assert.equal(variables['list-activeSelectionForeground'], undefined);
  });
});
