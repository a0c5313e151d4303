import assert from 'node:assert/strict';
import { until } from './support/until';
import { viewsAlone } from './support/viewsAlone';
import { violations } from './support/accessibility';

/** Which heads matter: ranked by what losing them costs, and what can be done with any of them. */
describe('who matters', function () {
  this.timeout(60_000);
  const views = viewsAlone({ layers: 3, heads: 4, tokens: 200 });
  const profiles = () => views.summary.cores.flatMap(({ heads }) => heads);

  it('ranks heads by what losing them costs, while it is measured, and stops when told to', async () => {
    let heads = 0;
    let release = () => {};
    const held = new Promise<void>(resolve => (release = resolve));
    const { page, host } = await views.open({
      beforeAnswer: method => (method === 'analysis/ablated' && ++heads === 5 ? held : undefined),
    });
    await page.getByRole('button', { name: 'Who matters?' }).click();
    await page.getByText('5 of 12 heads').waitFor();
    assert.equal(
      await page.locator('ai-overview .cell', { hasText: /[+−]\d/ }).count(),
      5,
      'fills as it runs',
    );
    await page.getByText('Cancel').click();
    await until(() => host.received.some(({ type }) => type === 'cancelAblation'));
    release();
    await until(() => host.state.status === 'ready' && host.state.ablation?.running === null);
    const options = page.locator('ai-overview vscode-option');
    const named = await options.evaluateAll(all =>
      all.map(one => [one.getAttribute('aria-label'), one.textContent.trim()]),
    );
    assert.ok(named.length > 5);
    for (const [told, shown] of named) assert.equal(told, shown, 'is called what it shows');
    await page.getByText('Sort by it').click();
    const first = page.locator('ai-overview [data-head]').first();
    const most = profiles().reduce((a, b) => (b.meanDistance > a.meanDistance ? b : a));
    await until(async () => (await first.getAttribute('data-head')) === `${most.core}.${most.head}`);
    await first.hover();
    await page.getByText(/\(95 %: [+−][\d.]+ to [+−][\d.]+\)/).waitFor();
  });

  it('has heads and mechanisms as a table, worst first, sorted by any column', async () => {
    const { page } = await views.open({ view: { view: 'overview', options: { overview: { table: true } } } });
    const names = () => page.locator('ai-head-table tbody th').allInnerTexts();
    await until(async () => (await page.locator('ai-head-table th.mechanism').count()) >= 3);
    assert.equal((await names()).length, 12);
    const column = page.locator('ai-head-table th.mechanism button').first();
    await column.click();
    const values = async () =>
      (await page.locator('ai-head-table tbody tr td:nth-child(4)').allInnerTexts()).map(parseFloat);
    const sorted = await values();
    assert.deepEqual(
      sorted,
      [...sorted].sort((a, b) => b - a),
      'worst first',
    );
    await column.click();
    assert.deepEqual(await values(), [...sorted].reverse());
    await page.waitForTimeout(300);
    assert.deepEqual(await violations(page.mainFrame()), []);
  });

  for (const place of ['panel', 'side'] as const)
    it(`has a menu on every head, by mouse and keyboard: ${place}`, async () => {
      const { page, host } = await views.open({ place }, place === 'side' ? 320 : 1000);
      const head = page.locator('[data-head="1.2"]').first();
      await head.click({ button: 'right' });
      const menu = page.getByRole('menu', { name: 'layer 1, head 2' });
      await menu.waitFor();
      assert.deepEqual(await violations(page.mainFrame()), []);
      await menu.getByRole('menuitem', { name: 'Knock it out' }).click();
      await until(() => views.sent('intervene').length === 1);
      assert.deepEqual(views.sent('intervene')[0]!.toggle, { kind: 'head', core: 1, head: 2 });
      await head.click({ button: 'right' });
      await menu.getByRole('menuitem', { name: 'Give it back' }).waitFor();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('ArrowUp');
      await page.keyboard.press('End');
      await page.keyboard.press('Enter');
      await until(() => views.sent('copy').length === 1);
      assert.equal(views.sent('copy')[0]!.text, 'layer 1, head 2');
      await head.click({ button: 'right' });
      await page.keyboard.press('Escape');
      await menu.waitFor({ state: 'detached' });
      assert.equal(host.selection.head, null, 'a look at the menu chooses nothing');
    });
});
