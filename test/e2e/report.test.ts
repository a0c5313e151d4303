import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { CHROMIUM_ARGUMENTS, findChromium } from '../../scripts/lib/chromium.mjs';
import { ROOT } from '../../scripts/lib/project.mjs';
import type { AnalysisJson } from '../../engine/export/json';
import { VERIFIED_MEANS } from '../../shared/verified';
import { violations } from './support/accessibility';

/** What a text may hold that must stay text. */
const HOSTILE =
  '</script><script>window.hacked = 1</script><!-- <script> ]]> --><img src=x onerror="window.hacked = 2">' +
  '<style>*{display:none}</style>${alert(1)}`\'"&lt;\u2028\n';
const TEXT = HOSTILE + readFileSync(join(ROOT, 'test', 'fixtures', 'sample.txt'), 'utf8');
const NAME = `a <img src=x onerror=window.hacked=3> & "b".txt`;
const TOKENS = 1024;

/** A report as the command line writes it, opened from the disk in a browser that has no network. */
describe('HTML report', function () {
  this.timeout(180_000);

  const folder = mkdtempSync(join(tmpdir(), 'attention-report-'));
  const file = join(folder, 'report.html');
  let analysis: AnalysisJson;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let errors: string[];
  let asked: string[];

  before(async () => {
    const cli = join(ROOT, 'dist', 'cli.js');
    if (!existsSync(cli)) execFileSync(process.execPath, ['esbuild.mjs'], { cwd: ROOT });
    const text = join(folder, NAME);
    writeFileSync(text, TEXT);
    const json = join(folder, 'analysis.json');
    const options = [
      '--mechanisms',
      'local:window=32,adaptive-span,lsh,routing',
      '--device',
      'cpu',
      '--propagate',
    ];
    const outputs = ['--html', file, '--json', json, '--max-tokens', String(TOKENS)];
    execFileSync(process.execPath, [cli, 'analyze', text, ...options, ...outputs], { cwd: ROOT });
    analysis = JSON.parse(readFileSync(json, 'utf8')) as AnalysisJson;
    browser = await chromium.launch({ executablePath: await findChromium(), args: CHROMIUM_ARGUMENTS });
  });

  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  afterEach(async () => {
    await context?.close();
    assert.deepEqual(errors, [], 'no error in the page');
    assert.deepEqual(asked, [], 'nothing is asked of a network');
  });

  const open = async (options: { colorScheme?: 'light' | 'dark'; width?: number } = {}) => {
    const { colorScheme = 'dark', width = 1280 } = options;
    context = await browser.newContext({ viewport: { width, height: 860 }, colorScheme, offline: true });
    page = await context.newPage();
    errors = [];
    asked = [];
    page.on('pageerror', error => errors.push(error.message));
    page.on('console', message => message.type() === 'error' && errors.push(message.text()));
    page.on('request', request => {
      if (!/^(file|data|blob):/.test(request.url())) asked.push(request.url());
    });
    const began = Date.now();
    await page.goto(pathToFileURL(file).href);
    await page.locator('ai-overview [data-head]').nth(47).waitFor();
    return Date.now() - began;
  };
  const tab = (name: string) => page.getByRole('tab', { name, exact: true }).click();

  it('is one file of a size that can be sent, and shows every head', async () => {
    const milliseconds = await open();
    const size = statSync(file).size;
    console.log(`      ${TOKENS} tokens: ${(size / 1e6).toFixed(1)} MB, opened in ${milliseconds} ms`);
    assert.ok(size < 15e6, `${size} bytes`);
    assert.equal(await page.locator('ai-overview [data-head]').count(), 48);
    const painted = await page.locator('ai-overview [data-head] canvas').evaluateAll(
      canvases =>
        canvases.filter(canvas => {
          const { width, height } = canvas as HTMLCanvasElement;
          const pixels = (canvas as HTMLCanvasElement)
            .getContext('2d')!
            .getImageData(0, 0, width, height).data;
          return new Set(pixels).size > 4;
        }).length,
    );
    assert.equal(painted, 48, 'every thumbnail is painted');
    assert.ok((await page.title()).startsWith(NAME));
    assert.ok(
      await page
        .getByText(`${TOKENS.toLocaleString('en')} tokens`)
        .first()
        .isVisible(),
    );
  });

  it('says that it was verified, how far, and what that means', async () => {
    await open();
    const { holds, tokens, of, maxAbsDiff } = analysis.verified;
    assert.ok(holds && of === TOKENS && tokens >= 24 && maxAbsDiff < 1e-2);
    const part = tokens === of ? 'all' : `${tokens} of`;
    await page
      .getByText(`Verified (${part} ${of} tokens, difference ${maxAbsDiff.toExponential(1)})`)
      .click();
    for (const sentence of VERIFIED_MEANS) await page.getByText(sentence).waitFor();
  });

  it('keeps text as text', async () => {
    await open();
    await tab('Buckets');
    await page.locator('ai-bucket-text').getByText('script').first().waitFor();
    await page.waitForTimeout(300);
    const hacked = await page.evaluate(() => (window as unknown as { hacked?: number }).hacked);
    assert.equal(hacked, undefined);
    assert.equal(await page.locator('img').count(), 0);
    // A script that got in all the same would not run.
    const ran = await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'window.hacked = 4';
      document.body.append(script);
      return (window as unknown as { hacked?: number }).hacked;
    });
    assert.equal(ran, undefined);
    assert.ok(
      errors.length > 0 && errors.every(message => message.includes('Content Security Policy')),
      errors[0],
    );
    errors = [];
  });

  it('reads the map of a head, and what a mechanism keeps of it', async () => {
    await open();
    await page.locator('[data-head="0.3"]').click();
    await tab('Head');
    const map = page.locator('ai-map .over');
    await map.waitFor();
    await page.waitForTimeout(500);
    const box = (await map.boundingBox())!;
    await page.mouse.move(box.x + 200, box.y + 260);
    const readout = page.locator('ai-head [role="status"]').first();
    await readout.getByText(/query “.*of its attention/).waitFor();
    await page.mouse.click(box.x + 200, box.y + 260);
    await page.locator('ai-token .bars').first().waitFor();

    await page.locator('ai-head vscode-dropdown').click();
    await page.getByRole('option', { name: 'Local window' }).click();
    const kept = page.locator('ai-head .kept');
    const { heads } = analysis.mechanisms.find(m => m.name === 'local')!;
    const { recall } = heads.find(h => h.core === 0 && h.head === 3)!;
    await kept
      .getByText(`${Number((recall! * 100).toPrecision(3))}`)
      .first()
      .waitFor();
    assert.match(await kept.innerText(), /output error/);
  });

  it('refits spans, from the mass by distance', async () => {
    await open();
    await tab('Spans');
    const lead = page.locator('ai-spans .lead');
    await lead.getByText('heads keep').waitFor();
    const before = await lead.innerText();
    const slider = page.locator('ai-spans input[type="range"]').first();
    await slider.fill('0.5');
    await page.waitForFunction(old => {
      const shown = document.querySelector('attention-app ai-panel')?.shadowRoot?.querySelector('ai-spans');
      return shown?.shadowRoot?.querySelector('.lead')?.textContent?.trim() !== old;
    }, before.trim());
    await page.locator('ai-spans').getByText('of the mass lies outside').waitFor();
  });

  it('shows buckets as the analysis found them', async () => {
    await open();
    await page.locator('[data-head="3.4"]').click();
    await tab('Buckets');
    await page.locator('ai-buckets ai-bucket-map').waitFor();
    for (const name of ['lsh', 'routing']) {
      const { heads } = analysis.mechanisms.find(m => m.name === name)!;
      const { recall } = heads.find(h => h.core === 3 && h.head === 4)!;
      if (name === 'routing') {
        await page.locator('ai-buckets vscode-dropdown').click();
        await page.getByRole('option', { name: /Routing/ }).click();
      }
      await page
        .locator('ai-buckets .lead')
        .getByText(`${Number((recall! * 100).toPrecision(3))}`)
        .first()
        .waitFor();
    }
  });

  it('opens every tab without an error, in light and dark, wide and narrow', async () => {
    const looks = [
      { colorScheme: 'dark', width: 1280 },
      { colorScheme: 'light', width: 1280 },
      { colorScheme: 'dark', width: 480 },
    ] as const;
    for (const look of looks) {
      await open(look);
      for (const name of await page.getByRole('tab').allInnerTexts()) {
        await tab(name);
        await page.waitForTimeout(400);
        if (look.colorScheme === 'dark') continue;
        assert.deepEqual(await violations(page.mainFrame()), [], `${name}, ${look.colorScheme}`);
      }
      assert.deepEqual(errors, []);
      await context.close();
    }
  });

  it('saves its figures', async () => {
    await open();
    for (const kind of ['CSV', 'SVG', 'PNG', 'PDF']) {
      if (kind === 'SVG') await page.getByRole('button', { name: 'Figure…' }).click();
      const name = kind === 'CSV' ? /as CSV/ : `Save ${kind}`;
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('button', { name }).click(),
      ]);
      const saved = readFileSync(await download.path());
      assert.ok(download.suggestedFilename().endsWith(`.${kind.toLowerCase()}`));
      if (kind === 'CSV') assert.equal(saved.toString('utf8').trim().split('\r\n').length, 49);
      else assert.ok(saved.length > 1000);
    }
  });
});
