import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { CHROMIUM_ARGUMENTS, findChromium } from '../../../scripts/lib/chromium.mjs';
import { ROOT } from '../../../scripts/lib/project.mjs';
import type { ViewMessage } from '../../../shared/protocol/host';
import { bundleWebview } from '../../webview/bundle';
import { FakeHost, ready, type HostOptions } from '../../webview/fakeHost';
import { MECHANISMS, SyntheticEngine, splitTokens, summaryOf } from '../../webview/syntheticEngine';

const TEXT = readFileSync(join(ROOT, 'test', 'fixtures', 'sample.txt'), 'utf8');

/** The views in a browser over the synthetic engine: call it in a `describe`. A test fails on any error in its page. */
export function viewsAlone({ layers = 4, heads = 6, tokens = 400 } = {}) {
  const engine = new SyntheticEngine({ layers, heads, tokens: splitTokens(TEXT, tokens) });
  const summary = summaryOf(engine, TEXT, tokens);
  const errors: string[] = [];
  let browser: Browser;
  let bundle: { script: string; style: string };
  let page: Page | undefined;
  let host: FakeHost;

  before(async () => {
    bundle = await bundleWebview();
    browser = await chromium.launch({ executablePath: await findChromium(), args: CHROMIUM_ARGUMENTS });
  });
  after(() => browser?.close());
  afterEach(async () => {
    await page?.close();
    assert.deepEqual(errors.splice(0), [], 'no error in the page');
  });

  return {
    engine,
    summary,
    text: TEXT,
    async open(options: Partial<HostOptions> = {}, width = 1200, height = 800) {
      await page?.close();
      page = await browser.newPage({ viewport: { width, height } });
      page.on('pageerror', error => errors.push(error.message));
      host = await FakeHost.open(page, bundle, {
        place: 'panel',
        theme: 'dark',
        engine,
        mechanisms: MECHANISMS,
        analysis: ready(structuredClone(summary)),
        text: TEXT,
        ...options,
      });
      return { page, host };
    },
    /** What the page has sent of one kind. */
    sent: <T extends ViewMessage['type']>(type: T) =>
      host.received.filter((one): one is Extract<ViewMessage, { type: T }> => one.type === type),
  };
}
