import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Frame } from 'playwright-core';
import { ROOT } from '../../scripts/lib/project.mjs';
import { violations } from './support/accessibility';
import { EngineNumbers } from './support/engineNumbers';
import { Workbench, type Theme } from './support/workbench';

const SAMPLE = readFileSync(join(ROOT, 'test', 'fixtures', 'sample.txt'), 'utf8');
/** Layers x heads of the bundled model are not known here: the overview says how many cells it has. */
const CELL = 'ai-overview [role="gridcell"]';
const FINISHED = 'ai-overview [data-head]';

/** What a user does with a text of 1,500 words, from the palette to a killed engine; each step builds on the ones before. */
describe('a text in VS Code', function () {
  this.timeout(120_000);

  let workbench: Workbench;
  let panel: Frame;
  let engine: EngineNumbers;
  let scratch: string;
  const timings: Record<string, number> = {};

  before(async function () {
    this.timeout(300_000);
    workbench = await Workbench.open(
      { 'sample.txt': SAMPLE },
      {
        'editor.wordWrap': 'on',
        'editor.minimap.enabled': false,
        'workbench.activityBar.location': 'default',
        'explorer.autoReveal': false,
        'attentionInspector.device': 'cpu',
      },
    );
    scratch = mkdtempSync(join(tmpdir(), 'attention-inspector-weights-'));
    const text = join(scratch, 'sample.txt');
    writeFileSync(text, SAMPLE);
    engine = await EngineNumbers.of(text, join(scratch, 'dense.safetensors'));
    await workbench.openFile('sample.txt');
  });

  after(async () => {
    engine?.close();
    if (scratch) rmSync(scratch, { recursive: true, force: true });
    await workbench?.close();
    writeFileSync(join(ROOT, 'test-artifacts', 'timings.json'), JSON.stringify(timings, null, 2));
    for (const [what, ms] of Object.entries(timings))
      console.log(`      ${what}: ${(ms / 1000).toFixed(1)} s`);
  });

  it('opens the overview from the palette, which fills with a thumbnail for each head', async () => {
    assert.deepEqual(workbench.engineProcesses(), [], 'no engine runs before it is needed');
    await workbench.command('Attention: Analyze Text');
    const started = Date.now();
    panel = await workbench.view('panel');
    await panel.locator(FINISHED).first().waitFor({ timeout: 60_000 });
    timings['engine start to first thumbnails'] = Date.now() - started;
    await ready();
    timings['engine start to the end of the analysis'] = Date.now() - started;

    const [cells, finished] = [await panel.locator(CELL).count(), await panel.locator(FINISHED).count()];
    assert.ok(cells > 0);
    assert.equal(finished, cells);
    const blank = await panel.locator('ai-overview ai-thumb').evaluateAll(
      thumbs =>
        thumbs.filter(thumb => {
          const canvas = thumb.shadowRoot!.querySelector('canvas')!;
          const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
          const first = data.slice(0, 3).join();
          for (let at = 0; at < data.length; at += 4)
            if (data.slice(at, at + 3).join() !== first) return false;
          return true;
        }).length,
    );
    assert.equal(blank, 0, 'every thumbnail shows something');
  });

  it('follows a click on a thumbnail: the head is selected', async () => {
    await panel.locator('[data-head="1.3"]').click();
    await panel.locator('[data-head="1.3"][aria-selected="true"]').waitFor();
  });

  it('shows the head map, which zooms, pans, and tells the mass under the pointer as the engine computes it', async () => {
    await tab('Head');
    const map = panel.locator('ai-map canvas.over');
    await map.waitFor();
    const box = (await map.boundingBox())!;
    const at = { x: box.x + box.width * 0.35, y: box.y + box.height * 0.6 };
    await workbench.page.waitForTimeout(1500);

    assert.equal(await panel.locator('ai-map canvas.mini').count(), 0, 'the whole map is in sight');
    await workbench.page.mouse.move(at.x, at.y);
    for (let step = 0; step < 12; step++) await workbench.page.mouse.wheel(0, -240);
    await panel.locator('ai-map canvas.mini').waitFor();
    const before = await readout();
    await workbench.page.mouse.move(at.x + 1, at.y + 1);
    await workbench.page.mouse.down();
    await workbench.page.mouse.move(at.x + 90, at.y + 70, { steps: 5 });
    await workbench.page.mouse.up();
    await workbench.page.mouse.move(at.x, at.y);
    const after = await workbench.until('the map to pan', async () => {
      const now = await readout();
      return now.query !== before.query && now.key !== before.key && now.mass !== null && now;
    });
    const row = engine.row(1, 3, after.query);
    assertShown(after.mass!, row[after.key]!);
  });

  it('shows the spans of every head, fitted anew as the slider moves', async () => {
    await tab('Spans');
    await panel.getByRole('radio', { name: 'mass kept' }).click();
    const text = () =>
      workbench.until('the sum of the fit in words', async () => {
        const found = /keep ([\d.]+)\s*% of the mass with ([\d.]+)\s*% of/.exec(await words('ai-spans'));
        return found && [Number(found[1]), Number(found[2])];
      });
    // The fit at a budget stands there until the new one comes.
    const [kept, pairs] = await workbench.until('the fit to a share of the mass', async () => {
      const [share, spent] = (await text()) as [number, number];
      return share >= 94 && share <= 100 && ([share, spent] as const);
    });
    const slider = panel.locator('ai-spans input[type="range"]').first();
    await slider.focus();
    for (let step = 0; step < 10; step++) await slider.press('ArrowLeft');
    await workbench.until('a new fit', async () => {
      const [nowKept, nowPairs] = (await text()) as [number, number];
      return nowKept < kept && nowPairs < pairs;
    });
  });

  it('shows the buckets of LSH and the clusters of routing', async () => {
    await tab('Buckets');
    for (const [mechanism, title] of [
      ['lsh', 'LSH (Reformer)'],
      ['routing', 'Routing'],
    ] as const) {
      await panel.locator('ai-buckets vscode-dropdown').first().click();
      await panel.locator('ai-buckets vscode-option', { hasText: title }).first().click();
      const kept = await workbench.until(`what ${mechanism} keeps`, async () => {
        const found = new RegExp(`${mechanism} keeps ([\\d.]+)\\s*% of the mass`).exec(
          await words('ai-buckets'),
        );
        return found && Number(found[1]) / 100;
      });
      assertShown(kept, engine.recall(mechanism, 1, 3));
    }
  });

  it('tells in the hover what the selected head attends to, as the engine computes it', async () => {
    const text = await workbench.hover('Eleanor');
    await workbench.picture('hover-dark');
    assert.match(text, /layer 1, head 3/);
    const [, from, to = from, last] = /tokens? (\d+)(?: to (\d+))? \(of 0 to (\d+)\)/.exec(text)!;
    const [first, end] = [Number(from), Number(to)];
    assert.ok(Number(last) > 1000);
    const rows = Array.from({ length: end - first + 1 }, (_, at) => engine.row(1, 3, first + at));
    const row = rows[0]!.map((_, key) => rows.reduce((sum, one) => sum + one[key]!, 0) / rows.length);
    const links = /Looks at: (.*)/.exec(text)![1]!;
    const shown = [...links.matchAll(/([\d.]+)\s% \((?:(\d+) back|itself)\)/g)].map(([, mass, back]) => ({
      key: first - Number(back ?? 0),
      mass: Number(mass) / 100,
    }));
    assert.equal(shown.length, 3, links);
    assert.ok(shown[0]!.mass >= Math.max(...row) - 0.0006 && shown[0]!.mass >= shown[2]!.mass, links);
    // A word has the mass of all its tokens, however many they are.
    for (const { key, mass } of shown) {
      const sums = [...row.slice(key, key + 12)].map((_, more, all) =>
        all.slice(0, more + 1).reduce((sum, one) => sum + one, 0),
      );
      const nearest = sums.reduce((a, b) => (Math.abs(b - mass) < Math.abs(a - mass) ? b : a));
      assertShown(mass, nearest);
    }
  });

  it('paints on the text what the pinned token attends to', async () => {
    assert.equal((await painted()).length, 0);
    const box = await workbench.wordBox('Eleanor');
    await workbench.page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
    await workbench.command('Attention: Pin Token at Cursor');
    await workbench.until('painted words', async () => new Set(await painted()).size >= 2);
    // Heavy links are underlined on the letters, above the highlight of the word under the cursor.
    const shown = await panel.getByRole('group', { name: 'What is shown' }).innerText();
    const row = engine.row(1, 3, Number(/token (\d+)/.exec(shown)![1]));
    const underlines = await workbench.page.locator('.editor-instance .view-line span').evaluateAll(spans =>
      spans
        .map(span => getComputedStyle(span))
        .filter(style => style.textDecorationLine === 'underline')
        .map(style => style.textDecorationThickness),
    );
    assert.equal(
      underlines.some(line => /^[234]px$/.test(line)),
      row.some(mass => mass >= 0.1),
    );
    await workbench.page.mouse.move(5, 5);
  });

  it('lists every head in the side panel', async () => {
    await workbench.page.locator('.activitybar .action-label[aria-label^="Attention"]').first().click();
    const side = await workbench.view('side');
    await side.locator('ai-side').waitFor();
    await workbench.page.waitForTimeout(1000);
    assert.deepEqual(await violations(side), []);
  });

  for (const view of ['Overview', 'Head', 'Spans', 'Buckets'])
    it(`has no accessibility violation in ${view}`, async () => {
      await tab(view);
      await workbench.page.waitForTimeout(500);
      assert.deepEqual(await violations(panel), []);
    });

  it('goes back to the whole dense map', async () => {
    await tab('Head');
    await panel.locator('ai-head vscode-dropdown').first().click();
    await panel.locator('ai-head vscode-option', { hasText: 'none (dense)' }).first().click();
    await panel.locator('ai-map canvas.over').press('0');
    await panel.locator('ai-map canvas.mini').waitFor({ state: 'detached' });
  });

  for (const theme of ['light', 'high-contrast', 'dark'] as Theme[])
    it(`is drawn in ${theme}: pictures in test-artifacts/`, async () => {
      await workbench.theme(theme);
      await pictures(theme);
      if (theme !== 'dark') return;
      await workbench.size(900, 800);
      await pictures('narrow');
      await workbench.size(1600, 1000);
    });

  it('says what forgetting costs, marks it on the text, and goes to the token that pays most', async () => {
    await tab('Text');
    await panel.locator('ai-text .lost').first().waitFor({ timeout: 60_000 });
    const found = /costs ([\d.]+) nats per token; half of what is lost falls on ([\d,]+) of/.exec(
      await words('ai-text'),
    );
    assert.ok(found && Number(found[1]) > 0, 'the cost in words');
    await panel.locator('ai-text ol li .where button').first().click();
    await workbench.until('marked words', async () => new Set(await painted()).size >= 2);
    await workbench.page.waitForTimeout(800);
    await workbench.picture('text-dark');
    assert.deepEqual(await violations(panel), []);
    await workbench.command('Attention: Unpin Token');
  });

  it('compares mechanisms, runs the model on with one, and begins and cancels the search of a plan', async () => {
    await tab('Compare');
    const row = panel.locator('ai-compare-table tbody tr', { hasText: 'Local window' }).first();
    const cost = row.getByText(/^[+−]?\d[\d.]* nats/);
    if (!(await cost.count())) await row.getByRole('button', { name: 'Run the model with it' }).click();
    await cost.first().waitFor({ timeout: 60_000 });
    await panel.locator('ai-pareto .point').first().waitFor();
    await panel.getByRole('button', { name: /Find a plan/ }).click();
    await panel.getByRole('progressbar', { name: 'Search of a plan' }).waitFor();
    await panel.locator('ai-plan').getByRole('button', { name: 'Cancel' }).dispatchEvent('click');
    await panel.getByRole('button', { name: /Find a plan/ }).waitFor();
    await workbench.picture('compare-dark');
    assert.deepEqual(await violations(panel), []);
  });

  it('marks the results stale when the text changes, and puts them back when the new run is cancelled', async () => {
    await tab('Overview');
    const box = await workbench.wordBox('Eleanor');
    await workbench.page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
    await workbench.page.keyboard.press('End');
    await workbench.page.keyboard.type(' And so it was.');
    const stale = panel.getByText('The text has changed since this analysis.');
    await stale.waitFor();
    await panel.getByText('Analyze again').click();
    // At once: an analysis of this text is over within seconds.
    await panel.locator('ai-panel button', { hasText: 'Cancel' }).dispatchEvent('click');
    const clicked = Date.now();
    await stale.waitFor();
    timings['cancel'] = Date.now() - clicked;
    assert.equal(
      await panel.locator(FINISHED).count(),
      await panel.locator(CELL).count(),
      'the old results are back',
    );
  });

  it('recovers when the engine process is killed', async () => {
    const [first, ...others] = workbench.engineProcesses();
    assert.ok(first);
    assert.deepEqual(others, []);
    process.kill(first, 'SIGKILL');
    const killed = Date.now();
    await workbench.page.locator('.notification-list-item', { hasText: 'started again' }).first().waitFor();
    await workbench.picture('engine-killed');
    const next = await workbench.until('a new engine', async () =>
      workbench.engineProcesses().find(pid => pid !== first),
    );
    assert.notEqual(next, first);
    await ready();
    timings['killed engine to results'] = Date.now() - killed;
    await tab('Overview');
    assert.equal(await panel.locator(FINISHED).count(), await panel.locator(CELL).count());
    assert.match(await workbench.hover('Eleanor'), /Looks at/);
  });

  it('has lost nothing after a reload of the window, before any engine runs', async () => {
    // The hover of the step before lies over the panel.
    await workbench.page.mouse.move(5, 5);
    await panel.locator('[data-head="2.1"]').dispatchEvent('click');
    await panel.locator('[data-head="2.1"][aria-selected="true"]').waitFor();
    await workbench.page.waitForTimeout(1500); // what is kept is written a moment after the last change
    await workbench.reload();
    const reloaded = Date.now();
    panel = await workbench.view('panel');
    await panel.locator('[data-head="2.1"][aria-selected="true"]').waitFor({ timeout: 60_000 });
    timings['reload to results'] = Date.now() - reloaded;
    assert.equal(await panel.locator(FINISHED).count(), await panel.locator(CELL).count());
    await workbench.picture('reloaded');
    assert.match(await workbench.hover('Eleanor'), /Looks at/);
  });

  it('opens a saved analysis from its file alone', async () => {
    await workbench.command('Attention: Save Analysis');
    const name = workbench.page.locator('.quick-input-widget input').first();
    await workbench.until('the place to save it', async () =>
      (await name.inputValue()).endsWith('sample.attention'),
    );
    // The dialog loses a key that comes while it looks at the folder.
    const saved = workbench.page.locator('.notification-list-item', { hasText: 'The analysis was saved' });
    await workbench.until('the analysis to be saved', async () => {
      if (await name.isVisible()) await workbench.page.keyboard.press('Enter');
      await saved.first().waitFor({ timeout: 5000 });
      return true;
    });
    await workbench.closeEditors();
    for (const pid of workbench.engineProcesses()) process.kill(pid, 'SIGTERM');
    await workbench.openFromExplorer('sample.attention');
    panel = await workbench.view('panel');
    await panel.locator('[data-head="2.1"][aria-selected="true"]').waitFor({ timeout: 60_000 });
    await tab('Head');
    await workbench.page.waitForTimeout(1000);
    await workbench.picture('saved-analysis');
    assert.deepEqual(workbench.engineProcesses(), []);
  });

  // ------------------------------------------------------------ what the steps share

  /** No analysis runs and every cell of the overview is there. */
  async function ready(): Promise<void> {
    await workbench.until('the end of the analysis', async () => {
      if (await panel.locator('ai-panel [role="progressbar"]').count()) return false;
      const status = await workbench.page
        .locator('[id="attention-inspector.attention-inspector.attentionInspector.status"]')
        .innerText();
      return / · (cpu|webgpu)/.test(status);
    });
  }

  async function tab(title: string): Promise<void> {
    await panel.getByRole('tab', { name: title, exact: true }).click();
    await panel.getByRole('tab', { name: title, exact: true, selected: true }).waitFor();
  }

  async function pictures(name: string): Promise<void> {
    for (const view of ['Overview', 'Head', 'Spans', 'Buckets']) {
      await tab(view);
      await workbench.page.waitForTimeout(1200);
      await workbench.picture(`${view.toLowerCase()}-${name}`);
    }
  }

  /** What the head view says of the cell under the pointer. */
  async function readout(): Promise<{ query: number; key: number; mass: number | null }> {
    return workbench.until('the cell under the pointer in words', async () => {
      const text = await words('ai-head');
      const found = /query “.*?” \(([\d,]+)\) → key “.*?” \(([\d,]+)\)(?:: (?:< )?([\d.]+)\s*%)?/su.exec(
        text,
      );
      if (!found) return null;
      const [query, key] = found.slice(1, 3).map(part => Number(part.replaceAll(',', ''))) as [
        number,
        number,
      ];
      return { query, key, mass: found[3] === undefined ? null : Number(found[3]) / 100 };
    });
  }

  /** Background colours of the marks on the text. */
  async function painted(): Promise<string[]> {
    return workbench.page
      .locator('.editor-instance .view-overlays [class*="ced-"]')
      .evaluateAll(marks =>
        marks
          .map(mark => getComputedStyle(mark).backgroundColor)
          .filter(colour => !/, 0\)$|^transparent$/.test(colour)),
      );
  }

  const words = (element: string) => Workbench.words(panel.locator(element).first());
});

/** The interface shows three significant digits, and nothing finer than 0.05 %. */
function assertShown(shown: number, exact: number): void {
  assert.ok(Math.abs(shown - exact) <= Math.max(0.006 * exact, 0.0006), `shown ${shown}, computed ${exact}`);
}
