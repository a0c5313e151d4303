import { createHash } from 'node:crypto';
import { RefusedError, told } from '../../errors';
import type { Tensor } from '../../runtime/tensor';
import type { CutCore } from './cutGraph';
import type { AxisOrder, FoundCore } from './findCores';
import type { Graph } from '../onnx/graph';
import { layoutOf, type Layout } from './layout';
import type { Survey } from './survey';

/** Runs the uncut graph at two lengths: how each core's tensors lie, and how many key heads are distinct. */
export async function measureCores(graph: Graph, found: FoundCore[], survey: Survey): Promise<CutCore[]> {
  const small = survey.limit !== null && survey.limit < 13;
  const [n, m]: [number[], number[]] = small
    ? [
        [4, 6],
        [3, 5],
      ]
    : [
        [9, 13],
        [6, 11],
      ];
  const names = [...new Set(found.flatMap(c => [c.q, c.k, c.v, c.context]))];
  const samples = [0, 1].map(i => survey.ids(n[i]!, m[i]!, 7 + i));
  const [first, second] = (await survey.tensors(graph, names, samples)) as [
    Map<string, Tensor>,
    Map<string, Tensor>,
  ];
  const layout = (what: string, name: string, heads: number, order: AxisOrder) => {
    const dims = [first.get(name)!.dims, second.get(name)!.dims] as const;
    const growth = dims[0].map((d, i) => dims[1][i]! - d).find(d => d !== 0);
    const isTarget = survey.idInputs.length > 1 && growth === m[1]! - m[0]! && dims[0].includes(m[0]!);
    const lengths = (isTarget ? m : n) as [number, number];
    return { input: isTarget ? 1 : 0, layout: layoutOf(what, dims, lengths, heads, order) };
  };
  return found.map((core, i): CutCore => {
    const where = `of attention ${i}`;
    const q = layout(`queries ${where}`, core.q, core.packed?.heads ?? 0, core.axes.q);
    const k = layout(`keys ${where}`, core.k, core.packed?.kvHeads ?? 0, core.axes.k);
    const v = layout(`values ${where}`, core.v, core.packed?.kvHeads ?? 0, core.axes.v);
    const context = layout(`outputs ${where}`, core.context, core.packed?.heads ?? 0, core.axes.context);
    if (k.layout.heads !== v.layout.heads || q.layout.heads % k.layout.heads !== 0)
      throw new RefusedError(told`The keys and values ${where} have different numbers of heads.`);
    const group = groupSize(k.layout, first.get(core.k)!, v.layout, first.get(core.v)!);
    return {
      found: core,
      layouts: { q: q.layout, k: k.layout, v: v.layout, context: context.layout },
      scoreLead: core.packed
        ? [1, q.layout.heads]
        : q.layout.perm.slice(0, -2).map(axis => q.layout.raw[axis]!),
      heads: q.layout.heads,
      kvHeads: k.layout.heads / group,
      dim: q.layout.dim,
      valueDim: v.layout.dim,
      queryInput: q.input,
      keyInput: k.input,
      q: `core${i}.q`,
      k: `core${i}.k`,
      v: `core${i}.v`,
      context: `core${i}.context`,
    };
  });
}

/** Keys and values that were repeated for grouped queries: the largest group of neighbours that are equal bit for bit. */
function groupSize(kLayout: Layout, k: Tensor, vLayout: Layout, v: Tensor): number {
  const heads = kLayout.heads;
  const kHeads = headsOf(k, kLayout);
  const vHeads = headsOf(v, vLayout);
  for (let group = heads; group > 1; group--) {
    if (heads % group !== 0) continue;
    const repeated = (list: string[]) => list.every((h, i) => h === list[i - (i % group)]);
    if (repeated(kHeads) && repeated(vHeads)) return group;
  }
  return 1;
}

/** A hash of each head's values, read in the canonical order of axes. */
function headsOf(tensor: Tensor, { split, perm, heads }: Layout): string[] {
  const known = split.reduce((product, d) => (d === -1 ? product : product * d), 1);
  const dims = split.map(d => (d === -1 ? tensor.data.length / known : d));
  const strides = dims.map((_, i) => dims.slice(i + 1).reduce((a, b) => a * b, 1));
  const order = perm.map(axis => ({ size: dims[axis]!, stride: strides[axis]! }));
  const perHead = tensor.data.length / heads;
  return Array.from({ length: heads }, (_, head) => {
    const values = tensor.data.slice(0, perHead);
    for (let i = 0; i < perHead; i++) {
      let rest = head * perHead + i;
      let at = 0;
      for (let axis = order.length - 1; axis >= 0; axis--) {
        const { size, stride } = order[axis]!;
        at += (rest % size) * stride;
        rest = Math.floor(rest / size);
      }
      values[i] = tensor.data[at]!;
    }
    return createHash('sha1').update(viewOf(values)).digest('hex');
  });
}

const viewOf = (data: ArrayBufferView) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
