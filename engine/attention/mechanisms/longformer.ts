import { attendBand, bandKeys, bandPairs, type Band } from '../kernels/band';
import { visibleKeys, type CoreInput } from '../core';
import { bandSize, pairCost } from '../cost';
import { attendLists, sequence } from '../kernels/lists';
import type { Mechanism } from '../mechanism';
import { numberOf, wordOf } from '../../../shared/setting';
import { range, sparseRow } from '../kernels/rows';
import { largestWithin, pairsOfShare } from '../kernels/shares';
import { offsetTables, Outputs } from '../kernels/tiles';
import type { MechanismParams } from '../../../shared/protocol/engine';

/**
 * A window on both sides, and a few global tokens that see and are seen by all. A model trained dense has no global
 * projections of its own, so global tokens use the local ones (as Longformer is initialised).
 */
export const longformer: Mechanism = {
  info: {
    name: 'longformer',
    title: 'Longformer',
    label: 'global',
    hue: '#76b7b2',
    summary:
      'Every token attends to its neighbourhood and to a few global tokens, which attend to everything.',
    paper: 'Beltagy et al., Longformer: The Long-Document Transformer, 2020, section 3.1',
    parameters: [
      {
        name: 'window',
        type: 'integer',
        default: 64,
        minimum: 0,
        description: 'Keys on each side of the query.',
      },
      {
        name: 'globals',
        type: 'indices',
        default: '0',
        description: 'Indices of the global tokens, separated by commas, plus signs or spaces.',
      },
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'A window on each side, and a few global tokens that see all and are seen by all.',
    rule: '|i-j| <= window, or i or j is global',
    exact:
      'Exact for these pairs. A model trained dense has no global projections of its own, so global tokens use the local ones, as Longformer is initialised.',
    cost: 'N · (window + globals) pairs.',
    when: 'Heads with an attention sink: the first token as global, as by default, is often worth a long window.',
  },

  examples: [
    { window: 4, globals: '0,13' },
    { window: 3, globals: '0,5,6,90' },
    { window: 0, globals: '3' },
    { window: 40, globals: '' },
  ],
  whole: tokens => [{ window: tokens }, { window: 0, globals: sequence(0, tokens).join() }],

  settings(input, share) {
    const limit = pairsOfShare(input, share);
    // The first tokens, as attention sinks (Xiao et al., Efficient Streaming Language Models with Attention Sinks, 2024).
    return [1, 4, 16].flatMap(count => {
      const window = largestWithin(limit, 0, input.keys - 1, size => countPairs(input, size, count));
      const globals = Array.from(sequence(0, Math.min(count, input.keys))).join();
      return window === null ? [] : [{ window, globals }];
    });
  },

  cost(tokens, params, shape) {
    const window = numberOf(params, 'window');
    const globals = readGlobals(params, tokens);
    const far = (distance: number) => Math.max(0, distance - window);
    let pairs = bandSize(tokens, window, shape.causal ? 0 : window);
    for (const g of globals) {
      const later = far(tokens - 1 - g);
      const earlier = far(g);
      // Its own row, and its column without the rows of the other global tokens.
      pairs += shape.causal ? earlier + later : 2 * (earlier + later);
      for (const other of globals) {
        if (Math.abs(other - g) > window && (!shape.causal || other > g)) pairs--;
      }
    }
    return pairCost(pairs, shape);
  },

  rule({ keys }, params) {
    const globals = [...readGlobals(params, keys)];
    return { any: [{ near: numberOf(params, 'window') }, { keys: globals }, { queries: globals }] };
  },

  async attend(input, params, context) {
    const window = numberOf(params, 'window');
    const globals = readGlobals(params, input.keys);
    const isGlobal = new Set(globals);
    const band: Band = { before: window, after: window };
    const shift = input.keys - input.queries;
    const all = sequence(0, input.queries);
    const globalQueries = all.filter(i => isGlobal.has(i + shift));
    const others = all.filter(i => !isGlobal.has(i + shift));
    const outside = (position: number, key: number) => Math.abs(position - key) > window;
    const outputs = new Outputs(input);
    await attendBand(input, () => band, outputs, context);
    const tables = offsetTables(input);
    const pairs = new Float64Array(input.heads).fill(bandPairs(input, band));
    for (let head = 0; head < input.heads; head++) {
      const add = (queries: Int32Array, keys: Int32Array) =>
        attendLists(input, head, queries, keys, outside, tables(head), outputs, context);
      pairs[head]! += await add(others, globals);
      pairs[head]! += await add(globalQueries, sequence(0, input.keys));
    }
    return {
      output: outputs.output,
      lse: outputs.lse,
      pairs,
      row: (head, query) => {
        const visible = visibleKeys(input, query);
        const near = bandKeys(input, band, query);
        const seesAll = isGlobal.has(query + shift);
        const keys = function* (): Generator<number> {
          if (seesAll) return yield* range(visible.from, visible.to);
          for (const key of globals) if (key < near.from) yield key;
          yield* range(near.from, near.to);
          for (const key of globals) if (key >= near.to) yield key;
        };
        return sparseRow(input, head, query, keys());
      },
      extra: {},
    };
  },
};

/** Pairs of one head with its first `count` tokens global. */
function countPairs(input: CoreInput, window: number, count: number): number {
  let pairs = 0;
  for (let i = 0; i < input.queries; i++) {
    const visible = visibleKeys(input, i);
    const near = bandKeys(input, { before: window, after: window }, i);
    if (i + input.keys - input.queries < count) pairs += visible.to - visible.from;
    else pairs += near.to - near.from + Math.max(0, Math.min(count, near.from) - visible.from);
  }
  return pairs;
}

/** Ascending, without repetitions. */
function readGlobals(params: MechanismParams, keys: number): Int32Array {
  const text = wordOf(params, 'globals');
  const indices = text === '' ? [] : text.split(',').map(Number);
  return Int32Array.from(indices.filter(i => i < keys));
}
