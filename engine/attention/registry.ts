import { UsageError } from '../errors';
import type { MechanismInfo } from '../protocol';
import { adaptiveSpan } from './adaptiveSpan';
import { dense } from './denseMechanism';
import { fixed } from './fixed';
import { local } from './local';
import { lsh } from './lsh';
import type { Mechanism } from './mechanism';
import { routing } from './routing';
import { strided } from './strided';

/** Every mechanism, in the order in which they are listed. Adding one = one file and one line here. */
export const mechanisms: readonly Mechanism[] = [dense, local, strided, fixed, adaptiveSpan, lsh, routing];

export const mechanismInfos: readonly MechanismInfo[] = mechanisms.map(m => m.info);

/** @throws UsageError for a name that is not in the registry. */
export function findMechanism(name: string): Mechanism {
  const found = mechanisms.find(m => m.info.name === name);
  if (found) return found;
  throw new UsageError(
    `There is no mechanism "${name}" (there are: ${mechanisms.map(m => m.info.name).join(', ')}).`,
  );
}
