import { plainPercent } from '../../../shared/numbers';
import { refused } from '../../errors';
import { checkpoint } from '../../runtime/cancellation';
import { ElementType } from '../../runtime/onnxProto';
import { float32, floats, type Tensor } from '../../runtime/tensor';
import { CUT_DOMAIN, type CutCore } from './cutGraph';
import type { Extract, Graph } from '../onnx/graph';
import { embeddingLookup } from './hidden';
import type { GraphNode } from '../onnx/node';
import type { Piece, PieceLoader } from './pieces';
import { mean } from '../../statistics';

/** Queries or keys of layer 0, [heads, tokens, dim] each: content + position + bias = what the core gets. */
export interface Parts {
  content: Float32Array;
  position: Float32Array;
  /** The same in every row: biases of the projections, and what the norm's own bias becomes in them. */
  bias: Float32Array;
}

/** The norm between the embeddings' sum and the projections; its statistics are those of the sum. */
export type FrozenNorm = 'none' | 'layer' | 'rms';

export interface PositionParts {
  q: Parts;
  k: Parts;
  norm: FrozenNorm;
  /** Largest deviation of the parts' sum, relative to the largest query or key less its bias. */
  error: number;
}

/** Parts that add up to within this, relative, are the split. */
const TOLERANCE = 1e-4;
/** Parts are brought to this deviation before they go through the norm: beside it no epsilon matters. */
const SCALE = 64;

interface EmbeddingSum {
  /** The token's part, before anything is added. */
  token: string;
  /** What is added to it: positions, token types, biases. */
  others: string[];
  sum: string;
  /** From the sum to the core's queries and keys. */
  projections: Extract;
}

/**
 * Splits queries and keys of a core of layer 0 into what comes from the tokens and what from absolute positions (the four
 * terms of Dai et al. 2019, section 3.3). From the sum of the embeddings on, everything but the norm's statistics is
 * affine, so each part is sent through the model's own nodes, less what zeros give; norms do not see the scale of a row,
 * so it is put back with the sum's statistics. What is added alike to every token (types) counts as content.
 * @throws RefusedError where no absolute positions are added, or the parts do not add up to the queries and keys.
 */
export async function positionParts(
  cut: Graph,
  core: CutCore,
  ids: string,
  feeds: Readonly<Record<string, Tensor>>,
  loader: PieceLoader,
  signal: AbortSignal,
): Promise<PositionParts> {
  const found = embeddingSum(cut, core, ids);
  if (!found) throw refused('noSplitAbsolute');
  const names = [found.token, ...found.others, found.sum];
  const embeddings = await (await loader.load(cut.extract(names, () => false))).run(name => feeds[name]);
  const x = embeddings.get(found.sum)!;
  const { content, position } = contentAndPosition(found, embeddings);
  if (!position.some(value => value !== 0)) throw refused('noSplitSame');
  const through = projector(await loader.load(found.projections), core, found.sum, x.dims, feeds);
  await checkpoint(signal);
  const sum = floats(x);
  const whole = await through(sum);
  const bias = await through(new Float32Array(sum.length));
  let least = Infinity;
  for (const norm of ['none', 'layer', 'rms'] as const) {
    await checkpoint(signal);
    const frozen = await freeze(norm, { sum, whole, bias }, x.dims.at(-1)!, core.dim, through);
    const [c, p] = [await frozen(content), await frozen(position)];
    const error = Math.max(deviation(whole.q, bias.q, c.q, p.q), deviation(whole.k, bias.k, c.k, p.k));
    if (error <= TOLERANCE) {
      const q = { content: c.q, position: p.q, bias: bias.q };
      return { q, k: { content: c.k, position: p.k, bias: bias.k }, norm, error };
    }
    least = Math.min(least, error || Infinity);
  }
  throw refused('noSplitAffine', plainPercent(least));
}

const SHAPING = /^(Cast|Identity|Reshape|Squeeze|Unsqueeze|Flatten|Dropout)$/;

/** The last sum of the token embedding with what does not depend on it, through which alone the core sees the tokens. */
function embeddingSum(cut: Graph, core: CutCore, ids: string): EmbeddingSum | null {
  const lookup = embeddingLookup(cut, ids);
  if (!lookup) return null;
  const constants = cut.constants();
  const fromToken = cut.reachable([lookup.outputs[0]!]);
  const sums: Omit<EmbeddingSum, 'projections'>[] = [];
  const walk = (name: string, token: string | null, others: string[]): void => {
    for (const node of cut.consumers(name)) {
      const rest = node.inputs.filter(input => input !== name);
      const next = node.outputs[0]!;
      if (node.op === 'Add' && rest.length === 1 && !fromToken.has(rest[0]!)) {
        sums.push({ token: token ?? name, others: [...others, rest[0]!], sum: next });
        walk(next, token ?? name, [...others, rest[0]!]);
      } else if (SHAPING.test(node.op) && node.inputs[0] === name) walk(next, token, others);
      else if (token === null && scales(node, rest, constants)) walk(next, null, []);
    }
  };
  walk(lookup.outputs[0]!, null, []);
  for (const found of sums.reverse()) {
    if (cut.type(found.sum) !== ElementType.float32) continue;
    const projections = cut.extract([core.q, core.k], name => name === found.sum);
    const own = projections.nodes.every(n => n !== lookup && n.domain !== CUT_DOMAIN);
    if (own && projections.inputs.includes(found.sum)) return { ...found, projections };
  }
  return null;
}

/** A factor, or a projection to another width, between the table and the sum. */
function scales(node: GraphNode, rest: readonly string[], constants: ReadonlySet<string>): boolean {
  return /^(Mul|Div|MatMul)$/.test(node.op) && rest.length === 1 && constants.has(rest[0]!);
}

/** [tokens, width] each. What is added alike to all rows is content. */
function contentAndPosition({ token, others, sum }: EmbeddingSum, tensors: ReadonlyMap<string, Tensor>) {
  const { dims } = tensors.get(sum)!;
  const width = dims.at(-1)!;
  const content = floats(tensors.get(token)!).slice();
  const position = new Float32Array(content.length);
  for (const name of others) {
    const values = floats(tensors.get(name)!);
    if (content.length % values.length !== 0) throw refused('noSplitRows');
    const alike = values.every((value, t) => value === values[t % width]);
    const part = alike ? content : position;
    for (let t = 0; t < part.length; t++) part[t]! += values[t % values.length]!;
  }
  return { content, position };
}

interface Projected {
  q: Float32Array;
  k: Float32Array;
}

type Through = (rows: Float32Array) => Promise<Projected>;

function projector(
  piece: Piece,
  core: CutCore,
  sum: string,
  dims: readonly number[],
  feeds: Readonly<Record<string, Tensor>>,
): Through {
  return async rows => {
    const given = float32(rows, [...dims]);
    const results = await piece.run(name => (name === sum ? given : feeds[name]));
    return { q: floats(results.get(core.q)!), k: floats(results.get(core.k)!) };
  };
}

/** What a part of the sum becomes when the norm keeps the sum's statistics, less the bias. */
async function freeze(
  norm: FrozenNorm,
  { sum, whole, bias }: { sum: Float32Array; whole: Projected; bias: Projected },
  width: number,
  dim: number,
  through: Through,
): Promise<Through> {
  const tokens = sum.length / width;
  const less = ({ q, k }: Projected): Projected => ({
    q: q.map((value, t) => value - bias.q[t]!),
    k: k.map((value, t) => value - bias.k[t]!),
  });
  if (norm === 'none') return async rows => less(await through(rows));
  /** Rows at one and the same deviation, and what they had. */
  const level = async (rows: Float32Array) => {
    const sizes = deviations(rows, width, norm);
    const scaled = rows.map((value, t) => {
      const size = sizes[Math.floor(t / width)]!;
      return size > 0 ? (value * SCALE) / size : 0;
    });
    return { sizes, projected: less(await through(scaled)) };
  };
  const full = await level(sum);
  // sd / sqrt(variance + epsilon) of the sum, seen in what the model makes of it as it is and at a large scale.
  const shrinks = new Float64Array(tokens);
  const own = less(whole);
  for (let row = 0; row < tokens; row++) {
    let [dot, square] = [0, 0];
    for (const side of ['q', 'k'] as const)
      eachOf(own[side].length, row, tokens, dim, t => {
        dot += own[side][t]! * full.projected[side][t]!;
        square += full.projected[side][t]! ** 2;
      });
    shrinks[row] = square > 0 ? dot / square : 0;
  }
  return async rows => {
    const { sizes, projected } = await level(rows);
    for (const side of ['q', 'k'] as const)
      for (let row = 0; row < tokens; row++) {
        const factor = full.sizes[row]! > 0 ? (sizes[row]! * shrinks[row]!) / full.sizes[row]! : 0;
        eachOf(projected[side].length, row, tokens, dim, t => (projected[side][t]! *= factor));
      }
    return projected;
  };
}

/** Places of one token in [heads, tokens, dim]. */
function eachOf(length: number, row: number, tokens: number, dim: number, visit: (t: number) => void): void {
  for (let at = row * dim; at < length; at += tokens * dim) for (let c = 0; c < dim; c++) visit(at + c);
}

/** Standard deviation of each row, or its root mean square. */
function deviations(rows: Float32Array, width: number, norm: FrozenNorm): Float64Array {
  return Float64Array.from({ length: rows.length / width }, (_, row) => {
    const values = rows.subarray(row * width, (row + 1) * width);
    const middle = norm === 'layer' ? mean(values) : 0;
    return Math.sqrt(values.reduce((a, b) => a + (b - middle) ** 2, 0) / width);
  });
}

function deviation(whole: Float32Array, bias: Float32Array, a: Float32Array, b: Float32Array): number {
  let [worst, largest] = [0, 0];
  for (let t = 0; t < whole.length; t++) {
    const value = whole[t]! - bias[t]!;
    const missed = Math.abs(a[t]! + b[t]! - value);
    if (!(missed <= worst)) worst = missed;
    largest = Math.max(largest, Math.abs(value));
  }
  return largest > 0 ? worst / largest : NaN;
}
