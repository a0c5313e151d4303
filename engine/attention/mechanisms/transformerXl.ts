import type { CoreInput } from '../core';
import { pairCost } from '../cost';
import { sequence } from '../kernels/lists';
import type { Mechanism } from '../mechanism';
import { numberOrAuto } from '../../../shared/setting';
import { RecentAttention, ROWS } from '../kernels/recentAttention';
import { readRelative, RELATIVE } from '../kernels/relativeScores';
import { sparseRow, visibleRow } from '../kernels/rows';
import {
  defaultMemory,
  recentKeys,
  recentPairs,
  refusesSegments,
  SEGMENT,
  segmentLength,
  segmentParameter,
  segmentsOf,
} from '../kernels/segments';
import { termShares } from '../kernels/relativeTerms';
import type { MechanismParams } from '../../../shared/protocol/engine';

/**
 * Transformer-XL: segments with a memory of the keys before them. With `r`, `u` and `v_bias` the scores are the
 * paper's, (q + u).k + (q + v).r of the distance; without them the model's own scores are used (a what-if that shows
 * what the segments cut off).
 */
export const transformerXl: Mechanism = {
  info: {
    name: 'transformer-xl',
    title: 'Transformer-XL',
    label: 'XL',
    hue: '#4e79a7',
    pale: true,
    summary: 'Every token attends to its segment and to a memory of the tokens before it.',
    paper:
      'Dai et al., Transformer-XL: Attentive Language Models beyond a Fixed-Length Context, 2019, section 3',
    parameters: [
      {
        name: 'memory',
        type: 'integer',
        default: null,
        defaultRule: 'all keys before the queries, or 128 when the text is one sequence',
        minimum: 0,
        description: 'Keys remembered from before the segment.',
      },
      segmentParameter,
    ],
    view: 'map',
    causalSelection: true,
  },

  about: {
    what: 'Segments, each with a memory of the tokens before it.',
    rule: 'keys from start(segment) - memory to i; with `r`, `u`, `v_bias`: (q+u)·k + (q+v)·r of the distance',
    exact:
      'With the three tensors the paper’s scores exactly, and the shares of its four terms (`term_shares`). Without them the model’s own scores: a what-if that shows what segments cut off. The terms of a model with absolute positions (token and position parts of its first layer) are what the lens _Content and position_ shows.',
    cost: 'N · (segment / 2 + memory) pairs.',
    when: 'To find the memory a model really uses before building a recurrent one.',
  },

  examples: [
    { segment: 10, memory: 10 },
    { segment: 6, memory: 4 },
    { segment: 16, memory: 8 },
    { segment: 30, memory: 100 },
  ],
  whole: tokens => [{ segment: tokens }, { segment: 5, memory: tokens }],

  tensors: RELATIVE,

  causalOnly: true,

  refuses: input => refusesSegments('Transformer-XL', input),

  cost(tokens, params, shape) {
    const segment = numberOrAuto(params, 'segment', SEGMENT);
    const memory = numberOrAuto(params, 'memory', SEGMENT);
    return pairCost(recentPairs(tokens, segment, memory), shape);
  },

  settle: (input, params) => ({ memory: memoryOf(input, params), segment: segmentLength(input, params) }),

  async attend(input, params, context) {
    const memory = memoryOf(input, params);
    const relative = readRelative('Transformer-XL', input, context);
    const segments = segmentsOf(input, params, relative !== null || input.keys > input.queries);
    const recent = new RecentAttention(input, relative, memory);
    const { outputs } = recent;
    const pairs = new Float64Array(input.heads);
    for (let head = 0; head < input.heads; head++) {
      for (const segment of segments) {
        for (let from = segment.from; from < segment.to; from += ROWS) {
          const block = { from, to: Math.min(segment.to, from + ROWS) };
          pairs[head]! += await recent.attend(head, block, segment.start, context);
        }
      }
    }
    return {
      output: outputs.output,
      // Relative scores are not the model's: the mass they keep is not its mass.
      lse: relative ? null : outputs.lse,
      pairs,
      row: (head, query) => {
        const segment = segments.find(s => query < s.to)!;
        const { from, to } = recentKeys(input, query, segment.start, memory);
        if (!relative) return sparseRow(input, head, query, { from, to });
        const keys = sequence(from, to);
        return visibleRow(
          keys,
          Array.from(keys, key => recent.score(head, query, key)),
        );
      },
      extra: { ...(relative && { term_shares: termShares(input, relative, segments, memory) }) },
    };
  },
};

function memoryOf(input: CoreInput, params: MechanismParams): number {
  return numberOrAuto(params, 'memory', defaultMemory(input));
}
