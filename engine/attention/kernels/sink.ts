import { RefusedError, told } from '../../errors';
import { keptBySink, type CoreInput } from '../core';
import type { Attended } from '../mechanism';

/**
 * Runs a mechanism on a core whose softmax has a sink: the mechanism spreads the mass over its keys, and the sink takes its
 * share of each query afterwards, so that no mechanism needs to know of it. A query with few keys left loses more to it.
 */
export async function besideSink(
  input: CoreInput,
  title: string,
  attend: (input: CoreInput) => Promise<Attended>,
): Promise<Attended> {
  const { sink, ...rule } = input.rule;
  if (!sink) return attend(input);
  const attended = await attend({ ...input, rule });
  const { lse, output } = attended;
  if (!lse || attended.reweighted)
    throw new RefusedError(told`${title} has no place for the attention sink of this model.`);
  const { queries, valueDim } = input;
  const kept = lse.map((mass, at) => keptBySink(sink[Math.floor(at / queries)]!, mass));
  return {
    ...attended,
    output: output.map((value, at) => value * kept[Math.floor(at / valueDim)]!),
    row(head, query) {
      const row = attended.row(head, query);
      const share = kept[head * queries + query]!;
      return {
        keys: row.keys,
        ...(row.mask && { mask: row.mask }),
        get weights() {
          return row.weights.map(weight => weight * share);
        },
      };
    },
  };
}
