import type { Role, RoleScore } from './protocol/text';
import type { Translate } from './translate';

/** What roles are called, everywhere. */
export const ROLE_TITLES: Record<Role, string> = {
  self: 'self',
  previous: 'previous token',
  next: 'next token',
  offset: 'fixed distance',
  first: 'first token',
  separator: 'separator',
  punctuation: 'punctuation',
  duplicate: 'duplicate token',
  induction: 'induction',
  local: 'local',
  broad: 'broad',
};

/** The title in the user's language, with the distance where it is one. */
export function roleTitle({ role, distance, ahead }: RoleScore, t: Translate): string {
  if (distance === undefined) return t(ROLE_TITLES[role]);
  return ahead ? t('{0} tokens ahead', distance) : t('{0} tokens back', distance);
}
