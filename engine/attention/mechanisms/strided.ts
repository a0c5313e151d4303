import { attendBand, bandKeys, bandPairs, type Band } from '../kernels/band';
import { dependsOnPair } from '../kernels/blocked';
import { visibleKeys, type CoreInput } from '../core';
import { bandSize, pairCost } from '../cost';
import type { AttendContext, Mechanism } from '../mechanism';
import { rootOf } from '../parameters';
import { numberOrAuto } from '../../../shared/setting';
import { sparseRow } from '../kernels/rows';
import { geometric, pairsOfShare } from '../kernels/shares';
import {
  addOpaque,
  BATCH_ELEMENTS,
  MASKED,
  offsetTables,
  Outputs,
  type OffsetTable,
  type Tiles,
} from '../kernels/tiles';
import type { MechanismParams } from '../../../shared/protocol/engine';

/**
 * Sparse Transformer, strided: the nearest `stride` keys, and every stride-th key before (and after) them. The second
 * set is dense attention within a residue class of positions, without the pairs that the first set has already.
 */
export const strided: Mechanism = {
  info: {
    name: 'strided',
    title: 'Strided',
    label: 'stride',
    hue: '#f28e2c',
    summary: 'Every token attends to its neighbourhood and to every stride-th token.',
    paper:
      'Child et al., Generating Long Sequences with Sparse Transformers, 2019, section 4.3 (strided attention)',
    parameters: [
      {
        name: 'stride',
        type: 'integer',
        default: null,
        defaultRule: 'square root of the tokens',
        minimum: 1,
        description: 'Keeps |i-j| <= stride and (i-j) mod stride = 0.',
      },
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'A neighbourhood, and every `stride`-th token before (and after) it.',
    rule: '|i-j| <= stride, or (i-j) mod stride = 0',
    exact: 'Exact. Both sets of the paper in one softmax (its “merged” head).',
    cost: 'About N · (stride + N / stride) pairs; least at the square root of N.',
    when: 'Texts with a period: tables, images row by row, columns of code. In prose the distant tokens are arbitrary.',
  },

  examples: [{ stride: 6 }, { stride: 1 }, { stride: 5 }, { stride: 200 }],
  whole: tokens => [{ stride: tokens }, { stride: 1 }],

  settings(input, share) {
    const limit = pairsOfShare(input, share);
    const pairs = (stride: number) =>
      bandPairs(input, { before: stride, after: stride }) + classPairs(input, stride);
    // Short strides spend on the far keys, long ones on the near; between them is the cheapest.
    const within = geometric(input.keys).filter(stride => pairs(stride) <= limit);
    const ends = new Set([within[0], within[within.length - 1]]);
    return [...ends].flatMap(stride => (stride === undefined ? [] : [{ stride }]));
  },

  cost(tokens, params, shape) {
    const stride = strideOf(tokens, params);
    let far = 0;
    for (let distance = 2 * stride; distance < tokens; distance += stride) far += tokens - distance;
    const near = bandSize(tokens, stride, shape.causal ? 0 : stride);
    return pairCost(near + (shape.causal ? far : 2 * far), shape);
  },

  rule: ({ keys }, params) => {
    const stride = strideOf(keys, params);
    return { any: [{ near: stride }, { every: stride }] };
  },

  settle: (input, params) => ({ stride: strideOf(input.keys, params) }),

  async attend(input, params, context) {
    const stride = strideOf(input.keys, params);
    const band: Band = { before: stride, after: stride };
    const outputs = new Outputs(input);
    await attendBand(input, () => band, outputs, context);
    await attendClasses(input, stride, outputs, context);
    return {
      output: outputs.output,
      lse: outputs.lse,
      pairs: new Float64Array(input.heads).fill(bandPairs(input, band) + classPairs(input, stride)),
      row: (head, query) => sparseRow(input, head, query, stridedKeys(input, stride, query)),
      extra: {},
    };
  },
};

function strideOf(tokens: number, params: MechanismParams): number {
  return numberOrAuto(params, 'stride', rootOf(tokens));
}

function* stridedKeys(input: CoreInput, stride: number, query: number): Generator<number> {
  const { from, to } = visibleKeys(input, query);
  const near = bandKeys(input, { before: stride, after: stride }, query);
  const position = query + input.keys - input.queries;
  // Positions may be negative (more queries than keys), hence the care with remainders.
  const first = from + ((((position - from) % stride) + stride) % stride);
  for (let key = first; key < Math.min(to, position - stride); key += stride) yield key;
  for (let key = near.from; key < near.to; key++) yield key;
  for (let key = first; key < to; key += stride) if (key > position + stride) yield key;
}

/** Pairs of the residue classes beyond the neighbourhood: at distances 2, 3, ... strides. */
function classPairs(input: CoreInput, stride: number): number {
  let pairs = 0;
  for (let i = 0; i < input.queries; i++) {
    const { from, to } = visibleKeys(input, i);
    const position = i + input.keys - input.queries;
    pairs += Math.max(0, Math.floor((position - from) / stride) - 1);
    const nearest = Math.max(2, Math.ceil((from - position) / stride));
    pairs += Math.max(0, Math.floor((to - 1 - position) / stride) - nearest + 1);
  }
  return pairs;
}

/** Residue classes of positions that look alike: as many keys, queries from the same place on. */
interface ClassGroup {
  residues: number[];
  /** Keys in each class; member u is at position residue + u * stride. */
  keys: number;
  /** First member that is a query; negative when there are more queries than keys. */
  firstQuery: number;
}

function groupClasses(input: CoreInput, stride: number): ClassGroup[] {
  const groups = new Map<string, ClassGroup>();
  const shift = input.keys - input.queries;
  for (let residue = 0; residue < Math.min(stride, input.keys); residue++) {
    const keys = Math.ceil((input.keys - residue) / stride);
    const firstQuery = Math.ceil((shift - residue) / stride);
    const name = `${keys}|${firstQuery}`;
    let group = groups.get(name);
    if (!group) groups.set(name, (group = { residues: [], keys, firstQuery }));
    group.residues.push(residue);
  }
  return [...groups.values()];
}

async function attendClasses(
  input: CoreInput,
  stride: number,
  outputs: Outputs,
  context: AttendContext,
): Promise<void> {
  const tables = offsetTables(input);
  const groups = groupClasses(input, stride);
  for (let head = 0; head < input.heads; head++) {
    for (const group of groups) await attendGroup(input, head, stride, group, tables(head), outputs, context);
  }
}

async function attendGroup(
  input: CoreInput,
  head: number,
  stride: number,
  group: ClassGroup,
  offsets: OffsetTable,
  outputs: Outputs,
  context: AttendContext,
): Promise<void> {
  const shift = input.keys - input.queries;
  const { causal } = input.rule.mask;
  const block = 64;
  for (let from = group.firstQuery; from < group.keys; from += block) {
    const rows = Math.min(block, group.keys - from);
    const columns = causal ? from + rows - 2 : group.keys;
    if (columns <= 0) continue;
    const bias = classBias(offsets, stride, from, rows, columns);
    const perBatch = Math.max(1, Math.floor(BATCH_ELEMENTS / (rows * columns)));
    for (let r = 0; r < group.residues.length; r += perBatch) {
      const residues = group.residues.slice(r, r + perBatch);
      const tiles: Tiles = {
        head,
        rows,
        columns,
        queries: members(residues, stride, from, rows, -shift),
        keys: members(residues, stride, 0, columns, 0),
        bias,
      };
      if (dependsOnPair(input.rule)) {
        tiles.bias = repeat(bias, residues.length);
        addOpaque(input, tiles);
      }
      await outputs.add(tiles, context);
    }
  }
}

/** The same for every class: it depends on the number of strides between query and key. */
function classBias(
  { table, base }: OffsetTable,
  stride: number,
  from: number,
  rows: number,
  columns: number,
): Float32Array {
  const bias = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let u = 0; u < columns; u++) {
      const strides = u - (from + r);
      const near = strides >= -1 && strides <= 1;
      bias[r * columns + u] = near ? MASKED : table[strides * stride + base]!;
    }
  }
  return bias;
}

function members(
  residues: number[],
  stride: number,
  from: number,
  length: number,
  shift: number,
): Int32Array {
  const ids = new Int32Array(residues.length * length);
  residues.forEach((residue, r) => {
    for (let t = 0; t < length; t++) ids[r * length + t] = residue + (from + t) * stride + shift;
  });
  return ids;
}

export function repeat(values: Float32Array, times: number): Float32Array {
  const all = new Float32Array(values.length * times);
  for (let t = 0; t < times; t++) all.set(values, t * values.length);
  return all;
}
