import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';
import { CHROMIUM_ARGUMENTS, findChromium } from '../../scripts/lib/chromium.mjs';
import { ROOT } from '../../scripts/lib/project.mjs';
import type { CorpusProfile } from '../../shared/protocol/corpus';
import { bundleWebview } from '../webview/bundle';
import { FakeHost } from '../webview/fakeHost';
import { MECHANISMS, SyntheticEngine, splitTokens } from '../webview/syntheticEngine';
import { violations } from './support/accessibility';
import { madeCorpus } from './support/madeCorpus';

/** The Corpus view over a profile that the engine has made of a planted model. */
describe('the Corpus view', function () {
  this.timeout(60_000);
  let folder: string;
  let browser: Browser;
  let page: Page;
  let bundle: { script: string; style: string };
  let corpus: CorpusProfile;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'corpus-view-'));
    corpus = await madeCorpus(folder);
    bundle = await bundleWebview();
    browser = await chromium.launch({ executablePath: await findChromium(), args: CHROMIUM_ARGUMENTS });
  });
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });
  afterEach(() => page?.close());

  const open = async (shown?: CorpusProfile): Promise<FakeHost> => {
    page = await browser.newPage({ viewport: { width: 1100, height: 900 } });
    return FakeHost.open(page, bundle, {
      place: 'panel',
      theme: 'dark',
      engine: new SyntheticEngine({ layers: 1, heads: 1, tokens: splitTokens('a b', 2) }),
      mechanisms: MECHANISMS,
      analysis: { status: 'none' },
      view: { view: 'corpus', options: {} },
      ...(shown && { corpus: shown }),
    });
  };

  it('before there is a profile, offers to make one, and shows how far it is', async () => {
    const host = await open();
    await page.getByRole('button', { name: 'Profile a folder' }).click();
    assert.ok(host.received.some(message => message.type === 'run' && message.command === 'profileFolder'));
    await host.send({ type: 'corpus', corpus: { status: 'running', folder: 'texts', done: 3, of: 9 } });
    await page.getByText('Profiling texts: 3 of 9 texts').waitFor();
    await host.send({
      type: 'corpus',
      corpus: { status: 'error', folder: 'texts', message: 'No such model.' },
    });
    await page.getByText('texts was not profiled. No such model.').waitFor();
  });

  it('says which shards are missing where not all texts are there', async () => {
    await open({ ...corpus, missing: [{ texts: 9, of: 3, shards: [1, 3] }] });
    await page.getByText('of 3 shards 1, 3 are missing (9 texts in all)').waitFor();
  });

  it('heads as points, how the chosen one differs by kind, its excerpts, and the file behind one', async () => {
    const host = await open(corpus);
    const points = page.locator('ai-scatter').first().locator('.point');
    await points.first().waitFor();
    assert.equal(await points.count(), 2);
    const scatter = page.locator('ai-scatter').first();
    const [plot, label] = await Promise.all(
      [scatter.locator('svg'), scatter.locator('text', { hasText: 'Most mass on one far key' })].map(one =>
        one.boundingBox(),
      ),
    );
    assert.ok(label!.y >= plot!.y, 'the name of the axis is not cut off');
    await page.getByText('8 texts').first().waitFor();
    await page.getByText('1 skipped').waitFor();
    await points.nth(1).press('Enter');
    await page.getByRole('heading', { name: 'Core 0, head 1' }).waitFor();
    await points.nth(0).click();
    await page.getByRole('heading', { name: 'Core 0, head 0' }).waitFor();
    const kinds = page.getByRole('table', { name: 'How the head differs by kind of text' });
    assert.match((await kinds.textContent())!, /\.plain .*\.words|\.words .*\.plain/s);
    const tokens = page.locator('ai-scatter').nth(1).locator('.point');
    assert.equal(await tokens.count(), corpus.sample.length);
    await page.getByText(/Component 1 \(.* of the variance\)/).waitFor();
    await page.locator('vscode-dropdown[aria-label="By"]').first().click();
    await page.locator('vscode-option', { hasText: 'UMAP' }).click();
    await page.getByText('UMAP 1').waitFor();
    await tokens.first().press('Enter');
    assert.match(host.received.find(message => message.type === 'openFile')!.uri, /texts\/\d/);
    host.received.length = 0;
    const excerpts = page.locator('.excerpt');
    assert.equal(await excerpts.count(), 6);
    for (const name of await page.locator('.excerpt .link').allTextContents())
      assert.match(name, /\d #\.words:\d+$/);
    await page.locator('.excerpt .link').first().click();
    const opened = host.received.find(message => message.type === 'openFile')!;
    assert.match(opened.uri, /^file:\/\/\/work space\/texts\/\d%20%23\.words$/);
    assert.ok(opened.end > opened.start);
    assert.deepEqual(await violations(page.mainFrame()), []);
  });

  it('the same as one file that opens without a network, made by the command line in shards', async () => {
    const cli = join(ROOT, 'dist', 'cli.js');
    if (!existsSync(cli)) execFileSync(process.execPath, ['esbuild.mjs'], { cwd: ROOT });
    const options = ['--model', 'model', '--workers', '2', '--mechanisms', 'local:window=8', '--propagate'];
    const outputs = ['--output', 'reported', '--html', 'corpus.html'];
    execFileSync(process.execPath, [cli, 'profile', 'texts', ...options, ...outputs], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, offline: true });
    page = await context.newPage();
    const faults: string[] = [];
    page.on('pageerror', error => faults.push(error.message));
    page.on('console', message => message.type() === 'error' && faults.push(message.text()));
    page.on('request', request => {
      if (!/^(file|data|blob):/.test(request.url())) faults.push(request.url());
    });
    await page.goto(pathToFileURL(join(folder, 'corpus.html')).href);
    const points = page.locator('ai-scatter').first().locator('.point');
    await points.first().waitFor();
    assert.equal(await points.count(), 2);
    assert.deepEqual(
      await page
        .getByRole('tab')
        .allTextContents()
        .then(all => all.map(one => one.trim())),
      ['Corpus'],
    );
    await page.getByText('report of 20').waitFor();
    await page.getByText(/local \(window 8\).* nats per token \(95 %/).waitFor();
    await points.nth(0).click();
    await page.getByRole('table', { name: 'How the head differs by kind of text' }).waitFor();
    assert.match(await page.locator('.excerpt').first().innerText(), /^\d #\.words:\d+/);
    // There is no editor to open files in, and no other folder to be had.
    assert.equal(await page.locator('ai-corpus .link').count(), 0);
    await page.locator('ai-scatter').nth(1).locator('.point').first().press('Enter');
    assert.deepEqual(faults, []);
    assert.deepEqual(await violations(page.mainFrame()), []);
    await context.close();
  });
});
