import type { CoreInput } from '../core';
import { attendOneBand } from './band';
import type { AttendContext, Attended } from '../mechanism';
import { someHeads } from './subset';
import { int32, type Tensor } from '../../runtime/tensor';

/**
 * Local heads beside those of another mechanism (Routing Transformer, section 5: half of the heads of a layer). The
 * paper trains them; here they are the heads that keep more mass in a window than the mechanism keeps.
 */
export async function chooseLocalHeads(
  input: CoreInput,
  attended: Attended,
  { most, window }: { most: number; window: number },
  context: AttendContext,
): Promise<Tensor> {
  const { heads, queries } = input;
  const near = await attendWindow(input, window, context);
  const gains = Array.from({ length: heads }, (_, head) => {
    let gain = 0;
    for (let t = head * queries; t < (head + 1) * queries; t++) {
      const [a, b] = [near.lse![t]!, attended.lse![t]!];
      // The window's share of both masses, less one half; nothing where neither keeps anything.
      if (a > -Infinity || b > -Infinity) gain += 1 / (1 + Math.exp(b - a)) - 0.5;
    }
    return { head, gain };
  });
  const best = gains.filter(({ gain }) => gain > 0).sort((a, b) => b.gain - a.gain || a.head - b.head);
  const chosen = Int32Array.from(best.slice(0, most), ({ head }) => head).sort();
  return int32(chosen, [chosen.length]);
}

/** The same core with a window in the place of the mechanism in some of its heads. */
export async function withLocalHeads(
  input: CoreInput,
  attended: Attended,
  heads: readonly number[],
  window: number,
  context: AttendContext,
): Promise<Attended> {
  if (heads.length === 0) return attended;
  const near = await attendWindow(someHeads(input, heads), window, context);
  const size = input.queries * input.valueDim;
  const result = { ...attended, output: attended.output.slice(), pairs: attended.pairs.slice() };
  const lse = attended.lse && attended.lse.slice();
  heads.forEach((head, t) => {
    result.output.set(near.output.subarray(t * size, (t + 1) * size), head * size);
    lse?.set(near.lse!.subarray(t * input.queries, (t + 1) * input.queries), head * input.queries);
    result.pairs[head] = near.pairs[t]!;
  });
  return {
    ...result,
    lse,
    row: (head, query) => {
      const at = heads.indexOf(head);
      return at < 0 ? attended.row(head, query) : near.row(at, query);
    },
    extra: { ...attended.extra, local_heads: int32(Int32Array.from(heads), [heads.length]) },
  };
}

function attendWindow(input: CoreInput, window: number, context: AttendContext): Promise<Attended> {
  return attendOneBand(input, { before: window - 1, after: window - 1 }, context);
}
