import assert from 'node:assert/strict';
import { TILE_SIZE } from '../../shared/protocol/engine';
import { niceCeiling } from '../../webview/draw/colour';
import { MapModel, type MapSetting } from '../../webview/map/mapModel';
import type { LoadedTile } from '../../webview/map/tiles';
import { marks, peaks } from '../../webview/map/axis';
import {
  MAX_SCALE,
  clampCamera,
  fit,
  levelFor,
  pairAt,
  revealRow,
  showColumns,
  tileTokens,
  tilesInSight,
  topLevel,
  zoomAt,
} from '../../webview/map/geometry';

const size = { width: 600, height: 400 };
const square = (n: number) => ({ rows: n, columns: n });

describe('webview: the map', () => {
  it('fits the whole text, and clamps to its edges', () => {
    const camera = fit(square(1000), size);
    assert.equal(camera.scale, 0.4);
    const outside = clampCamera({ x: 5000, y: -50, scale: 4 }, square(1000), size);
    assert.equal(outside.x, 1000 - 600 / 4);
    assert.equal(outside.y, 0);
    assert.equal(clampCamera({ x: 0, y: 0, scale: 1e9 }, square(1000), size).scale, MAX_SCALE);
  });

  it('keeps the token under the pointer while zooming', () => {
    let camera = clampCamera({ x: 300, y: 500, scale: 2 }, square(2000), size);
    const before = pairAt(camera, 250, 130, square(2000));
    for (const factor of [1.7, 2.2, 0.6]) camera = zoomAt(camera, factor, 250, 130, square(2000), size);
    assert.deepEqual(pairAt(camera, 250, 130, square(2000)), before);
  });

  it('asks for cells of at least one device pixel, and not twice that', () => {
    for (const scale of [0.01, 0.1, 0.25, 0.3, 0.5, 0.9, 1, 7]) {
      for (const ratio of [1, 2]) {
        const cell = 2 ** levelFor({ x: 0, y: 0, scale }, ratio) * scale * ratio;
        assert.ok(cell >= 1 - 1e-9, `${scale} ${cell}`);
        assert.ok(cell < 2 || scale * ratio >= 1, `${scale} ${cell}`);
      }
    }
  });

  it('has one tile at the top', () => {
    assert.equal(topLevel(square(TILE_SIZE)), 0);
    assert.equal(topLevel(square(TILE_SIZE + 1)), 1);
    assert.ok(tileTokens(topLevel(square(100_000))) >= 100_000);
  });

  it('lists every tile in sight once, the middle first, without the hidden half of a causal map', () => {
    const extent = square(1024);
    const camera = { x: 0, y: 0, scale: 400 / 1024 };
    const all = tilesInSight(camera, 0, extent, { width: 400, height: 400 }, false);
    assert.equal(all.length, 64);
    assert.equal(new Set(all.map(t => `${t.row}.${t.column}`)).size, 64);
    assert.ok([3, 4].includes(all[0]!.row) && [3, 4].includes(all[0]!.column));
    const causal = tilesInSight(camera, 0, extent, { width: 400, height: 400 }, true);
    assert.equal(causal.length, 36);
    assert.ok(causal.every(t => t.column <= t.row));
  });

  it('asks only for what is in sight', () => {
    const tiles = tilesInSight({ x: 1000, y: 2000, scale: 4 }, 0, square(4096), size, false);
    assert.ok(tiles.length > 0);
    for (const { row, column } of tiles) {
      assert.ok(column * TILE_SIZE < 1150 && (column + 1) * TILE_SIZE > 1000);
      assert.ok(row * TILE_SIZE < 2100 && (row + 1) * TILE_SIZE > 2000);
    }
  });

  it('shows a brushed range over the whole width, and a row that moved out of sight', () => {
    const camera = showColumns(100, 200, 400, square(1000), size);
    assert.equal(camera.scale, 6);
    assert.equal(camera.x, 100);
    const moved = revealRow(camera, 900, square(1000), size);
    assert.ok(moved.y <= 900 && moved.y + size.height / moved.scale >= 901);
    assert.equal(revealRow(moved, 890, square(1000), size).y, moved.y, 'no move without need');
  });

  it('finds the pair under a point, none beside the map', () => {
    const camera = { x: 10, y: 20, scale: 10 };
    assert.deepEqual(pairAt(camera, 15, 5, square(100)), { query: 20, key: 11 });
    assert.equal(pairAt(camera, -200, 5, square(100)), null);
    assert.equal(pairAt(camera, 950, 5, square(100)), null);
  });

  it('marks round numbers with room between, or every token', () => {
    const far = marks(0, 600, 0.6, 1000, false, 48);
    assert.deepEqual(far, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    assert.deepEqual(marks(7.2, 60, 20, 1000, true, 13), [7, 8, 9, 10]);
    assert.ok(marks(990, 600, 10, 1000, true, 13).every(t => t < 1000));
  });

  it('keeps single peaks when many tokens share a pixel', () => {
    const values = new Float32Array(1000);
    values[777] = 0.9;
    assert.ok(Math.abs(Math.max(...peaks(values, 0, 0.1, 100)) - 0.9) < 1e-6);
    assert.deepEqual([...peaks(Float32Array.of(1, 2), 0, 2, 4)], [1, 1, 2, 2]);
  });
});

describe('webview: where the map stands', () => {
  const setting = (more: Partial<MapSetting> = {}): MapSetting => ({
    id: 'a',
    extent: square(1000),
    width: 700,
    height: 700,
    pixelRatio: 1,
    causal: true,
    finest: 0,
    shared: true,
    selected: null,
    previewed: null,
    ...more,
  });
  const open = (more: Partial<MapSetting> = {}, remembered = '') => {
    const model = new MapModel();
    model.follow(setting(more), remembered);
    return model;
  };

  it('starts with the whole map of a text, keeps its place within it, and remembers it', () => {
    const model = open();
    assert.equal(model.zoomed, false);
    assert.equal(model.place, '');
    model.zoom(8);
    const { place, camera } = model;
    assert.ok(model.zoomed && place.startsWith('1000 1000 '));
    model.follow(setting(), '');
    assert.deepEqual(model.camera, camera, 'another head of the same text');
    const again = open({ id: 'b' }, place);
    assert.ok(Math.abs(again.camera!.scale - camera!.scale) < 1e-3 && again.place === place);
    assert.equal(open({ extent: square(999) }, place).zoomed, false, 'a text of another length');
    model.follow(setting({ id: 'c' }), '');
    assert.equal(model.zoomed, false, 'another text');
  });

  it('follows a pinned pair that is out of sight, and stays for one in sight', () => {
    const model = open();
    model.zoom(8, 0, 0);
    const before = model.camera!;
    model.showPair({ query: 20, key: 10 });
    assert.deepEqual(model.camera, before);
    model.showPair({ query: 900, key: 10 });
    const { x, y, scale } = model.camera!;
    const shown = model.frame.map.height / scale;
    assert.equal(x, before.x, 'its key is in sight still');
    assert.equal(scale, before.scale);
    assert.ok(y <= 900 && y + shown >= 901);
    model.showPair({ query: 900, key: 880 });
    assert.ok(model.camera!.x <= 880 && model.camera!.x + model.frame.map.width / scale >= 881);
  });

  it('has nothing before it has room', () => {
    const model = open({ width: 0 });
    assert.equal(model.camera, null);
    assert.deepEqual([model.wanted(), model.place, model.pairAt(5, 5)], [[], '', null]);
    model.press(1, 1);
    model.zoom(2);
    assert.equal(model.dragging, false);
  });

  it('tells a click from a drag, and a drag from a brush', () => {
    const model = open();
    const { map } = model.frame;
    const key = Math.floor(100 / model.camera!.scale);
    const query = Math.floor(101 / model.camera!.scale);
    model.press(100, 100);
    assert.equal(model.release(100, 101), query);
    assert.deepEqual(model.crosshair, { query: null, key: null, pinned: false }, 'until it is selected');
    model.follow(setting({ selected: query }), '');
    assert.deepEqual(model.crosshair, { query, key, pinned: true });

    model.zoom(8);
    const before = { ...model.camera! };
    model.press(100, 100);
    model.dragTo(60, 80);
    assert.equal(model.release(60, 80), null);
    assert.ok(Math.abs(model.camera!.x - before.x - 40 / before.scale) < 1e-9);
    assert.ok(Math.abs(model.camera!.y - before.y - 20 / before.scale) < 1e-9);

    model.showAll();
    model.press(100, map.height + 10);
    model.dragTo(200, map.height + 12);
    assert.deepEqual(model.brush, { kind: 'brush', side: 'row', from: 100, to: 200 });
    assert.equal(model.release(200, map.height + 12), null);
    const [first, shown] = [model.camera!.x, map.width / model.camera!.scale];
    assert.ok(
      Math.abs(first - (100 * 1000) / map.width) < 1e-6 && Math.abs(shown - (100 * 1000) / map.width) < 1e-6,
    );
  });

  it('pins for everyone only tokens of the analysed text', () => {
    const shared = open({ selected: 5, previewed: 7 });
    assert.deepEqual(shared.crosshair, { query: 7, key: null, pinned: false });
    const own = open({ shared: false, selected: 5, previewed: 7 });
    assert.equal(own.crosshair.query, null);
    own.pin(9);
    assert.deepEqual(own.crosshair, { query: 9, key: null, pinned: true });
    assert.equal(own.moveQuery(1), 10);
    assert.equal(open({ selected: 1000 }).crosshair.query, null, 'pinned on a longer text');
  });

  it('asks for the whole map first, then for what is in sight, no finer than there is', () => {
    const model = open({ extent: square(4000) });
    model.zoom(30);
    const [top, ...fine] = model.wanted();
    assert.deepEqual(top, { level: 5, row: 0, column: 0 });
    assert.ok(fine.length > 0 && fine.every(({ level }) => level === 0));
    const coarse = open({ extent: square(4000), finest: 2 });
    coarse.zoom(30);
    assert.ok(coarse.wanted().every(({ level }) => level >= 2));
  });

  it('places tiles in device pixels, coarse ones under fine ones, and ends its colours at the largest mass', () => {
    const tile = (level: number, row: number, column: number, largest: number) =>
      ({ level, row, column, largest, key: `${level}/${row}/${column}` }) as LoadedTile;
    const model = open();
    const tiles = [tile(3, 0, 0, 0.2), tile(1, 0, 0, 0.5), tile(0, 0, 0, 0.9)];
    const { scale } = model.camera!;
    const placed = model.placed(tiles);
    assert.deepEqual(
      placed.map(({ tile: { level }, x, y, cell }) => [level, x, y, cell / scale]),
      [
        [3, 0, 0, 8],
        [1, 0, 0, 2],
      ],
    );
    assert.equal(model.largest(tiles, 'max'), niceCeiling(0.9));
    assert.equal(model.largest(tiles, 'mean'), niceCeiling(0.9));
    assert.equal(model.largest(tiles.slice(0, 2), 'mean'), niceCeiling(0.5));
    assert.equal(model.largest([], 'max'), null);
  });
});
