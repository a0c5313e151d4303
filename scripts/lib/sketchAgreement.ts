import { seededGaussians } from '../../engine/attention/maths/random';
import { seededUniform } from '../../shared/random';
import { Distribution, RELATIVE_ERROR, ZERO } from '../../engine/corpus/distribution';

/** How far the quantiles of sketches, merged from parts, are from exact ones: the worst of 999, as a share of the stated error. */
export function agreement(count: number): { name: string; worst: number }[] {
  const uniform = seededUniform(3);
  const normal = seededGaussians(count, 4);
  const kinds: Record<string, (at: number) => number> = {
    'masses of a sharp head': () => uniform() ** 12,
    'spans, whole numbers': () => Math.floor(2048 * uniform() ** 4),
    'scores of both signs': at => 8 * normal[at]! - 3,
    'norms over six decades': at => Math.exp(3 * normal[at]!),
  };
  return Object.entries(kinds).map(([name, make]) => {
    const values = Float32Array.from({ length: count }, (_, at) => make(at));
    const whole = new Distribution();
    for (let from = 0; from < count; from += 65_536) {
      const part = new Distribution();
      part.add(values.subarray(from, from + 65_536));
      whole.merge(part);
    }
    const sorted = values.slice().sort();
    let worst = 0;
    for (let t = 1; t < 1000; t++) {
      const exact = sorted[Math.floor((t / 1000) * (count - 1))]!;
      const allowed = Math.max(ZERO, RELATIVE_ERROR * Math.abs(exact) * (1 + 1e-6));
      worst = Math.max(worst, Math.abs(whole.quantile(t / 1000) - exact) / allowed);
    }
    return { name, worst };
  });
}
