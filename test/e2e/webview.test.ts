import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { CHROMIUM_ARGUMENTS, findChromium } from '../../scripts/lib/chromium.mjs';
import { ROOT } from '../../scripts/lib/project.mjs';
import { ErrorCode, type AnalysisSummary } from '../../shared/protocol/engine';
import type { SaveFileParams } from '../../shared/protocol/host';
import { VERIFIED_MEANS, notVerified, verifiedMark } from '../../shared/verified';
import { FakeHost, ready, type HostOptions } from '../webview/fakeHost';
import { bundleWebview } from '../webview/bundle';
import { MECHANISMS, SyntheticEngine, splitTokens, summaryOf } from '../webview/syntheticEngine';
import { violations } from './support/accessibility';
import { percent } from '../../shared/numbers';
import { setting } from '../support/settings';
import { until } from './support/until';

const TEXT = readFileSync(join(ROOT, 'test', 'fixtures', 'sample.txt'), 'utf8');
const TOKENS = 400;

/** The views in a browser without VS Code: keys, states, losses of WebGL2, saving. */
describe('the views alone', function () {
  this.timeout(60_000);

  let browser: Browser;
  let page: Page;
  let bundle: { script: string; style: string };
  let engine: SyntheticEngine;
  let summary: AnalysisSummary;
  let errors: string[];

  before(async () => {
    bundle = await bundleWebview();
    browser = await chromium.launch({ executablePath: await findChromium(), args: CHROMIUM_ARGUMENTS });
    engine = new SyntheticEngine({ layers: 4, heads: 6, tokens: splitTokens(TEXT, TOKENS) });
    summary = summaryOf(engine, TEXT, TOKENS);
  });

  after(() => browser?.close());

  afterEach(async () => {
    await page?.close();
    assert.deepEqual(errors, [], 'no error in the page');
  });

  const open = async (options: Partial<HostOptions> = {}): Promise<FakeHost> => {
    page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
    errors = [];
    page.on('pageerror', error => errors.push(error.message));
    return FakeHost.open(page, bundle, {
      place: 'panel',
      theme: 'dark',
      engine,
      mechanisms: MECHANISMS,
      analysis: ready(summary),
      ...options,
    });
  };
  const at = (view: 'overview' | 'head' | 'spans' | 'buckets') => ({
    view,
    options: { head: { mode: 'matrix' } },
  });

  it('moves through heads and layers with the arrow keys, and forgets with Escape', async () => {
    const host = await open({ selection: { core: 1, head: 2, token: 7 } });
    await page.locator('[data-head="1.2"][aria-selected="true"]').focus();
    await page.keyboard.press('ArrowRight');
    await page.locator('[data-head="1.3"][aria-selected="true"]').waitFor();
    await page.keyboard.press('ArrowUp');
    await page.locator('[data-head="2.3"][aria-selected="true"]:focus').waitFor();
    await page.keyboard.press('Escape');
    await until(() => host.selection.token === null && host.selection.head === 3);
    // The view unpins when the extension has said so; a second Escape before that only says it again.
    await until(async () => {
      await page.keyboard.press('Escape');
      return host.selection.head === null;
    });
  });

  it('opens a head with Enter and shows the keys with a question mark', async () => {
    await open();
    await page.locator('[data-head="0.0"]').click();
    await page.locator('[data-head="0.0"]').press('Enter');
    await page.locator('ai-map').waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  });

  it('ranks the heads by the measure, and puts them back', async () => {
    await open({ view: { view: 'overview', options: { overview: { measure: 'meanDistance' } } } });
    await page.getByText('Sort by it').click();
    const order = await page
      .locator('ai-overview [data-head]')
      .evaluateAll(cells => cells.map(cell => (cell as HTMLElement).dataset['head']));
    const expected = summary.cores
      .flatMap(core => core.heads)
      .sort((a, b) => b.meanDistance - a.meanDistance)
      .map(head => `${head.core}.${head.head}`);
    assert.deepEqual(order, expected);
    await page.getByText('Back to the grid').click();
    await page.locator('ai-overview [role="rowheader"]').first().waitFor();
  });

  it('says of a head what the chosen setting keeps, not what another setting of the mechanism does', async () => {
    const settings = [setting('strided'), setting('strided', { stride: 4 })];
    const both = { ...summary, mechanisms: settings.map(each => engine.mechanism(each)) };
    const shares: string[] = [];
    for (const [at, mechanism] of settings.entries()) {
      await open({
        analysis: ready(both),
        view: { view: 'head', options: {} },
        selection: { core: 1, head: 2, mechanism },
      });
      const kept = await page.locator('ai-head .kept').first().innerText();
      const mine = both.mechanisms[at]!.heads.find(h => h.core === 1 && h.head === 2)!;
      assert.ok(kept.includes(`keeps ${percent(mine.recall!)} of`), kept);
      assert.ok(kept.includes(percent(mine.pairs / mine.densePairs)), kept);
      shares.push(percent(mine.pairs / mine.densePairs));
      await page.close();
    }
    assert.notEqual(shares[0], shares[1]);
  });

  it('reads a pair of the map exactly, pins its query, reveals both tokens', async () => {
    const host = await open({ view: at('head'), selection: { core: 1, head: 1 } });
    const box = (await page.locator('ai-map canvas.over').boundingBox())!;
    await page.waitForTimeout(400);
    // A click has whole coordinates, a move need not.
    const [x, y] = [box.x + 150, box.y + box.height * 0.6].map(Math.round) as [number, number];
    await page.mouse.move(x, y);
    const status = page.locator('ai-head [role="status"]').first();
    const words = await until(
      async () => /of its attention/.test(await status.innerText()) && status.innerText(),
    );
    const [, query, key, mass] = /\((\d+)\) → key .*\((\d+)\): ([\d.]+)/.exec(words as string)!;
    const expected = engine.row(1, 1, Number(query))[Number(key)]! * 100;
    assert.ok(
      Math.abs(Number(mass) - expected) <= expected * 0.006,
      `${mass} % shown, ${expected} % expected`,
    );
    await page.mouse.click(x, y);
    await until(() => host.selection.token === Number(query));
    await page.mouse.dblclick(x, y);
    await until(() => host.received.some(m => m.type === 'reveal' && m.tokens.join() === `${query},${key}`));
  });

  it('zooms and moves the map by keyboard', async () => {
    const host = await open({ view: at('head'), selection: { core: 1, head: 1 } });
    await page.locator('ai-map canvas.over').focus();
    assert.equal(await page.locator('ai-map canvas.mini').count(), 0);
    for (let i = 0; i < 5; i++) await page.keyboard.press('+');
    await page.locator('ai-map canvas.mini').waitFor();
    await page.keyboard.press('Shift+ArrowDown');
    await page.keyboard.press('0');
    await page.locator('ai-map canvas.mini').waitFor({ state: 'detached' });
    await page.keyboard.press(']');
    await page.keyboard.press(']');
    await page.keyboard.press('Enter');
    await until(() => host.selection.token === 1);
  });

  it('stands where it stood when the head is opened again, and keeps its answers', async () => {
    const host = await open({ view: at('head'), selection: { core: 1, head: 1, token: 9 } });
    await page.locator('ai-map canvas.over').focus();
    for (let i = 0; i < 5; i++) await page.keyboard.press('+');
    await page.locator('ai-map canvas.mini').waitFor();
    await until(() => host.received.some(m => m.type === 'viewState' && m.view.options['head']?.['camera']));
    const asked = () =>
      host.received.filter(m => m.type === 'request' && m.method === 'analysis/token').length;
    const before = asked();
    assert.ok(before > 0);
    await page.getByRole('tab', { name: 'Overview' }).click();
    await page.locator('ai-map').waitFor({ state: 'detached' });
    await page.getByRole('tab', { name: 'Head' }).click();
    await page.locator('ai-map canvas.mini').waitFor();
    await page.locator('ai-token .bars').first().waitFor();
    assert.equal(asked(), before);
  });

  it('brings the pinned token into sight among the buckets', async () => {
    const token = 380;
    await open({ view: at('buckets'), selection: { core: 1, head: 1, token } });
    const inSight = () =>
      page.locator('ai-bucket-text').evaluate((text, i) => {
        const chip = text.shadowRoot!.querySelector(`[data-token="${i}"]`)?.getClientRects()[0];
        const box = text.getBoundingClientRect();
        return !!chip && chip.top >= box.top && chip.bottom <= box.bottom;
      }, token);
    await until(inSight);
  });

  it('draws the same map when WebGL2 is lost', async () => {
    await open({ view: at('head'), selection: { core: 1, head: 1 } });
    await page.waitForTimeout(600);
    const drawing = () =>
      page
        .locator('ai-map')
        .evaluate(map => (map as unknown as { drawing: { renderer: string } }).drawing.renderer);
    const pixels = () =>
      page.locator('ai-map').evaluate(map => {
        const canvas = map.shadowRoot!.querySelector<HTMLCanvasElement>('canvas.map')!;
        const copy = document.createElement('canvas');
        copy.width = copy.height = 60;
        const context = copy.getContext('2d')!;
        context.drawImage(canvas, 0, 0, 60, 60);
        return [...context.getImageData(0, 0, 60, 60).data];
      });
    assert.equal(await drawing(), 'webgl2');
    const before = await pixels();
    assert.ok(new Set(before).size > 20, 'there is a picture');
    await page
      .locator('ai-map canvas.map')
      .evaluate(canvas =>
        (canvas as HTMLCanvasElement).getContext('webgl2')!.getExtension('WEBGL_lose_context')!.loseContext(),
      );
    await until(async () => (await drawing()) === 'canvas2d');
    await page.waitForTimeout(300);
    const after = await pixels();
    const difference = before.reduce((sum, value, i) => sum + Math.abs(value - after[i]!), 0) / before.length;
    assert.ok(difference < 1.5, `mean difference ${difference} of 255`);
  });

  it('says what a mechanism keeps, and recolours when the theme changes', async () => {
    const host = await open({
      view: at('head'),
      selection: { core: 1, head: 1, mechanism: setting('strided') },
    });
    await page.locator('ai-head .kept strong').first().waitFor();
    const colour = () =>
      page.locator('ai-map').evaluate(map => {
        const canvas = map.shadowRoot!.querySelector<HTMLCanvasElement>('canvas.map')!;
        const copy = document.createElement('canvas');
        copy.width = copy.height = 1;
        const context = copy.getContext('2d')!;
        context.drawImage(canvas, canvas.width - 2, 0, 1, 1, 0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).join();
      });
    await until(async () => (await colour()) === '31,31,31');
    await host.setTheme('light');
    await until(async () => (await colour()) === '255,255,255');
  });

  it('refits the spans as the slider moves, with a request for where it rests', async () => {
    const view = at('spans');
    const options = { ...view.options, spans: { by: 'mass' } };
    const host = await open({ view: { ...view, options }, selection: { core: 1, head: 1 } });
    const fits = () => host.received.filter(m => m.type === 'request' && m.method === 'analysis/spans');
    await until(() => fits().length === 1);
    await page.locator('ai-spans input[type="range"]').first().focus();
    for (let i = 0; i < 8; i++) await page.keyboard.press('ArrowRight');
    await until(() => fits().length >= 2);
    await page.waitForTimeout(300);
    const last = fits().at(-1) as unknown as { params: { massTarget: number } };
    assert.ok(last.params.massTarget > 0.95);
    await page.getByText('a budget').click();
    await until(() => 'budget' in (fits().at(-1) as unknown as { params: object }).params);
  });

  it('the names of both axes of the distances do not meet, however narrow the view', async () => {
    await open({ view: at('spans'), selection: { core: 1, head: 1 } });
    const box = async (name: string) =>
      (await page.locator('ai-distance text', { hasText: name }).boundingBox())!;
    for (const width of [500, 780, 830, 900, 1200]) {
      await page.setViewportSize({ width, height: 800 });
      await until(async () => {
        const [left, right] = [await box('mass per token'), await box('cumulative')];
        const apart = left.x + left.width < right.x || right.y + right.height <= left.y + 1;
        return apart && right.x + right.width <= width - 11;
      });
    }
  });

  it('shows one bucket at a time in the text, named by its words, and all on demand', async () => {
    await open({ view: at('buckets'), selection: { core: 1, head: 1 } });
    const list = page.getByRole('group', { name: 'Buckets, the largest first' }).getByRole('button');
    await list.nth(1).waitFor();
    assert.equal(await list.nth(1).getAttribute('aria-pressed'), 'true', 'the largest to begin with');
    const own = () => page.locator('ai-bucket-text .chip.own').allInnerTexts();
    const [first, words] = [await own(), await list.nth(2).locator('.words').innerText()];
    assert.ok(first.length > 0 && (await page.locator('ai-bucket-text .chip.dim').count()) > 0);
    await page.locator('ai-bucket-sizes .bar').nth(1).click();
    await until(async () => (await own()).some(chip => words.split(' ').includes(chip.trim())));
    assert.notDeepEqual(await own(), first);
    await page.getByRole('button', { name: 'all', exact: true }).click();
    await until(async () => (await page.locator('ai-bucket-text .chip.dim').count()) === 0);
  });

  it('paints only the part of a long text that is in sight', async () => {
    const long = TEXT.repeat(6);
    const tokens = splitTokens(long, 6000);
    const big = new SyntheticEngine({ layers: 1, heads: 1, tokens });
    const quick = { ...summary, tokens, cores: summary.cores.slice(0, 1) };
    await open({
      engine: {
        request: (method, params) =>
          method === 'analysis/bucketMap'
            ? Promise.reject(new Error('not needed here'))
            : big.request(method, params),
      },
      analysis: ready(quick),
      view: at('buckets'),
      selection: { core: 0, head: 0 },
    });
    await page.locator('ai-bucket-text .chip').first().waitFor();
    const chips = await page.locator('ai-bucket-text .chip').count();
    assert.ok(chips > 0 && chips <= 1600, `${chips} chips for 6000 tokens`);
  });

  it('saves the data under the picture as CSV', async () => {
    const host = await open({ selection: { core: 1, head: 1 } });
    await page.getByRole('button', { name: 'as CSV' }).click();
    const asked = await until(() =>
      host.received.find(m => m.type === 'request' && m.method === 'host/saveFile'),
    );
    const { data } = (asked as unknown as { params: SaveFileParams }).params;
    const lines = String(data).trim().split('\r\n');
    assert.equal(lines.length, 1 + 24);
    assert.match(lines[0]!, /entropy \[nats\]/);
  });

  it('says why a picture was not saved', async () => {
    await open({
      beforeAnswer: method => {
        if (method === 'host/saveFile') throw new Error('The disk is full.');
      },
    });
    await page.getByRole('button', { name: 'as CSV' }).click();
    await page.getByText('The CSV was not saved: The disk is full.').waitFor();
    await page.getByText('Dismiss').click();
    await page.getByText('The CSV was not saved').waitFor({ state: 'detached' });
  });

  it('says in one sentence what went wrong with a request, and tries again', async () => {
    let fails = true;
    await open({
      view: at('spans'),
      selection: { core: 1, head: 1 },
      beforeAnswer: method => {
        if (fails && method === 'analysis/spans') throw new Error('The engine stopped.');
      },
    });
    await page.getByText('The engine stopped.').waitFor();
    fails = false;
    await page.getByText('Try again').click();
    await page.getByText(/With spans of their own/).waitFor();
  });

  for (const code of [ErrorCode.refused, ErrorCode.outOfMemory])
    it(`offers no other try where it would end the same (${code})`, async () => {
      await open({
        view: at('spans'),
        selection: { core: 1, head: 1 },
        beforeAnswer: method => {
          if (method === 'analysis/spans') throw Object.assign(new Error('It cannot be had.'), { code });
        },
      });
      await page.getByText('It cannot be had.').waitFor();
      assert.equal(await page.getByText('Try again').count(), 0);
    });

  it('follows a run: waiting cells fill as cores finish', async () => {
    const host = await open({
      analysis: {
        status: 'running',
        id: 'a',
        document: { uri: '', name: 'sample.txt', length: 1, selectionStart: null },
        progress: null,
        began: { ...summary, target: null },
        cores: [],
        mechanisms: [],
      } as HostOptions['analysis'],
    });
    await page.locator('ai-overview [role="gridcell"]').first().waitFor();
    assert.equal(await page.locator('ai-overview [data-head]').count(), 0);
    await host.send({ type: 'core', id: 'a', result: summary.cores[0]! });
    await page.locator('ai-overview [data-head="0.5"]').waitFor();
    await host.send({ type: 'core', id: 'another', result: summary.cores[1]! });
    await host.send({
      type: 'progress',
      progress: { id: 'a', phase: 'dense', fraction: 0.25, message: 'Attention of layer 1' },
    });
    await page.getByText('Attention of layer 1').waitFor();
    assert.equal(
      await page.locator('ai-overview [data-head]').count(),
      6,
      'another analysis is not mixed in',
    );
    await page.getByText('Cancel').click();
    await until(() => host.received.some(m => m.type === 'run' && m.command === 'cancel'));
  });

  it('gives the keyboard to the map when a command has asked for it, and only then', async () => {
    const host = await open();
    const focused = () =>
      page.evaluate(() => {
        let element = document.activeElement;
        while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
        return element?.className ?? '';
      });
    host.tell({ type: 'show', view: 'head' });
    await page.locator('ai-map canvas.over').waitFor();
    assert.notEqual(await focused(), 'over');
    host.tell({ type: 'show', view: 'overview' });
    await page.locator('ai-overview').waitFor();
    host.tell({ type: 'show', view: 'head', focus: true });
    await until(async () => (await focused()) === 'over');
  });

  it('begins a head with words: the pinned one, what it looks at and what looks at it, whole and in their sentence', async () => {
    const host = await open({
      view: { view: 'head', options: {} },
      text: TEXT,
      selection: { core: 0, head: 0, token: 40 },
    });
    const words = page.locator('ai-head-words');
    const looksAt = words.getByRole('list', { name: 'looks at', exact: true });
    await looksAt.waitFor();
    const { looksAt: links } = (
      await engine.request('analysis/token', {
        id: summary.id,
        core: 0,
        head: 0,
        tokens: [40],
        top: 80,
        mechanisms: [],
      })
    )[0]!;
    const heaviest = links.reduce((most, one) => (one.mass > most.mass ? one : most));
    const first = looksAt.getByRole('button').first();
    const row = await looksAt.getByRole('listitem').first().innerText();
    assert.match(row, heaviest.token === 40 ? /itself/ : new RegExp(`${40 - heaviest.token} back`));
    assert.ok((await looksAt.getByRole('listitem').count()) > 1);
    assert.ok((await words.locator('svg.arcs path').count()) > 1);
    assert.deepEqual(await violations(page.mainFrame()), []);
    await first.click();
    await until(() => host.selection.token === heaviest.token);
    await page
      .getByRole('radio', { name: 'matrix' })
      .or(page.getByRole('button', { name: 'matrix' }))
      .click();
    await page.locator('ai-map canvas.over').waitFor();
    await page.getByRole('tab', { name: 'Spans' }).click();
    await page.getByRole('tab', { name: 'Head' }).click();
    await page.locator('ai-map canvas.over').waitFor();
  });

  it('says whose text a word is of, and nothing that has no meaning for it', async () => {
    const summary = summaryOf(engine, TEXT, TOKENS);
    const model = {
      ...summary.model,
      cores: summary.model.cores.map(one => ({ ...one, kind: 'cross' as const })),
    };
    const target = { text: TEXT, tokens: summary.tokens, source: 'given' as const };
    const crossed = { ...summary, model, target };
    await open({ place: 'side', analysis: ready(crossed), selection: { core: 0, head: 0, token: 5 } });
    const words = page.locator('ai-side ai-token');
    await words.getByText(/is looked at by in the (target|analyzed) text/).waitFor();
    assert.equal(await words.getByText('looks at', { exact: true }).count(), 0);
    assert.equal(await words.getByText('entropy').count(), 0);
  });

  it('filters and walks the list of the side panel', async () => {
    const host = await open({ place: 'side', selection: { core: 0, head: 0 } });
    await page.setViewportSize({ width: 300, height: 800 });
    await page.getByText('24 of 24 heads').waitFor();
    await page.getByRole('textbox', { name: 'Filter heads' }).fill('L2');
    await page.getByText('6 of 24 heads').waitFor();
    await page.locator('ai-side .list').focus();
    await page.keyboard.press('Home');
    await until(() => host.selection.core === 2);
    await page.keyboard.press('Enter');
    await until(() => host.received.some(m => m.type === 'openView' && m.view === 'head'));
  });

  for (const place of ['panel', 'side'] as const)
    it(`says in the ${place} how far the analysis was verified, and what that means`, async () => {
      await open({ place });
      const mark = page.getByText(verifiedMark(summary.verified), { exact: true });
      await mark.waitFor();
      for (const sentence of VERIFIED_MEANS)
        assert.equal(await page.getByText(sentence).isVisible(), false, 'closed at first');
      await mark.click();
      for (const sentence of VERIFIED_MEANS) await page.getByText(sentence).waitFor();
      await page.keyboard.press('Escape');
      await page.getByText(VERIFIED_MEANS[0]).waitFor({ state: 'hidden' });
      await page.close();

      const failed = { ...summary.verified, holds: false, tokens: 24, maxAbsDiff: 0.25, maxRelDiff: 0.5 };
      await open({ place, analysis: ready({ ...summary, verified: failed }) });
      assert.equal(await page.getByText(/^Verified \(/).count(), 0, 'never called verified');
      await page.getByText('Not verified (24 of 400 tokens, difference 2.5e-1)').click();
      await page.getByText(notVerified(failed)).waitFor();
    });

  it('shows the cost formulas at once, measures when asked, and marks where dense is beaten', async () => {
    const host = await open({ view: { view: 'cost', options: {} } });
    await page.locator('ai-cost-plot path.line').first().waitFor();
    assert.ok(!host.received.some(m => m.type === 'request' && m.method === 'cost/measure'));
    await page.getByRole('radio', { name: 'pairs' }).click();
    await page.locator('ai-cost-plot path.line').first().waitFor();
    const drawn = await page.locator('ai-cost-plot path.line').count();
    await page.getByRole('checkbox', { name: 'Show Strided' }).uncheck();
    await until(async () => (await page.locator('ai-cost-plot path.line').count()) === drawn - 1);
    await page.getByRole('radio', { name: 'time' }).click();
    await page.getByText('Time depends on the machine').waitFor();
    await page.getByRole('button', { name: 'Measure on this machine' }).click();
    await page.locator('ai-cost-plot circle.ring').first().waitFor();
    await page.getByRole('button', { name: 'Measure again' }).waitFor();
    const asked = host.received.find(m => m.type === 'request' && m.method === 'cost/measure');
    const { mechanisms } = (asked as { params: { mechanisms: { name: string }[] } }).params;
    assert.ok(mechanisms.some(m => m.name === 'local') && !mechanisms.some(m => m.name === 'strided'));
    await page.getByRole('button', { name: 'Time a forward' }).click();
    await page.locator('ai-forward-bars [role="listitem"]').first().waitFor();
    await page.getByRole('button', { name: 'Save the data under it as CSV' }).click();
    const save = await until(() =>
      host.received.find(m => m.type === 'request' && m.method === 'host/saveFile'),
    );
    const { data } = (save as { params: SaveFileParams }).params;
    assert.match(String(data), /^mechanism,parameters,tokens,pairs per head/);
    assert.match(String(data), /\r\nlocal,/);

    // Times are of one analysis: another one has none yet.
    host.show(ready({ ...summary, id: 'another' }));
    await page.getByRole('button', { name: 'Time a forward' }).waitFor();
    assert.equal(await page.locator('ai-forward-bars').count(), 0);
  });

  it('measures costs under a progress bar, also while another view is open, and stops when told to', async () => {
    let release = () => {};
    const held = new Promise<void>(resolve => (release = resolve));
    const host = await open({
      view: { view: 'cost', options: {} },
      beforeAnswer: method => (method === 'cost/measure' ? held : undefined),
    });
    await page.getByRole('button', { name: 'Measure on this machine' }).click();
    await host.send({
      type: 'cost',
      progress: { id: summary.id, fraction: 0.4, message: 'Local window, 512 tokens', point: null },
    });
    await page.getByText('Local window, 512 tokens').waitFor();
    await page.getByRole('tab', { name: 'Overview' }).click();
    await page.getByText('Local window, 512 tokens').waitFor({ state: 'detached' });
    await page.getByRole('tab', { name: 'Cost' }).click();
    await page.getByText('Local window, 512 tokens').waitFor();
    const point = {
      choice: setting('local', { window: 64 }),
      tokens: 512,
      milliseconds: { median: 1, low: 0.9, high: 1.1, runs: 3 },
      pairs: 100,
    };
    await host.send({ type: 'cost', progress: { id: summary.id, fraction: 0.5, message: 'x', point } });
    await page.locator('ai-cost-plot circle').first().waitFor();
    await page.getByText('Cancel').click();
    await until(() => host.received.some(m => m.type === 'cancelRequest'));
    await page.getByRole('button', { name: /Measure/ }).waitFor();
    release();
    assert.ok((await page.locator('ai-cost-plot circle').count()) > 0, 'what was measured stays');
  });

  it('looks through each lens, and asks anew when a control moves', async () => {
    const host = await open({ view: { view: 'lenses', options: {} } });
    await page.getByText('times fewer').waitFor();
    const asked = () =>
      host.received.filter(m => m.type === 'request' && m.method === 'analysis/lens').length;
    const before = asked();
    await page.locator('ai-lens-flash input[type="range"]').focus();
    await page.keyboard.press('ArrowRight');
    await until(() => asked() > before);
    for (const [name, words] of [
      ['Switch', 'synthetic router'],
      ['ALBERT', 'Built as ALBERT'],
      ['Simplified blocks', 'plain averaging'],
      ['Scaling', 'it outweighs'],
      ['RETRO', 'no token ever reads ahead'],
    ] as const) {
      await page.getByRole('radio', { name }).click();
      await page.getByText(words).first().waitFor();
    }
    await page.getByRole('button', { name: 'chunk 2', exact: true }).click();
    await page.getByText('chunk 1, here: show').click();
    await until(() => host.received.some(m => m.type === 'reveal' && m.tokens[0] === 64));
    await page.getByText("Search the workspace's files too").click();
    await page.getByText('notes/other.md, chunk 3: show').click();
    await until(() => host.received.some(m => m.type === 'openFile' && m.uri === 'file:///notes/other.md'));
  });
});
