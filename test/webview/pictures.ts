/**
 * Looks at the views without VS Code: `npx tsx test/webview/pictures.ts [--out DIR] [--tokens N] [--heads 30x9] [--only NAME,...] [--model REF]` writes a
 * PNG of each view in each theme, wide and narrow, over the synthetic engine, or the real one with `--model bundled`.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { chromium, type Page } from 'playwright-core';
import { LENS_NAMES, type AnalysisSummary } from '../../shared/protocol/engine';
import type { AnalysisState, ViewName } from '../../shared/protocol/host';
import { violations } from '../e2e/support/accessibility';
import { CHROMIUM_ARGUMENTS, findChromium } from '../../scripts/lib/chromium.mjs';
import { bundleWebview } from './bundle';
import { FakeHost, ready, type HostOptions } from './fakeHost';
import { MECHANISMS, SyntheticEngine, splitTokens, summaryOf } from './syntheticEngine';
import { editedAnalysis, withLoss } from './syntheticPair';
import { type ThemeName } from './themes';
import { setting } from '../support/settings';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'test-artifacts/webview' },
    tokens: { type: 'string', default: '700' },
    text: { type: 'string', default: 'test/fixtures/sample.txt' },
    only: { type: 'string', default: '' },
    /** Layers and heads of the synthetic model. */
    heads: { type: 'string', default: '6x8' },
    /** Also report what axe-core finds. */
    axe: { type: 'boolean', default: false },
    /** Model reference for the real engine; without it the synthetic one draws. */
    model: { type: 'string', default: '' },
  },
});

interface Shot {
  name: string;
  place?: 'side' | 'panel';
  theme?: ThemeName;
  view?: ViewName;
  options?: { [view: string]: { [name: string]: string | number | boolean } };
  size?: [number, number];
  selection?: HostOptions['selection'];
  analysis?: (summary: AnalysisSummary) => AnalysisState;
  act?: (page: Page) => Promise<void>;
  fails?: boolean;
  /** Another analysis to hold the shown one against. */
  other?: true;
}

const running = (summary: AnalysisSummary): AnalysisState => ({
  status: 'running',
  id: 'a',
  document: { uri: '', name: 'sample.txt', length: 1, selectionStart: null },
  progress: { id: 'a', phase: 'dense', fraction: 0.42, message: 'Attention of layer 3 of 6' },
  began: summary,
  cores: summary.cores.slice(0, 3),
  mechanisms: [],
});
const head = { core: 2, head: 3 };
/** Asks for a plan and waits for it. */
const findPlan = async (page: Page) => {
  await page.locator('vscode-button', { hasText: 'Find a plan' }).click();
  await page.locator('ai-plan-grid .cell').first().waitFor({ timeout: 1_200_000 });
  await page.waitForTimeout(900);
};
const mechanism = setting('local', { window: 64 });
const matrix = { head: { mode: 'matrix' } };

/** At 500, 900 and 1,800 px, each theme somewhere. */
const inTheme = (name: string, shot: Omit<Shot, 'name'>): Shot[] =>
  (
    [
      [500, 'high-contrast'],
      [900, 'light'],
      [900, 'high-contrast-light'],
      [1800, 'dark'],
    ] as const
  ).map(([width, theme]) => ({ ...shot, theme, size: [width, 900], name: `${name}-${width}-${theme}` }));

const pairOf = (kind: string) => ({ pair: { kind } });

const SHOTS: Shot[] = [
  { name: 'overview-dark' },
  { name: 'overview-light', theme: 'light', selection: head },
  { name: 'overview-hc', theme: 'high-contrast', selection: head },
  { name: 'overview-narrow', size: [420, 760] },
  { name: 'overview-sorted', options: { overview: { sorted: true, measure: 'span95' } }, selection: head },
  { name: 'overview-running', analysis: running },
  { name: 'overview-none', analysis: () => ({ status: 'none' }) },
  {
    name: 'overview-error',
    analysis: () => ({
      status: 'error',
      document: null,
      message: 'The engine stopped while layer 3 was computed.',
      actions: ['restartEngine', 'showLog'],
    }),
  },
  { name: 'overview-stale', analysis: s => ready(s, true) },
  { name: 'head-words-dark', view: 'head', selection: { ...head, token: 300 } },
  {
    name: 'head-words-light',
    view: 'head',
    theme: 'light',
    size: [900, 800],
    selection: { ...head, token: 300 },
  },
  {
    name: 'head-words-hc',
    view: 'head',
    theme: 'high-contrast',
    size: [1800, 900],
    selection: { ...head, token: 300 },
  },
  { name: 'head-words-narrow', view: 'head', size: [500, 900], selection: { ...head, token: 300 } },
  { name: 'head-dark', view: 'head', options: matrix, selection: { ...head, token: 300 } },
  { name: 'head-light', view: 'head', options: matrix, theme: 'light', selection: { ...head, token: 300 } },
  { name: 'head-hc', view: 'head', theme: 'high-contrast', selection: { ...head, mechanism } },
  { name: 'head-mechanism', view: 'head', options: matrix, selection: { ...head, token: 300, mechanism } },
  {
    name: 'head-mechanism-light',
    view: 'head',
    options: matrix,
    theme: 'light',
    selection: { ...head, token: 300, mechanism },
  },
  {
    name: 'head-zoomed',
    view: 'head',
    selection: { ...head, mechanism: setting('strided', { stride: 7 }) },
    act: async page => {
      await page.mouse.move(385, 476);
      for (let i = 0; i < 9; i++) await page.mouse.wheel(0, -200);
      await page.mouse.move(330, 420);
      await page.waitForTimeout(600);
    },
  },
  ...inTheme('head-values', {
    view: 'head',
    options: { head: { mode: 'matrix', weigh: 'values' } },
    selection: { ...head, token: 300 },
  }),
  ...inTheme('head-model', {
    view: 'head',
    options: { head: { mode: 'words', of: 'model' } },
    selection: { ...head, token: 300 },
    act: page => page.locator('ai-head-words li').first().waitFor(),
  }),
  ...inTheme('text-rollout', {
    view: 'text',
    options: { text: { show: 'rollout' } },
    selection: { ...head, token: 300 },
    act: page => page.locator('ai-text .swatch').first().waitFor(),
  }),
  ...inTheme('text-attribution', {
    view: 'text',
    options: { text: { attribution: true, show: 'loss' } },
    selection: { ...head, token: 300 },
    act: page => page.locator('ai-attribution .one').first().waitFor({ timeout: 120_000 }),
  }),
  ...inTheme('text-groups', {
    view: 'text',
    options: { text: { show: 'loss' } },
    act: async page => {
      await page.locator('ai-loss-groups tr').first().waitFor();
      await page.locator('ai-loss-groups').scrollIntoViewIfNeeded();
    },
  }),
  ...inTheme('pair-patching', {
    view: 'pair',
    options: pairOf('text'),
    selection: { ...head, token: 300 },
    other: true,
    act: async page => {
      await page.getByRole('button', { name: 'Patch every head' }).click();
      await page.locator('ai-patching .grid').scrollIntoViewIfNeeded();
    },
  }),
  ...inTheme('overview-writes', {
    selection: head,
    act: async page => {
      await page.getByRole('button', { name: 'Who writes?' }).click();
      await page.getByRole('button', { name: 'Who writes?' }).waitFor({ state: 'detached' });
      await page.locator('ai-overview .detail', { hasText: 'direct' }).waitFor({ timeout: 400_000 });
    },
  }),
  { name: 'head-narrow', view: 'head', size: [420, 700], selection: head },
  { name: 'spans-dark', view: 'spans', selection: head },
  { name: 'spans-light', view: 'spans', theme: 'light', selection: head },
  { name: 'spans-hc', view: 'spans', theme: 'high-contrast', selection: head },
  { name: 'spans-900', view: 'spans', size: [900, 900], selection: head },
  { name: 'spans-narrow', view: 'spans', size: [480, 900], selection: head },
  { name: 'buckets-dark', view: 'buckets', selection: head, size: [1280, 1300] },
  {
    name: 'buckets-light',
    view: 'buckets',
    theme: 'light',
    selection: head,
    size: [1280, 1300],
    options: { buckets: { mechanism: 'routing' } },
  },
  { name: 'buckets-hc', view: 'buckets', theme: 'high-contrast', selection: head, size: [1280, 1300] },
  { name: 'buckets-900', view: 'buckets', selection: head, size: [900, 1300] },
  { name: 'buckets-narrow', view: 'buckets', selection: head, size: [480, 1600] },
  {
    name: 'compare-dark',
    view: 'compare',
    selection: { ...head, mechanism },
    size: [1280, 900],
    options: { compare: { rows: 'budget', details: true } },
  },
  { name: 'compare-plan', view: 'compare', selection: head, size: [1280, 1500], act: findPlan },
  {
    name: 'compare-plan-light',
    view: 'compare',
    theme: 'light',
    selection: head,
    size: [1280, 1500],
    options: { compare: { rows: 'budget', of: 'head' } },
    act: findPlan,
  },
  {
    name: 'compare-plan-hc',
    view: 'compare',
    theme: 'high-contrast',
    selection: head,
    size: [1280, 1500],
    options: { compare: { measure: 'outputError' } },
    act: findPlan,
  },
  {
    name: 'compare-readme',
    view: 'compare',
    selection: head,
    size: [1280, 1020],
    options: { compare: { of: 'head' } },
    act: findPlan,
  },
  { name: 'compare-running', view: 'compare', analysis: running },
  { name: 'compare-none', view: 'compare', analysis: () => ({ status: 'none' }) },
  { name: 'compare-stale', view: 'compare', selection: head, analysis: s => ready(s, true) },
  { name: 'compare-900', view: 'compare', selection: head, size: [900, 1900], act: findPlan },
  { name: 'compare-narrow', view: 'compare', selection: head, size: [480, 2200], act: findPlan },
  { name: 'cost-dark', view: 'cost', size: [1280, 1000], act: measureCosts },
  { name: 'cost-light', view: 'cost', theme: 'light', size: [1280, 1000], act: measureCosts },
  { name: 'cost-hc', view: 'cost', theme: 'high-contrast', size: [1280, 1000], act: measureCosts },
  { name: 'cost-900', view: 'cost', size: [900, 1000], act: measureCosts },
  { name: 'cost-narrow', view: 'cost', size: [440, 1500], act: measureCosts },
  { name: 'cost-new', view: 'cost' },
  { name: 'cost-pairs', view: 'cost', options: { cost: { measure: 'pairs' } }, size: [1280, 900] },
  ...inTheme('cost-blocks', {
    view: 'cost',
    options: { cost: { measure: 'blocks' } },
    selection: head,
    act: async page => {
      await page.getByRole('button', { name: 'Measure on this machine' }).click();
      await page.getByRole('button', { name: 'Measure again' }).waitFor({ timeout: 600_000 });
    },
  }),
  { name: 'cost-kv', view: 'cost', options: { cost: { measure: 'kv' } }, size: [900, 900] },
  { name: 'cost-memory', view: 'cost', options: { cost: { measure: 'memory' } }, size: [1280, 1000] },
  { name: 'text-dark', view: 'text', act: explained },
  { name: 'text-light', view: 'text', theme: 'light', selection: { token: 60 }, act: explained },
  { name: 'text-hc', view: 'text', theme: 'high-contrast', act: explained },
  { name: 'text-narrow', view: 'text', size: [440, 1000], act: explained },
  { name: 'text-900', view: 'text', size: [900, 800], act: explained },
  { name: 'text-loss', view: 'text', theme: 'light', options: { text: { show: 'loss' } } },
  { name: 'text-from', view: 'text', selection: { token: 60 }, options: { text: { show: 'from' } } },
  { name: 'text-without', view: 'text', theme: 'light', selection: { token: 60 }, act: takeAway },
  {
    name: 'text-plan',
    view: 'compare',
    act: async page => {
      await findPlan(page);
      await page.getByRole('tab', { name: 'Text' }).click();
      await explained(page);
    },
  },
  { name: 'text-stale', view: 'text', analysis: s => ready(s, true) },
  { name: 'side-without', place: 'side', size: [300, 900], selection: head, act: takeAway },
  { name: 'side-dark', place: 'side', size: [300, 900], selection: { ...head, token: 300 } },
  { name: 'side-light', place: 'side', theme: 'light', size: [300, 900], selection: head },
  { name: 'side-none', place: 'side', size: [300, 400], analysis: () => ({ status: 'none' }) },
  { name: 'keys', act: page => page.keyboard.press('?') },
  { name: 'pair-head', view: 'pair', selection: { ...head, token: 300 }, size: [1280, 1200] },
  { name: 'pair-head-free', view: 'pair', theme: 'light', selection: head, size: [1280, 1200] },
  { name: 'pair-setting', view: 'pair', selection: head, size: [1280, 1200], options: pairOf('setting') },
  {
    name: 'pair-text',
    view: 'pair',
    selection: head,
    size: [1280, 1200],
    options: pairOf('text'),
    other: true,
  },
  { name: 'pair-text-none', view: 'pair', selection: head, options: pairOf('text') },
  // Those of docs/zoo.md: `npm run zoo-pictures`.
  {
    name: 'zoo-map',
    view: 'head',
    theme: 'light',
    options: matrix,
    selection: head,
    size: [1000, 860],
  },
  {
    name: 'zoo-clusters',
    view: 'buckets',
    theme: 'light',
    selection: { core: 2, head: 5 },
    size: [1280, 1150],
    act: async page => page.locator('ai-bucket-map').waitFor(),
  },
  {
    name: 'zoo-distances',
    view: 'spans',
    theme: 'light',
    options: { spans: { by: 'mass' } },
    selection: head,
    size: [1280, 1180],
  },
  {
    name: 'zoo-spans',
    view: 'spans',
    theme: 'light',
    options: { spans: { by: 'mass' } },
    selection: { core: 3, head: 7 },
    size: [1280, 1180],
  },
  {
    name: 'zoo-terms',
    view: 'lenses',
    theme: 'light',
    options: { lenses: { lens: 'positions' } },
    selection: head,
    size: [1100, 560],
    act: settle,
  },
  {
    name: 'zoo-memory',
    view: 'lenses',
    theme: 'light',
    options: { lenses: { lens: 'memory' } },
    selection: head,
    size: [1100, 900],
    act: settle,
  },
  {
    name: 'zoo-shared',
    view: 'lenses',
    theme: 'light',
    options: { lenses: { lens: 'albert' } },
    selection: head,
    size: [1100, 900],
    act: settle,
  },
  {
    name: 'zoo-experts',
    view: 'lenses',
    theme: 'light',
    options: { lenses: { lens: 'switch' } },
    selection: { core: 1, head: 0 },
    size: [1100, 760],
    act: settle,
  },
  ...LENS_NAMES.flatMap(lens =>
    (['dark', 'light'] as const).map(theme => ({
      name: `lens-${lens}-${theme}`,
      view: 'lenses' as const,
      theme,
      options: { lenses: { lens } },
      size: [theme === 'dark' ? 1280 : 500, 1000] as [number, number],
      act: settle,
    })),
  ),
];

/** The lost keys are found last. */
async function explained(page: Page): Promise<void> {
  await page.locator('ai-text .lost').first().waitFor();
}

/** Two pieces of attention, as the editor's commands take them. */
async function takeAway(page: Page): Promise<void> {
  for (const toggle of [
    { kind: 'head', core: 2, head: 3 },
    { kind: 'span', core: null, head: null, from: 40, to: 44, queries: null },
  ])
    await page.evaluate(`toHost(${JSON.stringify({ type: 'intervene', toggle })})`);
  await page.waitForTimeout(500);
  if ((await page.locator('ai-text').count()) === 0) return page.waitForTimeout(2500);
  await page.locator('ai-text .lead', { hasText: 'Taking away 2' }).waitFor();
  await explained(page);
}

/** Lenses answer after a while. */
async function settle(page: Page): Promise<void> {
  await page.locator('#figure').first().waitFor({ timeout: 60_000 });
  await page.waitForTimeout(400);
}

async function measureCosts(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Measure on this machine' }).click();
  await page.getByRole('button', { name: 'Measure again' }).waitFor({ timeout: 600_000 });
  await page.getByRole('button', { name: 'Time a forward' }).click();
  await page.getByRole('button', { name: 'Time it again' }).waitFor({ timeout: 120_000 });
}

function synthetic() {
  const limit = Number(values.tokens);
  const text = readFileSync(values.text, 'utf8').repeat(4);
  const [layers = 6, heads = 8] = values.heads.split('x').map(Number);
  const engine = new SyntheticEngine({ layers, heads, tokens: splitTokens(text, limit) });
  return { engine, summary: summaryOf(engine, text, limit), mechanisms: MECHANISMS, text };
}

async function real(model: string) {
  const { analyzed } = await import('./realEngine');
  const text = readFileSync(values.text, 'utf8');
  return { ...(await analyzed(text, model)), text };
}

async function main(): Promise<void> {
  const { engine, summary, mechanisms, text } = values.model ? await real(values.model) : synthetic();
  const bundle = await bundleWebview();
  mkdirSync(values.out, { recursive: true });
  const browser = await chromium.launch({
    executablePath: await findChromium(),
    args: CHROMIUM_ARGUMENTS,
  });
  const only = values.only.split(',').filter(Boolean);
  const wanted = only.length ? SHOTS.filter(shot => only.some(name => shot.name.startsWith(name))) : SHOTS;
  for (const shot of wanted) {
    const [width, height] = shot.size ?? [1280, 860];
    const page = await browser.newPage({ viewport: { width, height } });
    page.on('pageerror', error => console.error(shot.name, error.message));
    page.on('console', message => message.type() === 'error' && console.error(shot.name, message.text()));
    await FakeHost.open(page, bundle, {
      place: shot.place ?? 'panel',
      theme: shot.theme ?? 'dark',
      engine,
      mechanisms,
      analysis: shot.analysis ? shot.analysis(summary) : ready(shot.other ? withLoss(summary) : summary),
      selection: shot.selection ?? {},
      text,
      ...(shot.other && {
        others: [editedAnalysis(text, { layers: 6, heads: 8, tokens: Number(values.tokens) })],
      }),
      view: { view: shot.view ?? 'overview', options: shot.options ?? {} },
    });
    await page.waitForTimeout(900);
    await shot.act?.(page);
    if (values.axe)
      for (const line of await violations(page.mainFrame())) console.error(`${shot.name}: ${line}`);
    await page.screenshot({ path: `${values.out}/${shot.name}.png` });
    await page.close();
    console.log(shot.name);
  }
  await browser.close();
}

if (process.argv[1]?.endsWith('pictures.ts')) void main();
