import { readFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';

/** Several pictures in one, each under its name: to be looked at side by side. */
export async function contactSheet(
  browser: Browser,
  pictures: { name: string; file: string }[],
  columns: number,
  out: string,
): Promise<void> {
  const page = await browser.newPage({ viewport: { width: 1800, height: 800 } });
  const cells = pictures.map(({ name, file }) => {
    const data = readFileSync(file).toString('base64');
    return `<figure><figcaption>${name}</figcaption><img src="data:image/png;base64,${data}"></figure>`;
  });
  await page.setContent(`<style>
    body { margin: 0; background: #777; font: 12px sans-serif; display: grid; gap: 4px; align-items: start;
      grid-template-columns: repeat(${columns}, 1fr); }
    figure { margin: 0; }
    figcaption { background: #fff; padding: 1px 4px; }
    img { width: 100%; display: block; }
  </style>${cells.join('')}`);
  await page.screenshot({ path: out, fullPage: true });
  await page.close();
}
