import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CorpusProfile } from '../../shared/protocol/corpus';
import { ready } from '../webview/fakeHost';
import { editedAnalysis, withLoss } from '../webview/syntheticPair';
import { THEME_NAMES } from '../webview/themes';
import { EVERY_WAY, WIDTHS } from '../webview/ways';
import { cutWords, mutePictures, violations } from './support/accessibility';
import { madeCorpus } from './support/madeCorpus';
import { viewsAlone } from './support/viewsAlone';

/**
 * Every view in every theme and width: nothing is cut off sideways, axe finds nothing wrong, and what a picture shows can be
 * read without seeing it.
 */
describe('every view', function () {
  this.timeout(180_000);
  const size = { layers: 2, heads: 4, tokens: 150 };
  const views = viewsAlone(size);
  let corpus: CorpusProfile;

  before(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'every-view-'));
    corpus = await madeCorpus(folder);
    rmSync(folder, { recursive: true });
  });

  for (const { name, state } of EVERY_WAY)
    it(`can be read in every theme at 500, 900 and 1,800 px: ${name}`, async () => {
      const { page, host } = await views.open(
        {
          view: state,
          analysis: ready(withLoss(structuredClone(views.summary))),
          selection: { core: 1, head: 1, token: 20 },
          corpus,
          others: [editedAnalysis(views.text, size)],
        },
        WIDTHS[0],
      );
      // The Corpus view has several pictures, each by itself.
      await page.locator('#figure, ai-corpus ai-scatter').first().waitFor();
      await page.waitForTimeout(300);
      assert.deepEqual(await mutePictures(page.mainFrame()), []);
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 800 });
        // Pictures are laid out anew a moment later, which moves what is beside them.
        const hidden = () => page.locator('main').evaluate(main => main.scrollWidth - main.clientWidth);
        let [calm, wide] = [0, 0];
        for (let tries = 0; tries < 80 && calm < 3; tries++) {
          wide = await hidden();
          calm = wide <= 1 ? calm + 1 : 0;
          await page.waitForTimeout(50);
        }
        assert.equal(calm, 3, `${wide} px are out of sight at ${width} px`);
        assert.deepEqual(await cutWords(page.mainFrame()), [], `${width} px`);
        // Colours do not depend on the width, nor the layout on the theme: all themes at one width, all widths in one.
        for (const theme of width === WIDTHS[0] ? THEME_NAMES : THEME_NAMES.slice(0, 1)) {
          await host.setTheme(theme);
          await page.waitForTimeout(60);
          assert.deepEqual(await violations(page.mainFrame()), [], `${theme}, ${width} px`);
        }
      }
    });

  it('can be read in every theme in the side panel, whose bars can be compared', async () => {
    const { page, host } = await views.open(
      { place: 'side', selection: { core: 1, head: 1, token: 20 } },
      300,
      1000,
    );
    await page.locator('ai-side .item').first().waitFor();
    const frame = page.mainFrame();
    assert.deepEqual(await mutePictures(frame), []);
    assert.deepEqual(await cutWords(frame), []);
    for (const theme of THEME_NAMES) {
      await host.setTheme(theme);
      await page.waitForTimeout(60);
      assert.deepEqual(await violations(frame), [], theme);
    }
    const rooms = await page
      .locator('ai-side .item .bar')
      .evaluateAll(bars => bars.map(bar => Math.round(bar.getBoundingClientRect().width)));
    assert.equal(new Set(rooms).size, 1, `full bars are ${rooms.join(', ')} px long`);
  });
});
