/** The JSON of an analysis (`analyze --json`), read back: it may come from anyone, so what is taken from it is checked first. */
import * as v from 'valibot';
import { ANALYSIS_SCHEMA } from './json';
import { RefusedError, told } from '../errors';
import { readText } from '../readText';

const TOKENS = 1 << 22;

const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(TOKENS));
const number = v.pipe(v.number(), v.finite());
const share = v.pipe(number, v.minValue(0));
const text = v.pipe(v.string(), v.maxLength(100_000));
const list = <T extends v.GenericSchema>(of: T, most: number) => v.pipe(v.array(of), v.maxLength(most));
const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'is no SHA-256'));

const head = v.object({
  head: count,
  entropy: share,
  meanDistance: share,
  span90: share,
  span95: share,
  span99: share,
  roles: list(v.object({ role: text, score: number }), 100),
});

const loss = v.pipe(
  v.object({
    mean: number,
    masked: v.optional(v.boolean(), false),
    perToken: v.optional(list(number, TOKENS), []),
    tokens: v.optional(list(text, TOKENS), []),
  }),
  v.check(({ perToken, tokens }) => perToken.length === tokens.length, 'has not a token for each number'),
);

const mechanism = v.object({
  name: text,
  setting: text,
  scope: v.picklist(['local', 'propagated']),
  recall: v.nullable(share),
  outputError: share,
  pairs: share,
  densePairs: share,
  deltaLoss: v.nullable(number),
  deltaLossPerToken: v.optional(list(number, TOKENS), []),
});

const analysis = v.object({
  schema: v.literal(ANALYSIS_SCHEMA),
  provenance: v.nullish(
    v.object({
      model: v.nullish(v.object({ sha256: hash })),
      inputs: list(v.object({ name: text, sha256: hash }), 1000),
    }),
  ),
  model: v.object({ name: text, layers: count, heads: count }),
  tokens: count,
  layers: list(v.object({ core: count, kind: text, layer: count, heads: list(head, 4096) }), 4096),
  loss: v.nullable(loss),
  mechanisms: list(mechanism, 10_000),
});

export type ReadAnalysis = v.InferOutput<typeof analysis>;

/** @throws RefusedError */
export async function readAnalysis(file: string): Promise<ReadAnalysis> {
  const content = await readText(file);
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    throw new RefusedError(told`${file} is not JSON.`);
  }
  return checkedAnalysis(value, file);
}

/** @throws RefusedError that names the file and the first thing that is not as it must be. */
export function checkedAnalysis(value: unknown, file: string): ReadAnalysis {
  const result = v.safeParse(analysis, value, { abortEarly: true });
  if (result.success) return result.output;
  const { message, path } = result.issues[0];
  const where = path?.map(({ key }) => String(key)).join('.') ?? '';
  if (where === '' || where === 'schema')
    throw new RefusedError(told`${file} is not an analysis that analyze --json wrote.`);
  throw new RefusedError(told`${file} is not a whole analysis: ${where} ${message}.`);
}
