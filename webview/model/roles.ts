import { svg, type SVGTemplateResult } from 'lit';
import type { HeadProfile, Role, RoleScore } from '../../shared/protocol/engine';

interface RoleInfo {
  title: string;
  /** What such a head does, in one sentence. */
  summary: string;
  /** A map in miniature, 12 x 12, of what the role looks like. */
  glyph: SVGTemplateResult;
}

const line = (path: string, width = 1.6) =>
  svg`<path d=${path} fill="none" stroke="currentColor" stroke-width=${width} />`;
const dots = (...points: [number, number][]) =>
  svg`${points.map(([x, y]) => svg`<rect x=${x} y=${y} width="2" height="2" fill="currentColor" />`)}`;

export const ROLES: Record<Role, RoleInfo> = {
  self: { title: 'self', summary: 'Looks at the token itself.', glyph: line('M1 1L11 11') },
  previous: {
    title: 'previous token',
    summary: 'Looks at the token before.',
    glyph: svg`${line('M1 4L8 11')}${line('M1 1L11 11', 0.6)}`,
  },
  next: {
    title: 'next token',
    summary: 'Looks at the token after.',
    glyph: svg`${line('M4 1L11 8')}${line('M1 1L11 11', 0.6)}`,
  },
  offset: {
    title: 'fixed distance',
    summary: 'Looks at the token a fixed distance away.',
    glyph: svg`${line('M1 6L6 11')}${line('M1 1L11 11', 0.6)}`,
  },
  first: {
    title: 'first token',
    summary: 'Rests on the first token, the usual place to look when there is nothing to find.',
    glyph: svg`${line('M2 1V11', 2.4)}${line('M1 1L11 11', 0.6)}`,
  },
  separator: {
    title: 'separator',
    summary: 'Looks at separator tokens.',
    glyph: svg`${line('M4 1V11')}${line('M9 1V11')}`,
  },
  punctuation: {
    title: 'punctuation',
    summary: 'Looks at full stops, commas and their like.',
    glyph: dots([1, 3], [1, 6], [1, 9], [5, 6], [5, 9], [9, 9]),
  },
  duplicate: {
    title: 'duplicate token',
    summary: 'Looks at earlier copies of the same token.',
    glyph: svg`${line('M1 1L11 11', 0.6)}${dots([1, 6], [4, 9], [0.5, 9.5])}`,
  },
  induction: {
    title: 'induction',
    summary: 'Looks at what followed the last time this token was seen.',
    glyph: svg`${line('M1 1L11 11', 0.6)}${line('M2 7L6 11')}`,
  },
  local: {
    title: 'local',
    summary: 'Looks at its neighbourhood.',
    glyph: svg`<path d="M1 1L11 11V11H6L1 6Z" fill="currentColor" fill-opacity="0.85" />`,
  },
  broad: {
    title: 'broad',
    summary: 'Spreads over the whole text.',
    glyph: svg`<path d="M1 1L11 11H1Z" fill="currentColor" fill-opacity="0.45" />`,
  },
};

/** The title, with the distance where it is one. */
export function roleTitle({ role, distance, ahead }: RoleScore): string {
  const { title } = ROLES[role];
  return distance === undefined ? title : `${distance} tokens ${ahead ? 'ahead' : 'back'}`;
}

export function roleGlyph(role: Role, size = 12): SVGTemplateResult {
  return svg`<svg width=${size} height=${size} viewBox="0 0 12 12" aria-hidden="true">${ROLES[role].glyph}</svg>`;
}

export function mainRole(head: HeadProfile): Role | null {
  return head.roles[0]?.role ?? null;
}
