import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { CHROMIUM_ARGUMENTS, findChromium } from '../../scripts/lib/chromium.mjs';
import { ROOT } from '../../scripts/lib/project.mjs';
import type { AnalysisSummary } from '../../shared/protocol/engine';
import type { SaveFileParams } from '../../shared/protocol/host';
import { FakeHost, ready, type HostOptions } from '../webview/fakeHost';
import { bundleWebview } from '../webview/bundle';
import { MECHANISMS, SyntheticEngine, splitTokens, summaryOf } from '../webview/syntheticEngine';
import { violations } from './support/accessibility';
import { until } from './support/until';

const TEXT = readFileSync(join(ROOT, 'test', 'fixtures', 'sample.txt'), 'utf8');
const TOKENS = 300;

/** The Compare view in a browser without VS Code, over the synthetic engine. */
describe('the Compare view alone', function () {
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
    engine = new SyntheticEngine({ layers: 3, heads: 4, tokens: splitTokens(TEXT, TOKENS) });
    summary = summaryOf(engine, TEXT, TOKENS);
  });

  after(() => browser?.close());

  afterEach(async () => {
    await page?.close();
    assert.deepEqual(errors, [], 'no error in the page');
  });

  const open = async (
    options: Partial<HostOptions> = {},
    compare: { [name: string]: string | number | boolean } = {},
  ): Promise<FakeHost> => {
    page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    errors = [];
    page.on('pageerror', error => errors.push(error.message));
    return FakeHost.open(page, bundle, {
      place: 'panel',
      theme: 'dark',
      engine,
      mechanisms: MECHANISMS,
      analysis: ready(structuredClone(summary)),
      selection: { core: 1, head: 2 },
      view: { view: 'compare', options: { compare: { rows: 'computed', ...compare } } },
      ...options,
    });
  };
  const rows = () => page.locator('ai-compare-table tbody tr');
  const findPlan = async () => {
    await page.getByRole('button', { name: /Find a plan/ }).click();
    await page.locator('ai-plan-grid .cell').first().waitFor();
  };

  it('has a row for each mechanism that was computed, and selects the one that is clicked', async () => {
    const host = await open();
    await rows().first().waitFor();
    assert.equal(await rows().count(), summary.mechanisms.length);
    await rows().filter({ hasText: 'Routing' }).getByRole('button', { name: 'Routing' }).click();
    await until(() => host.selection.mechanism?.name === 'routing');
    await page.locator('tr[aria-selected="true"]', { hasText: 'Routing' }).waitFor();
  });

  it('runs the model on with a mechanism when asked', async () => {
    const host = await open();
    const row = rows().filter({ has: page.getByRole('button', { name: 'Local window', exact: true }) });
    await row.getByRole('button', { name: 'Run the model with it' }).click();
    await row.getByText(/^\+0\.\d+ nats/).waitFor();
    const asked = host.received.find(m => m.type === 'request' && m.method === 'analysis/mechanism');
    assert.equal((asked as { params: { scope: string } }).params.scope, 'propagated');
  });

  it('sorts by a column, and the other way round', async () => {
    await open();
    const first = () => rows().first().locator('.name').innerText();
    await page.getByRole('button', { name: 'mechanism', exact: true }).click();
    await until(async () => (await first()).trim() === 'Local window');
    await page.getByRole('button', { name: 'mechanism', exact: true }).press('Enter');
    await until(async () => (await first()).trim() === 'Routing');
    assert.equal(await page.locator('th[aria-sort="descending"]').count(), 1);
  });

  it('tries every mechanism at the budget, and says which could not be so cheap', async () => {
    const host = await open({}, { rows: 'budget', budget: 0.08 });
    await rows().filter({ hasText: 'Strided' }).waitFor();
    await rows().filter({ hasText: 'Fixed' }).waitFor();
    await rows().filter({ hasText: 'Routing' }).getByText('over budget').waitFor();
    const budgets = host.received.flatMap(m =>
      m.type === 'request' && m.method === 'analysis/atBudget' ? [m.params.budget] : [],
    );
    assert.ok(budgets.length > 0 && budgets.every(budget => budget === 0.08));
    const lead = page.locator('ai-compare .lead');
    await lead.getByText(/Not compared, over budget: .*Routing/).waitFor();
    await page.getByRole('radio', { name: 'as computed' }).click();
    await lead.getByText(/what spends so differently is not\s+ranked/).waitFor();
    assert.equal(await page.locator('ai-compare-table .best').count(), 0);
  });

  it('adds a mechanism with parameters of its own', async () => {
    const host = await open();
    await page.getByRole('button', { name: 'Add a mechanism' }).click();
    await page.getByRole('button', { name: 'Compare it' }).click();
    await until(async () => (await rows().count()) === summary.mechanisms.length + 1);
    assert.ok(host.selection.mechanism);
  });

  it('takes a point of the Pareto picture with the keyboard', async () => {
    const host = await open();
    await page.locator('ai-pareto .point[tabindex="0"]').first().press('Enter');
    await until(() => host.selection.mechanism !== null);
  });

  it('finds a plan, says whether it wins, and gives a head another mechanism by hand', async () => {
    const host = await open();
    await findPlan();
    await page.getByText(/of the\s+pairs\s+the plan costs/).waitFor();
    assert.equal(await page.locator('ai-plan-grid .cell').count(), 12);
    await page.locator('ai-plan-grid [data-head="2.1"]').click();
    await until(() => host.selection.core === 2 && host.selection.head === 1);
    await page.getByText(/layer 2, head 1:/).waitFor();
    await page.locator('ai-plan .detail vscode-dropdown').click();
    await page.locator('ai-plan .detail vscode-option', { hasText: 'dense' }).click();
    await until(() => host.received.some(m => m.type === 'changePlan'));
    await page.locator('ai-plan-grid [data-head="2.1"]', { hasText: '100%' }).waitFor();
  });

  it('is honest about a plan that does not win', async () => {
    const made = await engine.request('analysis/plan', { id: 'a', budget: 0.1, mechanisms: [], maxRuns: 9 });
    const loses = { ...made, wins: 'no' as const, effect: { ...made.effect, delta: 9 } };
    const state = ready(structuredClone(summary));
    await open({ analysis: state.status === 'ready' ? { ...state, plan: loses } : state });
    await page.getByText(/The plan does not win/).waitFor();
  });

  it('has the plan exported, and tells why none was found', async () => {
    const host = await open();
    await findPlan();
    await page
      .getByRole('button', { name: 'Export the plan as FlexAttention: mask functions for PyTorch' })
      .click();
    await until(() => host.received.some(m => m.type === 'exportPlan' && m.format === 'flex'));
    const planning = { budget: 0.1, fraction: 0, message: '', error: 'No choice spends so few pairs.' };
    await host.send({ type: 'planning', id: summary.id, planning });
    await page.getByRole('alert').getByText('No choice spends so few pairs.').waitFor();
  });

  it('shows how the search goes, and cancels it', async () => {
    let release = () => {};
    const held = new Promise<void>(resolve => (release = resolve));
    const host = await open({ beforeAnswer: method => (method === 'analysis/plan' ? held : undefined) });
    await page.getByRole('button', { name: /Find a plan/ }).click();
    await page.getByRole('progressbar', { name: 'Search of a plan' }).waitFor();
    await page.locator('ai-plan').getByRole('button', { name: 'Cancel' }).click();
    await until(() => host.received.some(m => m.type === 'cancelPlan'));
    release();
  });

  it('saves every number of every head as CSV', async () => {
    const host = await open();
    await rows().first().waitFor();
    await page.getByRole('button', { name: 'Save the data under it as CSV' }).click();
    const save = await until(() =>
      host.received.find(m => m.type === 'request' && m.method === 'host/saveFile'),
    );
    const lines = String((save as { params: SaveFileParams }).params.data)
      .trim()
      .split('\r\n');
    assert.equal(lines.length, 1 + 12 * summary.mechanisms.length);
    assert.match(lines[0]!, /^mechanism,parameters,native or what-if,core,head,mass kept/);
  });

  it('has no accessibility violation in any theme', async () => {
    const host = await open({}, { details: true });
    await findPlan();
    for (const theme of ['dark', 'light', 'high-contrast'] as const) {
      await host.setTheme(theme);
      await page.waitForTimeout(200);
      assert.deepEqual(await violations(page.mainFrame()), [], theme);
    }
  });
});
