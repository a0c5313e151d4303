import { visibleKeys, type CoreInput } from '../core';
import type { AttendContext, Attended } from '../mechanism';
import { checkpoint } from '../../runtime/cancellation';
import { attendGroups, sequence, type Group } from './lists';
import { sparseRow } from './rows';
import { largestWithin } from './shares';
import { offsetTables, Outputs } from './tiles';

/**
 * Attention to the query's own block and to the blocks before it that score best (causal). Memory and time are those of
 * what is kept and one score for each query and block.
 */
export interface BlockChoice {
  block: number;
  /** Blocks of each query, its own among them. */
  blocks: number;
  /** Of this head: fills in the scores of the first complete blocks for a query; the lower block on ties. */
  scores(head: number): (query: number, into: Float64Array) => void;
}

export async function attendChosenBlocks(
  input: CoreInput,
  choice: BlockChoice,
  context: AttendContext,
): Promise<Attended> {
  const { heads, queries, keys } = input;
  const { block } = choice;
  const shift = keys - queries;
  const count = Math.ceil(keys / block);
  const blockKeys = (b: number) => sequence(b * block, Math.min(keys, (b + 1) * block));
  const outputs = new Outputs(input);
  const tables = offsetTables(input);
  const pairs = new Float64Array(heads);
  const chosen: Int32Array[][] = [];
  const scratch = new Float64Array(count);
  for (let head = 0; head < heads; head++) {
    await checkpoint(context.signal);
    const score = choice.scores(head);
    const lists: Int32Array[] = [];
    for (let i = 0; i < queries; i++) {
      const own = Math.floor((i + shift) / block);
      const scores = scratch.subarray(0, own);
      if (own >= choice.blocks) score(i, scores);
      lists.push(bestBlocks(scores, choice.blocks));
    }
    chosen.push(lists);
    const members: number[][] = Array.from({ length: count }, () => []);
    lists.forEach((list, i) => list.forEach(b => members[b]!.push(i)));
    const groups: Group[] = members
      .map((list, b) => ({ queries: Int32Array.from(list), keys: blockKeys(b) }))
      .filter(group => group.queries.length > 0);
    pairs[head] = await attendGroups(input, head, groups, () => true, tables(head), outputs, context);
  }
  return {
    output: outputs.output,
    lse: outputs.lse,
    pairs,
    row: (head, query) => {
      const { from, to } = visibleKeys(input, query);
      const list = [...chosen[head]![query]!].flatMap(b => [...blockKeys(b)]);
      return sparseRow(
        input,
        head,
        query,
        list.filter(key => key >= from && key < to),
      );
    },
    extra: {},
  };
}

/** The own block, whose number is that of the scores, and the best of those before it, ascending. */
function bestBlocks(scores: Float64Array, blocks: number): Int32Array {
  const own = scores.length;
  if (own < blocks) return sequence(0, own + 1);
  const best = new Int32Array(blocks);
  best[blocks - 1] = own;
  if (blocks === 1) return best;
  const least = scores.slice().sort()[own - (blocks - 1)]!;
  let even = blocks - 1;
  for (const score of scores) if (score > least) even--;
  let count = 0;
  for (let b = 0; b < own; b++) {
    const score = scores[b]!;
    if (score > least || (score === least && even-- > 0)) best[count++] = b;
  }
  return best;
}

/** Pairs of one head over a text of one sequence, whichever blocks are chosen. */
export function chosenPairs(tokens: number, block: number, blocks: number, first = 0): number {
  let pairs = 0;
  for (let position = first; position < tokens; position++) {
    const own = Math.floor(position / block);
    pairs += Math.min(own, blocks - 1) * block + (position - own * block) + 1;
  }
  return pairs;
}

/**
 * For blocks of about each size, as many of them as the limit of pairs pays for; none where it does not pay for the own
 * one. Whole blocks are coarse, so among the sizes nearby the one that leaves least of the limit is taken.
 */
export function blockSettings(
  { keys, queries }: CoreInput,
  limit: number,
  sizes: readonly number[],
): { block: number; blocks: number }[] {
  return sizes.flatMap(size => {
    let best: { block: number; blocks: number; spent: number } | null = null;
    for (let block = Math.ceil(0.75 * size); block <= 1.34 * size; block++) {
      const pairs = (blocks: number) => chosenPairs(keys, block, blocks, Math.max(0, keys - queries));
      const blocks = largestWithin(limit, 1, Math.ceil(keys / block), pairs);
      if (blocks === null) continue;
      const spent = pairs(blocks);
      if (!best || spent > best.spent) best = { block, blocks, spent };
    }
    return best ? [{ block: best.block, blocks: best.blocks }] : [];
  });
}
