/** `analysis/patchEdges`: what a head carries from one token to another, from one text put into the run of another of equal length. */
import type { Analysis } from './analysis';
import { attendDense } from './changedRun';
import { lastOf, PatchAnswers, refuseTexts, refuseToken } from './patchAnswers';
import { kvHead, ownMap, type CoreInput } from '../attention/core';
import { denseRows } from '../attention/kernels/dense';
import { checkpoint } from '../runtime/cancellation';
import type { Tokenizer } from '../model/tokens/tokenizer';
import type { EdgePatching, PatchedEdge, PatchEdgesParams } from '../../shared/protocol/engine';

/** Edges that are put in unless some are named, and how many may be asked for: each takes a run behind the layer. */
const EDGES = 16;
/** Probabilities that are held at once. */
const HELD = 2 ** 20;

type Given = Omit<PatchEdgesParams, 'id' | 'from'>;
type Edge = Pick<PatchedEdge, 'query' | 'key' | 'moved'>;

/** The text runs once; behind the head's core, that run goes on once for each edge. */
export async function patchEdges(
  analysis: Analysis,
  other: Analysis,
  { core, head, edges: named, most = EDGES, ...given }: Given,
  tokenizer: Tokenizer,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<EdgePatching> {
  const at = given.at ?? lastOf(analysis);
  refuseTexts(analysis, other, at);
  analysis.head(core, head);
  for (const { query, key } of named ?? []) [query, key].forEach(token => refuseToken(analysis, token));
  const [own, others] = [analysis, other].map(one => new Carried(one, core, head, signal)) as [
    Carried,
    Carried,
  ];
  await own.read();
  await others.read();
  const chosen = named
    ? await own.between(others, named)
    : await own.mostBetween(others, Math.min(at, lastOf(analysis)), most);
  const dense = attendDense(analysis, signal);
  const otherOutput = await other.run(attendDense(other, signal), { signal });
  const ownOutput = await analysis.run(dense, { signal });
  const answers = await PatchAnswers.of(analysis, ownOutput, otherOutput, given, tokenizer, signal);
  const edges: PatchedEdge[] = [];
  await analysis.run(dense, {
    signal,
    onContext: async (info, context, goOn) => {
      if (info.core !== core) return;
      for (const { query, key, moved, change } of chosen) {
        onProgress(edges.length / chosen.length);
        const patched = context.slice();
        const row = (head * analysis.tokens.ids.length + query) * change.length;
        change.forEach((value, c) => (patched[row + c]! += value));
        edges.push({ query, key, moved, ...(await answers.judge(await goOn(patched, dense))) });
      }
    },
  });
  return { ...answers.texts, core, head, edges };
}

/** What a head gives a query from a key in one text: its probability times the key's value. */
class Carried {
  private input!: CoreInput;

  constructor(
    private readonly analysis: Analysis,
    private readonly core: number,
    private readonly head: number,
    private readonly signal: AbortSignal,
  ) {}

  async read(): Promise<void> {
    this.input = ownMap((await this.analysis.tensors(this.core, this.signal)).input);
  }

  private rows(from: number, to: number): Promise<Float32Array> {
    return denseRows(this.input, this.head, from, to, this.analysis.context(this.signal));
  }

  private value(key: number): Float32Array {
    const { keys, valueDim, v } = this.input;
    const at = (kvHead(this.input, this.head) * keys + key) * valueDim;
    return v.subarray(at, at + valueDim);
  }

  /** Of edges: what the other text's head gives there less what this one's does. */
  async between(
    other: Carried,
    edges: readonly Pick<Edge, 'query' | 'key'>[],
  ): Promise<(Edge & { change: Float32Array })[]> {
    const found: (Edge & { change: Float32Array })[] = [];
    for (const { query, key } of edges) {
      const [own, others] = [await this.rows(query, query + 1), await other.rows(query, query + 1)];
      const [v, w] = [this.value(key), other.value(key)];
      const change = v.map((value, c) => others[key]! * w[c]! - own[key]! * value);
      found.push({ query, key, moved: Math.hypot(...change), change });
    }
    return found;
  }

  /** The edges to tokens up to `last` whose change is largest. */
  async mostBetween(
    other: Carried,
    last: number,
    most: number,
  ): Promise<(Edge & { change: Float32Array })[]> {
    const { keys } = this.input;
    // |q w - p v|² of every query from three products of each key.
    const products = Array.from({ length: keys }, (_, key) => {
      const [v, w] = [this.value(key), other.value(key)];
      return { vv: dot(v, v), vw: dot(v, w), ww: dot(w, w) };
    });
    let best: Edge[] = [];
    const step = Math.max(1, Math.floor(HELD / keys));
    for (let from = 0; from <= last; from += step) {
      await checkpoint(this.signal);
      const to = Math.min(last + 1, from + step);
      const [own, others] = [await this.rows(from, to), await other.rows(from, to)];
      for (let at = 0; at < own.length; at++) {
        const [p, q] = [own[at]!, others[at]!];
        const { vv, vw, ww } = products[at % keys]!;
        const moved = Math.sqrt(Math.max(0, q * q * ww - 2 * p * q * vw + p * p * vv));
        if (moved > 0 && (best.length < most || moved > best[most - 1]!.moved))
          best = placed(best, { query: from + Math.floor(at / keys), key: at % keys, moved }, most);
      }
    }
    return this.between(other, best);
  }
}

/** A list that falls, with one more in its place, and no longer than so. */
function placed(list: readonly Edge[], one: Edge, most: number): Edge[] {
  const smaller = list.findIndex(({ moved }) => moved < one.moved);
  const at = smaller < 0 ? list.length : smaller;
  return [...list.slice(0, at), one, ...list.slice(at)].slice(0, most);
}

function dot(a: Float32Array, b: Float32Array): number {
  let total = 0;
  for (let c = 0; c < a.length; c++) total += a[c]! * b[c]!;
  return total;
}
