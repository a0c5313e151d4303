import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type Frame, type Locator, type Page } from 'playwright-core';
import { CHROMIUM_ARGUMENTS, findChromium } from '../../../scripts/lib/chromium.mjs';
import { ROOT } from '../../../scripts/lib/project.mjs';
import {
  installVsix,
  makeProfile,
  serve,
  setUpServer,
  workbenchUrl,
} from '../../../scripts/lib/vscodeServer.mjs';
import { packedVsix } from './vsix';

const ARTIFACTS = join(ROOT, 'test-artifacts');

export const THEMES = {
  dark: 'Dark Modern',
  light: 'Light Modern',
  'high-contrast': 'Dark High Contrast',
  'high-contrast-light': 'Light High Contrast',
} as const;
export type Theme = keyof typeof THEMES;

/** A real VS Code with the packed extension installed, in a headless browser: what a user can see and do. */
export class Workbench {
  private constructor(
    readonly page: Page,
    readonly folder: string,
    private readonly browser: Browser,
    private readonly server: Awaited<ReturnType<typeof serve>>,
    private readonly scratch: string,
  ) {}

  /** `files`: name -> text, put into the workspace. */
  static async open(
    files: Record<string, string>,
    settings: Record<string, unknown> = {},
    { trusted = true } = {},
  ): Promise<Workbench> {
    await setUpServer();
    const [vsix, executablePath] = [await packedVsix(), await findChromium()];
    const scratch = mkdtempSync(join(tmpdir(), 'attention-inspector-e2e-'));
    const folder = join(scratch, 'workspace');
    mkdirSync(folder);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const all = { 'workbench.colorTheme': 'Default Dark Modern', ...settings };
    const profile = makeProfile(join(scratch, 'profile'), all);
    await installVsix(profile, vsix);
    const server = await serve(profile, { trusted });
    const browser = await chromium.launch({ executablePath, args: CHROMIUM_ARGUMENTS });
    const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
    page.setDefaultTimeout(30_000);
    page.setDefaultNavigationTimeout(60_000);
    // tsx marks named functions with this helper; those that run in the page need it there.
    await page.addInitScript('globalThis.__name = each => each');
    return new Workbench(page, folder, browser, server, scratch);
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.server.stop();
    rmSync(this.scratch, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Loads the window, with a file of the workspace in the editor. */
  async openFile(name: string): Promise<void> {
    await this.page.goto(this.address(name));
    await this.page.locator('.monaco-editor .view-line').first().waitFor({ timeout: 60_000 });
  }

  /** Loads the window anew, and opens a file from the explorer once VS Code knows what the extension adds. */
  async openFromExplorer(name: string): Promise<void> {
    await this.page.goto(workbenchUrl(this.server.origin, this.folder));
    // The icon of the extension is no sign of it: VS Code draws that from memory. Its commands come with its editors.
    await this.until('the extension in the palette', () => this.offers('Attention: Try the Sample'));
    await this.command('View: Show Explorer');
    const row = this.page.locator('.explorer-folders-view .monaco-list-row', { hasText: name }).first();
    const tab = this.page.locator(`.tab[data-resource-name="${name}"]`).first();
    // A list that is just being drawn loses the click.
    await this.until(`the tab of ${name}`, async () => {
      await row.dblclick({ timeout: 5000 });
      await tab.waitFor({ timeout: 5000 });
      return true;
    });
  }

  /** Closes every editor, and waits until none is left. */
  async closeEditors(): Promise<void> {
    await this.command('View: Close All Editors');
    await this.page.locator('.tabs-container .tab').first().waitFor({ state: 'detached' });
  }

  /** Loads the window anew, as it was. */
  async reload(): Promise<void> {
    await this.page.goto(workbenchUrl(this.server.origin, this.folder));
    await this.page.locator('.monaco-editor .view-line').first().waitFor({ timeout: 60_000 });
  }

  /**
   * Changes what the extension keeps for its workspace, while no window is open. VS Code has it in the browser's storage; gives
   * what was there.
   */
  async forgeMemory(changes: Record<string, unknown>): Promise<Record<string, unknown>> {
    await this.page.goto(`${this.server.origin}/healthz`);
    // As a text: the browser's protocol takes no deep values.
    const before = await this.page.evaluate(async written => {
      const changes = JSON.parse(written) as Record<string, unknown>;
      const done = <T>(request: IDBRequest<T>) =>
        new Promise<T>((resolve, reject) => {
          request.onsuccess = () => resolve(request.result);
          request.onerror = () => reject(new Error(String(request.error)));
        });
      for (const { name } of await indexedDB.databases()) {
        if (!name?.startsWith('vscode-web-state-db-')) continue;
        const database = await done(indexedDB.open(name));
        const items = database.transaction('ItemTable', 'readwrite').objectStore('ItemTable');
        const key = 'attention-inspector.attention-inspector';
        const before = ((await done(items.get(key))) as string | undefined) ?? '{}';
        const values = JSON.parse(before) as Record<string, unknown>;
        if ('view.panel' in values) {
          await done(items.put(JSON.stringify({ ...values, ...changes }), key));
          database.close();
          return before;
        }
        database.close();
      }
      throw new Error('nothing is kept for the workspace');
    }, JSON.stringify(changes));
    return JSON.parse(before) as Record<string, unknown>;
  }

  /** Of the window with a file of the workspace in front. */
  address(name: string): string {
    return workbenchUrl(this.server.origin, this.folder, { file: join(this.folder, name) });
  }

  /** Runs a command from the palette, as a user does. A palette that opens while the window still loads may close again. */
  async command(title: string): Promise<void> {
    const row = this.page.locator('.quick-input-list .monaco-list-row', { hasText: title }).first();
    await this.until(`"${title}" in the palette`, async () => {
      const input = this.page.locator('.quick-input-widget input').first();
      if (await input.isVisible()) await this.page.keyboard.press('Escape');
      await this.page.keyboard.press('F1');
      await input.fill(`>${title}`, { timeout: 3000 });
      await row.click({ timeout: 3000 });
      return true;
    });
  }

  /** Types the title of a command into the palette. What is typed before that is open would go into the text. */
  async typeCommand(title: string): Promise<void> {
    const input = this.page.locator('.quick-input-widget input:focus').first();
    await this.page.keyboard.press('Escape');
    await this.page.locator('.quick-input-widget').first().waitFor({ state: 'hidden' });
    await this.page.keyboard.press('F1');
    await input.waitFor({ timeout: 10_000 });
    await this.page.keyboard.type(title);
  }

  /** Whether the palette has a command that can be run; the palette is closed again. */
  async offers(title: string): Promise<boolean> {
    await this.typeCommand(title);
    const found = await this.firstCommand(title)
      .waitFor({ timeout: 6000 })
      .then(
        () => true,
        () => false,
      );
    await this.page.keyboard.press('Escape');
    return found;
  }

  /** The row of the palette that Enter would run. */
  firstCommand(title: string): Locator {
    return this.page.locator('.quick-input-list .monaco-list-row.focused', { hasText: title }).first();
  }

  /** The page of a view: the extension's own frame inside of the two that VS Code puts around it. */
  async view(place: 'panel' | 'side', seconds = 60): Promise<Frame> {
    const find = async () => {
      for (const frame of this.page.frames())
        if (
          await frame
            .locator(`attention-app[data-place="${place}"]`)
            .count()
            .catch(() => 0)
        )
          return frame;
      return null;
    };
    return this.until(`the ${place} view`, find, seconds);
  }

  /** Everything that an element says, with what is inside of its components. */
  static words(element: Locator): Promise<string> {
    return element.evaluate(root => {
      const collect = (node: Node): string => {
        if (node instanceof HTMLStyleElement) return '';
        if (node.nodeType === Node.TEXT_NODE) return node.textContent ?? '';
        const shadow = node instanceof Element ? node.shadowRoot : null;
        return [...(shadow ?? node).childNodes].map(collect).join('');
      };
      return collect(root).replace(/\s+/g, ' ');
    });
  }

  /** Asks again and again until the answer is not null, false or undefined. */
  async until<T>(what: string, ask: () => Promise<T | null | false | undefined>, seconds = 60): Promise<T> {
    const end = Date.now() + seconds * 1000;
    let last: unknown;
    while (Date.now() < end) {
      try {
        const answer = await ask();
        if (answer) return answer;
      } catch (error) {
        last = error;
      }
      await this.page.waitForTimeout(100);
    }
    await this.picture(`failed-${what.replace(/\W+/g, '-')}`);
    throw new Error(`Waited ${seconds} s for ${what}. ${await this.situation()}`, { cause: last });
  }

  /** What the window shows, for the message of a failure: where it happened there may be nobody to look at the picture. */
  private async situation(): Promise<string> {
    const said = async (what: string, selector: string) => {
      const texts = await this.page.locator(selector).allInnerTexts();
      return `${what}: ${texts.map(text => text.trim().replace(/\s+/g, ' ')).join(' | ') || 'none'}.`;
    };
    const parts = [
      said('Tabs', '.tabs-container .tab'),
      said('Messages', '.notification-list-item, .monaco-dialog-box'),
      said('Editor without content', '.editor-pane-placeholder'),
    ];
    const frames = this.page.frames().map(frame => new URL(frame.url(), 'about:blank').pathname);
    return [...(await Promise.all(parts)), `Frames: ${frames.join(' ')}.`].join(' ');
  }

  /** The text of the hover on the `occurrence`-th appearance of a word in the visible lines of the editor. */
  async hover(word: string, occurrence = 0): Promise<string> {
    return this.until(`a hover on ${word}`, async () => {
      await this.page.mouse.move(5, 5);
      const box = await this.wordBox(word, occurrence);
      await this.page.mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 3 });
      const hover = this.page.locator('.monaco-hover:not(.hidden) .hover-contents').last();
      await hover.waitFor({ state: 'visible', timeout: 4000 });
      await hover.filter({ hasNotText: 'Loading...' }).waitFor({ timeout: 10_000 });
      return hover.innerText();
    });
  }

  /** Where a word stands on the screen: the box of its text in the editor's lines. */
  async wordBox(word: string, occurrence = 0) {
    const box = await this.page.evaluate(
      ([wanted, nth]) => {
        let seen = 0;
        const lines = [...document.querySelectorAll<HTMLElement>('.editor-instance .view-line')];
        const top = (line: HTMLElement) => line.getBoundingClientRect().top;
        for (const line of lines.sort((a, b) => top(a) - top(b))) {
          const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
          for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            const text = node.textContent ?? '';
            for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + 1)) {
              if (seen++ < nth) continue;
              const range = document.createRange();
              range.setStart(node, at);
              range.setEnd(node, at + wanted.length);
              const { x, y, width, height } = range.getBoundingClientRect();
              return { x, y, width, height };
            }
          }
        }
        return null;
      },
      [word, occurrence] as const,
    );
    if (!box) throw new Error(`"${word}" is not on the screen`);
    return box;
  }

  /** Picks a theme from the list. (A changed settings.json is not always noticed by a running server.) */
  async theme(theme: Theme): Promise<void> {
    const markers = {
      dark: 'vs-dark',
      light: 'vs',
      'high-contrast': 'hc-black',
      'high-contrast-light': 'hc-light',
    };
    const marker = markers[theme];
    const current = this.page.locator(`.monaco-workbench.${marker}`);
    if (await current.count()) return;
    await this.command('Preferences: Color Theme');
    const row = this.page.locator('.quick-input-list .monaco-list-row', { hasText: THEMES[theme] }).first();
    await this.page.locator('.quick-input-widget input').first().fill(THEMES[theme]);
    await row.click();
    await current.first().waitFor();
    await this.page.waitForTimeout(1000);
  }

  async size(width: number, height: number): Promise<void> {
    await this.page.setViewportSize({ width, height });
    await this.page.waitForTimeout(500);
  }

  /** A screenshot of the whole window into test-artifacts/. */
  async picture(name: string): Promise<string> {
    mkdirSync(ARTIFACTS, { recursive: true });
    const path = join(ARTIFACTS, `${name}.png`);
    await this.page.screenshot({ path });
    return path;
  }

  /** Process ids of the engines that this server's extension host has started. */
  engineProcesses(): number[] {
    return descendants(this.server.pid!).filter(pid =>
      commandLine(pid).some(part => part.endsWith('dist/engine.js')),
    );
  }
}

function descendants(root: number): number[] {
  const found: number[] = [];
  for (let queue = [root], pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    const children = childrenOf(pid);
    found.push(...children);
    queue.push(...children);
  }
  return found;
}

function childrenOf(pid: number): number[] {
  try {
    const threads = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return threads.split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
