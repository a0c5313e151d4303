import type { Block } from '../attention/kernels/blocks';
import { visibleKeys, type CoreInput } from '../attention/core';
import type { BlockRun } from '../attention/kernels/dense';
import type { GraphBuilder } from '../runtime/graphBuilder';
import { floats, type Tensor } from '../runtime/tensor';
import { lowerBound } from '../statistics';
import type { Measure, MeasureValues } from './measure';

export type RepeatKind = 'duplicate' | 'induction';
const KINDS: readonly RepeatKind[] = ['duplicate', 'induction'];

/**
 * Mass on repeats of the query's own token (Olsson et al., In-context Learning and Induction Heads, 2022).
 * duplicate: keys with the same token; earlier ones only, in a causal core, any other one in a bidirectional core.
 * induction: keys that follow an earlier occurrence of the query's token, up to the query itself.
 * The pairs are known from the tokens alone, so the graph gathers just those.
 */
export class Repeats implements Measure {
  readonly key = 'repeats';
  /** [heads] summed mass per kind. */
  readonly mass: Record<RepeatKind, Float64Array>;
  /** Queries that see at least one such key, and the mean share of such keys among those they see. */
  readonly queries: Record<RepeatKind, number> = { duplicate: 0, induction: 0 };
  readonly chance: Record<RepeatKind, number> = { duplicate: 0, induction: 0 };
  private readonly positions = new Map<number, number[]>();

  /** `ids`: the tokens of the keys; null when queries are other tokens (cross attention). */
  constructor(
    private readonly input: CoreInput,
    private readonly ids: Int32Array | null,
  ) {
    this.mass = { duplicate: new Float64Array(input.heads), induction: new Float64Array(input.heads) };
    ids?.forEach((id, t) => {
      const known = this.positions.get(id);
      if (known) known.push(t);
      else this.positions.set(id, [t]);
    });
  }

  build(g: GraphBuilder, { probabilities }: MeasureValues): void {
    const flat = g.op('Reshape', [probabilities, g.int([0, -1])]);
    for (const kind of KINDS) {
      const pairs = g.op('Gather', [flat, g.input(kind, 'int32', [`${kind}Pairs`])], { axis: 1 });
      g.output(`${kind}Mass`, g.op('ReduceSum', [pairs, g.int([1])], { keepdims: 0 }));
    }
  }

  feeds(block: Block): Record<string, Tensor> {
    return Object.fromEntries(
      KINDS.map(kind => {
        const pairs = this.pairs(block, kind);
        return [kind, { type: 'int32', data: pairs, dims: [pairs.length] }];
      }),
    );
  }

  take({ head, heads, results }: BlockRun): void {
    for (const kind of KINDS) {
      const mass = floats(results[`${kind}Mass`]!);
      for (let g = 0; g < heads; g++) this.mass[kind][head + g]! += mass[g]!;
    }
  }

  /** Mean mass of a head over the queries that see such a key. */
  score(head: number, kind: RepeatKind): number {
    return this.queries[kind] === 0 ? 0 : this.mass[kind][head]! / this.queries[kind];
  }

  /** Places of the pairs in the flattened block, rows last query first. Counts queries on the way. */
  private pairs(block: Block, kind: RepeatKind): Int32Array {
    // An empty Gather is not served everywhere: the last column of the first row is padding, its mass is 0.
    const places: number[] = [block.columns - 1];
    if (this.ids === null) return Int32Array.from(places);
    const { causal } = this.input.rule.mask;
    const shift = kind === 'induction' ? 1 : 0;
    for (let r = 0; r < block.rows; r++) {
      const position = block.lastPosition - r;
      const occurrences = position < 0 ? undefined : this.positions.get(this.ids[position]!);
      if (!occurrences) continue;
      const { from, to } = visibleKeys(this.input, block.from + block.rows - 1 - r);
      const earlier = kind === 'induction' || causal;
      const end = Math.min(to, earlier ? position + shift : this.input.keys);
      const before = places.length;
      for (let t = lowerBound(occurrences, from - shift); t < occurrences.length; t++) {
        const key = occurrences[t]! + shift;
        if (key >= end) break;
        if (kind === 'duplicate' && key === position) continue;
        places.push(r * block.columns + key - block.firstKey);
      }
      if (places.length === before) continue;
      this.queries[kind]++;
      this.chance[kind] += (places.length - before) / (to - from);
    }
    return Int32Array.from(places);
  }
}
