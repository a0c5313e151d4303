import type { Plan } from './cutPlan';
import { inBlocks } from './inRows';

const FLOAT = 4;
/** Results inside a segment that are alive at once: an operator's input, its output, and one that is kept beside them. */
const AT_ONCE = 3;

/**
 * Bytes that a run of a text needs at its widest beside weights and cores: what segments hand on (the residual stream, Q, K, V
 * and the outputs of the cores of one level), and what is computed inside of one of them.
 */
export function activationBytes(plan: Plan, tokens: number): number {
  const { segments, cores, axes, inRows, sides } = plan;
  const width = (name: string) => (axes.get(name)?.axis == null ? 0 : axes.get(name)!.width);
  const widthOf = (names: Iterable<string>) => [...names].reduce((sum, name) => sum + width(name), 0);
  const reads = (level: number): string[] => [
    ...(segments.pieces[level]?.inputs ?? []),
    ...cores.flatMap(({ q, k, v }, i) => (segments.coreLevels[i] === level ? [q, k, v, ...sides[i]!] : [])),
  ];
  const levels = segments.pieces.length;
  const laterReads = Array.from({ length: levels }, (_, level) =>
    Array.from({ length: levels - level - 1 }, (_, later) => reads(level + 1 + later)).flat(),
  );
  let most = 0;
  const made = new Set<string>();
  segments.pieces.forEach((piece, level) => {
    const before = [...made];
    for (const name of piece?.outputs ?? []) made.add(name);
    const needed = new Set([...reads(level), ...laterReads[level]!]);
    const held = widthOf(
      [...new Set([...before, ...(piece?.outputs ?? [])])].filter(name => needed.has(name)),
    );
    const inside = Math.max(0, ...(piece?.nodes ?? []).flatMap(({ outputs }) => outputs.map(width)));
    const rows = inRows[level] ? inBlocks(inRows[level].widest, tokens) : tokens;
    most = Math.max(most, held * tokens + AT_ONCE * inside * rows);
    cores.forEach(({ context }, i) => segments.coreLevels[i] === level && made.add(context));
  });
  return FLOAT * most;
}
