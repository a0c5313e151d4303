/** Every kind of mask that an export can hold, spread over the heads of a model: for the checks of exported plans. */
import type { HeadAssignment, MechanismChoice, ModelInfo } from '../../shared/protocol/engine';

export const CHOICES: MechanismChoice[] = [
  { name: 'dense', params: {} },
  { name: 'local', params: { window: 17 } },
  { name: 'strided', params: { stride: 11 } },
  { name: 'fixed', params: { block: 24, summary: 3 } },
  { name: 'longformer', params: { window: 9, globals: '0,1,2,40' } },
  { name: 'bigbird', params: { block: 16, randomBlocks: 2, globalBlocks: 2, seed: 3 } },
  { name: 'bigbird', params: { block: 10, randomBlocks: 1, globalBlocks: 1 } },
  { name: 'adaptive-span', params: { span: 20, ramp: 0 } },
  { name: 'adaptive-span', params: { span: 12.5, ramp: 16 } },
  { name: 'adaptive-span', params: { massTarget: 0.9 } },
  { name: 'lsh', params: { bucketSize: 16, rounds: 1 } },
  { name: 'lsh', params: { bucketSize: 12, rounds: 3 } },
  { name: 'lsh', params: { bucketSize: 16, rounds: 2, attendAcrossBuckets: false } },
  { name: 'routing', params: { window: 30 } },
  { name: 'routing', params: { window: 6, clusters: 70 } },
  { name: 'routing', params: { window: 12, localHeads: 1, localWindow: 40 } },
  { name: 'vertical-slash', params: { vertical: 34, slash: 104 } },
  { name: 'sparsefinder', params: { rule: 'quantize', bucketSize: 8 } },
  { name: 'sparsefinder', params: { rule: 'cluster', clusters: 9 } },
  { name: 'transformer-xl', params: { memory: 20, segment: 32 } },
  // What no mask can say.
  { name: 'entmax', params: { alpha: 1.5 } },
  { name: 'performer', params: {} },
  { name: 'lsh', params: { bucketSize: 16, rounds: 2, allowDuplicates: true } },
];

/** The choices one after another, in every head that can take them. */
export function spread(model: ModelInfo): HeadAssignment[] {
  const heads = model.cores.flatMap(({ core, heads: count }) =>
    Array.from({ length: count }, (_, head) => ({ core, head })),
  );
  return heads.map((at, i) => ({ ...at, choice: CHOICES[i % CHOICES.length]! }));
}
