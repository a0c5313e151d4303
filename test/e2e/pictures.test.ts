import assert from 'node:assert/strict';
import type { EngineParams, SpanFit } from '../../shared/protocol/engine';
import { number } from '../../shared/numbers';
import { roleHue } from '../../webview/model/roles';
import { until } from './support/until';
import { viewsAlone } from './support/viewsAlone';

/** Where things stand in the pictures: what is looked at is in sight, marks stand at their values, blocks on the diagonal. */
describe('pictures', function () {
  this.timeout(60_000);
  const views = viewsAlone({ layers: 2, heads: 4, tokens: 200 });

  it('bring the pinned query and its heaviest key into sight when another head or token is chosen', async () => {
    const { page, host } = await views.open({
      view: { view: 'head', options: { head: { mode: 'matrix' } } },
      selection: { core: 0, head: 1, token: 190 },
    });
    const map = page.locator('ai-map');
    await map.locator('canvas.over').focus();
    for (let i = 0; i < 12; i++) await page.keyboard.press('+');
    /** Which tokens the map shows, and the heaviest key of the query under the crosshair. */
    const shown = () =>
      map.evaluate(element => {
        const { model, row } = element as unknown as {
          model: {
            camera: { x: number; y: number; scale: number };
            frame: { map: { width: number; height: number } };
            crosshair: { query: number };
          };
          row: { value: Float32Array | null; answers: { token: number; head: number } | null };
        };
        const { camera, frame, crosshair } = model;
        const values = [...(row.value ?? [])];
        return {
          query: crosshair.query,
          of: row.answers,
          key: values.indexOf(Math.max(...values)),
          rows: [camera.y, camera.y + frame.map.height / camera.scale] as const,
          columns: [camera.x, camera.x + frame.map.width / camera.scale] as const,
        };
      });
    const holds = ([from, to]: readonly [number, number], token: number) =>
      token >= from - 0.01 && token < to;
    for (const selection of [{ core: 0, head: 3 }, { token: 11 }, { core: 0, head: 0 }, { token: 150 }]) {
      // Away from everything that is looked at.
      for (let i = 0; i < 6; i++) await page.keyboard.press('Shift+ArrowRight');
      host.select(selection);
      await until(async () => {
        const { query, of, key, rows, columns } = await shown();
        const { head, token } = host.selection;
        return of?.token === token && of?.head === head && holds(rows, query) && holds(columns, key);
      });
    }
  });

  it('of spans have every head at its fitted span, in the hue of what it does', async () => {
    const { page } = await views.open({
      view: { view: 'spans', options: {} },
      selection: { core: 1, head: 1 },
    });
    await page.locator('ai-span-columns circle.span').first().waitFor();
    const asked = views.sent('request').findLast(one => one.method === 'analysis/spans')!;
    const { heads } = (await views.engine.request(
      'analysis/spans',
      asked.params as EngineParams<'analysis/spans'>,
    )) as SpanFit;
    const marks = await page.locator('ai-span-columns g.head').evaluateAll(groups =>
      groups.map(group => {
        const circle = group.querySelector<SVGCircleElement>('circle.span')!;
        const range = group.querySelector('line.range')!;
        return {
          head: (group as SVGGElement).dataset.head,
          fill: circle.style.fill,
          y: Number(circle.getAttribute('cy')),
          range: ['y1', 'y2'].map(at => Number(range.getAttribute(at))),
        };
      }),
    );
    assert.equal(marks.length, 8);
    const found = new Map(marks.map(mark => [mark.head, mark]));
    const placed = heads.map(({ core, head, span }) => ({ span, y: found.get(`${core}.${head}`)!.y }));
    assert.ok(new Set(placed.map(({ span }) => span)).size > 1, 'they differ');
    for (const a of placed)
      for (const b of placed)
        assert.equal(
          Math.sign(a.span - b.span),
          Math.sign(Math.round(b.y - a.y)),
          'longer ones stand higher',
        );
    for (const { info, heads: profiles } of views.summary.cores)
      for (const profile of profiles) {
        const { fill, range } = found.get(`${info.core}.${profile.head}`)!;
        assert.equal(fill, await page.evaluate(asFill, roleHue(profile)));
        assert.ok(range[0]! >= range[1]!, 'from the 5th to the 95th percentile');
      }
  });

  it('of spans say where the ramp alone spends more than the budget', async () => {
    const told = /the ramp of 32 tokens alone spends it/;
    for (const [isSpent, spent] of [
      [true, 0.37],
      [false, 0.1],
    ] as const) {
      const request = async (method: string, params: object) => {
        const found = (await views.engine.request(method as 'analysis/spans', params as never)) as SpanFit;
        if (method !== 'analysis/spans') return found;
        // As of an encoder's short text, in which a ramp to both sides is a third of all pairs.
        return {
          ...found,
          heads: found.heads.map(one => ({ ...one, span: 0, pairs: spent * one.densePairs })),
        };
      };
      const { page } = await views.open({
        engine: { request } as unknown as typeof views.engine,
        view: { view: 'spans', options: {} },
      });
      const lead = page.locator('ai-spans .lead');
      await lead.getByText('the longest needs').waitFor();
      assert.equal(told.test(await lead.innerText()), isSpent);
    }
  });

  it('sorted by bucket have a block for each bucket along the diagonal, named as in the list', async () => {
    const { page } = await views.open({
      view: { view: 'buckets', options: { buckets: { mechanism: 'routing' } } },
      selection: { core: 1, head: 1 },
    });
    await page.locator('ai-bucket-map .box').first().waitFor();
    const boxes = await page
      .locator('ai-bucket-map .box')
      .evaluateAll(all =>
        all.map(one => ['x', 'y', 'width', 'height'].map(name => Number(one.getAttribute(name)))),
      );
    assert.ok(boxes.length > 1);
    for (const [at, [x, y]] of boxes.slice(1).entries()) {
      const [left, top, width, height] = boxes[at]!;
      // The next begins where this one ends, downwards and to the right.
      assert.ok(x! >= left! + width! - 0.01 && y! >= top! + height! - 0.01, `${boxes.join(' ')}`);
    }
    const labels = await page.locator('ai-bucket-map .label').allTextContents();
    assert.ok(labels.length > 0);
    const list = await page
      .getByRole('group', { name: 'Buckets, the largest first' })
      .getByRole('button')
      .allTextContents();
    const named = list.map(words => words.replace(/\s+/g, ' ').trim());
    for (const label of labels)
      assert.ok(
        named.some(name => name.startsWith(label)),
        `${label} of ${named.join('; ')}`,
      );
    // The block of the focused bucket is the one that stands out.
    assert.equal(await page.locator('ai-bucket-map .box.shown').count(), 1);
  });

  it('of the overview mean attention by their colours alone; the legend says what the bars are', async () => {
    const { page } = await views.open({
      view: { view: 'overview', options: { overview: { measure: 'entropy' } } },
      selection: { core: 1, head: 1 },
    });
    await page.locator('ai-overview .track > div').first().waitFor();
    const colours = await page
      .locator('ai-overview .track > div')
      .evaluateAll(bars => bars.map(bar => getComputedStyle(bar).backgroundColor));
    assert.equal(colours.length, 8);
    assert.equal(new Set(colours).size, 1, 'their length says it');
    assert.equal(await page.locator('ai-overview ai-legend').count(), 1);
    const most = Math.max(...views.summary.cores.flatMap(({ heads }) => heads.map(head => head.entropy)));
    await page.getByText(`bars: entropy, 0 to ${number(most)} nats`).waitFor();
  });

  it('of a text come before all that is said of it where there is no room beside it', async () => {
    const { page } = await views.open(
      { view: { view: 'text', options: {} }, selection: { core: 1, head: 1, token: 40 } },
      500,
    );
    await page.locator('ai-text ol li').first().waitFor();
    const top = (what: string) => page.locator(what).first().boundingBox();
    const [text, list] = [await top('ai-text ai-coloured-text'), await top('ai-text ol')];
    assert.ok(
      text!.y + text!.height <= list!.y,
      `the list stands below the text: ${JSON.stringify([text, list])}`,
    );
    assert.ok(text!.height >= 300, `${text!.height} px`);
    // One scrolls the page, not a box in it.
    await page.locator('ai-text ol li').last().scrollIntoViewIfNeeded();
    assert.equal(await page.locator('ai-text .side').evaluate(side => side.scrollTop), 0);
  });
});

/** Of a model of many layers. */
describe('pictures of 30 layers of 9 heads', function () {
  this.timeout(60_000);
  const views = viewsAlone({ layers: 30, heads: 9, tokens: 40 });

  it('tell the spans of all heads apart at every width', async () => {
    const { page } = await views.open({ view: { view: 'spans', options: {} } });
    const heads = page.locator('ai-span-columns g.head');
    await heads.locator('circle.span').first().waitFor();
    for (const [width, lines] of [
      [500, 4],
      [900, 2],
      [1800, 1],
    ] as const) {
      await page.setViewportSize({ width, height: 900 });
      const svg = page.locator('ai-span-columns svg');
      await until(async () => (await svg.locator('> g:not(.axis)').count()) === lines);
      const inside = (await svg.boundingBox())!;
      const boxes = await heads.evaluateAll(groups =>
        groups.map(group => {
          const { x, y, right, bottom } = group.querySelector('rect')!.getBoundingClientRect();
          return { x, y, right, bottom };
        }),
      );
      assert.equal(boxes.length, 270);
      const apart = boxes.flatMap((one, at) =>
        boxes.slice(at + 1).map(other => Math.max(Math.abs(one.x - other.x), Math.abs(one.y - other.y))),
      );
      const least = apart.reduce((a, b) => Math.min(a, b));
      assert.ok(least >= 4.4, `${least} of ${width} px`);
      for (const { x, right, bottom } of boxes)
        assert.ok(
          x >= inside.x && right <= inside.x + inside.width && bottom <= inside.y + inside.height,
          'within the picture',
        );
    }
  });
});

/** As a browser writes a colour that was set. */
function asFill(colour: string): string {
  const one = document.createElementNS('http://www.w3.org/2000/svg', 'circle');
  one.style.fill = colour;
  return one.style.fill;
}
