import type { CoreResult, HeadProbe } from '../../shared/protocol/engine';

/** The heads with the roles that they have on the canonical probe; all else is of the text. */
export function withRoles(cores: readonly CoreResult[], { heads }: HeadProbe): CoreResult[] {
  const roles = new Map(heads.map(({ core, head, roles }) => [`${core}.${head}`, roles]));
  return cores.map(core => ({
    ...core,
    heads: core.heads.map(one => ({ ...one, roles: roles.get(`${one.core}.${one.head}`) ?? [] })),
  }));
}
