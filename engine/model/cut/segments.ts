import { ElementType } from '../../runtime/onnxProto';
import { CUT_DOMAIN, type CutCore } from './cutGraph';
import type { Extract, Graph } from '../onnx/graph';
import { reads, type GraphNode } from '../onnx/node';

export interface Segments {
  /** One piece per level; null where nothing is to be done. */
  pieces: (Extract | null)[];
  /** For each core of the list: the level after which it can run; null = the output does not depend on it. */
  coreLevels: (number | null)[];
  /** Rows of the head's own table that the last piece looks up before all else, and the graph inputs it needs for that. */
  lookup: { output: string; inputs: string[] } | null;
}

/**
 * Cuts the rewritten graph into pieces: piece L is everything that needs L cores (or the head) in a row before it.
 * `lookup`: rows of the table that is also the head's; they are looked up by the last piece, so that one session alone
 * maps the table. `told`: tensors that are given out beside what the other pieces read.
 */
export function segmentsOf(
  graph: Graph,
  cores: readonly CutCore[],
  lookup: string | null = null,
  told: readonly string[] = [],
): Segments {
  const level = levelsOf(graph);
  const free = freeTensors(graph);
  const standIns = liveStandIns(graph);
  const madeOutside = new Set(standIns.flatMap(n => n.outputs));
  const last = level(graph.output);
  const cone = lookup === null ? new Set<string>() : ancestors(graph, lookup);
  if (lookup !== null) {
    if (level(lookup) > 0 || last === 0) return segmentsOf(graph, cores, null, told);
    madeOutside.add(lookup);
  }
  const wanted: Set<string>[] = Array.from({ length: last + 1 }, () => new Set());
  const want = (name: string) => {
    if (!graph.isInput(name) && !madeOutside.has(name)) wanted[level(name)]!.add(name);
  };
  want(graph.output);
  for (const name of told) if (level(name) <= last) want(name);
  if (lookup !== null) wanted[last]!.add(lookup);
  for (const node of standIns) node.inputs.forEach(want);
  const pieces: (Extract | null)[] = [];
  for (let at = last; at >= 0; at--) {
    if (wanted[at]!.size === 0) {
      pieces[at] = null;
      continue;
    }
    const piece = graph.extract(
      [...wanted[at]!],
      name =>
        !(at === last && cone.has(name)) && (madeOutside.has(name) || (level(name) < at && !free.has(name))),
    );
    piece.inputs.forEach(want);
    pieces[at] = piece;
  }
  const live = new Map(standIns.map(n => [n.outputs[0]!, n]));
  const coreLevels = cores.map(core => {
    const node = live.get(core.context);
    return node ? Math.max(...node.inputs.map(level)) : null;
  });
  if (lookup === null) return { pieces, coreLevels, lookup: null };
  const { inputs, nodes } = pieces[last]!;
  const own = inputs.filter(name => cone.has(name));
  const shared = nodes.some(n => !n.outputs.some(o => cone.has(o)) && reads(n).some(i => own.includes(i)));
  return shared
    ? segmentsOf(graph, cores, null, told)
    : { pieces, coreLevels, lookup: { output: lookup, inputs: own } };
}

/** Everything that a tensor is computed from, itself included. */
function ancestors(graph: Graph, name: string): Set<string> {
  const found = new Set<string>();
  const stack = [name];
  while (stack.length > 0) {
    const next = stack.pop()!;
    if (found.has(next)) continue;
    found.add(next);
    const made = graph.producer(next);
    if (made) stack.push(...reads(made));
  }
  return found;
}

function levelsOf(graph: Graph): (name: string) => number {
  const levels = new Map<string, number>();
  for (const node of graph.nodes) {
    let at = 0;
    for (const input of reads(node)) at = Math.max(at, levels.get(input) ?? 0);
    if (node.domain === CUT_DOMAIN) at++;
    for (const o of node.outputs) levels.set(o, at);
  }
  return name => levels.get(name) ?? 0;
}

/** Constants, and whole-number arithmetic on lengths: cheaper to repeat in each segment than to pass on. */
function freeTensors(graph: Graph): Set<string> {
  const constants = graph.constants();
  const free = new Set(constants);
  const cheap = new Set<number>([ElementType.int64, ElementType.int32, ElementType.bool]);
  for (const node of graph.nodes) {
    if (node.domain === CUT_DOMAIN) continue;
    const ofInput = node.op === 'Shape' && graph.isInput(node.inputs[0]!);
    if (!ofInput && !reads(node).every(i => free.has(i))) continue;
    for (const o of node.outputs) if (constants.has(o) || cheap.has(graph.type(o))) free.add(o);
  }
  return free;
}

function liveStandIns(graph: Graph): GraphNode[] {
  const live = new Set<GraphNode>();
  const stack = [graph.output];
  while (stack.length > 0) {
    const node = graph.producer(stack.pop()!);
    if (!node || live.has(node)) continue;
    live.add(node);
    stack.push(...reads(node));
  }
  return graph.nodes.filter(n => n.domain === CUT_DOMAIN && live.has(n));
}

/** The cores that each core's queries and keys come from; tells cross-attention and the stacks apart. */
export function originsOf(
  graph: Graph,
  cores: readonly CutCore[],
): { query: Set<number>; key: Set<number> }[] {
  const index = new Map(cores.map((c, i) => [c.context, i]));
  const memo = new Map<string, Set<number>>();
  for (const node of graph.nodes) {
    const set = new Set<number>();
    for (const input of reads(node)) for (const c of memo.get(input) ?? []) set.add(c);
    for (const o of node.outputs) {
      const core = index.get(o);
      memo.set(o, core === undefined ? set : new Set([...set, core]));
    }
  }
  const of = (name: string) => memo.get(name) ?? new Set<number>();
  return cores.map(c => ({ query: of(c.q), key: of(c.k) }));
}
