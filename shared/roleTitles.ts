import type { Role, RoleScore } from './protocol/text';

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

/** The title, with the distance where it is one. */
export function roleTitle({ role, distance, ahead }: RoleScore): string {
  return distance === undefined ? ROLE_TITLES[role] : `${distance} tokens ${ahead ? 'ahead' : 'back'}`;
}
