/**
 * A plan as the best-pattern file of MInference (Jiang et al., 2024): a list over layers of `{ "head": [kind, vertical, slash, score] }`.
 * Its kinds are `stream_llm` (first tokens and a window), `vertical_and_slash` (columns and diagonals that the last 64 queries vote for)
 * and `block_sparse` (100 blocks of its own choice). What is none of these becomes the nearest one, and a note says so.
 */
import { settingOf } from '../attention/parameters';
import { findMechanism } from '../attention/registry';
import type {
  HeadAssignment,
  MechanismParams,
  ModelInfo,
  PlannedHead,
  Setting,
} from '../../shared/protocol/engine';
import { DENSE } from '../../shared/setting';
import type { HeadMask } from '../attention/mask';
import type { PlannedMask, CoreMasks } from './headMasks';
import { checkFormat } from './planFormat';
import { linesOf, streamOf } from './ruleShape';
import type { WrittenFile } from './textFile';

type Pattern = ['stream_llm' | 'vertical_and_slash' | 'block_sparse', number, number, number];

/** `planned`: for the score, which is the share of the dense mass that is kept. */
export function minference(
  model: ModelInfo,
  cores: readonly CoreMasks[],
  planned: readonly Pick<PlannedHead, 'core' | 'head' | 'recall'>[],
): WrittenFile {
  checkFormat(model, 'minference');
  const notes: string[] = [];
  const written: HeadAssignment[] = [];
  const layers = cores.map(({ info, keys, heads }) => {
    const patterns: Record<string, Pattern> = {};
    for (const each of heads) {
      const { pattern, nearest } = patternOf(each, keys);
      const { recall = 1 } = planned.find(one => one.core === info.core && one.head === each.head) ?? {};
      patterns[each.head] = [pattern[0], pattern[1], pattern[2], recall ?? 0];
      written.push({ core: info.core, head: each.head, choice: settingOfPattern(pattern, keys) });
      if (nearest)
        notes.push(`Layer ${info.layer}, head ${each.head}: ${each.choice.name} is written as ${nearest}.`);
    }
    return patterns;
  });
  return { text: `${JSON.stringify(layers, null, 1)}\n`, notes, written };
}

/** What the kernel does, as a setting of ours: the blocks that it chooses by means of queries are chosen for each query here. */
function settingOfPattern([kind, first, second]: Kernel, tokens: number): Setting {
  const made = (name: string, params: MechanismParams) => settingOf(findMechanism(name).info, params);
  if (kind === 'stream_llm') return made('streaming', { sinks: first, window: Math.max(1, second) });
  if (kind === 'block_sparse') return made('block-topk', { block: 64, blocks: first });
  if (first >= tokens || second >= tokens) return DENSE;
  const [vertical, slash] = [Math.max(FORCED_COLUMNS, first), Math.max(LEAST_DIAGONALS, second)];
  return made('vertical-slash', { vertical, slash });
}

/** Diagonals that the kernel has at least. */
const LEAST_DIAGONALS = 50;

type Kernel = [Pattern[0], number, number];

/** `nearest`: what it became, where it is not the same. */
function patternOf({ mask }: PlannedMask, tokens: number): { pattern: Kernel; nearest?: string } {
  switch (mask.kind) {
    case 'dense':
      return {
        pattern: ['vertical_and_slash', tokens, tokens],
        nearest: `vertical_and_slash with all ${tokens} lines, which is dense up to that length`,
      };
    case 'none':
      return {
        pattern: ['vertical_and_slash', tokens, tokens],
        nearest: 'vertical_and_slash with all lines, since it is no set of pairs',
      };
    case 'rule':
      return ruled(mask, tokens);
    case 'soft': {
      const window = Math.ceil(mask.span + mask.ramp);
      return { pattern: ['stream_llm', 0, window], nearest: `a window of ${window} without the soft edge` };
    }
    case 'lines':
      return { pattern: ['vertical_and_slash', mask.columns.length, mask.diagonals.length], ...voted(mask) };
    default:
      return CHOSEN_BLOCKS;
  }
}

const CHOSEN_BLOCKS = {
  pattern: ['block_sparse', 100, 1] as Kernel,
  nearest: 'block_sparse, whose 100 blocks the kernel chooses by itself',
};

/** Sinks at the start and a window are what stream_llm has; other rules become lines, where they have such. */
function ruled(
  { rule }: Extract<HeadMask, { kind: 'rule' }>,
  tokens: number,
): { pattern: Kernel; nearest?: string } {
  const stream = streamOf(rule);
  if (stream) {
    const { sinks, recent, leftOut } = stream;
    const pattern: Kernel = ['stream_llm', sinks, recent];
    return leftOut === 0
      ? { pattern }
      : {
          pattern,
          nearest: `stream_llm with the first ${sinks} tokens; the other global tokens are left out`,
        };
  }
  const lines = linesOf(rule, tokens);
  if (!lines) return CHOSEN_BLOCKS;
  const columns = Math.max(FORCED_COLUMNS, lines.columns);
  return {
    pattern: ['vertical_and_slash', columns, lines.diagonals],
    nearest: `${columns} columns and ${lines.diagonals} diagonals that the last queries vote for`,
  };
}

/** Columns that the kernel keeps whatever the votes. */
const FORCED_COLUMNS = 30;

/** The kernel always keeps the first 30 columns and the nearest 100 diagonals, and at least 30 and 50 lines. */
function voted({ columns, diagonals }: Extract<HeadMask, { kind: 'lines' }>): { nearest?: string } {
  const fewer = columns.length < 30 || diagonals.length < 50;
  return fewer ? { nearest: 'vertical_and_slash, which keeps at least 30 columns and 50 diagonals' } : {};
}
