/** Every kind of mask that an export can hold, spread over the heads of a model: for the checks of exported plans. */
import { mechanisms } from '../../engine/attention/registry';
import type { HeadAssignment, ModelInfo } from '../../shared/protocol/engine';
import type { Setting } from '../../shared/setting';
import { setting } from '../support/settings';

const CHOICES: Setting[] = [
  setting('dense'),
  setting('local', { window: 17 }),
  setting('strided', { stride: 11 }),
  setting('fixed', { block: 24, summary: 3 }),
  setting('longformer', { window: 9, globals: '0,1,2,40' }),
  setting('bigbird', { block: 16, randomBlocks: 2, globalBlocks: 2, seed: 3 }),
  setting('bigbird', { block: 10, randomBlocks: 1, globalBlocks: 1 }),
  setting('adaptive-span', { span: 20, ramp: 0 }),
  setting('adaptive-span', { span: 12.5, ramp: 16 }),
  setting('adaptive-span', { massTarget: 0.9 }),
  setting('lsh', { bucketSize: 16, rounds: 1 }),
  setting('lsh', { bucketSize: 12, rounds: 3 }),
  setting('lsh', { bucketSize: 16, rounds: 2, attendAcrossBuckets: false }),
  setting('routing', { window: 30 }),
  setting('routing', { window: 6, clusters: 70 }),
  setting('routing', { window: 12, localHeads: 1, localWindow: 40 }),
  setting('vertical-slash', { vertical: 34, slash: 104 }),
  setting('sparsefinder', { rule: 'quantize', bucketSize: 8 }),
  setting('sparsefinder', { rule: 'cluster', clusters: 9 }),
  setting('transformer-xl', { memory: 20, segment: 32 }),
  // What no mask can say.
  setting('entmax', { alpha: 1.5 }),
  setting('performer'),
  setting('lsh', { bucketSize: 16, rounds: 2, allowDuplicates: true }),
];

/** The examples of mechanisms that a budget can choose and that are not in the list. */
const OTHERS: Setting[] = mechanisms
  .filter(({ info, settings }) => settings && !CHOICES.some(({ name }) => name === info.name))
  .flatMap(({ info, examples }) => examples.map(params => setting(info.name, params)));

/** The choices one after another, in every head. */
export function spread(model: ModelInfo): HeadAssignment[] {
  const heads = model.cores.flatMap(({ core, heads: count }) =>
    Array.from({ length: count }, (_, head) => ({ core, head })),
  );
  const all = [...CHOICES, ...OTHERS];
  return heads.map((at, i) => ({ ...at, choice: all[i % all.length]! }));
}
