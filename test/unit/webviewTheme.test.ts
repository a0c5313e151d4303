import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { diverging, lutColour, type Rgb } from '../../webview/draw/colour';
import { stateStyles } from '../../webview/ui/stateStyles';
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

describe('webview: what is out of date', () => {
  it('is faded, with better and worse as different still', () => {
    const [, share] = /\.is-stale \{\s*filter: saturate\(([\d.]+)\);/.exec(stateStyles.cssText) ?? [];
    const kept = Number(share);
    assert.ok(kept < 1);
    // As the Filter Effects specification has it: each channel's distance from the luminance is multiplied.
    const faded = (colour: Rgb) => {
      const grey = 0.213 * colour[0] + 0.715 * colour[1] + 0.072 * colour[2];
      return colour.map(channel => grey + kept * (channel - grey));
    };
    const grey: Rgb = [128, 128, 128];
    for (const dark of [true, false]) {
      const background: Rgb = dark ? [31, 31, 31] : [255, 255, 255];
      const others = { foreground: grey, muted: grey, border: grey, focus: grey };
      const lut = diverging({ dark, highContrast: false, background, ...others });
      const [better, worse] = [lutColour(lut, 0), lutColour(lut, 1)].map(faded);
      assert.ok(Math.hypot(...better!.map((channel, at) => channel - worse![at]!)) > 60);
    }
  });
});
