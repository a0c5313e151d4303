import { readParams } from '../attention/parameters';
import { UsageError, told } from '../errors';
import type { LensName, LensParams, LensResult } from '../../shared/protocol/engine';
import type { Analysis } from '../service/analysis';
import { albert } from './albert';
import { flash } from './flash';
import type { Lens, LensContext } from './lens';
import { memory } from './memory';
import { positionTerms } from './positionTerms';
import { retro } from './retro';
import { scaling } from './scaling';
import { simplified } from './simplified';
import { switchRouting } from './switch';

/** Every lens. Adding one = one file, one line here and one view. */
export const lenses: { readonly [L in LensName]: Lens<L> } = {
  flash,
  switch: switchRouting,
  albert,
  retro,
  simplified,
  scaling,
  positions: positionTerms,
  memory,
};

/** `analysis/lens`. @throws UsageError for a lens or parameter that there is not. */
export async function lookThrough(
  analysis: Analysis,
  { lens: name, core, head, params, documents }: LensParams,
  context: Pick<LensContext, 'signal' | 'tokenizer' | 'onProgress'>,
): Promise<LensResult> {
  if (!Object.hasOwn(lenses, name)) {
    throw new UsageError(told`There is no lens "${name}" (there are: ${Object.keys(lenses).join(', ')}).`);
  }
  const lens = lenses[name] as Lens<LensName>;
  analysis.head(core, head);
  return lens.look(analysis, readParams(lens, params, 'lens'), {
    ...context,
    core,
    head,
    documents: documents ?? [],
  });
}
