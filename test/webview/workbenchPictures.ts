/**
 * `npm run every-picture:editor`: what the extension shows in the editor itself (side panel, painted text,
 * hover, walkthrough, status and notifications), in a real VS Code in every theme and width, into test-artifacts/every/workbench
 * with contact sheets.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { CHROMIUM_ARGUMENTS, findChromium } from '../../scripts/lib/chromium.mjs';
import { ROOT } from '../../scripts/lib/project.mjs';
import { THEMES, Workbench, type Theme } from '../e2e/support/workbench';
import { contactSheet } from './contactSheet';
import { WIDTHS } from './ways';

const OUT = join(ROOT, 'test-artifacts', 'every', 'workbench');

async function main(): Promise<void> {
  mkdirSync(OUT, { recursive: true });
  const workbench = await Workbench.open(
    { 'other.txt': 'The cat sat on the mat.\n' },
    { 'attentionInspector.device': 'cpu', 'editor.wordWrap': 'on', 'editor.minimap.enabled': false },
  );
  const sheets = new Map<string, { name: string; file: string }[]>();
  try {
    const { page } = workbench;
    page.setDefaultTimeout(120_000);
    const picture = async (what: string, width: number, theme: Theme) => {
      const file = join(OUT, `${what}-${width}-${theme}.png`);
      await page.screenshot({ path: file });
      const key = `${what}-${width}`;
      sheets.set(key, [...(sheets.get(key) ?? []), { name: `${what}, ${width} px, ${theme}`, file }]);
    };
    await workbench.openFile('other.txt');
    await page.locator('.activitybar .action-label[aria-label^="Attention"]').first().click();
    const side = await workbench.view('side');
    await side.getByText('Try the sample').first().click();
    const analyzed = () =>
      workbench.until(
        'the analysis',
        async () =>
          (await page.locator('.statusbar-item', { hasText: /prose-2m · cpu/ }).count()) > 0 &&
          (await side.locator('ai-side .item').count()) > 0,
        300,
      );
    await analyzed();
    await workbench.command('Attention: Find the Induction Head');
    const word = await workbench.wordBox('Whitcombe');
    await page.mouse.click(word.x + word.width / 2, word.y + word.height / 2);
    await workbench.command('Attention: Pin Token at Cursor');
    await workbench.command('Attention: Knock Out Head');
    await page.waitForTimeout(5000);
    for (const theme of Object.keys(THEMES) as Theme[]) {
      await workbench.size(1800, 1000);
      await workbench.theme(theme);
      for (const width of [...WIDTHS].reverse()) {
        await workbench.size(width, 900);
        await page.mouse.move(5, 5);
        await page.waitForTimeout(1200);
        await picture('painted', width, theme);
        // Beside the views a narrow window has no room for the hover.
        if (width < 1800) continue;
        await workbench.hover('Whitcombe');
        await picture('hover', width, theme);
        await page.mouse.move(5, 5);
        await page.keyboard.press('Escape');
      }
      await workbench.size(1800, 1000);
      await analyzed();
      process.kill(workbench.engineProcesses()[0]!, 'SIGKILL');
      await page
        .locator('.notification-list-item', { hasText: /started again|stopped too often/ })
        .first()
        .waitFor();
      for (const width of WIDTHS) {
        await workbench.size(width, 900);
        await picture('notification', width, theme);
      }
      await workbench.size(1800, 1000);
      await workbench.command('Notifications: Clear All Notifications');
      // After three deaths it is given up until it is asked for.
      if (workbench.engineProcesses().length === 0) {
        await workbench.command('Attention: Restart Engine');
        await workbench.command('Attention: Analyze Text');
      }
      await analyzed();
      console.log(theme);
    }
  } finally {
    await workbench.close();
  }
  const browser = await chromium.launch({ executablePath: await findChromium(), args: CHROMIUM_ARGUMENTS });
  for (const [key, pictures] of sheets)
    await contactSheet(browser, pictures, key.endsWith('-500') ? 4 : 2, join(OUT, `sheet-${key}.png`));
  await browser.close();
}

void main();
