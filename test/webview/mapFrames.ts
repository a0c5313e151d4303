/**
 * How long the map takes to draw a frame while it is moved and zoomed: `npm run map-frames [-- --tokens 131072 --seconds 4]`. A head of so many tokens, whose
 * tiles come from here with random masses after some milliseconds, is dragged and zoomed once a frame in a browser without a GPU, so what a
 * screen would show is at least as quick. Told are the times of updating, drawing and a whole frame (median, 95th percentile, longest).
 */
import { parseArgs } from 'node:util';
import { chromium, type Page } from 'playwright-core';
import { CHROMIUM_ARGUMENTS, findChromium } from '../../scripts/lib/chromium.mjs';
import {
  TILE_SIZE,
  type EngineMethod,
  type EngineParams,
  type Tile,
  type TokenTable,
} from '../../shared/protocol/engine';

import { bundleWebview } from './bundle';
import { FakeHost, ready, type EngineLike } from './fakeHost';
import { MECHANISMS, SyntheticEngine, splitTokens, summaryOf } from './syntheticEngine';

const { values } = parseArgs({
  options: { tokens: { type: 'string', default: '131072' }, seconds: { type: 'string', default: '4' } },
});
const TOKENS = Number(values.tokens);
const SECONDS = Number(values.seconds);
/** Milliseconds that the engine takes for a tile whose rows are known. */
const TILE_TIME = 4;
/** Tokens of the text that the profile of the head is made from. */
const PROFILED = 400;
const WORDS = 'the head of a long text looks here and there and back again '.repeat(PROFILED / 10);

async function main(): Promise<void> {
  const small = new SyntheticEngine({ layers: 1, heads: 1, tokens: splitTokens(WORDS, PROFILED) });
  const summary = { ...summaryOf(small, WORDS, PROFILED), tokens: repeated(splitTokens(WORDS, PROFILED)) };
  const browser = await chromium.launch({ executablePath: await findChromium(), args: CHROMIUM_ARGUMENTS });
  try {
    const page = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
    await FakeHost.open(page, await bundleWebview(), {
      ...{ place: 'panel', theme: 'dark', engine: longEngine(small), mechanisms: MECHANISMS },
      ...{ analysis: ready(summary), text: WORDS },
      view: { view: 'head', options: { head: { mode: 'matrix' } } },
      selection: { core: 0, head: 0 },
    });
    // What the compiler calls in functions that run in the page.
    await page.evaluate('globalThis.__name = f => f');
    await page.locator('ai-map canvas.over').waitFor();
    for (const way of ['drag', 'zoom'] as const) console.log(`${way}: ${await measure(page, way)}`);
  } finally {
    await browser.close();
  }
}

/** The tokens once more and once more, up to the number asked for. */
function repeated(tokens: TokenTable): TokenTable {
  const { length } = tokens.ids;
  const from = Array.from({ length: TOKENS }, (_, i) => i % length);
  const far = (i: number) => Math.floor(i / length) * WORDS.length;
  return {
    ids: Int32Array.from(from, i => tokens.ids[i]!),
    start: Int32Array.from(from, (at, i) => tokens.start[at]! + far(i)),
    end: Int32Array.from(from, (at, i) => tokens.end[at]! + far(i)),
    text: from.map(i => tokens.text[i]!),
    special: new Uint8Array(TOKENS),
    total: TOKENS,
  };
}

/** Tiles and rows of the long text; all else is that of the short one. */
function longEngine(small: SyntheticEngine): EngineLike {
  return {
    async request<M extends EngineMethod>(method: M, params: EngineParams<M>): Promise<unknown> {
      if (method === 'analysis/tile') {
        await new Promise(resolve => setTimeout(resolve, TILE_TIME));
        return tileAt(params as EngineParams<'analysis/tile'>);
      }
      if (method === 'analysis/row')
        return Float32Array.from({ length: TOKENS }, () => Math.random() / TOKENS);
      return small.request(method, params);
    },
  };
}

function tileAt({ level, row, column }: EngineParams<'analysis/tile'>): Tile {
  const cells = Math.ceil(TOKENS / 2 ** level);
  const [rows, columns] = [row, column].map(at => Math.min(TILE_SIZE, cells - at * TILE_SIZE)) as [
    number,
    number,
  ];
  const mass = Float32Array.from({ length: rows * columns }, () => Math.random() ** 8);
  return { rows, columns, mass };
}

/** One event a frame for some seconds; what each drawing and each frame took, in milliseconds. */
async function measure(page: Page, way: 'drag' | 'zoom'): Promise<string> {
  const found = await page.locator('ai-map').evaluate(
    async (element, { way, seconds }) => {
      const map = element as unknown as {
        painter: { draw(...all: unknown[]): void };
        renderRoot: ShadowRoot;
        performUpdate(): void;
      };
      const { painter, renderRoot } = map;
      const over = renderRoot.querySelector('.over')!;
      const { left, top, width, height } = over.getBoundingClientRect();
      const [x, y] = [left + width / 2, top + height / 2];
      const wheel = (deltaY: number) =>
        over.dispatchEvent(new WheelEvent('wheel', { deltaY, clientX: x, clientY: y, cancelable: true }));
      const pointer = (type: string, px: number, py: number) =>
        over.dispatchEvent(
          new PointerEvent(type, {
            clientX: px,
            clientY: py,
            buttons: 1,
            button: 0,
            pointerId: 1,
            bubbles: true,
          }),
        );
      const frame = () => new Promise<number>(resolve => requestAnimationFrame(resolve));
      const drawings: number[] = [];
      const updates: number[] = [];
      const frames: number[] = [];
      const draw = painter.draw.bind(painter);
      painter.draw = (...all) => {
        const began = performance.now();
        draw(...all);
        drawings.push(performance.now() - began);
      };
      const update = map.performUpdate.bind(map);
      map.performUpdate = () => {
        const began = performance.now();
        update();
        updates.push(performance.now() - began);
      };
      // Somewhere between the whole map and single cells.
      for (let i = 0; i < 25; i++) wheel(-200);
      if (way === 'drag') pointer('pointerdown', x, y);
      const end = performance.now() + seconds * 1000;
      let before = await frame();
      for (let step = 1; performance.now() < end; step++) {
        const angle = step / 15;
        if (way === 'zoom') wheel(60 * Math.sign(Math.sin(angle / 2)));
        else pointer('pointermove', x + 300 * Math.sin(angle), y + 200 * Math.cos(angle));
        const now = await frame();
        frames.push(now - before);
        before = now;
      }
      if (way === 'drag') pointer('pointerup', x, y);
      painter.draw = draw;
      map.performUpdate = update;
      return { drawings, updates, frames };
    },
    { way, seconds: SECONDS },
  );
  return `updating ${spread(found.updates)} ms, drawing ${spread(found.drawings)} ms, a frame ${spread(found.frames)} ms, ${found.frames.length} frames in ${SECONDS} s`;
}

/** Median, 95th percentile and longest. */
function spread(times: number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => (sorted[Math.floor(share * (sorted.length - 1))] ?? NaN).toFixed(1);
  return [at(0.5), at(0.95), at(1)].join(', ');
}

void main();
