import { sidesOf, type CoreResult, type HeadProfile } from '../protocol/engine';

/**
 * The head to show while nobody has chosen one: of those that the text attends to itself with, the one whose role is
 * clearest; of all, where there are none such.
 */
export function clearestHead(cores: readonly CoreResult[]): HeadProfile | null {
  const ofText = cores.filter(({ info }) => {
    const { queries, keys } = sidesOf(info.kind);
    return queries === 'text' && keys === 'text';
  });
  let best: HeadProfile | null = null;
  for (const { heads } of ofText.length > 0 ? ofText : cores)
    for (const head of heads) if (!best || roleStrength(head) > roleStrength(best)) best = head;
  return best;
}

/** Looking nearby or everywhere is no discovery. */
export function roleStrength({ roles: [best] }: HeadProfile): number {
  if (!best) return 0;
  return ['broad', 'self', 'local'].includes(best.role) ? best.score / 4 : best.score;
}
