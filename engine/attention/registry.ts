import { UsageError } from '../errors';
import type { MechanismInfo } from '../protocol';
import { adaptiveSpan } from './adaptiveSpan';
import { bigbird } from './bigbird';
import { bp } from './bp';
import { compressive } from './compressive';
import { continuous } from './continuous';
import { dense } from './denseMechanism';
import { entmaxAttention } from './entmax';
import { fixed } from './fixed';
import { linformer } from './linformer';
import { local } from './local';
import { longformer } from './longformer';
import { lsh } from './lsh';
import type { Mechanism } from './mechanism';
import { nystrom } from './nystrom';
import { performer } from './performer';
import { routing } from './routing';
import { shaped } from './shaped';
import { sparsefinder } from './sparsefinder';
import { strided } from './strided';
import { transformerXl } from './transformerXl';
import { verticalSlash } from './verticalSlash';

/** Every mechanism, in the order in which they are listed. Adding one = one file and one line here. */
export const mechanisms: readonly Mechanism[] = [
  dense,
  local,
  strided,
  fixed,
  longformer,
  bigbird,
  adaptiveSpan,
  lsh,
  routing,
  sparsefinder,
  verticalSlash,
  transformerXl,
  compressive,
  bp,
  entmaxAttention,
  performer,
  linformer,
  nystrom,
  continuous,
  shaped,
];

export const mechanismInfos: readonly MechanismInfo[] = mechanisms.map(m => m.info);

/** A sentence on a mechanism whose results depend on more than a causal query may see; null for the others. */
export function looksAhead({ info, settings }: Mechanism): string | null {
  if (info.causalSelection) return null;
  return settings
    ? `${info.title} chooses its pairs by looking at the whole text.`
    : `${info.title} looks at the whole text, later tokens included.`;
}

/** @throws UsageError for a name that is not in the registry. */
export function findMechanism(name: string): Mechanism {
  const found = mechanisms.find(m => m.info.name === name);
  if (found) return found;
  throw new UsageError(
    `There is no mechanism "${name}" (there are: ${mechanisms.map(m => m.info.name).join(', ')}).`,
  );
}
