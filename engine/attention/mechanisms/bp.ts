import { kvHead, type CoreInput } from '../core';
import { pairCost } from '../cost';
import { sequence } from '../kernels/lists';
import type { AttendContext, Mechanism, SparseRow } from '../mechanism';
import { numberOf } from '../../../shared/setting';
import { refusesRule } from '../kernels/plainCore';
import { softmax } from '../kernels/rows';
import { buildTree, readNodes, type Run, type Tree } from '../maths/spanTree';
import { MASKED, Outputs } from '../kernels/tiles';

/** Queries at once. */
const ROWS = 64;
/** Positions of which the cost formula counts what they read. */
const COUNTED = 65_536;

/**
 * BP-Transformer: a token reads near tokens one by one and farther ones as spans of a binary tree, the longer the
 * farther. A model trained dense has no span nodes: the mean key and value of a span stand in, with the log of its
 * length added to the score (so that a span of equal keys weighs as much as its tokens).
 */
export const bp: Mechanism = {
  info: {
    name: 'bp',
    title: 'BP-Transformer',
    label: 'BP',
    hue: '#e15759',
    pale: true,
    summary: 'Every token attends to near tokens one by one and to farther ones in ever longer spans.',
    paper: 'Ye et al., BP-Transformer: Modelling Long-Range Context via Binary Partitioning, 2019, section 3',
    parameters: [
      {
        name: 'k',
        type: 'integer',
        default: 16,
        minimum: 1,
        description: 'Spans read at each level of the tree, on each side.',
      },
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'Near tokens one by one, farther ones as spans of a binary tree, the longer the farther.',
    rule: 'on each side k nodes of each level; score of a span = q·k̄ + log length',
    exact:
      'A model trained dense has no span nodes: the mean key and value of a span stand in, with the log of its length added (so a span of equal keys weighs as much as its tokens). At k >= N it is dense.',
    cost: 'About k · N · log2(N / k) reads.',
    when: 'Smooth, slowly fading heads. A single sharp key far away is averaged away.',
  },

  examples: [{ k: 2 }, { k: 1 }, { k: 4 }],
  whole: tokens => [{ k: tokens }],

  refuses(input) {
    if (input.queries > input.keys) return 'The BP-Transformer needs a key for every query.';
    return refusesRule('The BP-Transformer', input);
  },

  cost(tokens, params, shape) {
    const tree = buildTree(tokens);
    const k = numberOf(params, 'k');
    // Of long texts every few positions: what they read changes slowly.
    const step = Math.ceil(tokens / COUNTED);
    let pairs = 0;
    let counted = 0;
    for (let position = 0; position < tokens; position += step, counted++) {
      for (const run of readNodes(tree, position, k, shape.causal)) pairs += run.to - run.from;
    }
    pairs *= tokens / counted;
    // The means of keys and values of all spans.
    const nodes = tree.start.length - tokens;
    const width = shape.dim + shape.valueDim;
    return pairCost(pairs, shape, step === 1 ? 'exact' : 'expected', {
      flops: 3 * nodes * width,
      floats: nodes * width,
    });
  },

  async attend(input, params, context) {
    const k = numberOf(params, 'k');
    const tree = buildTree(input.keys);
    const core = treeInput(input, tree);
    const outputs = new Outputs(core);
    const shift = input.keys - input.queries;
    const { causal } = input.rule.mask;
    let pairs = 0;
    for (let from = 0; from < input.queries; from += ROWS) {
      const to = Math.min(input.queries, from + ROWS);
      const reads = Array.from({ length: to - from }, (_, r) => readNodes(tree, from + r + shift, k, causal));
      for (const runs of reads) for (const run of runs) pairs += run.to - run.from;
      await attendBlock(core, tree, from, reads, outputs, context);
    }
    return {
      output: outputs.output,
      lse: null,
      pairs: new Float64Array(input.heads).fill(pairs),
      row: (head, query) => rowOf(core, tree, head, query, readNodes(tree, query + shift, k, causal)),
      extra: {},
    };
  },
};

/** The input with all nodes of the tree as keys: means of their spans. */
function treeInput(input: CoreInput, tree: Tree): CoreInput {
  const { kvHeads, keys } = input;
  const nodes = tree.start.length;
  const average = (data: Float32Array, width: number) => {
    const rows = new Float32Array(kvHeads * nodes * width);
    for (let h = 0; h < kvHeads; h++) {
      rows.set(data.subarray(h * keys * width, (h + 1) * keys * width), h * nodes * width);
      for (let node = keys; node < nodes; node++) {
        const [first, second] = tree.children(node);
        const at = (h * nodes + node) * width;
        const a = tree.length[first]! / tree.length[node]!;
        for (let c = 0; c < width; c++) {
          const left = rows[(h * nodes + first) * width + c]!;
          const right = second === null ? 0 : rows[(h * nodes + second) * width + c]!;
          rows[at + c] = a * left + (1 - a) * right;
        }
      }
    }
    return rows;
  };
  return {
    ...input,
    keys: nodes,
    k: average(input.k, input.dim),
    v: average(input.v, input.valueDim),
    rule: { ...input.rule, mask: { causal: false, window: null } },
  };
}

/** A block of queries against all nodes that any of them reads; the same for every head. */
async function attendBlock(
  core: CoreInput,
  tree: Tree,
  from: number,
  reads: Run[][],
  outputs: Outputs,
  context: AttendContext,
): Promise<void> {
  const column = new Map<number, number>();
  for (const runs of reads) {
    for (const run of runs) {
      for (let node = run.from; node < run.to; node++) if (!column.has(node)) column.set(node, column.size);
    }
  }
  const rows = reads.length;
  const columns = column.size;
  const bias = new Float32Array(rows * columns).fill(MASKED);
  reads.forEach((runs, r) => {
    for (const run of runs) {
      for (let node = run.from; node < run.to; node++) {
        bias[r * columns + column.get(node)!] = Math.log(tree.length[node]!);
      }
    }
  });
  const keys = Int32Array.from(column.keys());
  const queries = sequence(from, from + rows);
  for (let head = 0; head < core.heads; head++) {
    await outputs.add({ head, rows, columns, queries, keys, bias }, context);
  }
}

/** A node's weight is shared equally by its tokens, as its value is. */
function rowOf(core: CoreInput, tree: Tree, head: number, query: number, runs: Run[]): SparseRow {
  const { dim, queries, q, k, keys, rule } = core;
  const nodes = runs.flatMap(run => [...sequence(run.from, run.to)]);
  const weights = softmax(
    nodes.map(node => {
      let dot = 0;
      const at = (kvHead(core, head) * keys + node) * dim;
      for (let c = 0; c < dim; c++) dot += q[(head * queries + query) * dim + c]! * k[at + c]!;
      return dot * rule.scale[head]! + Math.log(tree.length[node]!);
    }),
  );
  const pairs: [number, number][] = [];
  nodes.forEach((node, t) => {
    const size = tree.length[node]!;
    for (let x = 0; x < size; x++) pairs.push([tree.start[node]! + x, weights[t]! / size]);
  });
  pairs.sort((a, b) => a[0] - b[0]);
  return {
    keys: Int32Array.from(pairs, ([key]) => key),
    weights: Float64Array.from(pairs, ([, weight]) => weight),
  };
}
