import { UsageError, told } from '../errors';
import type { MechanismInfo, Note } from '../../shared/protocol/engine';
import { say } from '../../shared/sentences';
import { describeSetting, type Setting } from '../../shared/setting';
import { adaptiveSpan } from './mechanisms/adaptiveSpan';
import { bigbird } from './mechanisms/bigbird';
import { blockSearch } from './mechanisms/blockSearch';
import { blockTopK } from './mechanisms/blockTopK';
import { bp } from './mechanisms/bp';
import { chunked } from './mechanisms/chunked';
import { compressive } from './mechanisms/compressive';
import { continuous } from './mechanisms/continuous';
import { dense } from './mechanisms/dense';
import { dilated } from './mechanisms/dilated';
import { entmaxAttention } from './mechanisms/entmax';
import { fixed } from './mechanisms/fixed';
import { h2o } from './mechanisms/h2o';
import { linformer } from './mechanisms/linformer';
import { local } from './mechanisms/local';
import { longformer } from './mechanisms/longformer';
import { lsh } from './mechanisms/lsh';
import type { Mechanism } from './mechanism';
import { nystrom } from './mechanisms/nystrom';
import { performer } from './mechanisms/performer';
import { quest } from './mechanisms/quest';
import { routing } from './mechanisms/routing';
import { shaped } from './mechanisms/shaped';
import { snapkv } from './mechanisms/snapkv';
import { sparsefinder } from './mechanisms/sparsefinder';
import { streaming } from './mechanisms/streaming';
import { strided } from './mechanisms/strided';
import { topK } from './mechanisms/topK';
import { transformerXl } from './mechanisms/transformerXl';
import { verticalSlash } from './mechanisms/verticalSlash';

/** Every mechanism, in the order in which they are listed. Adding one = one file and one line here. */
export const mechanisms: readonly Mechanism[] = [
  dense,
  local,
  streaming,
  chunked,
  dilated,
  strided,
  fixed,
  longformer,
  bigbird,
  adaptiveSpan,
  lsh,
  routing,
  sparsefinder,
  verticalSlash,
  topK,
  blockTopK,
  quest,
  blockSearch,
  h2o,
  snapkv,
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

/** What the user must know of a setting's choice of pairs: that it is another mechanism's, or that it looks ahead. */
export function choiceNote({ name, params }: Pick<Setting, 'name' | 'params'>): Note | null {
  const { info, settings, sameAs } = findMechanism(name);
  const other = sameAs?.(params);
  if (other) {
    return { kind: 'sameAs', text: say('sameAs', info.title, describeSetting(other)) };
  }
  if (info.causalSelection) return null;
  return { kind: 'looksAhead', text: say(settings ? 'choosesFromWhole' : 'looksAtWhole', info.title) };
}

/** @throws UsageError for a name that is not in the registry. */
export function findMechanism(name: string): Mechanism {
  const found = mechanisms.find(m => m.info.name === name);
  if (found) return found;
  throw new UsageError(
    told`There is no mechanism "${name}" (there are: ${mechanisms.map(m => m.info.name).join(', ')}).`,
  );
}
