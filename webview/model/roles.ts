import { svg, type SVGTemplateResult } from 'lit';
import { schemeTableau10 } from 'd3-scale-chromatic';
import type { HeadProfile, Role } from '../../shared/protocol/engine';
import { t } from '../host/words';
import { inkOn, parseColour, toCss, type Rgb } from '../draw/colour';

interface RoleInfo {
  /** What such a head does, in one sentence. */
  summary: string;
  /** The strokes of a letter or sign that stands for it, 12 x 12, on its hue: told apart at any size, with and without colours. */
  sign: string;
  hue: Rgb;
}

const [BLUE, ORANGE, RED, TEAL, GREEN, YELLOW, PURPLE, PINK, BROWN, GREY] = schemeTableau10.map(hue =>
  parseColour(hue)!,
) as [Rgb, Rgb, Rgb, Rgb, Rgb, Rgb, Rgb, Rgb, Rgb, Rgb];

export const ROLES: Record<Role, RoleInfo> = {
  self: {
    summary: t('Looks at the token itself.'),
    sign: 'M8.5 3.8C7.5 2.5 3.7 2.5 3.7 4.5C3.7 6.6 8.4 5.5 8.4 7.6C8.4 9.7 4.5 9.7 3.4 8.3',
    hue: BROWN,
  },
  previous: {
    summary: t('Looks at the token before.'),
    sign: 'M4 9.6V2.7H6.5A2 2 0 0 1 6.5 6.7H4',
    hue: BLUE,
  },
  next: {
    summary: t('Looks at the token after.'),
    sign: 'M3.6 9.6V2.7L8.4 9.3V2.4',
    hue: TEAL,
  },
  offset: {
    summary: t('Looks at the token a fixed distance away.'),
    sign: 'M2.6 6H9.4M4.2 4L2.3 6L4.2 8M7.8 4L9.7 6L7.8 8',
    hue: [107, 110, 207],
  },
  first: {
    summary: t('Rests on the first token, the usual place to look when there is nothing to find.'),
    sign: 'M4.2 9.6V2.7H8.4M4.2 6H7.6',
    hue: YELLOW,
  },
  separator: {
    summary: t('Looks at separator tokens.'),
    sign: 'M4.5 2.4V9.6M7.5 2.4V9.6',
    hue: PINK,
  },
  punctuation: {
    summary: t('Looks at full stops, commas and their like.'),
    sign: 'M6.3 6.4V7.4L5.2 9.8',
    hue: PURPLE,
  },
  duplicate: {
    summary: t('Looks at earlier copies of the same token.'),
    sign: 'M3.8 2.7V9.3H5.6A3.2 3.3 0 0 0 5.6 2.7Z',
    hue: RED,
  },
  induction: {
    summary: t('Looks at what followed the last time this token was seen.'),
    sign: 'M6 2.4V9.6',
    hue: ORANGE,
  },
  local: { summary: t('Looks at its neighbourhood.'), sign: 'M4.2 2.4V9.3H8.4', hue: GREEN },
  broad: {
    summary: t('Spreads over the whole text.'),
    sign: 'M4 2.7V9.3H6.4A1.75 1.75 0 0 0 6.4 5.9H4M4 5.9H6A1.6 1.6 0 0 0 6 2.7H4',
    hue: GREY,
  },
};

export function roleGlyph(role: Role, size = 12): SVGTemplateResult {
  const { sign, hue } = ROLES[role];
  return svg`<svg width=${size} height=${size} viewBox="0 0 12 12" aria-hidden="true"><rect width="12" height="12" rx="2" fill=${toCss(hue)} /><path d=${sign} fill="none" stroke=${inkOn(hue, [0, 0, 0])} stroke-width="1.6" stroke-linejoin="round" /></svg>`;
}

/** The hue of what a head does, or of none. */
export function roleHue(head: HeadProfile): string {
  const role = mainRole(head);
  return role ? toCss(ROLES[role].hue) : 'var(--muted)';
}

export function mainRole(head: HeadProfile): Role | null {
  return head.roles[0]?.role ?? null;
}
