import assert from 'node:assert/strict';
import type { Page } from 'playwright-core';
import type { SaveFileParams, ViewName } from '../../shared/protocol/host';
import { violations } from './support/accessibility';
import { until } from './support/until';
import { viewsAlone } from './support/viewsAlone';

/** Figures for print: what is saved is opened again and looked at. */
describe('a figure', function () {
  this.timeout(60_000);
  const views = viewsAlone({ layers: 2, heads: 4, tokens: 200 });

  const dialog = async (view: ViewName, options: object = {}, width = 700) => {
    const { page } = await views.open(
      {
        theme: 'high-contrast',
        selection: { core: 1, head: 2, token: 40 },
        view: { view, options: { figure: { width: 'column', ...options } } },
      },
      width,
    );
    await page.locator('#figure').first().waitFor();
    await page.getByRole('button', { name: 'Figure…' }).click();
    await page.locator('ai-figure img').waitFor();
    return page;
  };
  const saved = async (page: Page, kind: 'svg' | 'png' | 'pdf') => {
    await page.getByRole('button', { name: `Save ${kind.toUpperCase()}` }).click();
    return until(
      () =>
        views
          .sent('request')
          .filter(one => one.method === 'host/saveFile')
          .map(one => one.params as SaveFileParams)
          .find(params => params.kind === kind) ?? null,
    );
  };
  const bytesOf = ({ data }: SaveFileParams) => Buffer.from(Object.values(data as unknown as number[]));

  for (const view of ['overview', 'head', 'spans', 'buckets', 'compare', 'text', 'cost', 'lenses'] as const)
    it(`of ${view} is as wide as a column, light, whole, and says what it shows`, async () => {
      const page = await dialog(view);
      const svg = String((await saved(page, 'svg')).data);
      assert.match(svg, /^<svg [^>]*width="89mm"/);
      const { outside, words, corner } = await rendered(page, svg);
      assert.deepEqual(outside, [], 'nothing stands outside of the picture');
      assert.equal(corner, '255,255,255', 'paper');
      assert.ok(words.includes(`Model: ${views.summary.model.name}; text: sample.txt, 200 tokens.`), words);
      // The page itself is as it was, when one is done.
      await page.getByRole('button', { name: 'Close' }).click();
      await page.locator('ai-figure').waitFor({ state: 'detached' });
      assert.equal(await page.evaluate('getComputedStyle(document.body).backgroundColor'), 'rgb(0, 0, 0)');
    });

  it('is dark, of two columns and without legend or caption where that is wanted', async () => {
    const page = await dialog('overview', { colours: 'dark', width: 'page', legend: false, caption: false });
    const svg = String((await saved(page, 'svg')).data);
    assert.match(svg, /^<svg [^>]*width="183mm"/);
    const { words, corner } = await rendered(page, svg);
    assert.match(corner, /^1[67],1[67],1[67]$/);
    assert.ok(!words.includes('Model:') && !words.includes('induction'), words);
    assert.equal((svg.match(/<image /g) ?? []).length, 8, 'a thumbnail for each head, and no colour bar');
  });

  it('has text as tall as asked for', async () => {
    const size = async (points: number) => {
      const page = await dialog('spans', { points, width: 'page' });
      return Number(/text ([\d.]+) pt/.exec(await page.locator('ai-figure .said').innerText())![1]);
    };
    assert.ok(Math.abs((await size(6)) - 6) < 0.3);
    assert.ok(Math.abs((await size(10)) - 10) < 0.5);
  });

  it('is a PNG that knows its size, a PDF page of that size, and is copied', async () => {
    const page = await dialog('overview');
    const png = bytesOf(await saved(page, 'png'));
    assert.equal(png.subarray(37, 41).toString('latin1'), 'pHYs');
    const wide = png.readUInt32BE(16);
    assert.ok(Math.abs((wide / png.readUInt32BE(41)) * 1000 - 89) < 0.1, 'millimetres');
    const pdf = bytesOf(await saved(page, 'pdf')).toString('latin1');
    assert.match(pdf, /^%PDF-1\.4/);
    const [, width] = /MediaBox \[0 0 ([\d.]+)/.exec(pdf)!;
    assert.ok(Math.abs((Number(width) / 72) * 25.4 - 89) < 0.1);
    const table = Number(/startxref\n(\d+)/.exec(pdf)![1]);
    assert.equal(pdf.slice(table, table + 4), 'xref');
    assert.deepEqual(await violations(page.mainFrame()), []);
  });
});

/** What a browser makes of a saved picture: what stands outside of it, its words, the colour of its corner. */
function rendered(page: Page, svg: string) {
  return page.evaluate(async source => {
    const holder = document.createElement('div');
    holder.innerHTML = source;
    document.body.append(holder);
    const picture = holder.querySelector('svg')!;
    const frame = picture.getBoundingClientRect();
    const outside = [...picture.querySelectorAll('rect, text, image')]
      .filter(element => !element.closest('[clip-path], clipPath, svg svg'))
      .filter(element => {
        const box = element.getBoundingClientRect();
        return (
          box.left < frame.left - 1 ||
          box.right > frame.right + 1 ||
          box.top < frame.top - 1 ||
          box.bottom > frame.bottom + 1
        );
      })
      .map(element => element.outerHTML.slice(0, 200));
    const words = [...picture.querySelectorAll('text')].map(text => text.textContent).join(' ');
    holder.remove();
    const image = new Image();
    image.src = `data:image/svg+xml,${encodeURIComponent(source)}`;
    await image.decode();
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 1;
    const context = canvas.getContext('2d')!;
    context.drawImage(image, 0, 0);
    const corner = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).join();
    return { outside, words, corner };
  }, svg);
}
