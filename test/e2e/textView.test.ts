import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { CHROMIUM_ARGUMENTS, findChromium } from '../../scripts/lib/chromium.mjs';
import { ROOT } from '../../scripts/lib/project.mjs';
import type { SaveFileParams, ViewMessage } from '../../shared/protocol/host';
import { bundleWebview } from '../webview/bundle';
import { FakeHost, ready } from '../webview/fakeHost';
import { MECHANISMS, SyntheticEngine, splitTokens, summaryOf } from '../webview/syntheticEngine';
import type { ThemeName } from '../webview/themes';
import { violations } from './support/accessibility';
import { setting } from '../support/settings';
import { until } from './support/until';

const TEXT = readFileSync(join(ROOT, 'test', 'fixtures', 'sample.txt'), 'utf8');
const TOKENS = 400;

/** The Text view in a browser without VS Code. */
describe('the text view', function () {
  this.timeout(60_000);
  const tokens = splitTokens(TEXT, TOKENS);
  const engine = new SyntheticEngine({ layers: 4, heads: 6, tokens });
  let browser: Browser;
  let page: Page;
  let host: FakeHost;
  let bundle: { script: string; style: string };

  before(async () => {
    bundle = await bundleWebview();
    browser = await chromium.launch({ executablePath: await findChromium(), args: CHROMIUM_ARGUMENTS });
  });
  after(() => browser?.close());
  afterEach(() => page?.close());

  const open = async (theme: ThemeName = 'dark'): Promise<void> => {
    page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
    host = await FakeHost.open(page, bundle, {
      place: 'panel',
      theme,
      engine,
      mechanisms: MECHANISMS,
      analysis: ready(summaryOf(engine, TEXT, TOKENS)),
      text: TEXT,
      view: { view: 'text', options: {} },
    });
    await page.locator('ai-text .lost').first().waitFor();
  };
  const sent = <T extends ViewMessage['type']>(type: T) =>
    host.received.filter((one): one is Extract<ViewMessage, { type: T }> => one.type === type);

  it('says what a mechanism costs, and shows the text as it stands', async () => {
    await open();
    const lead = await page.locator('ai-text .lead').innerText();
    assert.match(
      lead,
      /^Replacing dense attention by Local window \(window 64\) costs [\d.]+ nats per token; half of what is lost falls on \d+ of 399 tokens/,
    );
    // The first thing shown is marked in the editor too.
    assert.deepEqual(host.selection.change, {
      kind: 'mechanism',
      choice: setting('local', { window: 64 }),
    });
    const shown = await page.locator('ai-coloured-text').evaluate(element => {
      const root = element.shadowRoot!;
      for (const sign of root.querySelectorAll('sup, .sign')) sign.remove();
      return [...root.querySelectorAll('.block')].map(block => block.textContent).join('');
    });
    assert.equal(shown, TEXT.slice(0, tokens.end[TOKENS - 1]));
    assert.equal(await page.locator('ai-text ol li').count(), 12);
  });

  it('goes to the worst token by click and by key, and takes attention away from there', async () => {
    await open();
    await page.locator('ai-text ol li .where button').first().click();
    const pinned = await until(() => host.selection.token);
    assert.deepEqual(sent('reveal')[0]!.tokens, [pinned]);
    await page.locator('ai-coloured-text').press('.');
    await until(() => host.selection.token !== pinned);
    await page.getByRole('button', { name: 'Block attention to it' }).click();
    await page.locator('ai-text .lead', { hasText: 'Taking away (“' }).waitFor();
    assert.equal(sent('intervene').length, 1);
    await page.getByRole('button', { name: /^Give back/ }).click();
    await page.locator('ai-text .lead', { hasText: 'Replacing dense attention' }).waitFor();
  });

  it('saves a row for each token', async () => {
    await open();
    await page.getByRole('button', { name: 'Save the data under it as CSV' }).click();
    const asked = await until(() => sent('request').find(one => one.method === 'host/saveFile'));
    const { data } = (asked as { params: SaveFileParams }).params;
    const rows = String(data)
      .split(/\r\n(?=\d|token|$)/)
      .filter(Boolean);
    assert.equal(rows.length, TOKENS + 1);
    assert.match(rows[0]!, /^token,start,end,text,.*loss change \[nats\]: Replacing dense attention/);
  });

  it('draws of a text of a megabyte what is in sight', async () => {
    const long = TEXT.repeat(Math.ceil(1_100_000 / TEXT.length));
    const all = splitTokens(long, 131_072);
    assert.ok(long.length > 1_000_000 && all.ids.length === 131_072);
    const { loss, ...summary } = summaryOf(engine, TEXT, TOKENS);
    const perToken = Float32Array.from(all.ids, (_, at) => at % 7);
    page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
    host = await FakeHost.open(page, bundle, {
      place: 'panel',
      theme: 'dark',
      engine,
      mechanisms: MECHANISMS,
      analysis: ready({ ...summary, tokens: all, mechanisms: [], loss: { ...loss!, perToken } }),
      text: long,
      view: { view: 'text', options: { text: { show: 'loss' } } },
    });
    const drawn = () =>
      page.locator('ai-coloured-text').evaluate(element => {
        const chips = [...element.shadowRoot!.querySelectorAll<HTMLElement>('.token')];
        return chips.map(chip => Number(chip.dataset.token));
      });
    for (const share of [0, 0.9, 0.4]) {
      await page.locator('ai-coloured-text').evaluate((element, to) => {
        element.scrollTop = element.scrollHeight * to;
      }, share);
      const near = (token: number) => Math.abs(token / 131_072 - share) < 0.1;
      const shown = await until(async () => {
        const found = await drawn();
        return found.length > 0 && found.every(near) ? found : null;
      });
      assert.ok(shown!.length < 6000, `${shown!.length} tokens are drawn`);
    }
  });

  for (const theme of ['light', 'high-contrast'] as const)
    it(`can be read by everybody (${theme})`, async () => {
      await open(theme);
      assert.deepEqual(await violations(page.mainFrame()), []);
    });
});
