import { createHash } from 'node:crypto';
import {
  AttributeType,
  encodeModel,
  type AttributeProto,
  type Partially,
  type TensorProto,
} from '../../runtime/onnxProto';
import { equalWeights } from '../onnx/weights';
import type { Graph } from '../onnx/graph';
import { attribute, RANDOM, reads, type GraphNode } from '../onnx/node';

/** Equal initialisers become one, Identity nodes vanish, equal nodes become one. No value changes. */
export function simplify(graph: Graph, folder: string): void {
  graph.prune();
  mergeInitializers(graph, folder);
  mergeNodes(graph);
}

function mergeInitializers(graph: Graph, folder: string): void {
  const used = new Set(graph.nodes.flatMap(reads));
  const first = new Map<string, string>();
  const rename = new Map<string, string>();
  const sameWeights = equalWeights(
    [...graph.initializers].filter(([name]) => used.has(name)).map(([, tensor]) => tensor),
    folder,
  );
  for (const [name, tensor] of graph.initializers) {
    if (!used.has(name)) continue;
    const key = sameWeights.get(tensor) ?? tensorKey(tensor);
    const known = first.get(key);
    if (known === undefined) first.set(key, name);
    else {
      rename.set(name, known);
      graph.initializers.delete(name);
    }
  }
  renameAll(graph, rename);
}

function tensorKey(tensor: Partially<TensorProto>): string {
  // `name` is the only field that may differ: hash the serialised rest.
  const bytes = encodeModel({ graph: { initializer: [{ ...tensor, name: '' }] } });
  return createHash('sha1').update(bytes).digest('hex');
}

function renameAll(graph: Graph, rename: Map<string, string>): void {
  if (rename.size === 0) return;
  const to = (name: string) => rename.get(name) ?? name;
  // A body reads by name: what was merged and is captured comes back under its old name.
  const captured = new Set(graph.nodes.flatMap(n => n.captures).filter(name => rename.has(name)));
  const copies = [...captured].map(name => ({ ...IDENTITY, inputs: [to(name)], outputs: [name] }));
  const renamed = graph.nodes.map(n =>
    n.inputs.some(i => rename.has(i)) ? { ...n, inputs: n.inputs.map(to) } : n,
  );
  graph.setNodes([...renamed, ...copies]);
  graph.output = to(graph.output);
}

const IDENTITY = { op: 'Identity', domain: '', attributes: [], captures: [] };

function mergeNodes(graph: Graph): void {
  const captured = new Set(graph.nodes.flatMap(n => n.captures));
  const rename = new Map<string, string>();
  const first = new Map<string, GraphNode>();
  const kept: GraphNode[] = [];
  for (const node of graph.nodes) {
    const inputs = node.inputs.map(i => rename.get(i) ?? i);
    const output = node.outputs[0]!;
    if (node.op === 'Identity' && output !== graph.output && !captured.has(output)) {
      rename.set(output, inputs[0]!);
      continue;
    }
    const renamed = inputs.some((name, i) => name !== node.inputs[i]) ? { ...node, inputs } : node;
    const mergeable =
      node.captures.length === 0 &&
      !RANDOM.has(node.op) &&
      !node.outputs.some(o => o === graph.output || captured.has(o));
    const key = mergeable ? nodeKey(renamed) : '';
    const known = mergeable ? first.get(key) : undefined;
    if (known) node.outputs.forEach((o, i) => o !== '' && rename.set(o, known.outputs[i]!));
    else {
      if (mergeable) first.set(key, renamed);
      kept.push(renamed);
    }
  }
  graph.setNodes(kept);
}

function nodeKey(node: GraphNode): string {
  const outputs = node.outputs.map(o => (o === '' ? '-' : 'x')).join('');
  return [node.domain, node.op, outputs, ...node.inputs, ...node.attributes.map(attributeKey).sort()].join(
    '\u0001',
  );
}

function attributeKey(a: Partially<AttributeProto>): string {
  if (a.type === AttributeType.tensor) return `${a.name}=${tensorKey(a.t ?? {})}`;
  const s = a.s ? Buffer.from(a.s).toString('hex') : '';
  return `${a.name}=${a.type}:${a.i ?? ''}:${a.f ?? ''}:${s}:${a.ints?.join() ?? ''}:${a.floats?.join() ?? ''}:${a.strings?.map(x => Buffer.from(x).toString('hex')).join() ?? ''}`;
}

/** A shape in terms of the lengths of the texts: value = offset + sum of slope x length. */
export interface AffineShape {
  output: string;
  offset: number[];
  /** One list of slopes per length input. */
  slopes: number[][];
}

/**
 * Replaces Shape nodes by arithmetic on the lengths of the id inputs, so that masks and positions no longer hang on
 * activations (and on the weights before them).
 */
export function replaceShapes(graph: Graph, shapes: AffineShape[], idInputs: string[]): void {
  const replaced = new Set(shapes.map(s => s.output));
  const nodes = graph.nodes.filter(n => !(n.op === 'Shape' && replaced.has(n.outputs[0]!)));
  const lengths = idInputs.map(name => `cut:length:${name}`);
  graph.setNodes(nodes);
  idInputs.forEach((name, i) => {
    const shape = graph.op('Shape', [name]);
    const rank = graph.inputs.find(input => input.name === name)?.dims?.length ?? 2;
    graph.op('Gather', [shape, graph.ints([rank - 1])], [attribute.int('axis', 0)], lengths[i]!);
  });
  for (const { output, offset, slopes } of shapes) {
    let sum = graph.ints(offset);
    slopes.forEach((slope, i) => {
      if (slope.every(v => v === 0)) return;
      const part = graph.op('Mul', [lengths[i]!, graph.ints(slope)]);
      sum = graph.op('Add', [part, sum]);
    });
    graph.op('Identity', [sum], [], output);
  }
  graph.sort();
  mergeNodes(graph);
  graph.prune();
}

export function isShapeOf(node: GraphNode): boolean {
  return node.op === 'Shape' && node.domain === '' && reads(node).length === 1;
}
