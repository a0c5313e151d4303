import type { ModelInfo } from './protocol/models';
import { english, type Translate } from './translate';

/** What of a hybrid model no view shows: "convolution in layers 0 and 2 of 4: not attention, and not shown"; null = nothing. */
export function otherLayersLine(
  { otherLayers = [] }: Pick<ModelInfo, 'otherLayers'>,
  t: Translate = english,
): string | null {
  if (otherLayers.length === 0) return null;
  const parts = otherLayers.map(({ what, count, layers, of }) =>
    layers && of
      ? t(
          layers.length === 1 ? '{0} in layer {1} of {2}' : '{0} in layers {1} of {2}',
          what,
          listed(layers, t),
          of,
        )
      : `${count} × ${what}`,
  );
  return t('{0}: not attention, and not shown', parts.join('; '));
}

/** "0, 1 and 3" */
const listed = (layers: readonly number[], t: Translate): string =>
  layers.length < 2 ? layers.join('') : t('{0} and {1}', layers.slice(0, -1).join(', '), layers.at(-1)!);
