import assert from 'node:assert/strict';
import { principalComponents } from '../../engine/corpus/principalComponents';
import { seededUniform } from '../../shared/random';
import { layOut } from '../../webview/model/projection';

const random = seededUniform(3);
const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

describe('projections of a head', () => {
  it('principal components: distances in the plane of a flat cloud are kept, shares are of the variance', () => {
    // A plane in twelve dimensions, spread 3 to 1, moved away from 0.
    const directions = [0, 1].map(() => Array.from({ length: 12 }, normal));
    const [a, b] = orthonormal(directions);
    const flat = Array.from({ length: 200 }, () => [3 * normal(), normal()]);
    const vectors = flat.map(([u, w]) => Float32Array.from(a!, (value, d) => 5 + u! * value + w! * b![d]!));
    const { shares, coordinates } = principalComponents(vectors)!;
    assert.equal(shares.length, 8);
    assert.ok(shares[0]! > 0.85 && shares[0]! + shares[1]! > 0.999999);
    const at = (point: number) => coordinates.slice(point * 8, point * 8 + 2);
    for (const [p, q] of [
      [0, 1],
      [5, 77],
      [100, 199],
    ] as const) {
      const own = Math.hypot(flat[p]![0]! - flat[q]![0]!, flat[p]![1]! - flat[q]![1]!);
      assert.ok(Math.abs(Math.hypot(at(p)[0]! - at(q)[0]!, at(p)[1]! - at(q)[1]!) - own) < 3e-3);
    }
    const variance = (c: number) =>
      vectors.reduce((sum, _, p) => sum + coordinates[p * 8 + c]! ** 2, 0) / 199;
    assert.ok(Math.abs(variance(1) / (variance(0) + variance(1)) - shares[1]!) < 1e-3);
  });

  it('nothing where vectors do not differ, are too few or are no numbers', () => {
    const one = Float32Array.of(1, 2);
    assert.equal(principalComponents([]), null);
    assert.equal(principalComponents([one]), null);
    assert.equal(principalComponents([one, one, one]), null);
    assert.equal(principalComponents([one, Float32Array.of(1, NaN)]), null);
  });

  it('UMAP keeps three clusters apart, and draws the same picture again', () => {
    const vectors = Array.from({ length: 60 }, (_, at) =>
      Float32Array.from({ length: 6 }, (__, d) => (d === at % 3 ? 10 : 0) + 0.3 * normal()),
    );
    const projection = { of: 'key' as const, ...principalComponents(vectors)! };
    const points = layOut(projection, 'umap');
    assert.deepEqual(points, layOut(projection, 'umap'));
    for (const [at, { x, y }] of points.entries()) {
      const others = [...points.entries()].filter(([other]) => other !== at);
      const distance = ([, p]: (typeof others)[number]) => Math.hypot(p.x - x, p.y - y);
      const [nearest] = others.sort((p, q) => distance(p) - distance(q));
      assert.equal(nearest![0] % 3, at % 3);
    }
    assert.deepEqual(layOut(projection, 'pca')[7], {
      x: projection.coordinates[7 * 6],
      y: projection.coordinates[7 * 6 + 1],
    });
  });
});

function orthonormal([a, b]: number[][]): number[][] {
  const unit = (v: number[]) => v.map(value => value / Math.hypot(...v));
  const first = unit(a!);
  const along = b!.reduce((sum, value, d) => sum + value * first[d]!, 0);
  return [first, unit(b!.map((value, d) => value - along * first[d]!))];
}
