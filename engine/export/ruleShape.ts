import { holds, type PairRule } from '../attention/mask';

/** First tokens and recent tokens of a rule under a causal mask; null for rules that are more than that. */
export interface Stream {
  sinks: number;
  recent: number;
  /** Single tokens that all see, and that are not among the first. */
  leftOut: number;
}

export function streamOf(rule: PairRule): Stream | null {
  let recent = 0;
  let first = 0;
  const single = new Set<number>();
  const all = new Set<number>();
  for (const part of alternatives(rule)) {
    if ('near' in part) recent = Math.max(recent, part.near + 1);
    else if ('first' in part) first = Math.max(first, part.first);
    else if ('keys' in part) part.keys.forEach(key => single.add(key));
    else if ('queries' in part) part.queries.forEach(query => all.add(query));
    else return null;
  }
  let sinks = first;
  while (single.has(sinks)) sinks++;
  // A query among the first tokens sees no others anyway.
  const others = new Set([...single, ...all].filter(token => token >= sinks));
  return { sinks, recent, leftOut: others.size };
}

/** Columns and diagonals on which all pairs of the rule lie, in a text of so many tokens; null where there are no such lines. */
export function linesOf(rule: PairRule, tokens: number): { columns: number; diagonals: number } | null {
  const columns = new Set<number>();
  const diagonals = new Set<number>();
  for (const part of alternatives(rule)) {
    if (isOf(part, ['near', 'every'])) {
      for (let distance = 0; distance < tokens; distance++)
        if (holds(part, distance, 0)) diagonals.add(distance);
    } else if (isOf(part, ['first', 'keys', 'tail'])) {
      for (let key = 0; key < tokens; key++) if (holds(part, key, key)) columns.add(key);
    } else if ('block' in part) {
      for (let distance = 0; distance < Math.min(part.block, tokens); distance++) diagonals.add(distance);
    } else if (!('queries' in part)) return null;
  }
  return { columns: columns.size, diagonals: diagonals.size };
}

/** The rule as a list of which any may hold. */
function alternatives(rule: PairRule): readonly PairRule[] {
  return 'any' in rule ? rule.any.flatMap(alternatives) : [rule];
}

function isOf(rule: PairRule, names: readonly string[]): boolean {
  return 'all' in rule ? rule.all.every(part => isOf(part, names)) : names.some(name => name in rule);
}
