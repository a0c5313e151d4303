import { kvHead, type CoreInput } from '../core';
import type { AttendContext } from '../mechanism';
import { checkpoint } from '../../runtime/cancellation';
import type { GraphBuilder, Value } from '../../runtime/graphBuilder';
import { float32, floats, int32, int64, lowWords, type Tensor } from '../../runtime/tensor';

/**
 * Blocks of keys, blocks of such blocks and so on, and a search from the top: only where mass is expected are the next smaller
 * blocks looked at. What is expected of a block is told by the mean, variance and extremes of its keys.
 */

/** Blocks in one of the next level. */
const BRANCHES = 16;
/** Blocks of the uppermost level, which is looked at whole. */
const MOST_AT_TOP = 256;
/** Floats of gathered blocks in one run. */
const GATHERED = 2 ** 21;
/** What one query expects of a block counts beside what all of a group do, so that a key for a single query is found. */
const OF_ONE = 4;

/** [blocks, 4 dim]: mean, variance, largest and least value of each dimension. */
interface Level {
  blocks: number;
  size: number;
  data: Float32Array;
}

export function blockLevels(input: CoreInput, head: number, block: number): Level[] {
  const { dim, keys, k } = input;
  const first = kvHead(input, head) * keys;
  const levels: Level[] = [levelOf(keys, block, dim, (key, c) => k[(first + key) * dim + c]!)];
  while (levels.at(-1)!.blocks > MOST_AT_TOP) levels.push(joined(levels.at(-1)!, dim, keys));
  return levels;
}

function levelOf(keys: number, size: number, dim: number, value: (key: number, c: number) => number): Level {
  const blocks = Math.ceil(keys / size);
  const data = new Float32Array(blocks * 4 * dim);
  for (let b = 0; b < blocks; b++) {
    const [from, to] = [b * size, Math.min(keys, (b + 1) * size)];
    const at = b * 4 * dim;
    for (let c = 0; c < dim; c++) {
      let [sum, squares, most, least] = [0, 0, -Infinity, Infinity];
      for (let key = from; key < to; key++) {
        const x = value(key, c);
        sum += x;
        squares += x * x;
        if (x > most) most = x;
        if (x < least) least = x;
      }
      const mean = sum / (to - from);
      data[at + c] = mean;
      data[at + dim + c] = Math.max(0, squares / (to - from) - mean * mean);
      data[at + 2 * dim + c] = most;
      data[at + 3 * dim + c] = least;
    }
  }
  return { blocks, size, data };
}

function joined({ blocks, size, data }: Level, dim: number, keys: number): Level {
  const count = Math.ceil(blocks / BRANCHES);
  const found = new Float32Array(count * 4 * dim);
  for (let b = 0; b < count; b++) {
    const [from, to] = [b * BRANCHES, Math.min(blocks, (b + 1) * BRANCHES)];
    const at = b * 4 * dim;
    for (let c = 0; c < dim; c++) {
      let [weight, sum, squares, most, least] = [0, 0, 0, -Infinity, Infinity];
      for (let child = from; child < to; child++) {
        const own = child * 4 * dim + c;
        const inside = Math.min(keys, (child + 1) * size) - child * size;
        weight += inside;
        sum += inside * data[own]!;
        squares += inside * (data[own + dim]! + data[own]! ** 2);
        most = Math.max(most, data[own + 2 * dim]!);
        least = Math.min(least, data[own + 3 * dim]!);
      }
      const mean = sum / weight;
      found[at + c] = mean;
      found[at + dim + c] = Math.max(0, squares / weight - mean * mean);
      found[at + 2 * dim + c] = most;
      found[at + 3 * dim + c] = least;
    }
  }
  return { blocks: count, size: size * BRANCHES, data: found };
}

/** Queries that are served together: first query, and how many. They may search the blocks before `before`. */
export interface QueryGroup {
  from: number;
  rows: number;
  before: number;
}

/** For each group the `wanted` blocks (fewer where there are fewer) in which most mass is expected, ascending. */
export async function searchBlocks(
  input: CoreInput,
  head: number,
  levels: readonly Level[],
  groups: readonly QueryGroup[],
  wanted: number,
  context: AttendContext,
): Promise<Int32Array[]> {
  const { dim, queries, q } = input;
  const { blocks } = levels.at(-1)!;
  const rows = Math.max(...groups.map(group => group.rows));
  const widest = levels.length === 1 ? 0 : Math.min(wanted * BRANCHES, levels[0]!.blocks);
  const atOnce = Math.max(1, Math.floor(GATHERED / (widest * 4 * dim + rows * (blocks + 4 * dim))));
  const scale = input.rule.scale[head]!;
  const found: Int32Array[] = [];
  for (let from = 0; from < groups.length; from += atOnce) {
    await checkpoint(context.signal);
    const batch = groups.slice(from, from + atOnce);
    const own = new Float32Array(batch.length * rows * dim);
    const real = new Float32Array(batch.length * rows);
    batch.forEach((group, g) => {
      const at = (head * queries + group.from) * dim;
      own.set(q.subarray(at, at + group.rows * dim), g * rows * dim);
      real.fill(1, g * rows, g * rows + group.rows);
    });
    for (let t = 0; t < own.length; t++) own[t]! *= scale;
    let candidates: Tensor | null = null;
    for (let level = levels.length - 1; level >= 0; level--) {
      const { data, blocks, size } = levels[level]!;
      // Of larger blocks, those that begin before the border are looked into.
      const border = Float32Array.from(batch, ({ before }) => Math.ceil((before * levels[0]!.size) / size));
      const count = Math.min(wanted, candidates ? candidates.dims[1]! : blocks);
      const session = await context.runtime.graph(`block search|${candidates !== null}`, g =>
        buildSearch(g, candidates !== null),
      );
      const results = await session.run({
        q: float32(own, [batch.length, rows, dim]),
        real: float32(real, [batch.length, rows, 1]),
        blocks: float32(data, [blocks, 4 * dim]),
        parts: int64([2 * dim, 2 * dim], [2]),
        border: float32(border, [batch.length, 1]),
        wanted: int64([count], [1]),
        ...(candidates && { candidates }),
      });
      const best = lowWords(results['best']!);
      const mass = floats(results['mass']!);
      if (level > 0) {
        candidates = childrenOf(best, batch.length, count, levels[level - 1]!.blocks);
        continue;
      }
      for (let g = 0; g < batch.length; g++) {
        const list: number[] = [];
        for (let t = g * count; t < (g + 1) * count; t++) if (mass[t]! >= 0) list.push(best[2 * t]!);
        found.push(Int32Array.from(list).sort());
      }
    }
  }
  return found;
}

/** The blocks inside of chosen ones, [groups, count * BRANCHES]; beyond the last block: that one again, which nobody may take. */
function childrenOf(best: Int32Array, groups: number, count: number, blocks: number): Tensor {
  const children = new Int32Array(groups * count * BRANCHES);
  for (let t = 0; t < groups * count; t++) {
    for (let b = 0; b < BRANCHES; b++) {
      const child = best[2 * t]! * BRANCHES + b;
      children[t * BRANCHES + b] = child < blocks ? child : -1;
    }
  }
  return int32(children, [groups, count * BRANCHES]);
}

/**
 * Expected log-mass of each block for each query, as of keys that are normally distributed around the mean, but no more than
 * the extremes allow; what a group expects of a block is the sum over its queries of the shares, and more for a single query's.
 */
function buildSearch(g: GraphBuilder, refines: boolean): void {
  const q = g.input('q', 'float32', ['groups', 'rows', 'dim']);
  const real = g.input('real', 'float32', ['groups', 'rows', 1]);
  const all = g.input('blocks', 'float32', ['blocks', 'width']);
  const parts = g.input('parts', 'int64', [2]);
  const border = g.input('border', 'float32', ['groups', 1]);
  const candidates = refines ? g.input('candidates', 'int32', ['groups', 'candidates']) : null;
  const ids = candidates
    ? g.op('Cast', [candidates], { to: 1 })
    : g.op('Unsqueeze', [
        g.op(
          'Cast',
          [g.op('Range', [g.int(0, []), g.op('Gather', [g.op('Shape', [all]), g.int(0, [])]), g.int(1, [])])],
          { to: 1 },
        ),
        g.int([0]),
      ]);
  const known = g.op('Max', [ids, g.float(0)]);
  const index = g.op('Cast', [known], { to: 7 });
  const taken: Value = candidates ? g.op('Gather', [all, index], { axis: 0 }) : all;
  const split = (value: Value, axis: number) => {
    const [a, b] = g.ops('Split', [value, parts], 2, { axis }) as [Value, Value];
    return [a, b] as const;
  };
  const [moments, extremes] = split(taken, -1);
  const turned = (value: Value) => g.op('Transpose', [value], { perm: candidates ? [0, 2, 1] : [1, 0] });
  const half = g.op('Mul', [g.op('Mul', [q, q]), g.float(0.5)]);
  const expected = g.op('MatMul', [g.op('Concat', [q, half], { axis: 2 }), turned(moments)]);
  const signs = g.op('Concat', [g.op('Max', [q, g.float(0)]), g.op('Min', [q, g.float(0)])], { axis: 2 });
  const bound = g.op('MatMul', [signs, turned(extremes)]);
  // [groups, blocks]: beyond the border, and stand-ins for blocks that are not there.
  const open = g.op('And', [g.op('Less', [ids, border]), g.op('GreaterOrEqual', [ids, g.float(0)])]);
  const shut = g.op('Unsqueeze', [g.op('Where', [open, g.float(0), g.float(-1e30)]), g.int([1])]);
  const shares = g.op('Softmax', [g.op('Add', [g.op('Min', [expected, bound]), shut])], { axis: -1 });
  const counted = g.op('Mul', [shares, real]);
  const most = g.op('ReduceMax', [counted, g.int([1])], { keepdims: 0 });
  const sum = g.op('ReduceSum', [counted, g.int([1])], { keepdims: 0 });
  const rank = g.op('Add', [sum, g.op('Mul', [most, g.float(OF_ONE)])]);
  const ranked = g.op('Where', [open, rank, g.float(-1)]);
  const [mass, place] = g.ops('TopK', [ranked, g.input('wanted', 'int64', [1])], 2, { axis: -1 }) as [
    Value,
    Value,
  ];
  const best = candidates ? g.op('GatherElements', [index, place], { axis: 1 }) : place;
  g.output('mass', mass);
  g.output('best', best, 'int64');
}
