import assert from 'node:assert/strict';
import { VIEW_NAMES } from '../../shared/protocol/host';
import { ready } from '../webview/fakeHost';
import { until } from './support/until';
import { viewsAlone } from './support/viewsAlone';

/** The wide panel around its views. */
describe('the panel', function () {
  this.timeout(60_000);
  const views = viewsAlone();

  for (const width of [500, 700, 900])
    it(`says whole which text, model and selection it shows, at ${width} px`, async () => {
      const analysis = ready(views.summary);
      if (analysis.status !== 'ready') throw new Error('not ready');
      const name = 'a-name-of-a-file-that-somebody-was-careful-to-choose-for-an-experiment.txt';
      const { page } = await views.open(
        {
          analysis: { ...analysis, document: { ...analysis.document, name, selectionStart: 3 } },
          selection: { core: 1, head: 2, token: 20 },
        },
        width,
      );
      const group = page.getByRole('group', { name: 'What is shown' });
      await group.waitFor();
      const words = (await group.innerText()).replace(/\s+/g, ' ');
      for (const part of [name, 'selection', views.summary.model.name, 'layer 1, head 2', 'token 20'])
        assert.ok(words.includes(part), `${part} in "${words}"`);
      const hidden = await group.evaluate(
        element =>
          [element, ...element.querySelectorAll('*')].filter(
            one =>
              (one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== 'visible') ||
              one.getBoundingClientRect().right > innerWidth,
          ).length,
      );
      assert.equal(hidden, 0, 'nothing is cut off');
    });

  it('has the tab of every view whole and within reach of the mouse at 500 px', async () => {
    const { page } = await views.open({}, 500);
    await page.getByRole('tab').first().waitFor();
    const tabs = await page.getByRole('tab').all();
    assert.equal(tabs.length, VIEW_NAMES.length);
    for (const tab of tabs) {
      const { x, width } = (await tab.boundingBox())!;
      assert.ok(x >= 0 && x + width <= 500, `${await tab.innerText()} at ${x} to ${x + width} px`);
      await tab.click({ trial: true });
    }
  });

  it('names the text of each side of a decoder', async () => {
    const { summary } = views;
    const kinds = ['encoder', 'decoder', 'cross', 'cross'] as const;
    const cores = summary.cores.map((core, at) => ({ ...core, info: { ...core.info, kind: kinds[at]! } }));
    const target = { text: views.text, tokens: summary.tokens, source: 'given' as const };
    const model = { ...summary.model, cores: cores.map(({ info }) => info) };
    const { page, host } = await views.open({
      analysis: ready({ ...summary, model, cores, target }),
      selection: { core: 2, head: 0 },
    });
    const shown = page.getByRole('group', { name: 'What is shown' });
    await until(async () => (await shown.innerText()).includes('from the target text to the analyzed text'));
    host.select({ core: 1 });
    await until(async () => (await shown.innerText()).includes('within the target text'));
  });
});
