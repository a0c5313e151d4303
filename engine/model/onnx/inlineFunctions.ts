import { RefusedError, told } from '../../errors';
import {
  changed,
  type AttributeProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
} from '../../runtime/onnxProto';
import { NODE_LIMIT, PART_LIMIT } from './census';
import { normalDomain } from './node';

/** A function of the model's own (ONNX FunctionProto). */
export interface FunctionProto {
  name: string;
  domain: string;
  overload: string;
  input: string[];
  output: string[];
  /** Names of attributes that a call gives. */
  attribute: string[];
  /** Defaults of attributes. */
  attribute_proto: AttributeProto[];
  node: NodeProto[];
  opset_import: { domain: string; version: number }[];
}

/** Calls within calls: exporters make a handful, and each takes its share of the stack. */
const DEPTH_LIMIT = 64;

/** Domain of functions that stand for a mechanism: a call of one that takes queries, keys and values is kept as it is. */
export const NATIVE_DOMAIN = 'attention_inspector';

export const isNative = ({ domain, input }: Pick<FunctionProto, 'domain' | 'input'>): boolean =>
  domain === NATIVE_DOMAIN && input.slice(0, 3).join() === 'q,k,v';

/** Attributes of the call around, by their names. */
type Given = ReadonlyMap<string, AttributeProto>;
const NONE_GIVEN: Given = new Map();

/**
 * The model with every call of its own functions replaced by the function's nodes (ONNX IR, "Functions"), as ONNX Runtime
 * does it; mechanisms stay calls. Throws RefusedError for functions that call themselves or were written for other operator versions.
 */
export function inlineFunctions(model: ModelProto): ModelProto {
  if (model.functions.length === 0) return model;
  const all = model.functions as FunctionProto[];
  const functions = new Map(
    all.filter(f => !isNative(f)).map(f => [callKey(f.domain, f.name, f.overload), f] as const),
  );
  const opsets = [...model.opset_import];
  for (const { name, opset_import } of all)
    for (const one of opset_import) {
      const known = opsets.find(o => normalDomain(o.domain) === normalDomain(one.domain));
      if (!known) opsets.push(one);
      else if (Number(known.version) !== Number(one.version))
        throw new RefusedError(
          told`The model's function ${name} is written for another version of the ONNX operators than the model; export it with functions inlined.`,
        );
    }
  const inliner = new Inliner(functions);
  return changed(model, {
    functions: all.filter(isNative),
    opset_import: opsets,
    graph: inliner.graph(model.graph!, [], NONE_GIVEN),
  });
}

const callKey = (domain: string, name: string, overload = '') =>
  `${normalDomain(domain)}|${name}|${overload}`;

class Inliner {
  private calls = 0;
  private nodes = 0;
  private parts = 0;
  private readonly sizes = new Map<FunctionProto, number>();

  constructor(private readonly functions: ReadonlyMap<string, FunctionProto>) {}

  /** `open`: the functions that are being written out; `given`: attributes of the call around. */
  graph(graph: GraphProto, open: readonly string[], given: Given): GraphProto {
    return changed(graph, { node: graph.node.flatMap(node => this.node(node, open, given)) });
  }

  private node(node: NodeProto, open: readonly string[], given: Given): NodeProto[] {
    if (++this.nodes > NODE_LIMIT) throw tooMany(`${NODE_LIMIT} nodes`);
    const attribute = node.attribute.flatMap(a => referred(a, given));
    const key = callKey(node.domain, node.op_type, (node as { overload?: string }).overload);
    const called = this.functions.get(key);
    if (!called) {
      const inner = attribute.map(a => (a.g ? changed(a, { g: this.graph(a.g, open, given) }) : a));
      return [changed(node, { attribute: inner })];
    }
    if (open.includes(key)) throw new RefusedError(told`The model's function ${called.name} calls itself.`);
    if (open.length === DEPTH_LIMIT)
      throw new RefusedError(
        told`The model's functions are refused: they call each other more than ${DEPTH_LIMIT} deep.`,
      );
    this.countCopy(called);
    const all = [...called.attribute_proto, ...attribute];
    return this.body(called, node, new Map(all.map(a => [a.name, a])), [...open, key]);
  }

  /** Each call makes a copy of the function, names and all. */
  private countCopy(called: FunctionProto): void {
    let size = this.sizes.get(called);
    if (size === undefined) this.sizes.set(called, (size = sizeOf(called.node) + called.input.length));
    this.parts += size;
    if (this.parts > PART_LIMIT) throw tooMany(`${PART_LIMIT} names`);
  }

  private body(called: FunctionProto, node: NodeProto, given: Given, open: readonly string[]): NodeProto[] {
    const prefix = `${called.name}:${this.calls++}:`;
    const names = new Map<string, string>([['', '']]);
    called.input.forEach((formal, i) => names.set(formal, node.input[i] ?? ''));
    called.output.forEach((formal, i) => node.output[i] && names.set(formal, node.output[i]));
    const rename = (name: string) => names.get(name) ?? `${prefix}${name}`;
    return called.node.flatMap(inner => this.node(renamed(inner, rename), open, given));
  }
}

const tooMany = (what: string) =>
  new RefusedError(told`The model's functions are refused: they make more than ${what}.`);

/** Nodes and what each of them lists, bodies included. */
function sizeOf(nodes: readonly NodeProto[]): number {
  let size = 0;
  for (const { input, output, attribute } of nodes) {
    size += 1 + input.length + output.length + attribute.length;
    for (const { g } of attribute) if (g) size += sizeOf(g.node) + g.output.length;
  }
  return size;
}

/** An attribute that refers to one of the call takes its value; one that the call leaves out is left out. */
function referred(attribute: AttributeProto, given: Given): AttributeProto[] {
  const refers = (attribute as { ref_attr_name?: string }).ref_attr_name;
  if (!refers) return [attribute];
  const value = given.get(refers);
  return value ? [changed(value, { name: attribute.name })] : [];
}

/** The node under other tensor names. */
function renamed(node: NodeProto, to: (name: string) => string): NodeProto {
  return changed(node, {
    name: '',
    input: node.input.map(to),
    output: node.output.map(to),
    attribute: node.attribute.map(a => {
      if (!a.g) return a;
      // What a body makes itself keeps its name.
      const own = new Set([
        ...a.g.input.map(i => i.name),
        ...a.g.initializer.map(t => t.name),
        ...a.g.node.flatMap(n => n.output),
      ]);
      const inner = (name: string) => (own.has(name) ? name : to(name));
      const g = changed(a.g, {
        output: a.g.output.map(o => changed(o, { name: inner(o.name) })),
        node: a.g.node.map(n => renamed(n, inner)),
      });
      return changed(a, { g });
    }),
  });
}
