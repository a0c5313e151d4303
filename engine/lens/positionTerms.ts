import { plainPercent } from '../../shared/numbers';
import { kvHead, visibleKeys, type CoreInput } from '../attention/core';
import { refused } from '../errors';
import type { PositionParts } from '../model/cut/positionParts';
import type { PositionsLens } from '../../shared/protocol/engine';
import { checkpoint } from '../runtime/cancellation';
import { floats } from '../runtime/tensor';
import type { Analysis } from '../service/analysis';
import type { Lens } from './lens';
import { mean } from '../statistics';

/** Queries of each head whose scores are taken apart, and keys of each of them; evenly spaced. */
const ROWS = 96;
const KEYS = 1024;

/** Parts must add up to the queries and keys of the analysis to within this, relative to the largest. */
const TOLERANCE = 1e-3;

/**
 * The four terms of a score with absolute positions (Dai et al. 2019, section 3.3), in layer 0, where the hidden rows are
 * token plus position: (a) content and content, (b) content and the key's position, (c) the query's position and content,
 * (d) both positions. The query's bias, alike for all queries, counts to (c) and (d), where the paper puts u and v; what
 * the key's bias adds is the same for all keys of a query and moves nothing. A core that was made with Transformer-XL's scores
 * has them in every layer, exactly: q k, q r, u k and v r.
 */
export const positionTerms: Lens<'positions'> = {
  name: 'positions',
  title: 'Content and position',
  paper:
    'Dai et al., Transformer-XL: Attentive Language Models beyond a Fixed-Length Context, 2019, section 3.3',
  parameters: [],

  async look(analysis, _, { core, signal, onProgress }): Promise<PositionsLens> {
    const { cores } = analysis.model.info;
    const own = await nativeTerms(analysis, core, signal);
    if (own) return own;
    const { kind } = cores[core]!;
    const stack = kind === 'cross' ? 'decoder' : kind;
    const first = cores.find(c => c.kind === stack && c.layer === 0)!.core;
    const { input } = await analysis.tensors(first, signal);
    if (input.rule.bias) throw refused('noSplitScores');
    const parts = await analysis.model.positionParts(first, analysis.tokens.ids, {
      signal,
      targetIds: analysis.target?.tokens.ids,
    });
    requireSame(parts, input);
    const heads: PositionsLens['heads'] = [];
    for (let head = 0; head < input.heads; head++) {
      await checkpoint(signal);
      onProgress(head / input.heads);
      heads.push({ head, ...termsOf(input, parts, head) });
    }
    return {
      lens: 'positions',
      core: first,
      native: false,
      tokens: input.queries,
      rows: Math.min(input.queries, ROWS),
      keys: Math.min(input.keys, KEYS),
      norm: parts.norm,
      error: parts.error,
      heads,
    };
  },
};

/** The terms of a core whose model was made with Transformer-XL's scores; null for others. */
async function nativeTerms(
  analysis: Analysis,
  core: number,
  signal: AbortSignal,
): Promise<PositionsLens | null> {
  if (analysis.model.info.cores[core]!.attention?.name !== 'transformer-xl') return null;
  const { input } = await analysis.tensors(core, signal);
  const { native, heads, queries, keys, dim, q, k } = input;
  if (!native) return null;
  const shares = Array.from({ length: heads }, (_, head): PositionsLens['heads'][number] => {
    const part = native.partOf(head);
    const at = part.heads.indexOf(head);
    const [r, u, v] = ['r', 'u', 'v_bias'].map(name => floats(part.own[name]!)) as [
      Numbers,
      Numbers,
      Numbers,
    ];
    const add: AddTerms = (query, key, terms, x) => {
      const far = query + keys - queries - key;
      for (let c = 0; c < dim; c++) {
        const content = k[(kvHead(input, head) * keys + key) * dim + c]!;
        const position = r[(at * keys + far) * dim + c]!;
        const asked = q[(head * queries + query) * dim + c]!;
        terms[0]![x]! += asked * content;
        terms[1]![x]! += asked * position;
        terms[2]![x]! += u[at * dim + c]! * content;
        terms[3]![x]! += v[at * dim + c]! * position;
      }
      // All that stands for the query's position is learned numbers.
      for (const n of [2, 3]) terms[n + 2]![x] = terms[n]![x]!;
    };
    const seenBy = (query: number) => {
      const { keys: seen } = native.attended.row(head, query);
      return { from: seen[0]!, to: seen.at(-1)! + 1 };
    };
    return { head, ...sharesOf(input, head, seenBy, add) };
  });
  return {
    lens: 'positions',
    core,
    native: true,
    tokens: queries,
    rows: Math.min(queries, ROWS),
    keys: Math.min(keys, KEYS),
    norm: 'none',
    error: 0,
    heads: shares,
  };
}
type Numbers = Float32Array;

/** Four terms of one head on evenly spaced queries: see PositionsLens. */
export function termsOf(input: CoreInput, parts: Pick<PositionParts, 'q' | 'k'>, head: number): HeadTerms {
  const { queries, keys, dim } = input;
  const add: AddTerms = (query, key, terms, x) => {
    const q = (head * queries + query) * dim;
    const k = (kvHead(input, head) * keys + key) * dim;
    for (let c = 0; c < dim; c++) {
      const [content, position] = [parts.k.content[k + c]!, parts.k.position[k + c]!];
      const bias = parts.q.bias[q + c]!;
      terms[0]![x]! += parts.q.content[q + c]! * content;
      terms[1]![x]! += parts.q.content[q + c]! * position;
      terms[2]![x]! += (parts.q.position[q + c]! + bias) * content;
      terms[3]![x]! += (parts.q.position[q + c]! + bias) * position;
      terms[4]![x]! += bias * content;
      terms[5]![x]! += bias * position;
    }
  };
  return sharesOf(input, head, query => visibleKeys(input, query), add);
}

type HeadTerms = Omit<PositionsLens['heads'][number], 'head'>;
/** Adds the terms of a query and a key, four and what of the last two is the query's bias, at `x` of six lists. */
type AddTerms = (query: number, key: number, terms: readonly Float64Array[], x: number) => void;

/** What the terms are of a head's scores, on evenly spaced queries and keys. */
function sharesOf(
  { queries, rule }: CoreInput,
  head: number,
  seenBy: (query: number) => { from: number; to: number },
  add: AddTerms,
): HeadTerms {
  const covariance = new Float64Array(6);
  const squares = new Float64Array(4);
  const same = new Float64Array(4);
  let [variance, rows] = [0, 0];
  const count = Math.min(queries, ROWS);
  for (let t = 0; t < count; t++) {
    const query = Math.floor(((t + 0.5) * queries) / count);
    const { from, to } = seenBy(query);
    const seen = Math.min(to - from, KEYS);
    if (seen < 2) continue;
    rows++;
    const terms = Array.from({ length: 6 }, () => new Float64Array(seen));
    for (let x = 0; x < seen; x++) {
      const key = from + Math.floor(((x + 0.5) * (to - from)) / seen);
      add(query, key, terms, x);
    }
    terms.forEach(centre);
    const sign = Math.sign(rule.scale[head]!);
    const score = terms[0]!.map((a, x) => a + terms[1]![x]! + terms[2]![x]! + terms[3]![x]!);
    variance += dot(score, score) / seen;
    terms.forEach((term, n) => (covariance[n]! += dot(term, score) / seen));
    for (let n = 0; n < 4; n++) {
      squares[n]! += dot(terms[n]!, terms[n]!) / seen;
      if (largest(terms[n]!, sign) === largest(score, sign)) same[n]!++;
    }
  }
  const share = (n: number) => (variance > 0 ? covariance[n]! / variance : 0);
  return {
    shares: [0, 1, 2, 3].map(share),
    ofBias: [share(4), share(5)],
    correlations: [0, 1, 2, 3].map(n =>
      variance > 0 && squares[n]! > 0 ? covariance[n]! / Math.sqrt(variance * squares[n]!) : 0,
    ),
    sameChoice: [0, 1, 2, 3].map(n => (rows > 0 ? same[n]! / rows : 0)),
  };
}

function centre(values: Float64Array): void {
  const middle = mean(values);
  for (let t = 0; t < values.length; t++) values[t]! -= middle;
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, t) => sum + x * b[t]!, 0);
}

function largest(values: Float64Array, sign: number): number {
  let best = 0;
  for (let t = 1; t < values.length; t++) if (sign * values[t]! > sign * values[best]!) best = t;
  return best;
}

/** The analysis' own tensors, not only the split's, are what the parts add up to. */
function requireSame(parts: PositionParts, input: CoreInput): void {
  for (const side of ['q', 'k'] as const) {
    const { content, position, bias } = parts[side];
    let [worst, most] = [0, 0];
    input[side].forEach((value, t) => {
      worst = Math.max(worst, Math.abs(content[t]! + position[t]! + bias[t]! - value));
      most = Math.max(most, Math.abs(value));
    });
    if (!(worst <= TOLERANCE * most))
      throw refused('noSplitParts', side === 'q' ? 'queries' : 'keys', plainPercent(worst / most));
  }
}
