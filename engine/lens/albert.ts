import { say } from '../../shared/sentences';
import { numberOrAuto } from '../../shared/setting';
import type { CutModel } from '../model/cut/cutModel';
import type { AlbertLens } from '../../shared/protocol/engine';
import { checkpoint } from '../runtime/cancellation';
import { float32, floats } from '../runtime/tensor';
import type { Analysis } from '../service/analysis';
import { symmetricEigenvalues } from './eigenvalues';
import type { Lens } from './lens';
import { widthsOf } from './widths';

/** Rows of the table that are looked at, evenly spaced, when it has more. */
const ROWS = 16_384;
/** Widest table whose Gram matrix is made of columns; of wider ones that of so many rows is. */
const WIDEST = 1280;
const CHUNK = 1024;

/**
 * ALBERT (Lan et al., 2020): the embedding table as a product of two thin matrices, and one block for all layers. What
 * both would save in this model, and how well its table could be had at each rank (the best possible, by singular
 * values). Calculated: the model itself is not changed.
 */
export const albert: Lens<'albert'> = {
  name: 'albert',
  title: 'ALBERT',
  paper:
    'Lan et al., ALBERT: A Lite BERT for Self-supervised Learning of Language Representations, 2020, section 3.1',
  parameters: [
    {
      name: 'rank',
      type: 'integer',
      default: null,
      defaultRule: 'a sixth of the width, as in ALBERT-base',
      minimum: 1,
      description: 'Width of the factorised table (E).',
    },
  ],

  async look(analysis, params, { signal, onProgress }) {
    const { info } = analysis.model;
    const vocabulary = info.vocabulary ?? 0;
    const { table, hidden, embedding: embeddingWidth } = await widthsOf(analysis, signal);
    const rank = Math.min(
      embeddingWidth,
      numberOrAuto(params, 'rank', Math.max(1, Math.round(embeddingWidth / 6))),
    );
    const embedding = vocabulary * embeddingWidth;
    const { output, tables } = analysis.model.weightUses();
    const apart = output + tables;
    const blocks = Math.max(0, info.parameters - embedding - apart);
    const thin = factorisedParameters(vocabulary, embeddingWidth, rank);
    const stacks = info.kind === 'encoder-decoder' ? 2 * info.layers : info.layers;
    const notes = [say('albertBest'), say('albertBlocks')];
    // What is one block already stays one.
    const isShared = analysis.model.layerWeights()?.shared === true;
    const block = isShared ? blocks : blocks / stacks;
    if (isShared) notes.push(say('albertShared'));
    if (embeddingWidth < hidden) notes.push(say('albertFactorised', embeddingWidth, hidden));
    const spectrum =
      table && vocabulary > 0
        ? await spectrumOf(analysis, vocabulary, table.width, signal, onProgress)
        : null;
    if (!spectrum) notes.push(say('noCurve'));
    else if (spectrum.rows < vocabulary) notes.push(say('curveOfRows', spectrum.rows, vocabulary));
    return {
      lens: 'albert',
      vocabulary,
      embeddingWidth,
      hidden,
      layers: stacks,
      parameters: info.parameters,
      embedding,
      apart,
      blocks,
      rank,
      factorised: thin + apart + blocks,
      shared: embedding + apart + block,
      both: thin + apart + block,
      curve: spectrum && curveOf(spectrum.values, vocabulary, embeddingWidth),
      sampledRows: spectrum?.rows ?? 0,
      similarity: await similarityOf(analysis, signal),
      paper: {
        vocabulary: 30_000,
        hidden: 768,
        rank: 128,
        before: 30_000 * 768,
        after: factorisedParameters(30_000, 768, 128),
      },
      notes,
    };
  },
};

/** V E + E H in place of V H. */
export function factorisedParameters(vocabulary: number, hidden: number, rank: number): number {
  return vocabulary * rank + rank * hidden;
}

/** Relative Frobenius error of the best approximation at each rank: the share of the squares that is left out. */
export function curveOf(
  eigenvalues: Float64Array,
  vocabulary: number,
  width: number,
): NonNullable<AlbertLens['curve']> {
  const squares = eigenvalues.map(value => Math.max(0, value));
  const total = squares.reduce((sum, x) => sum + x, 0);
  const step = Math.max(1, Math.floor(width / 128));
  const left = new Float64Array(squares.length + 1);
  for (let t = squares.length - 1; t >= 0; t--) left[t] = left[t + 1]! + squares[t]!;
  const curve: NonNullable<AlbertLens['curve']> = [];
  for (let rank = 1; rank <= width; rank += rank < 8 ? 1 : step) {
    const error = total > 0 ? Math.sqrt((left[Math.min(rank, squares.length)] ?? 0) / total) : 0;
    curve.push({ rank, error, parameters: factorisedParameters(vocabulary, width, rank) });
  }
  return curve;
}

/** Numbers of one matrix in all layers that are held at once, and products of all: larger models are not compared. */
const LARGEST = 2 ** 27;
const MOST_PRODUCTS = 4e9;

/**
 * Cosine between the weights of every two layers, all matrices of a layer as one vector: 1 where they share them, about
 * 0 where each has learned its own.
 */
async function similarityOf(analysis: Analysis, signal: AbortSignal): Promise<number[][] | null> {
  const weights = analysis.model.layerWeights();
  if (weights?.shared)
    return Array.from({ length: weights.pieces }, () => Array<number>(weights.pieces).fill(1));
  const fits =
    weights?.plain === true &&
    weights.largest * weights.pieces <= LARGEST &&
    (weights.size * weights.pieces ** 2) / 2 <= MOST_PRODUCTS;
  return fits ? analysis.sharedByModel('similarity', own => cosines(weights, own), signal) : null;
}

async function cosines(
  { matrices, pieces, read }: NonNullable<ReturnType<CutModel['layerWeights']>>,
  signal: AbortSignal,
): Promise<number[][]> {
  const dots = Array.from({ length: pieces }, () => new Float64Array(pieces));
  for (const names of matrices) {
    const data = await read(names);
    for (let a = 0; a < pieces; a++) {
      await checkpoint(signal);
      for (let b = 0; b <= a; b++) {
        const [x, y] = [data[a]!, data[b]!];
        let dot = 0;
        for (let t = 0; t < x.length; t++) dot += x[t]! * y[t]!;
        dots[a]![b]! += dot;
      }
    }
  }
  const norm = (a: number) => Math.sqrt(dots[a]![a]!);
  return dots.map((_, a) =>
    Array.from({ length: pieces }, (_, b) => dots[Math.max(a, b)]![Math.min(a, b)]! / (norm(a) * norm(b))),
  );
}

interface Spectrum {
  /** Squared singular values of the table (or of the rows looked at), largest first. */
  values: Float64Array;
  rows: number;
}

/** Found once for each model: it does not depend on the rank. null where the model has no table to look at. */
async function spectrumOf(
  analysis: Analysis,
  vocabulary: number,
  width: number,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<Spectrum | null> {
  const make = async (own: AbortSignal) => ({
    spectrum: await findSpectrum(analysis, vocabulary, width, own, onProgress),
  });
  return (await analysis.sharedByModel('spectrum', make, signal)).spectrum;
}

async function findSpectrum(
  analysis: Analysis,
  vocabulary: number,
  width: number,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<Spectrum | null> {
  const wide = width > WIDEST;
  const rows = Math.min(vocabulary, wide ? CHUNK : ROWS);
  const ids = Int32Array.from({ length: rows }, (_, t) => Math.floor((t * vocabulary) / rows));
  const size = wide ? rows : width;
  const gram = new Float64Array(size * size);
  const context = analysis.context(signal);
  for (let from = 0; from < rows; from += CHUNK) {
    await checkpoint(signal);
    onProgress((0.5 * from) / rows);
    const part = ids.subarray(from, from + CHUNK);
    const table = await analysis.model.embed(part);
    if (!table) return null;
    const product = await gramOf(table.rows, width, wide, context);
    for (let t = 0; t < gram.length; t++) gram[t]! += product[t]!;
  }
  onProgress(0.5);
  return { values: await symmetricEigenvalues(gram, size, signal), rows };
}

/** X^T X, or X X^T of a few wide rows. */
async function gramOf(
  rows: Float32Array,
  width: number,
  wide: boolean,
  { runtime }: ReturnType<Analysis['context']>,
): Promise<Float32Array> {
  const session = await runtime.graph(`gram|${wide}`, g => {
    const x = g.input('x', 'float32', ['n', 'd']);
    g.output('gram', g.op('Gemm', [x, x], wide ? { transB: 1 } : { transA: 1 }));
  });
  const { gram } = await session.run({ x: float32(rows, [rows.length / width, width]) });
  return floats(gram!);
}
