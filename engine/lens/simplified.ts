import { say } from '../../shared/sentences';
import { ownMap, type CoreInput } from '../attention/core';
import { denseCore, type BlockFold } from '../attention/kernels/dense';
import { HIDDEN } from '../attention/kernels/blocks';
import { scoreAt } from '../attention/kernels/lines';
import type { SimplifiedLens } from '../../shared/protocol/engine';
import { floats } from '../runtime/tensor';
import type { Analysis } from '../service/analysis';
import type { Lens } from './lens';
import { meanCosine } from './rows';

/**
 * Simplified blocks (He & Hofmann, 2024) start each head as the identity: alpha I + beta A - gamma C, with C uniform. How
 * far the trained heads are from I and from C, how alike the rows of the residual stream become, and what leaving out
 * value and output projections would save. A lens: taking them out of a trained model would destroy it.
 */
export const simplified: Lens<'simplified'> = {
  name: 'simplified',
  title: 'Simplified blocks',
  paper: 'He & Hofmann, Simplifying Transformer Blocks, 2024, sections 4.1 and 4.2',
  parameters: [],

  async look(analysis, _params, { signal, onProgress }) {
    const { info } = analysis.model;
    const heads: SimplifiedLens['heads'] = [];
    const collapse: SimplifiedLens['collapse'] = [];
    let hidden = 0;
    await analysis.visitAlone(
      info.cores.map(({ core }) => core),
      async (core, { input }) => {
        onProgress(core / info.cores.length);
        const shares = await sharesOf(input, analysis.context(signal), info.cores[core]!.kind !== 'cross');
        shares.forEach((share, head) => heads.push({ core, head, ...share }));
      },
      signal,
      {
        toEnd: true,
        onHidden: ({ at, data, width }) => {
          if (at !== 'output') hidden = Math.max(hidden, width);
          collapse.push({ at, cosine: meanCosine(data, width) });
        },
      },
    );
    const notes = [say('simplifiedLens')];
    if (collapse.length <= info.cores.length) notes.push(say('notEveryLayer'));
    return {
      lens: 'simplified',
      heads,
      collapse,
      parameters: savings(analysis, hidden),
      notes,
    };
  },
};

/** W_V and W_O of every core; 2 D^2 of a textbook block's 12 D^2. */
function savings({ model: { info } }: Analysis, hidden: number): SimplifiedLens['parameters'] {
  const saved = info.cores.reduce(
    (sum, { heads, kvHeads, dim }) => sum + hidden * kvHeads * dim + heads * dim * hidden,
    0,
  );
  return { all: info.parameters, saved, share: saved / info.parameters, textbook: 2 / 12 };
}

type Shares = Omit<SimplifiedLens['heads'][number], 'core' | 'head'>;

/**
 * Each row of the map in three parts that add up to 1: min(A, C) is what a uniform head has too, the diagonal's mass
 * beyond that is identity, and the mass of all others beyond theirs is the rest. Folded block by block; exact.
 */
export async function sharesOf(
  given: CoreInput,
  context: ReturnType<Analysis['context']>,
  hasDiagonal: boolean,
): Promise<Shares[]> {
  const input = ownMap(given);
  const { heads, queries } = input;
  const overlap = new Float64Array(heads * queries);
  const squares = new Float64Array(heads * queries);
  const visible = new Float64Array(heads * queries);
  const { lse } = await denseCore(input, context, overlapFold(queries, { overlap, squares, visible }));
  return Array.from({ length: heads }, (_, head) => {
    const sums = { uniform: 0, identity: 0, squared: 0 };
    let rows = 0;
    for (let i = 0; i < queries; i++) {
      const at = head * queries + i;
      if (lse[at] === -Infinity || visible[at] === 0) continue;
      rows++;
      const even = 1 / visible[at]!;
      sums.uniform += overlap[at]!;
      // |A - C|^2 = |A|^2 - 2 A.C + |C|^2, and a row of A adds up to 1.
      sums.squared += Math.max(0, squares[at]! - even);
      if (hasDiagonal) sums.identity += Math.max(0, diagonal(input, head, i, lse[at]!) - even);
    }
    const [uniform, identity] = [sums.uniform / Math.max(1, rows), sums.identity / Math.max(1, rows)];
    return {
      uniform,
      identity,
      rest: rows === 0 ? 0 : Math.max(0, 1 - uniform - identity),
      distance: Math.sqrt(sums.squared),
      distancePerQuery: Math.sqrt(sums.squared / Math.max(1, rows)),
    };
  });
}

/** Probability of a query's own key; 0 where it has none. */
function diagonal(input: CoreInput, head: number, query: number, lse: number): number {
  const key = query + input.keys - input.queries;
  return key < 0 ? 0 : Math.exp(scoreAt(input, head, query, key) - lse);
}

function overlapFold(
  queries: number,
  into: { overlap: Float64Array; squares: Float64Array; visible: Float64Array },
): BlockFold {
  return {
    key: 'overlap-with-uniform',
    build(g, { scores, probabilities }) {
      const sum = (x: typeof scores, keepdims: number) => g.op('ReduceSum', [x, g.int([-1])], { keepdims });
      // 1 = float32
      const seen = g.op('Cast', [g.op('Greater', [scores, g.float(HIDDEN / 10)])], { to: 1 });
      const count = sum(seen, 1);
      const even = g.op('Div', [g.float(1), g.op('Max', [count, g.float(1)])]);
      g.output('overlap', sum(g.op('Min', [probabilities, even]), 0));
      g.output('squares', sum(g.op('Mul', [probabilities, probabilities]), 0));
      g.output('count', g.op('Squeeze', [count, g.int([-1])]));
    },
    feeds: () => ({}),
    take({ block, head, heads, results }) {
      const [overlap, squares, count] = ['overlap', 'squares', 'count'].map(name => floats(results[name]!));
      for (let h = 0; h < heads; h++) {
        // Rows come last query first.
        const last = (head + h) * queries + block.from + block.rows - 1;
        for (let r = 0; r < block.rows; r++) {
          into.overlap[last - r] = overlap![h * block.rows + r]!;
          into.squares[last - r] = squares![h * block.rows + r]!;
          into.visible[last - r] = count![h * block.rows + r]!;
        }
      }
    },
  };
}
