/**
 * How an encoder predicts: tokens are hidden behind its mask token, every seventh at once (about the 15 % that such models are
 * trained with), in seven runs, so that each token is predicted once from all the others (after Salazar et al. 2020, Masked
 * Language Model Scoring, who hide one at a time).
 */
import type { ModelOutput } from '../model/cut/cutModel';

const EVERY = 7;

/** One run over the text. */
export interface Reading {
  ids: Int32Array;
  /** Those that are hidden in it; null where the text is read as it is. */
  hidden: Int32Array | null;
}

export function maskedReadings(ids: Int32Array, mask: number): Reading[] {
  return Array.from({ length: Math.min(EVERY, ids.length) }, (_, first) => {
    const hidden = Int32Array.from(ids.keys()).filter(token => token % EVERY === first);
    return { ids: ids.map((id, token) => (token % EVERY === first ? mask : id)), hidden };
  });
}

/**
 * The rows of the runs that hide a token, in the order of models that predict the next one: row i is the prediction of token
 * i + 1, and the last row that of the first token. So all that reads predictions reads these.
 */
export async function predictMasked(
  readings: readonly Reading[],
  run: (ids: Int32Array, part: (fraction: number) => number) => Promise<ModelOutput>,
): Promise<ModelOutput> {
  const parts: ModelOutput[] = [];
  for (const [at, { ids, hidden }] of readings.entries()) {
    const whole = await run(ids, fraction => (at + fraction) / readings.length);
    parts.push(whole.only(hidden!));
  }
  const { length } = readings[0]!.ids;
  return {
    ...parts[0]!,
    ...inOrder(
      parts,
      Int32Array.from({ length }, (_, row) => (row + 1) % length),
    ),
  };
}

/** Rows of several outputs: row i is that of token `tokens[i]`. */
function inOrder(
  parts: readonly ModelOutput[],
  tokens: Int32Array,
): Pick<ModelOutput, 'rows' | 'read' | 'holds' | 'only'> {
  const { width } = parts[0]!;
  const read = async (from: number, to: number): Promise<Float32Array> => {
    const rows = new Float32Array((to - from) * width);
    for (const [first, part] of parts.entries()) {
      const own = [...tokens.subarray(from, to).entries()].filter(([, token]) => token % EVERY === first);
      for (let at = 0; at < own.length;) {
        // Neighbours among the part's own rows are read at once.
        const start = Math.floor(own[at]![1] / EVERY);
        let end = at + 1;
        while (end < own.length && Math.floor(own[end]![1] / EVERY) === start + end - at) end++;
        const block = await part.read(start, start + end - at);
        for (let t = at; t < end; t++)
          rows.set(block.subarray((t - at) * width, (t - at + 1) * width), own[t]![0] * width);
        at = end;
      }
    }
    return rows;
  };
  return {
    rows: tokens.length,
    read,
    holds: parts.flatMap(({ holds }) => holds),
    only: chosen => ({
      ...parts[0]!,
      ...inOrder(
        parts,
        chosen.map(row => tokens[row]!),
      ),
    }),
  };
}
