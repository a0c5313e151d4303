import assert from 'node:assert/strict';
import { rankGroups } from '../../engine/attention/mechanisms/sparsefinder';
import { random } from '../oracle/random';

describe('groups of ranks', () => {
  const { uniform, normal } = random(3);
  const count = 700;
  for (const [name, draw] of [
    ['normal', normal],
    ['with many ties', () => Math.round(3 * normal())],
    ['all alike', () => 2],
    ['far apart', () => 10 ** (200 * uniform()) * (uniform() < 0.5 ? -1 : 1)],
  ] as const)
    it(`are those of a stable sort, whatever the size: ${name}`, () => {
      const rows = Float64Array.from({ length: 2 * count }, draw);
      const order = Array.from({ length: count }, (_, i) => i);
      order.sort((a, b) => rows[2 * a + 1]! - rows[2 * b + 1]! || a - b);
      for (const size of [1, 2, 7, 32, 699, 700, 1000]) {
        const wanted = new Int32Array(count);
        order.forEach((row, place) => (wanted[row] = Math.floor(place / size)));
        assert.deepEqual(rankGroups(rows, 1, 2, size), wanted, `${size}`);
      }
    });
});
