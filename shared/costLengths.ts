/** Text lengths that costs are drawn for: two to an octave. A report holds these, and the text's own. */
const LENGTHS = Array.from({ length: 19 }, (_, t) => Math.round(128 * 2 ** (t / 2)));

/** The length at which tables look ahead; one of those above. */
export const FAR_LENGTH = 32_768;

/** The same for a text of so many tokens. */
export function costLengths(tokens: number): number[] {
  return [...new Set([...LENGTHS, tokens])].filter(length => length > 0).sort((a, b) => a - b);
}

/** How costs are measured where nobody says otherwise: runs of a point and seconds for it, and runs of a whole forward. */
export const COST_RUNS = { repetitions: 5, secondsPerPoint: 3 };
export const FORWARD_RUNS = 3;
