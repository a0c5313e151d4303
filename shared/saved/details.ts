/** What a saved file holds beside the analysis, so that its views work without the model: the schema of `ReportDetails`. */
import * as v from 'valibot';
import type { ReportDetails } from '../reportData';
import { count, flag, index, intervention, list, lost, number, setting, settled, text } from './schema';

const bytes = v.instance(Uint8Array);
const floats = v.instance(Float32Array);
const keys = v.union([v.instance(Uint16Array), v.instance(Uint32Array)]);
const integers = v.instance(Int32Array);
const masses = v.object({ largest: number, codes: bytes });
const level = v.pipe(index, v.maxValue(24));

const buckets = v.object({
  rounds: index,
  count: index,
  queryBucket: list(integers, 64),
  keyBucket: list(integers, 64),
  sizes: list(integers, 64),
  multiplicity: integers,
  uncovered: number,
  recall: number,
  chanceRecall: number,
  settled,
  missed: list(v.object({ query: index, key: index, mass: number }), 10_000),
  centers: floats,
  explained: number,
  maps: list(
    v.object({
      rows: index,
      columns: index,
      mass: masses,
      kept: bytes,
      rowStarts: floats,
      columnStarts: floats,
    }),
    64,
  ),
});

const head = v.object({
  max: masses,
  mean: v.nullable(masses),
  linkGaps: keys,
  linkMass: v.instance(Uint16Array),
  entropy: floats,
  kept: list(v.nullable(v.object({ cells: bytes, mass: bytes, lostKey: keys, lostMass: bytes })), 100),
  buckets: list(v.nullable(buckets), 100),
  points: v.nullable(
    v.object({ queries: v.instance(Int8Array), keys: v.instance(Int8Array), extent: number }),
  ),
});

const curve = v.object({
  choice: setting,
  count: v.picklist(['exact', 'expected', 'most']),
  pairs: list(number, 1000),
  range: v.exactOptional(v.object({ low: list(number, 1000), high: list(number, 1000) })),
  flops: list(number, 1000),
  bytes: list(number, 1000),
  blocks: v.exactOptional(list(number, 1000)),
  held: v.exactOptional(list(number, 1000)),
  refused: v.nullable(text),
});

const costs = v.object({
  shape: v.object({
    dim: index,
    valueDim: index,
    causal: flag,
    heads: index,
    layerHeads: v.exactOptional(index),
  }),
  keyBytes: v.exactOptional(number),
  lengths: list(number, 1000),
  dense: curve,
  curves: list(curve, 100),
  check: list(v.object({ model: text, what: text, tokens: number, bytes: number, published: text }), 100),
});

const mechanismInfo = v.object({
  name: text,
  title: text,
  label: text,
  hue: v.nullable(v.pipe(v.string(), v.regex(/^#[0-9a-f]{6}$/i))),
  pale: v.exactOptional(v.literal(true)),
  summary: text,
  paper: text,
  parameters: list(
    v.object({
      name: text,
      type: v.picklist(['integer', 'number', 'boolean', 'string', 'indices']),
      default: v.nullable(v.union([number, flag, text])),
      defaultRule: v.exactOptional(text),
      minimum: v.exactOptional(number),
      maximum: v.exactOptional(number),
      choices: v.exactOptional(list(text, 100)),
      description: text,
    }),
    50,
  ),
  view: v.picklist(['spans', 'buckets', 'map']),
  causalSelection: flag,
});

export const details: v.GenericSchema<ReportDetails> = v.object({
  version: text,
  made: text,
  infos: list(mechanismInfo, 200),
  level,
  links: index,
  mechanisms: list(v.object({ choice: setting, keepsPairs: flag }), 100),
  cores: list(
    v.object({
      queries: count,
      keys: count,
      level,
      keptLevel: level,
      mask: v.object({
        causal: flag,
        window: v.nullable(v.object({ before: number, after: number })),
        chunk: v.exactOptional(number),
      }),
      byDistance: floats,
      heads: list(head, 4096),
    }),
    4096,
  ),
  costs: list(costs, 4096),
  changes: list(
    v.object({
      heads: list(v.object({ core: index, head: index, choice: setting })),
      interventions: list(intervention, 1000),
      lost: list(lost),
    }),
    1000,
  ),
});
