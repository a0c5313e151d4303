import type { CoreInput } from '../core';
import { pairCost } from '../cost';
import { denseRows } from '../kernels/dense';
import { attendDiagonals } from '../kernels/diagonals';
import { attendLists, sequence } from '../kernels/lists';
import type { AttendContext, Mechanism, SettingFamily } from '../mechanism';
import { largest } from '../kernels/membership';
import { numberOf, type MechanismParams } from '../../../shared/setting';
import { attendPairs, servesLists, type ListKeys } from '../kernels/pairs';
import { sparseRow } from '../kernels/rows';
import { pairsOfShare, settingsOf } from '../kernels/shares';
import { offsetTables, Outputs } from '../kernels/tiles';
import { int32 } from '../../runtime/tensor';

/** Columns and diagonals that are among those kept whatever the votes, in MInference. */
const FORCED_COLUMNS = 30;
const FORCED_DIAGONALS = 100;
/** In settings for a budget no more than this part of the lines is forced: the rest is left to the votes. */
const FORCED_PART = 1 / 8;

/** Settings with this part of the lines as columns: as many lines as the share pays for where none of them cross. */
function byLines(part: number): SettingFamily {
  return (input, share) => {
    const lines = Math.floor(pairsOfShare(input, share) / input.queries);
    const vertical = Math.max(1, Math.round(part * lines));
    const slash = Math.min(input.keys, lines - vertical);
    if (slash < 1) return null;
    const forced = (count: number, most: number) => Math.min(most, Math.floor(FORCED_PART * count));
    return {
      vertical: Math.min(vertical, input.keys),
      slash,
      forcedVertical: forced(vertical, FORCED_COLUMNS),
      forcedSlash: forced(slash, FORCED_DIAGONALS),
    };
  };
}

const FAMILIES = [0.1, 0.5].map(byLines);

/**
 * MInference's vertical-slash pattern: the last queries vote for columns (tokens that all look at) and diagonals
 * (distances), and every query attends to the columns and diagonals that won.
 */
export const verticalSlash: Mechanism = {
  info: {
    name: 'vertical-slash',
    title: 'Vertical-slash',
    label: 'lines',
    hue: '#b6cf3c',
    summary: 'Every token attends to the columns and the distances that the last tokens look at most.',
    paper: 'Jiang et al., MInference 1.0: Accelerating Pre-filling for Long-Context LLMs, 2024, section 3',
    parameters: [
      {
        name: 'vertical',
        type: 'integer',
        default: 64,
        minimum: 0,
        description: 'Columns kept; the first `forcedVertical` tokens come first.',
      },
      {
        name: 'slash',
        type: 'integer',
        default: 128,
        minimum: 0,
        description: 'Diagonals kept; the nearest `forcedSlash` distances come first.',
      },
      {
        name: 'last',
        type: 'integer',
        default: 64,
        minimum: 1,
        description: 'Queries at the end that vote.',
      },
      {
        name: 'forcedVertical',
        type: 'integer',
        default: FORCED_COLUMNS,
        minimum: 0,
        description: 'First tokens that are among the columns whatever the votes.',
      },
      {
        name: 'forcedSlash',
        type: 'integer',
        default: FORCED_DIAGONALS,
        minimum: 0,
        description: 'Nearest distances that are among the diagonals whatever the votes.',
      },
    ],
    view: 'map',
    causalSelection: false,
  },

  about: {
    what: 'Columns that all look at, and diagonals: chosen by what the last queries attend to.',
    rule: 'the best `vertical` columns and `slash` diagonals of the last `last` rows; the first `forcedVertical` columns and nearest `forcedSlash` diagonals come first (30 and 100 in MInference)',
    exact:
      'Exact for the chosen lines. The choice for early rows uses late queries. Where the forced lines are all there are, nothing is chosen: then it is `streaming`, and says so. Settings for a budget force an eighth of the lines at most, so that the rest are voted for.',
    cost: 'N · (vertical + slash) pairs, and the scores of `last` dense rows where lines are voted for.',
    when: 'Prefill of long prompts. It serves most heads of language models; the picture is of a longer text, eight tokens to a cell.',
  },

  examples: [
    { vertical: 36, slash: 112, last: 64 },
    { vertical: 31, slash: 101, last: 4 },
    { vertical: 10, slash: 20 },
    { vertical: 30, slash: 100 },
    { vertical: 0, slash: 5 },
    { vertical: 12, slash: 24, forcedVertical: 2, forcedSlash: 3 },
  ],
  pictureRepeats: 8,
  whole: tokens => [
    { vertical: tokens, slash: 1 },
    { vertical: 1, slash: tokens },
  ],

  refuses: input =>
    input.rule.mask.causal ? null : 'The vertical-slash pattern is defined for causal attention only.',

  families: FAMILIES,
  settings: (input, share) => settingsOf(FAMILIES, input, share),

  sameAs: params =>
    votes(params)
      ? null
      : {
          name: 'streaming',
          params: { sinks: numberOf(params, 'vertical'), window: numberOf(params, 'slash') },
        },

  /** Lines beyond the forced ones are taken to lie anywhere; the scores of the queries that vote come on top. */
  cost(tokens, params, shape) {
    const vertical = Math.min(tokens, numberOf(params, 'vertical'));
    const slash = Math.min(tokens, numberOf(params, 'slash'));
    const columns = Math.min(vertical, numberOf(params, 'forcedVertical'));
    const diagonals = Math.min(slash, numberOf(params, 'forcedSlash'));
    // Votes are sums over the last queries: of a text without structure they go to what all of these can see.
    const last = Math.min(tokens, numberOf(params, 'last'));
    const seen = tokens - last + 1;
    const chance = (lines: number, forced: number) =>
      Math.min(1, lines > forced ? (lines - forced) / Math.max(1, seen - forced) : 0);
    const [column, diagonal] = [chance(vertical, columns), chance(slash, diagonals)];
    let pairs = 0;
    for (let distance = 0; distance < tokens; distance++) {
      const all = tokens - distance;
      const missed = distance < diagonals ? 0 : distance < seen ? 1 - diagonal : 1;
      const keys =
        Math.max(0, Math.min(all, seen) - columns) * (1 - column) +
        Math.max(0, all - Math.max(seen, columns));
      pairs += all - missed * keys;
    }
    if (vertical === columns && slash === diagonals) return pairCost(pairs, shape);
    return pairCost(pairs, shape, 'expected', {
      flops: 2 * last * tokens * shape.dim,
      floats: last * tokens,
    });
  },

  mask({ extra }, _input, params) {
    if (!votes(params)) {
      const near = numberOf(params, 'slash') - 1;
      const first = { first: numberOf(params, 'vertical') };
      return { kind: 'rule', rule: { any: near < 0 ? [first] : [first, { near }] } };
    }
    const lines = (name: string) => Array.from(extra[name]!.data, Number).filter(line => line >= 0);
    return { kind: 'lines', columns: lines('columns'), diagonals: lines('diagonals') };
  },

  async attend(input, params, context) {
    const shift = input.keys - input.queries;
    const outputs = new Outputs(input);
    const tables = offsetTables(input);
    const pairs = new Float64Array(input.heads);
    const chosen: Chosen[] = [];
    const all = sequence(0, input.queries);
    for (let head = 0; head < input.heads; head++) {
      const lines = await choose(input, head, params, context);
      chosen.push(lines);
      const table = tables(head);
      if (servesLists(input, context)) {
        pairs[head]! += await attendPairs(input, head, keysOn(input, lines), table, outputs, context);
        continue;
      }
      pairs[head]! += await attendDiagonals(input, head, lines.diagonals, table, outputs, context);
      // A pair where two lines cross counts once.
      const isDiagonal = new Uint8Array(input.keys);
      for (const distance of lines.diagonals) isDiagonal[distance] = 1;
      const keep = (position: number, key: number) => isDiagonal[position - key] === 0;
      pairs[head]! += await attendLists(input, head, all, lines.columns, keep, table, outputs, context);
    }
    const tensor = (name: 'columns' | 'diagonals') => {
      const data = Int32Array.from(chosen.flatMap(lines => [...lines[name]]));
      return int32(data, [input.heads, data.length / input.heads]);
    };
    return {
      output: outputs.output,
      lse: outputs.lse,
      pairs,
      row: (head, query) => {
        const { columns, diagonals } = chosen[head]!;
        const position = query + shift;
        const keys = new Set([...columns, ...diagonals.map(distance => position - distance)]);
        return sparseRow(input, head, query, Int32Array.from(keys).sort());
      },
      extra: { columns: tensor('columns'), diagonals: tensor('diagonals') },
    };
  },
};

/** Whether any line is voted for. */
function votes(params: MechanismParams): boolean {
  const free = (lines: string, forced: string) => numberOf(params, lines) > numberOf(params, forced);
  return free('vertical', 'forcedVertical') || free('slash', 'forcedSlash');
}

/** The keys on the lines; a pair where two lines cross counts once. */
function keysOn({ queries, keys }: CoreInput, { columns, diagonals }: Chosen): ListKeys {
  const isDiagonal = new Uint8Array(keys);
  for (const distance of diagonals) isDiagonal[distance] = 1;
  return (query, into, at) => {
    const position = query + keys - queries;
    let end = at;
    for (let t = 0; t < columns.length; t++) {
      const key = columns[t]!;
      if (key > position) break;
      if (isDiagonal[position - key] === 0) into[end++] = key;
    }
    for (let t = 0; t < diagonals.length; t++) {
      const distance = diagonals[t]!;
      if (distance > position) break;
      into[end++] = position - distance;
    }
    return end;
  };
}

interface Chosen {
  /** Ascending key indices. */
  columns: Int32Array;
  /** Ascending distances. */
  diagonals: Int32Array;
}

const NO_ROWS = new Float32Array(0);

async function choose(
  input: CoreInput,
  head: number,
  params: MechanismParams,
  context: AttendContext,
): Promise<Chosen> {
  const { queries, keys } = input;
  // What is forced anyway needs no votes.
  const last = votes(params) ? Math.min(queries, numberOf(params, 'last')) : 0;
  const rows = last > 0 ? await denseRows(input, head, queries - last, queries, context) : NO_ROWS;
  const columnMass = new Float32Array(keys);
  const diagonalMass = new Float32Array(keys);
  for (let r = 0; r < last; r++) {
    const position = keys - last + r;
    for (let j = 0; j <= position; j++) {
      columnMass[j]! += rows[r * keys + j]!;
      diagonalMass[position - j]! += rows[r * keys + j]!;
    }
  }
  columnMass.fill(Infinity, 0, numberOf(params, 'forcedVertical'));
  diagonalMass.fill(Infinity, 0, numberOf(params, 'forcedSlash'));
  const best = (mass: Float32Array, size: number) => {
    const into = new Int32Array(Math.min(size, keys));
    if (into.length > 0) largest(mass, into.length, into);
    return into;
  };
  const columns = best(columnMass, numberOf(params, 'vertical'));
  const diagonals = best(diagonalMass, numberOf(params, 'slash'));
  return { columns, diagonals };
}
