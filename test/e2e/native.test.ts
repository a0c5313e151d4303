import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';
import { CHROMIUM_ARGUMENTS, findChromium } from '../../scripts/lib/chromium.mjs';
import { ROOT } from '../../scripts/lib/project.mjs';
import { mechanismInfos } from '../../engine/attention/registry';
import type { AnalysisJson } from '../../engine/export/json';
import { describeHead, hoverText, type HoverOptions } from '../../extension/editor/hoverText';
import type { CoreInfo, TokenAttention } from '../../shared/protocol/engine';
import { readSetting } from '../../shared/setting';

const WORDS = 300;
const tokenizer = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: 'WhitespaceSplit' },
  post_processor: null,
  decoder: null,
  model: {
    type: 'WordLevel',
    vocab: Object.fromEntries(Array.from({ length: WORDS }, (_, i) => [`w${i}`, i])),
    unk_token: 'w0',
  },
};
const TEXT = Array.from({ length: 60 }, (_, i) => `w${1 + ((i * i + 3 * i) % 250)}`).join(' ');

/** What every place must say of a setting, by the model that is looked at. */
interface Case {
  model: string;
  /** Beside the names of heads; null: nothing. */
  own: string | null;
  /** The setting that is the model's own, as the command line takes it. */
  setting: string;
  says: Record<string, 'native' | 'what-if' | 'what-if, approximate'>;
}

const CASES: Case[] = [
  {
    model: 'routing',
    own: 'native: routing',
    setting: 'routing:window=12;localHeads=2;localWindow=7;sharedQK=true',
    says: { dense: 'what-if', local: 'what-if', performer: 'what-if, approximate', routing: 'native' },
  },
  {
    model: 'adaptive-span',
    own: 'native: adaptive-span',
    setting: 'adaptive-span:ramp=5',
    says: {
      dense: 'what-if',
      local: 'what-if',
      performer: 'what-if, approximate',
      'adaptive-span': 'native',
    },
  },
  {
    model: 'dense',
    own: null,
    setting: 'dense',
    says: { dense: 'native', local: 'what-if', performer: 'what-if, approximate' },
  },
];

describe('native, what-if and approximate, everywhere', function () {
  this.timeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), 'attention-native-'));
  const cli = join(ROOT, 'dist', 'cli.js');
  let browser: Browser;
  before(async () => {
    if (!existsSync(cli)) execFileSync(process.execPath, ['esbuild.mjs'], { cwd: ROOT });
    browser = await chromium.launch({ executablePath: await findChromium(), args: CHROMIUM_ARGUMENTS });
  });
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const { model, own, setting, says } of CASES)
    describe(`a model made with ${model}`, () => {
      const file = (name: string) => join(folder, model, name);
      const others = Object.entries(says).filter(([, words]) => words !== 'native');
      let printed: string;
      let json: AnalysisJson;
      let page: Page;
      before(async () => {
        mkdirSync(file(''), { recursive: true });
        copyFileSync(join(ROOT, 'test/fixtures/zoo', model, 'onnx/model.onnx'), file('model.onnx'));
        writeFileSync(file('tokenizer.json'), JSON.stringify(tokenizer));
        writeFileSync(file('text.txt'), TEXT);
        const mechanisms = ['dense', 'local:window=12', 'performer', ...(own ? [setting] : [])].join();
        const wanted = ['--model', file(''), '--device', 'cpu', '--mechanisms', mechanisms];
        const outputs = ['--json', file('a.json'), '--html', file('a.html'), '--csv', file('a.csv')];
        printed = execFileSync(process.execPath, [cli, 'analyze', file('text.txt'), ...wanted, ...outputs], {
          encoding: 'utf8',
        });
        json = JSON.parse(readFileSync(file('a.json'), 'utf8')) as AnalysisJson;
        page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
        await page.goto(pathToFileURL(file('a.html')).href);
        await page.locator('[data-head="1.3"]').click();
      });
      after(() => page?.close());
      const tab = (name: string) => page.getByRole('tab', { name, exact: true }).click();
      const shows = (place: string, text: string) => page.locator(place).getByText(text).first().waitFor();
      const silent = async (place: string) =>
        assert.doesNotMatch(await page.locator(place).first().innerText(), /native/);

      it('is proved on the text', () => {
        assert.ok(json.verified.holds);
        assert.doesNotMatch(printed, /Not verified/);
      });

      it('JSON', () => {
        for (const layer of json.layers) {
          assert.equal(layer.attention.native, own !== null);
          assert.equal(layer.attention.name, model);
        }
        const found = json.mechanisms.map(
          m => [m.name, m.standing + (m.approximate ? ', approximate' : '')] as const,
        );
        assert.deepEqual(Object.fromEntries(found), says);
        for (const m of json.mechanisms)
          if (m.standing === 'native') assert.ok(m.outputError < 1e-6, 'it is the very same attention');
          else assert.ok(m.outputError > 0, m.name);
      });

      it('the command line and its CSV', () => {
        for (const [name, words] of Object.entries(says))
          assert.match(printed, new RegExp(`^${name} +${words} `, 'm'));
        const [titles, first] = readFileSync(file('a.csv'), 'utf8').split('\r\n');
        assert.ok(first!.startsWith(`0,self,0,0,${own ?? 'dense'},`));
        assert.ok(titles!.includes('recall (local what-if): local:window=12'));
      });

      it('Overview', async () => {
        await tab('Overview');
        const label = await page.locator('[data-head="1.3"]').getAttribute('aria-label');
        assert.ok(label!.startsWith(own ? `layer 1, head 3 (${own}): ` : 'layer 1, head 3: '));
        if (own) await shows('ai-overview .detail', own);
        else await silent('ai-overview .detail');
      });

      it('Head', async () => {
        await tab('Head');
        if (own) await shows('ai-head h2', own);
        else await silent('ai-head h2');
        const choice = page.locator('ai-head vscode-dropdown');
        await choice.click();
        await page.getByRole('option', { name: `none (${own ?? 'dense'})`, exact: true }).waitFor();
        const offered = page.getByRole('option', { name: 'Dense', exact: true });
        assert.equal(await offered.count(), own ? 1 : 0, 'dense is a what-if where it is not the own');
        await page.getByRole('option', { name: 'Local window' }).click();
        await shows('ai-head .kept', 'what-if');
      });

      it('Spans', async () => {
        await tab('Spans');
        await shows('ai-spans .lead', '(local, what-if)');
        await shows('ai-spans .key', '(what-if)');
        const learned = page.locator('ai-spans').getByText('learned span');
        if (model !== 'adaptive-span') return assert.equal(await learned.count(), 0);
        const params: Record<string, unknown> = json.layers[1]!.attention.params;
        const span = (params['span'] as number[])[3]!;
        const heading = page.locator('ai-spans .heading').first();
        await heading.getByText('(native)').waitFor();
        const told = await heading.locator('strong').nth(1).getAttribute('title');
        assert.ok(Math.abs(Number.parseFloat(told!.replaceAll(',', '')) - span) < 1e-2, `${told} ${span}`);
        assert.equal(await page.locator('ai-span-columns .learned').count(), 8);
      });

      it('Buckets', async () => {
        await tab('Buckets');
        if (model !== 'routing') return shows('ai-buckets', 'holds no mechanism with buckets');
        await shows('ai-buckets .lead', "the model's own");
        await page.locator('ai-buckets summary').click();
        await shows('ai-buckets .shapes', 'centre, learned');
        await page.locator('ai-buckets vscode-dropdown').first().click();
        await page.getByRole('option', { name: 'Routing (native)' }).waitFor();
      });

      it('Compare', async () => {
        await tab('Compare');
        const row = (name: string) => page.locator(`ai-compare-table tr[data-setting^="${name}"]`);
        for (const [name, words] of own ? Object.entries(says) : others)
          assert.equal(await row(name).locator('.standing').innerText(), words, name);
      });

      it('the hover', () => {
        const cores = json.layers.map(
          ({ attention, ...core }) =>
            ({ ...core, ...(attention.native && { attention }) }) as unknown as CoreInfo,
        );
        const kept = json.mechanisms.map(m => ({
          mechanism: readSetting(m, mechanismInfos),
          mass: 0.5,
          costliestLost: null,
          deltaLoss: null,
        }));
        const ownKey = json.mechanisms.find(m => m.standing === 'native')?.setting;
        for (const core of cores) if (core.attention) core.ownSetting = ownKey!;
        const t: HoverOptions['t'] = (message, ...args) =>
          message.replace(/\{(\d)\}/g, (_, i) => String(args[Number(i)]));
        const word = {
          ...{
            token: 0,
            entropy: 1,
            loss: null,
            lookedAtBy: [],
            looksAtSide: 'text',
            lookedAtBySide: 'text',
          },
          ...{ looksAt: [{ token: 0, mass: 1 }], kept },
        } as unknown as TokenAttention;
        const text = hoverText([word], {
          text: 'w1',
          tokens: {
            text: ['w1'],
            ids: Int32Array.of(1),
            start: Int32Array.of(0),
            end: Int32Array.of(2),
          } as HoverOptions['tokens'],
          of: describeHead({ core: 1, head: 3 }, cores, t),
          stale: false,
          cores,
          mechanisms: mechanismInfos,
          links: () => '',
          pin: (_, words) => words,
          t,
        }).replaceAll('\\', '');
        assert.ok(text.startsWith(own ? `layer 1, head 3 (${own})` : 'layer 1, head 3\n'));
        for (const [name, words] of Object.entries(says))
          assert.ok(text.includes(`| ${name}, ${words} |`), text);
      });
    });
});
