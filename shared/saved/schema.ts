/**
 * What the parts of a saved analysis must look like. A file may come from anyone: everything that is read from it is held
 * against this first. What a part has beyond it is left out. That the schema says what the protocol's types say is checked
 * by the compiler, where `analysis.ts` gives the result its type.
 */
import * as v from 'valibot';
import { DEVICE_NAMES, POOLINGS } from '../protocol/models';
import { BUDGET_UNITS } from '../protocol/mechanisms';
import { ROLES } from '../protocol/text';
import { isSetting, type Setting } from '../setting';

/** Names, sentences and token texts; the text itself is longer. */
export const text = v.pipe(v.string(), v.maxLength(100_000));
export const number = v.number();
const finite = v.pipe(v.number(), v.finite());
export const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
export const index = v.pipe(count, v.maxValue(1 << 24));
const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
export const flag = v.boolean();
const floats = v.instance(Float32Array);
const integers = v.instance(Int32Array);
const bytes = v.instance(Uint8Array);
export const setting = v.custom<Setting>(isSetting);
export const list = <T extends v.GenericSchema>(of: T, most = 100_000) =>
  v.pipe(v.array(of), v.maxLength(most));

const kind = v.picklist(['self', 'encoder', 'decoder', 'cross']);
const side = v.picklist(['text', 'target']);
const deviceName = v.picklist(DEVICE_NAMES);

// ---------------------------------------------------------------- models and texts

export const coreInfo = v.object({
  core: index,
  kind,
  layer: index,
  heads: v.pipe(index, v.minValue(1), v.maxValue(4096)),
  kvHeads: index,
  dim: index,
  mask: text,
  causal: flag,
  attention: v.exactOptional(
    v.object({
      name: text,
      native: flag,
      params: v.record(text, v.union([number, flag, text, list(number, 4096)])),
    }),
  ),
  ownSetting: v.exactOptional(text),
  ownMask: v.exactOptional(v.literal(true)),
});

const hashed = list(v.object({ file: text, sha256: text }), 10_000);

const model = v.object({
  name: text,
  ref: text,
  kind: v.picklist(['decoder', 'encoder', 'encoder-decoder']),
  layers: index,
  heads: index,
  causal: flag,
  parameters: count,
  context: v.nullable(count),
  vocabulary: v.nullable(count),
  languageModelHead: flag,
  pooling: v.exactOptional(v.picklist(POOLINGS)),
  cores: list(coreInfo, 4096),
  otherLayers: v.exactOptional(
    list(
      v.object({
        what: text,
        count: index,
        layers: v.exactOptional(list(index, 10_000)),
        of: v.exactOptional(index),
      }),
      100,
    ),
  ),
  verified: v.object({
    maxAbsDiff: number,
    maxRelDiff: number,
    bitEqual: flag,
    reference: text,
    tokens: v.exactOptional(count),
    assumed: v.exactOptional(text),
  }),
  fingerprint: v.exactOptional(v.object({ sha256: text, files: hashed })),
});

const device = v.object({
  device: deviceName,
  requested: v.union([v.literal('auto'), deviceName]),
  adapter: v.nullable(text),
  notes: list(text, 100),
});

const provenance = v.object({
  tool: v.object({ name: text, version: text }),
  model: v.nullable(v.object({ name: text, ref: text, sha256: text, files: hashed })),
  inputs: list(v.object({ name: text, sha256: text }), 10_000),
  seeds: v.record(text, number),
  device: v.object({
    device: deviceName,
    requested: v.union([v.literal('auto'), deviceName]),
    adapter: v.nullable(text),
    threads: count,
    processors: count,
    platform: text,
  }),
  runtime: v.object({ onnxruntime: text, node: text }),
});

const tokens = v.pipe(
  v.object({
    ids: integers,
    start: integers,
    end: integers,
    text: v.array(text),
    special: bytes,
    total: count,
    estimated: v.exactOptional(flag),
  }),
  v.check(({ ids, ...rest }) => {
    const columns = [rest.start, rest.end, rest.text, rest.special];
    return columns.every(({ length }) => length === ids.length);
  }, 'the token table has columns of several lengths'),
);

const estimate = v.object({ mean: number, low: number, high: number });
/** Of an analysis without a dense pass. */
const pairsSeen = { pairs: v.nullable(count), densePairs: count };
const quantiles = v.object({ p5: number, p25: number, p50: number, p75: number, p95: number });

const profile = v.object({
  core: index,
  head: index,
  entropy: number,
  relativeEntropy: number,
  meanDistance: number,
  span90: number,
  span95: number,
  span99: number,
  span90Quantiles: quantiles,
  span95Quantiles: quantiles,
  span99Quantiles: quantiles,
  to: v.object({
    self: number,
    previous: number,
    next: number,
    first: number,
    separator: number,
    punctuation: number,
    sink: v.exactOptional(number),
  }),
  roles: list(
    v.object({
      role: v.picklist(ROLES),
      score: number,
      distance: v.exactOptional(count),
      ahead: v.exactOptional(v.literal(true)),
    }),
    20,
  ),
  distance: v.pipe(
    v.object({ edges: integers, mass: floats }),
    v.check(({ edges, mass }) => edges.length === mass.length + 1, 'a histogram without its edges'),
  ),
  thumbnail: v.pipe(
    v.object({ size: v.pipe(index, v.maxValue(1024)), pixels: bytes }),
    v.check(({ size, pixels }) => pixels.length === size * size, 'a picture without its pixels'),
  ),
  sampled: v.exactOptional(
    v.object({
      queries: count,
      ...pairsSeen,
      missed: v.nullable(estimate),
      entropy: estimate,
      span95: estimate,
    }),
  ),
});

const core = v.pipe(
  v.object({ info: coreInfo, heads: list(profile, 4096) }),
  v.check(
    ({ info, heads }) =>
      heads.length === info.heads && heads.every((one, head) => one.core === info.core && one.head === head),
    'a layer without its heads',
  ),
);

// ---------------------------------------------------------------- mechanisms, plans, interventions

const interval = v.object({ low: number, high: number });
const NOTES = [
  'looksAhead',
  'sameAs',
  'budget',
  'reconstruction',
  'contradiction',
  'output',
  'defeat',
  'time',
  'byHand',
] as const;
const notes = list(v.object({ kind: v.picklist(NOTES), text }), 1000);

const measures = {
  recallInterval: v.nullable(interval),
  outputErrorInterval: interval,
  sampled: count,
  queries: count,
  entmaxRecall: v.nullable(number),
  topPRecall: v.nullable(number),
  kl: v.nullable(number),
};

const spent = v.object({ own: number, dense: number });
const spending = v.object({ pairs: spent, flops: spent, blocks: spent, kv: spent });

const comparison = {
  core: index,
  head: index,
  recall: v.nullable(number),
  recallP5: v.nullable(number),
  outputError: number,
  pairs: number,
  densePairs: number,
  uncovered: number,
  span: v.exactOptional(number),
  censored: v.exactOptional(flag),
  growth: v.exactOptional(v.object({ least: number, likely: number, most: number })),
  reconstruction: v.exactOptional(number),
  spending: v.exactOptional(spending),
  measures: v.exactOptional(
    v.object({
      ...measures,
      klQueries: v.exactOptional(count),
      sparsity: number,
      entmaxPairs: number,
      topPPairs: number,
      negative: number,
    }),
  ),
};

const parameter = v.union([number, flag, text]);

const embedding = v.exactOptional(
  v.object({ pooling: v.picklist(POOLINGS), cosine: number, length: number }),
);

const result = v.object({
  setting,
  settled: v.record(text, parameter),
  scope: v.picklist(['local', 'propagated']),
  recall: v.nullable(number),
  sparsity: number,
  outputError: number,
  deltaLoss: v.nullable(number),
  deltaLossPerToken: v.exactOptional(floats),
  deltaOutput: v.nullable(number),
  deltaOutputPerToken: v.exactOptional(floats),
  embedding,
  pairs: number,
  densePairs: number,
  milliseconds: number,
  heads: list(v.object(comparison)),
  measures: v.exactOptional(v.object(measures)),
  spending: v.exactOptional(spending),
  notes,
});

const effect = v.object({
  measure: v.picklist(['loss', 'output']),
  delta: number,
  perToken: floats,
  divergence: v.exactOptional(number),
  embedding,
});

export const settled = v.exactOptional(v.record(text, parameter));

const everywhere = v.object({ choice: setting, settled, share: number, effect });

export const plan = v.object({
  budget: share,
  unit: v.exactOptional(v.picklist(BUDGET_UNITS)),
  spending: v.exactOptional(spending),
  pairs: number,
  densePairs: number,
  heads: list(v.object({ ...comparison, choice: setting, settled, sensitivity: number })),
  effect,
  uniform: list(everywhere, 1000),
  floor: v.exactOptional(v.nullable(everywhere)),
  random: v.object({
    runs: count,
    mean: number,
    least: number,
    most: number,
    leastPerToken: v.exactOptional(floats),
  }),
  wins: v.picklist(['yes', 'no', 'undecided']),
  curve: list(
    v.object({ share: number, delta: number, measured: flag, interval: v.exactOptional(interval) }),
  ),
  tried: list(v.object({ what: text, delta: number, divergence: v.exactOptional(number), kept: flag })),
  candidates: list(v.object({ ...comparison, choice: setting, onFront: flag }), 1_000_000),
  notes,
});

const range = v.object({ from: index, to: index });
const heads = { core: v.nullable(index), head: v.nullable(index) };
export const intervention = v.variant('kind', [
  v.object({ kind: v.literal('head'), core: index, head: index }),
  v.object({
    kind: v.literal('span'),
    ...heads,
    from: index,
    to: index,
    queries: v.nullable(range),
    side: v.exactOptional(side),
  }),
  v.object({ kind: v.literal('edge'), ...heads, query: index, key: index, side: v.exactOptional(side) }),
  v.object({ kind: v.literal('mechanism'), ...heads, choice: setting }),
]);

/** The heaviest key that a query has lost. */
export const lost = v.object({
  query: index,
  lost: v.nullable(
    v.object({ core: index, head: index, key: index, mass: number, distance: v.nullable(number) }),
  ),
});

const interventions = list(intervention, 1000);

export const taken = v.object({
  list: interventions,
  result: v.nullable(
    v.object({
      interventions,
      effect,
      notes: list(text, 1000),
      settled: v.exactOptional(list(v.nullable(v.record(text, parameter)), 1000)),
    }),
  ),
});

const change = v.object({ delta: number, ...interval.entries });

export const ablation = v.object({
  measure: v.picklist(['loss', 'output']),
  heads: list(
    v.object({ core: index, head: index, zero: change, mean: change, resample: v.exactOptional(change) }),
  ),
});

export const selection = v.object({
  core: v.nullable(index),
  head: v.nullable(index),
  token: v.nullable(index),
  mechanism: v.nullable(setting),
  change: v.nullable(
    v.variant('kind', [
      v.object({ kind: v.literal('interventions') }),
      v.object({ kind: v.literal('plan') }),
      v.object({ kind: v.literal('mechanism'), choice: setting }),
    ]),
  ),
});

// ---------------------------------------------------------------- the analysis

export const summary = v.object({
  id: text,
  model,
  device,
  tokens,
  target: v.nullable(
    v.object({ text: v.string(), tokens, source: v.picklist(['given', 'generated', 'text']) }),
  ),
  cores: list(core, 4096),
  loss: v.nullable(v.object({ mean: finite, perToken: floats, masked: v.exactOptional(v.literal(true)) })),
  mechanisms: list(result, 1000),
  sparse: v.exactOptional(
    v.object({
      setting: v.nullable(setting),
      plan: v.exactOptional(text),
      queries: count,
      ...pairsSeen,
      missed: v.nullable(estimate),
      links: list(v.object({ core: index, head: index, query: index, key: index, mass: number }), 1000),
    }),
  ),
  timings: v.record(text, number),
  peakRssMiB: number,
  provenance: v.exactOptional(provenance),
  notes: list(text, 1000),
  verified: v.object({
    holds: flag,
    tokens: count,
    of: count,
    maxAbsDiff: number,
    maxRelDiff: number,
    medianAbsDiff: number,
    lossDiff: v.nullable(number),
    spread: number,
    cores: v.exactOptional(number),
    float64: flag,
    rules: v.object({ tokens: count, everyRow: flag, share: v.exactOptional(number) }),
  }),
});

export const document = v.object({
  uri: text,
  name: text,
  length: count,
  selectionStart: v.nullable(count),
});
