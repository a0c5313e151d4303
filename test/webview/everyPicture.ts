/**
 * `npm run every-picture`: pictures of every view, made from a real analysis, in every theme and width, into test-artifacts/every,
 * with contact sheets of the four themes side by side (`sheet-VIEW-WIDTH.png`). What axe-core finds in any of them is told, and
 * fails the run. `-- --only head,plan --model REF --text FILE --no-axe` narrows it.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium, type Browser, type Page } from 'playwright-core';
import { cutWords, mutePictures, violations } from '../e2e/support/accessibility';
import type { Engine } from '../../engine/engine';
import { bundleWebview } from './bundle';
import { FakeHost, ready, type HostOptions } from './fakeHost';
import { analyzed } from './realEngine';
import { THEME_NAMES } from './themes';
import { EVERY_WAY, WIDTHS } from './ways';
import { setting } from '../support/settings';
import { CHROMIUM_ARGUMENTS, findChromium } from '../../scripts/lib/chromium.mjs';
import { contactSheet } from './contactSheet';

const { values } = parseArgs({
  allowNegative: true,
  options: {
    out: { type: 'string', default: 'test-artifacts/every' },
    only: { type: 'string', default: '' },
    model: { type: 'string', default: 'bundled' },
    text: { type: 'string', default: 'media/sample.txt' },
    axe: { type: 'boolean', default: true },
  },
});

/** What is looked at: the state that the page opens in, and what is done there until it shows what it has to show. */
interface Look {
  name: string;
  widths?: number[];
  options: Partial<HostOptions>;
  act?(page: Page): Promise<void>;
}

const click = (page: Page, name: string | RegExp) => page.getByRole('button', { name }).first().click();
/** A refusal is looked at as it is. */
const drawn = (page: Page) =>
  page
    .locator('#figure, ai-corpus ai-scatter')
    .first()
    .waitFor({ timeout: 60_000 })
    .catch(() => console.warn('  no figure'));

/** What comes of a button: beside the views as they open. */
function looksOf(base: Partial<HostOptions>): Look[] {
  const at = (view: string, options = {}) => ({
    ...base,
    view: { view, options } as NonNullable<HostOptions['view']>,
  });
  const window = setting('local', { window: 64 });
  const matters = async (page: Page) => {
    await click(page, 'Who matters?');
    await page.getByText(/^\s*\d+ of \d+ heads/).waitFor();
    await page.getByText(/^\s*\d+ of \d+ heads/).waitFor({ state: 'detached', timeout: 600_000 });
  };
  return [
    ...EVERY_WAY.map(({ name, state }) => ({ name, options: { ...base, view: state }, act: drawn })),
    { name: 'overview matters', options: at('overview'), act: matters },
    { name: 'overview table', options: at('overview', { overview: { table: true } }), act: matters },
    {
      name: 'head mechanism',
      options: {
        ...at('head', { head: { mode: 'matrix' } }),
        selection: { ...base.selection, mechanism: window },
      },
      act: drawn,
    },
    { name: 'buckets routing', options: at('buckets', { buckets: { mechanism: 'routing' } }), act: drawn },
    {
      name: 'plan',
      options: at('compare'),
      act: async page => {
        await click(page, /Find a plan/);
        await page.locator('ai-plan-grid .cell').first().waitFor({ timeout: 1_800_000 });
      },
    },
    { name: 'text from', options: at('text', { text: { show: 'from' } }), act: drawn },
    ...(['heads', 'residual', 'edges'] as const).map(part => ({
      name: `patching ${part}`,
      options: at('pair', { pair: { kind: 'text', patchPart: part } }),
      act: async (page: Page) => {
        await click(page, /^\s*Patch /);
        await page.locator('ai-patching .grid, ai-patching .edges').waitFor({ timeout: 600_000 });
      },
    })),
    {
      name: 'text without',
      options: at('text'),
      act: async page => {
        const toggle = { kind: 'head', core: 3, head: 7 };
        await page.evaluate(`toHost(${JSON.stringify({ type: 'intervene', toggle })})`);
        await page.locator('ai-text .lead', { hasText: 'Taking away' }).waitFor({ timeout: 120_000 });
      },
    },
    {
      name: 'cost measured',
      options: at('cost'),
      act: async page => {
        await click(page, 'Measure on this machine');
        await page.getByRole('button', { name: 'Measure again' }).waitFor({ timeout: 900_000 });
      },
    },
    {
      name: 'figure',
      options: at('spans'),
      act: async page => {
        await drawn(page);
        await click(page, /Save|Figure/);
      },
    },
    { name: 'keys', options: at('overview'), act: page => page.keyboard.press('?') },
    { name: 'side', options: { ...base, place: 'side' }, widths: [300, 500] },
    { name: 'nothing yet', options: { ...at('overview'), analysis: { status: 'none' }, selection: {} } },
  ];
}

/** As high as all of it, within reason. */
async function fit(page: Page, width: number): Promise<void> {
  await page.setViewportSize({ width, height: 900 });
  await page.waitForTimeout(250);
  const beyond = await page
    .locator('main, ai-side')
    .first()
    .evaluate(one => one.scrollHeight - one.clientHeight);
  await page.setViewportSize({ width, height: Math.min(2400, 900 + Math.max(0, beyond)) });
  await page.waitForTimeout(250);
}

async function main(): Promise<number> {
  const text = readFileSync(values.text, 'utf8');
  const { engine, summary, mechanisms } = await analyzed(text, values.model);
  const scratch = mkdtempSync(join(tmpdir(), 'every-picture-'));
  const base: Partial<HostOptions> = {
    engine,
    mechanisms,
    text,
    analysis: ready(summary),
    selection: { core: 3, head: 7, token: Math.min(300, summary.tokens.ids.length - 1) },
  };
  const only = values.only.split(',').filter(Boolean);
  const looks = looksOf(base).filter(({ name }) => !only.length || only.some(one => name.startsWith(one)));
  for (const { name, options } of looks) {
    if (name === 'pair text') options.others = [await afterAnEdit(LONGER(text), engine)];
    if (name.startsWith('patching')) options.others = [await afterAnEdit(AS_LONG(text), engine)];
    if (name === 'corpus') options.corpus = await profiled(scratch, engine);
  }
  mkdirSync(values.out, { recursive: true });
  const browser = await chromium.launch({ executablePath: await findChromium(), args: CHROMIUM_ARGUMENTS });
  const bundle = await bundleWebview();
  let faults = 0;
  for (const look of looks)
    faults += await lookAt(browser, bundle, look).catch((error: Error) => {
      console.error(`${look.name}: ${error.message}`);
      return 1;
    });
  await browser.close();
  await engine.dispose();
  rmSync(scratch, { recursive: true, force: true });
  return faults;
}

/** Edits of a text: to another length, and to as many tokens. */
const LONGER = (text: string) => text.replace(/\bold\b/, 'ancient').replace(/\. /, ', it is said. ');
const AS_LONG = (text: string) => text.replace(/\bsaid that\b/, 'knew that');

/** The same text after an edit, to be held against. */
async function afterAnEdit(edited: string, engine: Engine) {
  const { summary } = await analyzed(edited, values.model, { id: 'other', engine });
  const { id, model, tokens } = summary;
  const told = { name: basename(values.text), model: model.name, tokens: tokens.ids.length, earlier: true };
  return { told: { ...told, id }, summary, engine };
}

/** Of texts of several kinds. */
function profiled(scratch: string, engine: Engine) {
  const root = join(scratch, 'texts');
  mkdirSync(root);
  const texts = [
    'media/sample.txt',
    'test/fixtures/sample.txt',
    'SUPPORT.md',
    'SECURITY.md',
    'CONTRIBUTING.md',
  ];
  for (const file of texts) copyFileSync(file, join(root, file.replaceAll('/', '-')));
  const folder = join(scratch, 'profile');
  const { model } = values;
  return engine.request('corpus/profile', {
    root,
    paths: ['.'],
    folder,
    model,
    device: 'cpu',
    maxTokens: 512,
  });
}

/** Gives the number of faults. */
async function lookAt(
  browser: Browser,
  bundle: { script: string; style: string },
  { name, options, widths = WIDTHS, act }: Look,
): Promise<number> {
  const began = Date.now();
  const faults: string[] = [];
  const page = await browser.newPage({ viewport: { width: widths[0]!, height: 900 } });
  page.on('pageerror', error => faults.push(error.message));
  page.on('console', message => message.type() === 'error' && faults.push(message.text()));
  const host = await FakeHost.open(page, bundle, {
    place: 'panel',
    theme: 'dark',
    ...(options as Pick<HostOptions, 'engine' | 'mechanisms' | 'analysis'>),
    ...options,
  });
  await page.locator('ai-panel, ai-side').waitFor();
  await act?.(page);
  // What is pointed at stands out.
  await page.mouse.move(1, 1);
  await page.waitForTimeout(600);
  for (const one of await mutePictures(page.mainFrame())) faults.push(one);
  for (const width of widths) {
    await fit(page, width);
    for (const one of await cutWords(page.mainFrame())) faults.push(`${width} px: ${one}`);
    const pictures = [];
    for (const theme of THEME_NAMES) {
      await host.setTheme(theme);
      await page.waitForTimeout(200);
      const file = join(values.out, `${name.replaceAll(' ', '-')}-${width}-${theme}.png`);
      await page.screenshot({ path: file });
      pictures.push({ name: `${name}, ${width} px, ${theme}`, file });
      if (values.axe)
        for (const line of await violations(page.mainFrame())) faults.push(`${width} px, ${theme}: ${line}`);
    }
    const sheet = join(values.out, `sheet-${name.replaceAll(' ', '-')}-${width}.png`);
    await contactSheet(browser, pictures, width > 500 ? 2 : 4, sheet);
  }
  await page.close();
  console.log(`${name} (${Math.round((Date.now() - began) / 1000)} s)`);
  for (const fault of faults) console.error(`  ${name}: ${fault}`);
  return faults.length;
}

void main().then(faults => process.exit(faults ? 1 : 0));
