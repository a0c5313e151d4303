import assert from 'node:assert/strict';
import { VIEW_NAMES } from '../../shared/protocol/host';
import { THEME_NAMES } from '../webview/themes';
import { violations } from './support/accessibility';
import { viewsAlone } from './support/viewsAlone';

/** Every view in every theme and width: nothing is cut off sideways, and axe finds nothing wrong. */
describe('every view', function () {
  this.timeout(120_000);
  const views = viewsAlone({ layers: 2, heads: 4, tokens: 150 });

  for (const view of VIEW_NAMES.filter(name => name !== 'corpus' && name !== 'lenses'))
    it(`can be read in every theme at 500, 900 and 1,800 px: ${view}`, async () => {
      const { page, host } = await views.open(
        { view: { view, options: {} }, selection: { core: 1, head: 1, token: 20 } },
        500,
      );
      await page.locator('#figure').first().waitFor();
      await page.waitForTimeout(300);
      for (const width of [500, 900, 1800]) {
        await page.setViewportSize({ width, height: 800 });
        // Pictures are laid out anew a moment later.
        const hidden = () => page.locator('main').evaluate(main => main.scrollWidth - main.clientWidth);
        for (let tries = 0; tries < 50 && (await hidden()) > 1; tries++) await page.waitForTimeout(100);
        assert.ok((await hidden()) <= 1, `${await hidden()} px are out of sight at ${width} px`);
        // Colours do not depend on the width, nor the layout on the theme: all themes at one width, all widths in one.
        for (const theme of width === 500 ? THEME_NAMES : THEME_NAMES.slice(0, 1)) {
          await host.setTheme(theme);
          await page.waitForTimeout(60);
          assert.deepEqual(await violations(page.mainFrame()), [], `${theme}, ${width} px`);
        }
      }
    });
});
