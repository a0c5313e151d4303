import { RefusedError, told } from '../../errors';
import type { Graph } from '../onnx/graph';
import { NATIVE_DOMAIN } from '../onnx/inlineFunctions';
import { attribute, reads, type GraphNode } from '../onnx/node';

/** One core as `attention.json` declares it (docs/native.md). */
export interface DeclaredCore {
  mechanism: string;
  /** Names of tensors of the graph, [1, heads, tokens, dim]. */
  q: string;
  k: string;
  v: string;
  context: string;
  /** K is [1, heads, dim, tokens], as it goes into the product. */
  turnedKeys: boolean;
  causal: boolean;
  /** Absent: 1 / sqrt(dim). */
  scale: number | null;
  params: Record<string, number | boolean>;
  /** A tensor of the graph, or the numbers themselves, by the mechanism's names for them. */
  tensors: Record<string, string | number[]>;
}

/** Inputs of a function that its body needs, and the mechanism does not. */
export const OF_BODY = 'graph:';

/** The mechanism's name in a function's; several cores of one mechanism have a function each. */
export const mechanismOf = (name: string): string => name.split('@')[0]!;

/**
 * Makes each declared core a call of a function, as if the model had been exported so: the nodes between Q, K, V and the context
 * become its body. @throws RefusedError where the declaration does not fit the graph.
 */
export function foldDeclared(graph: Graph, declaration: unknown): void {
  for (const [index, core] of readDeclaration(declaration).entries())
    foldCore(graph, core, String(index), what => {
      throw new RefusedError(told`attention.json does not fit the model: ${what} (core ${index}).`);
    });
}

/** The nodes of one core become the body of a function that is named after its mechanism and `own`. */
export function foldCore(
  graph: Graph,
  core: DeclaredCore,
  own: string,
  refuse: (what: string) => never,
): void {
  const ends = [core.q, core.k, core.v];
  const made = new Set([
    ...graph.inputs.map(i => i.name),
    ...graph.initializers.keys(),
    ...graph.nodes.flatMap(n => n.outputs),
  ]);
  const named = [...ends, core.context, ...Object.values(core.tensors).filter(t => typeof t === 'string')];
  const missing = named.find(name => !made.has(name));
  if (missing !== undefined) refuse(`it has no tensor ${JSON.stringify(missing)}`);
  const body = between(graph, ends, core.context);
  if (body.length === 0) refuse('its context is not made of its q, k and v');
  if (body.some(n => n.captures.length > 0)) refuse('branches or loops stand in its attention');
  const inside = new Set(body.flatMap(n => n.outputs));
  const leak = [...inside].find(
    name =>
      name !== core.context && (name === graph.output || graph.consumers(name).some(n => !body.includes(n))),
  );
  if (leak !== undefined) refuse(`${JSON.stringify(leak)} of its attention is read elsewhere`);
  const sides = [...new Set(body.flatMap(n => reads(n)))].filter(
    name => !inside.has(name) && !ends.includes(name),
  );
  const tensors = Object.entries(core.tensors).map(([name, value]) => ({
    name,
    input: typeof value === 'string' ? value : graph.floats(value, [value.length]),
  }));
  const formals = new Map<string, string>();
  ends.forEach((name, i) => formals.set(name, formals.get(name) ?? 'qkv'[i]!));
  sides.forEach((name, i) => formals.set(name, `${OF_BODY}${i}`));
  const formal = (name: string) => (name === '' ? '' : (formals.get(name) ?? `inner:${name}`));
  const params = {
    ...core.params,
    causal: core.causal,
    turnedKeys: core.turnedKeys,
    ...(core.scale === null ? {} : { scale: core.scale }),
  };
  const call = `${core.mechanism}@${own}`;
  graph.define({
    name: call,
    input: ['q', 'k', 'v', ...tensors.map(t => t.name), ...sides.map((_, i) => `${OF_BODY}${i}`)],
    output: [formal(core.context)],
    attribute: Object.keys(params),
    node: body.map(n => ({
      op_type: n.op,
      domain: n.domain,
      input: n.inputs.map(formal),
      output: n.outputs.map(formal),
      attribute: n.attributes,
    })),
  });
  const node: GraphNode = {
    op: call,
    domain: NATIVE_DOMAIN,
    inputs: [...ends, ...tensors.map(t => t.input), ...sides],
    outputs: [core.context],
    attributes: Object.entries(params).map(([name, value]) => attribute.float(name, Number(value))),
    captures: [],
  };
  graph.setNodes([...graph.nodes.filter(n => !body.includes(n)), node]);
}

/** The nodes on the ways from `ends` to `context`. */
function between(graph: Graph, ends: readonly string[], context: string): GraphNode[] {
  const after = graph.reachable(ends);
  const body = new Set<GraphNode>();
  const queue = [context];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const node = ends.includes(next) ? undefined : graph.producer(next);
    if (!node || body.has(node) || !reads(node).some(name => after.has(name))) continue;
    body.add(node);
    queue.push(...reads(node).filter(name => after.has(name)));
  }
  return graph.nodes.filter(n => body.has(n));
}

// ---------------------------------------------------------------- reading

function readDeclaration(declaration: unknown): DeclaredCore[] {
  const cores = (declaration as { cores?: unknown } | null)?.cores;
  if (!Array.isArray(cores) || cores.length === 0) throw malformed('it has no list of "cores"');
  return cores.map(readCore);
}

function readCore(given: unknown, index: number): DeclaredCore {
  const core = record(given, index);
  const word = (key: string): string => {
    const value = core[key];
    if (typeof value !== 'string' || value === '') throw malformed(`core ${index} needs "${key}"`);
    return value;
  };
  const { causal = true, turnedKeys = false, scale = null } = core;
  if (typeof causal !== 'boolean' || typeof turnedKeys !== 'boolean')
    throw malformed(`"causal" and "turnedKeys" of core ${index} must be true or false`);
  if (scale !== null && typeof scale !== 'number')
    throw malformed(`"scale" of core ${index} must be a number`);
  const entries = <T>(key: string, fits: (value: unknown) => value is T, what: string): Record<string, T> => {
    const all = Object.entries(record(core[key] ?? {}, index));
    const wrong = all.find(([, value]) => !fits(value));
    if (wrong) throw malformed(`"${wrong[0]}" of core ${index} must be ${what}`);
    return Object.fromEntries(all) as Record<string, T>;
  };
  const isSetting = (v: unknown): v is number | boolean => typeof v === 'number' || typeof v === 'boolean';
  const isTensor = (v: unknown): v is string | number[] =>
    typeof v === 'string' || (Array.isArray(v) && v.every(one => typeof one === 'number'));
  return {
    mechanism: word('mechanism'),
    q: word('q'),
    k: word('k'),
    v: word('v'),
    context: word('context'),
    turnedKeys,
    causal,
    scale,
    params: entries('params', isSetting, 'a number, true or false'),
    tensors: entries('tensors', isTensor, "the name of one of the model's tensors, or a list of numbers"),
  };
}

function record(value: unknown, index: number): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed(`core ${index} is not as docs/native.md has it`);
  return value as Record<string, unknown>;
}

const malformed = (what: string) => new RefusedError(told`attention.json cannot be read: ${what}.`);
