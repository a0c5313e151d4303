import assert from 'node:assert/strict';

/** Absolute tolerance up to 1, relative above. NaN and unequal infinities fail. */
export function close(found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  assert.equal(found.length, expected.length);
  for (let t = 0; t < found.length; t++) {
    if (found[t] === expected[t]) continue;
    const difference = Math.abs(found[t]! - expected[t]!);
    const allowed = tolerance * Math.max(1, Math.abs(expected[t]!));
    assert.ok(difference <= allowed, `[${t}]: ${found[t]} instead of ${expected[t]}`);
  }
}
