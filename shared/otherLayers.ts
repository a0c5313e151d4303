import type { ModelInfo } from './protocol/models';

/** What of a hybrid model no view shows: "convolution in layers 0 and 2 of 4: not attention, and not shown"; null = nothing. */
export function otherLayersLine({ otherLayers = [] }: Pick<ModelInfo, 'otherLayers'>): string | null {
  if (otherLayers.length === 0) return null;
  const parts = otherLayers.map(({ what, count, layers, of }) =>
    layers && of
      ? `${what} in ${layers.length === 1 ? 'layer' : 'layers'} ${listed(layers)} of ${of}`
      : `${count} × ${what}`,
  );
  return `${parts.join('; ')}: not attention, and not shown`;
}

/** "0, 1 and 3" */
const listed = (layers: readonly number[]): string =>
  layers.length < 2 ? layers.join('') : `${layers.slice(0, -1).join(', ')} and ${layers.at(-1)}`;
