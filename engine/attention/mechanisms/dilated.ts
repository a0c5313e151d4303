import { visibleKeys, type CoreInput } from '../core';
import { pairCost } from '../cost';
import { attendGroups, type Group } from '../kernels/lists';
import type { Mechanism } from '../mechanism';
import { sparseRow } from '../kernels/rows';
import { largestWithin, pairsOfShare } from '../kernels/shares';
import { offsetTables, Outputs } from '../kernels/tiles';
import type { MechanismParams } from '../../../shared/protocol/engine';
import { numberOf } from '../../../shared/setting';

/** Queries of one residue class that are done at once. */
const ROWS = 64;

/** A sliding window with gaps: as many keys as a window has, over a stretch that is `dilation` times as long. */
export const dilated: Mechanism = {
  info: {
    name: 'dilated',
    title: 'Dilated window',
    label: 'gaps',
    hue: '#d6604d',
    summary: 'Every token attends to every dilation-th token of its neighbourhood.',
    paper:
      'Beltagy et al., Longformer: The Long-Document Transformer, 2020, section 3.1 (dilated sliding window)',
    parameters: [
      {
        name: 'window',
        type: 'integer',
        default: 64,
        minimum: 0,
        description: 'Keys on each side of the query, `dilation` apart.',
      },
      {
        name: 'dilation',
        type: 'integer',
        default: 2,
        minimum: 1,
        description: 'Distance between the keys; 1 is a local window.',
      },
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'Every `dilation`-th token, `window` of them on each side.',
    rule: '|i-j| = m · dilation, m = 0 .. window',
    exact:
      'Exact: the softmax over the kept pairs of the model’s own scores. The paper dilates some heads of the upper layers and trains them so.',
    cost: 'N · window pairs.',
    when: 'Texts with a period, or heads whose mass fades slowly. Heads that look at the previous token lose everything.',
  },

  examples: [
    { window: 4, dilation: 3 },
    { window: 0, dilation: 5 },
    { window: 6, dilation: 1 },
    { window: 50, dilation: 2 },
  ],
  whole: tokens => [{ window: tokens, dilation: 1 }],

  settings(input, share) {
    return [2, 4].flatMap(dilation => {
      const pairs = (window: number) => countPairs(input, { window, dilation });
      const most = Math.floor((input.keys - 1) / dilation);
      const window = largestWithin(pairsOfShare(input, share), 0, most, pairs);
      return window === null ? [] : [{ window, dilation }];
    });
  },

  rule(_input, params) {
    const { window, dilation } = sizes(params);
    return { all: [{ near: window * dilation }, { every: dilation }] };
  },

  cost(tokens, params, shape) {
    const { window, dilation } = sizes(params);
    let pairs = tokens;
    for (let m = 1; m <= window && m * dilation < tokens; m++) {
      pairs += (shape.causal ? 1 : 2) * (tokens - m * dilation);
    }
    return pairCost(pairs, shape);
  },

  async attend(input, params, context) {
    const size = sizes(params);
    const reach = size.window * size.dilation;
    const groups = groupsOf(input, size);
    const keep = (position: number, key: number) => Math.abs(position - key) <= reach;
    const outputs = new Outputs(input);
    const tables = offsetTables(input);
    const pairs = new Float64Array(input.heads);
    for (let head = 0; head < input.heads; head++) {
      pairs[head] = await attendGroups(input, head, groups, keep, tables(head), outputs, context);
    }
    return {
      output: outputs.output,
      lse: outputs.lse,
      pairs,
      row: (head, query) => sparseRow(input, head, query, keysOf(input, size, query)),
      extra: {},
    };
  },
};

interface Sizes {
  window: number;
  dilation: number;
}

function sizes(params: MechanismParams): Sizes {
  return {
    window: numberOf(params, 'window'),
    dilation: numberOf(params, 'dilation'),
  };
}

/** Keys that the query keeps, ascending. */
function* keysOf(input: CoreInput, { window, dilation }: Sizes, query: number): Generator<number> {
  const position = query + input.keys - input.queries;
  const { from, to } = visibleKeys(input, query);
  const before = Math.min(window, Math.floor((position - from) / dilation));
  for (let m = -before; m <= window && position + m * dilation < to; m++) yield position + m * dilation;
}

/** Queries of one residue class of positions, and the keys of that class that any of them keeps. */
function groupsOf(input: CoreInput, { window, dilation }: Sizes): Group[] {
  const { queries, keys } = input;
  const shift = keys - queries;
  const reach = window * dilation;
  const groups: Group[] = [];
  for (let first = 0; first < Math.min(dilation, queries); first++) {
    for (let from = first; from < queries; from += ROWS * dilation) {
      const rows = Math.min(ROWS, Math.ceil((queries - from) / dilation));
      const [low, high] = [from + shift, from + shift + (rows - 1) * dilation];
      const until = Math.min(keys - 1, input.rule.mask.causal ? high : high + reach);
      let key = Math.max(low - reach, low % dilation);
      if (key < 0) key += dilation;
      const list: number[] = [];
      for (; key <= until; key += dilation) list.push(key);
      const block = Int32Array.from({ length: rows }, (_, r) => from + r * dilation);
      if (list.length > 0) groups.push({ queries: block, keys: Int32Array.from(list) });
    }
  }
  return groups;
}

/** Pairs of one head. */
function countPairs(input: CoreInput, { window, dilation }: Sizes): number {
  let pairs = 0;
  for (let i = 0; i < input.queries; i++) {
    const position = i + input.keys - input.queries;
    const { from, to } = visibleKeys(input, i);
    pairs += Math.min(window, Math.floor((position - from) / dilation)) + 1;
    pairs += Math.max(0, Math.min(window, Math.floor((to - 1 - position) / dilation)));
  }
  return pairs;
}
