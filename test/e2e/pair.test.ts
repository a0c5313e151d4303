import assert from 'node:assert/strict';
import { percent, signed } from '../../shared/numbers';
import type { AnalysisSummary } from '../../shared/protocol/engine';
import { keptMass, lossPair, shiftPerRow, wholeLevel } from '../../webview/model/pair';
import { ready } from '../webview/fakeHost';
import { editedAnalysis, withLoss } from '../webview/syntheticPair';
import { setting } from '../support/settings';
import { violations } from './support/accessibility';
import { until } from './support/until';
import { viewsAlone } from './support/viewsAlone';

/** Two heads, two settings or two texts side by side, over the synthetic engine. */
describe('A and B', function () {
  this.timeout(60_000);
  const views = viewsAlone({ layers: 2, heads: 3, tokens: 150 });
  const at = (kind: string, more = {}) => ({ view: 'pair' as const, options: { pair: { kind, ...more } } });

  it('two heads: both maps, their difference, and how much attention goes elsewhere', async () => {
    const { page, host } = await views.open({
      view: at('head', { head: '1.2' }),
      selection: { core: 0, head: 1 },
    });
    await until(async () => (await page.locator('ai-pair-map canvas').count()) === 3);
    const level = wholeLevel(150, 150);
    const tile = (core: number, head: number) =>
      views.engine.request('analysis/tile', { id: '', core, head, level, row: 0, column: 0, reduce: 'mean' });
    const [a, b] = [await tile(0, 1), await tile(1, 2)];
    const shift = shiftPerRow(a, b, level)!;
    const mean = shift.reduce((sum, value) => sum + value, 0) / shift.length;
    const lead = page.locator('ai-pair .lead');
    assert.match(await lead.innerText(), new RegExp(`at least ${percent(mean)}`.replace('.', '\\.')));
    // The twin of the difference has its largest cell first.
    await page.getByText('Where the maps differ most, as a table').click();
    const [first, other] = [keptMass(a), keptMass(b)];
    const most = other.reduce(
      (top, value, i) => (Math.abs(value - first[i]!) > Math.abs(top) ? value - first[i]! : top),
      0,
    );
    const cell = await page.locator('ai-pair details td.number').first().innerText();
    assert.equal(cell.replace(/^[+−]/, ''), percent(Math.abs(most)));
    await page.getByRole('button', { name: 'Swap' }).click();
    await until(() => host.selection.core === 1 && host.selection.head === 2);
    await until(async () =>
      (await page.locator('ai-pair h2').nth(1).innerText()).includes('layer 0, head 1'),
    );
    // A pinned token: what one looks at and the other does not.
    host.select({ token: 20 });
    await page.getByText('What the pinned token looks at more or less').waitFor();
    const row = (core: number, head: number) => views.engine.row(core, head, 20);
    const rows = [row(1, 2), row(0, 1)] as const;
    const differences = Array.from(rows[0], (mass, key) => (rows[1][key] ?? 0) - mass);
    const largest = differences.reduce((top, value) => (Math.abs(value) > Math.abs(top) ? value : top), 0);
    const listed = page.locator('table.most td.number').first();
    await until(async () => (await listed.innerText()).replace(/^[+−]/, '') === percent(Math.abs(largest)));
    assert.deepEqual(await violations(page.mainFrame()), []);
  });

  it('two settings: what each keeps, in every head', async () => {
    const { page } = await views.open({ view: at('setting'), selection: { core: 0, head: 1 } });
    const local = views.summary.mechanisms[0]!;
    await until(async () => (await page.locator('ai-pair-map canvas').count()) === 3);
    for (const head of local.heads) {
      const cell = page.locator(`.grid [data-head="${head.core}.${head.head}"]`);
      const kept = head.recall! - 1;
      assert.equal((await cell.innerText()).trim(), percent(kept));
    }
    await page.locator('.grid [data-head="1.0"]').click();
    await page.locator('.grid td.shown [data-head="1.0"]').waitFor();
    assert.deepEqual(await violations(page.mainFrame()), []);
    assert.notEqual(local.setting.key, setting('dense').key);
  });

  it('two texts: the loss with its interval, word by word, and every head', async () => {
    const other = editedAnalysis(views.text, { layers: 2, heads: 3, tokens: 150 });
    const { summary } = other;
    const mine = withLoss(structuredClone(views.summary));
    const { page } = await views.open({
      view: at('text', { measure: 'entropy' }),
      analysis: ready(mine),
      selection: { core: 0, head: 1 },
      others: [other],
    });
    const pair = lossPair(
      { perToken: mine.loss!.perToken, ids: mine.tokens.ids },
      { perToken: summary.loss!.perToken, ids: summary.tokens.ids },
    );
    assert.ok(pair.paired > 100);
    const lead = page.locator('ai-pair .lead');
    await until(async () => (await lead.innerText()).includes(`on ${pair.paired} tokens that both have`));
    await page.getByRole('heading', { name: 'sample.txt, as analyzed before, in synthetic' }).waitFor();
    await page.getByText('What each token costs more or less').waitFor();
    const head = (of: AnalysisSummary) => of.cores[1]!.heads[2]!.entropy;
    const cell = await page.locator('.grid [data-head="1.2"]').innerText();
    assert.equal(cell.trim(), signed(head(summary) - head(mine)));
    assert.deepEqual(await violations(page.mainFrame()), []);
  });

  it('says what to do while there is no other text', async () => {
    const { page } = await views.open({ view: at('text') });
    await page.getByText('Nothing to put beside it yet.').waitFor();
  });
});
