import { say } from '../../shared/sentences';
import { numberOf } from '../../shared/setting';
import type { RetroLens, RetroNeighbour, TokenTable } from '../../shared/protocol/engine';
import { checkpoint } from '../runtime/cancellation';
import type { Analysis } from '../service/analysis';
import type { Lens } from './lens';
import { centre } from './switch';
import { unitRows } from '../attention/kernels/tied';

/** Tokens of each other text that are looked at. */
const DOCUMENT_TOKENS = 8192;
/** Rows of the embedding table at once. */
const TABLE_ROWS = 4096;
/** Weight of a token of frequency p in its chunk's mean: a / (a + p) (Arora et al., 2017). */
const SMOOTHING = 1e-3;

/**
 * RETRO (Borgeaud et al., 2022): each chunk of the text looks up similar chunks elsewhere, and the next tokens read
 * what followed them. A dense model has no such cross-attention: shown are the map of who reads what, and the nearest
 * chunks of this text's past and of other texts. Approximate: by mean token embeddings, not by a frozen BERT.
 */
export const retro: Lens<'retro'> = {
  name: 'retro',
  title: 'RETRO (retrieval)',
  paper:
    'Borgeaud et al., Improving Language Models by Retrieving from Trillions of Tokens, 2022, sections 2.2 and 2.4',
  parameters: [
    {
      name: 'chunk',
      type: 'integer',
      default: 64,
      minimum: 4,
      maximum: 512,
      description: 'Tokens of a chunk (m).',
    },
    {
      name: 'neighbours',
      type: 'integer',
      default: 2,
      minimum: 1,
      maximum: 8,
      description: 'Of each chunk (k).',
    },
  ],

  async look(analysis, params, { documents, tokenizer, signal, onProgress }) {
    const chunk = numberOf(params, 'chunk');
    const count = numberOf(params, 'neighbours');
    const notes = [say('retroApproximate')];
    const sources: Source[] = [{ text: null, tokens: analysis.tokens }];
    for (const [d, { text }] of documents.entries()) {
      await checkpoint(signal);
      onProgress(d / (documents.length + 1));
      sources.push({ text, tokens: await tokenizer.encode(text, DOCUMENT_TOKENS) });
    }
    const vectors = await chunkVectors(analysis, sources, chunk, signal);
    if (!vectors) notes.push(say('noNeighbours'));
    const tokens = analysis.tokens.ids.length;
    const chunks: RetroLens['chunks'] = [];
    for (let from = 0; from + chunk <= tokens; from += chunk) {
      await checkpoint(signal);
      const c = from / chunk;
      chunks.push({
        from,
        to: from + chunk,
        text: textBetween(sources[0]!, from, from + chunk),
        neighbours: vectors ? nearest(vectors, c, count).map(found => describe(sources, found, chunk)) : [],
      });
    }
    return {
      lens: 'retro',
      tokens,
      chunk,
      chunks,
      reads: Int32Array.from({ length: tokens }, (_, i) => chunkRead(i, chunk)),
      documents: documents.map(({ name, uri }, d) => ({
        name,
        uri,
        chunks: Math.floor(sources[d + 1]!.tokens.ids.length / chunk),
      })),
      notes,
    };
  },
};

/**
 * The chunk whose neighbours token i reads: floor((i + 1) / m) - 1, -1 for the first m - 1 tokens. The last token of a
 * chunk reads already, so that what follows the chunk is predicted with its neighbours at hand; causal by construction.
 */
export function chunkRead(token: number, chunk: number): number {
  return Math.floor((token + 1) / chunk) - 1;
}

interface Source {
  /** null = the analysed text, of which only the tokens are kept. */
  text: string | null;
  tokens: TokenTable;
}

interface ChunkVectors {
  width: number;
  /** Unit rows of all chunks, source after source. */
  rows: Float32Array;
  /** First chunk of each source, then their number. */
  first: number[];
}

/** Mean embedding of each whole chunk, frequent tokens weighing less, less the mean of all, at unit length. */
async function chunkVectors(
  analysis: Analysis,
  sources: readonly Source[],
  chunk: number,
  signal: AbortSignal,
): Promise<ChunkVectors | null> {
  const counts = new Map<number, number>();
  let all = 0;
  for (const { tokens } of sources) {
    for (const id of tokens.ids) {
      counts.set(id, (counts.get(id) ?? 0) + 1);
      all++;
    }
  }
  const first = [0];
  for (const { tokens } of sources) first.push(first.at(-1)! + Math.floor(tokens.ids.length / chunk));
  const distinct = Int32Array.from(counts.keys());
  let means: Float32Array | null = null;
  let width = 0;
  // A part of the table at a time: rows of all tokens at once could be larger than the model.
  for (let from = 0; from < distinct.length; from += TABLE_ROWS) {
    await checkpoint(signal);
    const part = distinct.subarray(from, from + TABLE_ROWS);
    const table = await analysis.model.embed(part);
    if (!table) return null;
    width = table.width;
    means ??= new Float32Array(first.at(-1)! * width);
    const place = new Map([...part].map((id, t) => [id, t]));
    for (const [s, { tokens }] of sources.entries()) {
      for (let i = 0; i < (first[s + 1]! - first[s]!) * chunk; i++) {
        const id = tokens.ids[i]!;
        const row = place.get(id);
        if (row === undefined) continue;
        const weight = SMOOTHING / (SMOOTHING + counts.get(id)! / all);
        const to = (first[s]! + Math.floor(i / chunk)) * width;
        for (let x = 0; x < width; x++) means[to + x]! += weight * table.rows[row * width + x]!;
      }
    }
  }
  if (!means) return null;
  return { width, rows: unitRows(centre(means, width), width), first };
}

interface Found {
  source: number;
  chunk: number;
  similarity: number;
}

/** Nearest chunks: earlier ones of the text itself (a later one would look ahead), any of other texts. */
function nearest({ rows, width, first }: ChunkVectors, chunk: number, count: number): Found[] {
  const found: Found[] = [];
  for (let s = 0; s + 1 < first.length; s++) {
    const end = s === 0 ? chunk : first[s + 1]!;
    for (let c = first[s]!; c < end; c++) {
      let similarity = 0;
      for (let x = 0; x < width; x++) similarity += rows[chunk * width + x]! * rows[c * width + x]!;
      found.push({ source: s, chunk: c - first[s]!, similarity });
    }
  }
  return found.sort((a, b) => b.similarity - a.similarity).slice(0, count);
}

function describe(
  sources: readonly Source[],
  { source, chunk, similarity }: Found,
  size: number,
): RetroNeighbour {
  const where = sources[source]!;
  const from = chunk * size;
  const { start, end } = rangeOf(where, from, from + size);
  return {
    source: source - 1,
    chunk,
    start,
    end,
    token: source === 0 ? from : null,
    similarity,
    text: textBetween(where, from, from + size),
  };
}

function rangeOf({ tokens }: Source, from: number, to: number): { start: number; end: number } {
  let start = Infinity;
  let end = 0;
  for (let i = from; i < to; i++) {
    if (tokens.end[i]! <= tokens.start[i]!) continue;
    start = Math.min(start, tokens.start[i]!);
    end = Math.max(end, tokens.end[i]!);
  }
  return { start: Math.min(start, end), end };
}

function textBetween(source: Source, from: number, to: number): string {
  const { start, end } = rangeOf(source, from, to);
  return source.text?.slice(start, end) ?? source.tokens.text.slice(from, to).join('');
}
