import { svg, type SVGTemplateResult } from 'lit';
import { schemeTableau10 } from 'd3-scale-chromatic';
import type { HeadProfile, Role, RoleScore } from '../../shared/protocol/engine';
import { inkOn, parseColour, toCss, type Rgb } from '../draw/colour';

interface RoleInfo {
  title: string;
  /** What such a head does, in one sentence. */
  summary: string;
  /** One letter or sign that stands for it, on its hue: told apart at any size, with and without colours. */
  letter: string;
  hue: Rgb;
}

const [BLUE, ORANGE, RED, TEAL, GREEN, YELLOW, PURPLE, PINK, BROWN, GREY] = schemeTableau10.map(hue =>
  parseColour(hue)!,
) as [Rgb, Rgb, Rgb, Rgb, Rgb, Rgb, Rgb, Rgb, Rgb, Rgb];

export const ROLES: Record<Role, RoleInfo> = {
  self: { title: 'self', summary: 'Looks at the token itself.', letter: 'S', hue: BROWN },
  previous: { title: 'previous token', summary: 'Looks at the token before.', letter: 'P', hue: BLUE },
  next: { title: 'next token', summary: 'Looks at the token after.', letter: 'N', hue: TEAL },
  offset: {
    title: 'fixed distance',
    summary: 'Looks at the token a fixed distance away.',
    letter: '↔',
    hue: [107, 110, 207],
  },
  first: {
    title: 'first token',
    summary: 'Rests on the first token, the usual place to look when there is nothing to find.',
    letter: 'F',
    hue: YELLOW,
  },
  separator: { title: 'separator', summary: 'Looks at separator tokens.', letter: '|', hue: PINK },
  punctuation: {
    title: 'punctuation',
    summary: 'Looks at full stops, commas and their like.',
    letter: ',',
    hue: PURPLE,
  },
  duplicate: {
    title: 'duplicate token',
    summary: 'Looks at earlier copies of the same token.',
    letter: 'D',
    hue: RED,
  },
  induction: {
    title: 'induction',
    summary: 'Looks at what followed the last time this token was seen.',
    letter: 'I',
    hue: ORANGE,
  },
  local: { title: 'local', summary: 'Looks at its neighbourhood.', letter: 'L', hue: GREEN },
  broad: { title: 'broad', summary: 'Spreads over the whole text.', letter: 'B', hue: GREY },
};

/** The title, with the distance where it is one. */
export function roleTitle({ role, distance, ahead }: RoleScore): string {
  const { title } = ROLES[role];
  return distance === undefined ? title : `${distance} tokens ${ahead ? 'ahead' : 'back'}`;
}

export function roleGlyph(role: Role, size = 12): SVGTemplateResult {
  const { letter, hue } = ROLES[role];
  const ink = `fill: ${inkOn(hue, [0, 0, 0])}; font-size: 10px; font-weight: 700`;
  return svg`<svg width=${size} height=${size} viewBox="0 0 12 12" aria-hidden="true"><rect width="12" height="12" rx="2" fill=${toCss(hue)} /><text x="6" y="9.5" text-anchor="middle" style=${ink}>${letter}</text></svg>`;
}

/** The hue of what a head does, or of none. */
export function roleHue(head: HeadProfile): string {
  const role = mainRole(head);
  return role ? toCss(ROLES[role].hue) : 'var(--muted)';
}

export function mainRole(head: HeadProfile): Role | null {
  return head.roles[0]?.role ?? null;
}
