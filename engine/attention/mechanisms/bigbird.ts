import { visibleKeys, type CoreInput } from '../core';
import { pairCost } from '../cost';
import { attendGroups, sequence, type Group } from '../kernels/lists';
import type { HeadMask } from '../mask';
import type { AttendContext, Attended, Mechanism } from '../mechanism';
import { numberOf } from '../../../shared/setting';
import { seededUniform } from '../../../shared/random';
import { sparseRow } from '../kernels/rows';
import { largestWithin, pairsOfShare } from '../kernels/shares';
import { offsetTables, Outputs } from '../kernels/tiles';
import { RefusedError, told } from '../../errors';
import type { MechanismParams } from '../../../shared/protocol/engine';
import { int64, type Tensor } from '../../runtime/tensor';

/**
 * BigBird in blocks: the own block and its neighbours, the global blocks (which see and are seen by all), and random
 * blocks for each head. Every pair counts once, also where a random block repeats another.
 */
export const bigbird: Mechanism = {
  info: {
    name: 'bigbird',
    title: 'BigBird',
    label: 'bird',
    hue: '#59a14f',
    summary: 'Every block attends to its neighbours, to a few global blocks and to a few random ones.',
    paper: 'Zaheer et al., Big Bird: Transformers for Longer Sequences, 2020, section 2 (ITC)',
    parameters: [
      {
        name: 'block',
        type: 'integer',
        default: 32,
        minimum: 1,
        description: 'Length of a block in tokens.',
      },
      {
        name: 'randomBlocks',
        type: 'integer',
        default: 2,
        minimum: 0,
        description: 'Random blocks for each block of queries, where none are given.',
      },
      {
        name: 'globalBlocks',
        type: 'integer',
        default: 2,
        minimum: 0,
        description:
          'Global blocks: the first, the last, the second, ... (2 = first and last, as in the paper).',
      },
      { name: 'seed', type: 'integer', default: 1, minimum: 0, description: 'Seed of the random blocks.' },
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'In blocks: the own block and its neighbours, global blocks, and random blocks for each head.',
    rule: 'blocks a, b: |a-b| <= 1, or a or b is global, or b is drawn for a',
    exact:
      'Exact; a pair that two rules name counts once. Given `random_blocks` are used as they are, else they are drawn from the seed.',
    cost: 'N · block · (2 + global + random) pairs.',
    when: 'A baseline for “anything sparse that is connected”: what a head loses here, it needs from particular tokens.',
  },

  examples: [
    { block: 4, randomBlocks: 1 },
    { block: 8, randomBlocks: 3 },
    { block: 16, globalBlocks: 1 },
    { block: 5, globalBlocks: 3, randomBlocks: 1 },
  ],
  whole: tokens => [{ block: tokens }, { block: 4, globalBlocks: Math.ceil(tokens / 4) }],

  tensors: { random_blocks: { dims: ['heads', 'rows', 'count'], holds: 'indices' } },

  settings(input, share) {
    const limit = pairsOfShare(input, share);
    const one = { ...input, heads: 1 };
    return [1, 3].flatMap(randomBlocks => {
      const pairs = (block: number) => {
        const params = { block, randomBlocks, globalBlocks: 2, seed: 1 };
        const own = { random_blocks: drawBlocks(one, params) };
        return countPairs(input, readLayout(one, params, { own }));
      };
      const block = largestWithin(limit, 1, Math.floor(input.keys / 4), pairs);
      return block === null ? [] : [{ block, randomBlocks, globalBlocks: 2 }];
    });
  },

  async prepare(input, params, context): Promise<Record<string, Tensor>> {
    if (context.own['random_blocks']) return {};
    return { random_blocks: drawBlocks(input, params) };
  },

  cost(tokens, params, shape) {
    const block = numberOf(params, 'block');
    const blocks = Math.ceil(tokens / block);
    const globals = globalBlocks(numberOf(params, 'globalBlocks'), blocks);
    const size = (b: number) => Math.min(block, tokens - b * block);
    let pairs = 0;
    let partial = false;
    for (let b = 0; b < blocks; b++) {
      const rows = size(b);
      const seen = keyBlocks({ block, blocks, globals, random: () => [] }, 0, b);
      let keys = 0;
      for (const x of seen) if (!shape.causal || x < b) keys += size(x);
      if (!globals.has(b) && b > 0 && b < blocks - 1) {
        const free = freeBlocks(b, shape.causal ? b - 1 : blocks, globals);
        const drawn = Math.min(numberOf(params, 'randomBlocks'), free.length);
        const even = free.reduce((sum, x) => sum + size(x), 0) / Math.max(1, free.length);
        partial ||= even !== block && drawn > 0 && drawn < free.length;
        keys += drawn * even;
      }
      pairs += rows * keys + (shape.causal ? (rows * (rows + 1)) / 2 : 0);
    }
    return pairCost(pairs, shape, partial ? 'expected' : 'exact');
  },

  mask: (attended, input, params) => blockMask(attended, input, numberOf(params, 'block')),

  async attend(input, params, context) {
    const layout = readLayout(input, params, context);
    const { block, blocks, globals } = layout;
    const shift = input.keys - input.queries;
    const outputs = new Outputs(input);
    const tables = offsetTables(input);
    const pairs = new Float64Array(input.heads);
    for (let head = 0; head < input.heads; head++) {
      const groups: Group[] = [];
      for (let b = Math.max(0, Math.floor(shift / block)); b < blocks; b++) {
        const queries = sequence(
          Math.max(0, b * block - shift),
          Math.min(input.queries, (b + 1) * block - shift),
        );
        groups.push({ queries, keys: blockKeys(input, layout, keyBlocks(layout, head, b), b) });
      }
      const table = tables(head);
      pairs[head]! += await attendGroups(input, head, groups, () => true, table, outputs, context);
    }
    return {
      output: outputs.output,
      lse: outputs.lse,
      pairs,
      row: (head, query) => {
        const position = query + shift;
        if (position < 0) return { keys: new Int32Array(0), weights: new Float64Array(0) };
        const b = Math.floor(position / block);
        const { from, to } = visibleKeys(input, query);
        const keys = blockKeys(input, layout, keyBlocks(layout, head, b), b);
        return sparseRow(
          input,
          head,
          query,
          keys.filter(key => key >= from && key < to),
        );
      },
      extra: {
        global_blocks: int64(
          [...globals].sort((x, y) => x - y),
          [globals.size],
        ),
      },
    };
  },
};

/** Blocks that see each other, from the rows of every block's first and last query. */
function blockMask(attended: Attended, input: CoreInput, block: number): HeadMask {
  const count = Math.ceil(input.keys / block);
  const shift = input.keys - input.queries;
  const seen = new Uint8Array(count * count);
  for (let b = 0; b < count; b++) {
    for (const position of [b * block, Math.min(input.keys, (b + 1) * block) - 1]) {
      if (position < shift) continue;
      for (const key of attended.row(0, position - shift).keys) seen[b * count + Math.floor(key / block)] = 1;
    }
  }
  return { kind: 'blocks', block, seen };
}

interface Layout {
  block: number;
  blocks: number;
  globals: Set<number>;
  random: (head: number, block: number) => number[];
}

function readLayout(input: CoreInput, params: MechanismParams, context: Pick<AttendContext, 'own'>): Layout {
  const block = numberOf(params, 'block');
  const blocks = Math.ceil(input.keys / block);
  const given = context.own['random_blocks'];
  const [heads, rows, count] = given?.dims ?? [0, 0, 0];
  const middle = Math.max(0, blocks - 2);
  if (given && (given.dims.length !== 3 || heads !== input.heads || (rows !== middle && rows !== blocks))) {
    throw new RefusedError(
      told`"random_blocks" must be [${input.heads}, ${middle} or ${blocks}, number], it is [${given.dims.join(', ')}].`,
    );
  }
  // Rows are for the blocks between the first and the last, or for all of them.
  const first = rows === blocks ? 0 : 1;
  return {
    block,
    blocks,
    globals: globalBlocks(numberOf(params, 'globalBlocks'), blocks),
    random: (head, b) => {
      const row = b - first;
      if (!given || row < 0 || row >= rows!) return [];
      const at = (head * rows! + row) * count!;
      return Array.from({ length: count! }, (_, t) => Number(given.data[at + t]!)).filter(
        x => x >= 0 && x < blocks,
      );
    },
  };
}

/** First, last, second, last but one, ... */
function globalBlocks(count: number, blocks: number): Set<number> {
  const all = new Set<number>();
  for (let t = 0; t < Math.min(count, blocks); t++) {
    all.add(t % 2 === 0 ? t / 2 : blocks - (t + 1) / 2);
  }
  return all;
}

/** Ascending blocks that a block of queries sees. */
function keyBlocks({ blocks, globals, random }: Layout, head: number, b: number): number[] {
  if (globals.has(b)) return Array.from({ length: blocks }, (_, x) => x);
  const all = new Set([b - 1, b, b + 1, ...globals, ...random(head, b)]);
  return [...all].filter(x => x >= 0 && x < blocks).sort((x, y) => x - y);
}

/** Pairs of the first head. */
function countPairs(input: CoreInput, layout: Layout): number {
  const { block, blocks } = layout;
  let pairs = 0;
  for (let b = 0; b < blocks; b++) {
    const list = keyBlocks(layout, 0, b);
    for (let position = b * block; position < Math.min(input.keys, (b + 1) * block); position++) {
      const query = position - (input.keys - input.queries);
      if (query < 0) continue;
      const { from, to } = visibleKeys(input, query);
      for (const x of list) {
        pairs += Math.max(0, Math.min(to, input.keys, (x + 1) * block) - Math.max(from, x * block));
      }
    }
  }
  return pairs;
}

function blockKeys(input: CoreInput, { block }: Layout, list: number[], b: number): Int32Array {
  const keys: number[] = [];
  for (const x of list) {
    if (input.rule.mask.causal && x > b) break;
    for (let key = x * block; key < Math.min(input.keys, (x + 1) * block); key++) keys.push(key);
  }
  return Int32Array.from(keys);
}

/** For each block between the first and the last: distinct blocks outside its window and the global ones; -1 = none left. */
function drawBlocks(input: CoreInput, params: MechanismParams): Tensor {
  const block = numberOf(params, 'block');
  const count = numberOf(params, 'randomBlocks');
  const blocks = Math.ceil(input.keys / block);
  const globals = globalBlocks(numberOf(params, 'globalBlocks'), blocks);
  const uniform = seededUniform(numberOf(params, 'seed'));
  const rows = Math.max(0, blocks - 2);
  const drawn = new Int32Array(input.heads * rows * count).fill(-1);
  for (let at = 0; at < drawn.length; at += count) {
    const b = 1 + (Math.floor(at / count) % rows);
    const end = input.rule.mask.causal ? b - 1 : blocks;
    const taken = [...new Set([b - 1, b, b + 1, ...globals])].filter(x => x >= 0 && x < end);
    taken.sort((x, y) => x - y);
    for (let t = 0; t < count && taken.length < end; t++) {
      let found = Math.floor(uniform() * (end - taken.length));
      // So many blocks that are not taken lie before it.
      const place = taken.findIndex((x, passed) => x > found + passed);
      found += place < 0 ? taken.length : place;
      taken.splice(place < 0 ? taken.length : place, 0, found);
      drawn[at + t] = found;
    }
  }
  return int64(drawn, [input.heads, rows, count]);
}

/** Blocks before `end` that a block of queries may draw: outside its window, and not global. */
function freeBlocks(b: number, end: number, globals: ReadonlySet<number>): number[] {
  const all = Array.from({ length: Math.max(0, end) }, (_, x) => x);
  return all.filter(x => Math.abs(x - b) > 1 && !globals.has(x));
}
