import { visibleKeys, type CoreInput } from '../core';
import type { AttendContext, Attended } from '../mechanism';
import { checkpoint } from '../../runtime/cancellation';
import { attendGroups, sequence, type Group } from './lists';
import { selectLargest } from './membership';
import { attendPairs, productsWith, servesLists, type ListKeys, type Summaries } from './pairs';
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
  /** What stands for the complete blocks of a head's keys: the scores of queries with it say which are best, the lower block on ties. */
  summaries(head: number): Summaries;
}

/** Queries whose scores are held at once. */
const ROWS = 64;

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
  const chosen: BlockLists[] = [];
  for (let head = 0; head < heads; head++) {
    const lists = await chooseBlocks(input, head, choice, context);
    chosen.push(lists);
    if (servesLists(input, context)) {
      const listKeys: ListKeys = (query, into, at) => {
        const position = query + shift;
        let end = at;
        for (let t = lists.starts[query]!; t < lists.starts[query + 1]!; t++) {
          const first = lists.blocks[t]! * block;
          const until = Math.min(first + block, position + 1);
          for (let key = first; key < until; key++) into[end++] = key;
        }
        return end;
      };
      pairs[head] = await attendPairs(input, head, listKeys, tables(head), outputs, context);
      continue;
    }
    const members: number[][] = Array.from({ length: count }, () => []);
    for (let i = 0; i < queries; i++) lists.of(i).forEach(b => members[b]!.push(i));
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
      const list = [...chosen[head]!.of(query)].flatMap(b => [...blockKeys(b)]);
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

/** The blocks of every query, ascending. */
class BlockLists {
  /** Where each query's begin. */
  readonly starts: Int32Array;
  readonly blocks: Int32Array;

  constructor({ queries, keys }: CoreInput, { block, blocks }: BlockChoice) {
    this.starts = new Int32Array(queries + 1);
    for (let i = 0; i < queries; i++) {
      const own = Math.floor((i + keys - queries) / block);
      this.starts[i + 1] = this.starts[i]! + Math.min(own + 1, blocks);
    }
    this.blocks = new Int32Array(this.starts[queries]!);
  }

  of(query: number): Int32Array {
    return this.blocks.subarray(this.starts[query]!, this.starts[query + 1]!);
  }
}

async function chooseBlocks(
  input: CoreInput,
  head: number,
  choice: BlockChoice,
  context: AttendContext,
): Promise<BlockLists> {
  const { queries, keys } = input;
  const { block, blocks } = choice;
  const shift = keys - queries;
  const ownBlock = (query: number) => Math.floor((query + shift) / block);
  const lists = new BlockLists(input, choice);
  const summaries = choice.summaries(head);
  const scratch = new Float64Array(summaries.stride);
  for (let from = 0; from < queries; from += ROWS) {
    await checkpoint(context.signal);
    const to = Math.min(queries, from + ROWS);
    const count = ownBlock(to - 1);
    // Who has no more blocks before it than it may see looks at no scores.
    const needed = count >= blocks && blocks > 1;
    const found = needed ? productsWith(input, head, from, to, { ...summaries, count }) : null;
    for (let i = from; i < to; i++) {
      const own = ownBlock(i);
      const at = (i - from) * summaries.stride;
      const scores = found?.subarray(at, at + own);
      bestBlocks(scores ?? null, own, lists.of(i), scratch);
    }
  }
  return lists;
}

/** Fills `best` with the own block and the best of those before it, ascending. */
function bestBlocks(scores: Float64Array | null, own: number, best: Int32Array, scratch: Float64Array): void {
  const others = best.length - 1;
  best[others] = own;
  if (others === own) for (let b = 0; b < own; b++) best[b] = b;
  if (others === own || others === 0 || !scores) return;
  const copy = scratch.subarray(0, own);
  copy.set(scores);
  const least = selectLargest(copy, others);
  let even = others;
  for (let b = 0; b < own; b++) if (scores[b]! > least) even--;
  let count = 0;
  for (let b = 0; b < own; b++) {
    const score = scores[b]!;
    if (score > least || (score === least && even-- > 0)) best[count++] = b;
  }
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
