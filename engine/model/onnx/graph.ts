import { RefusedError } from '../../errors';
import {
  ElementType,
  encodeModel,
  type AttributeProto,
  type NodeProto,
  type Partially,
  type TensorProto,
  type ValueInfoProto,
} from '../../runtime/onnxProto';
import { outputTypes } from './elementTypes';
import { conventionsOf, type Conventions, type GraphInput } from './inputs';
import { NATIVE_DOMAIN, type FunctionProto } from './inlineFunctions';
import { normalDomain, reads, type GraphNode } from './node';

/** One half of a port: a session calls its inputs i0, i1, ... and its outputs o0, o1, ... */
export interface Extract {
  bytes: Uint8Array;
  /** Tensor names in port order. */
  inputs: string[];
  outputs: string[];
  /** Initialisers that the piece uses. */
  initializers: string[];
  nodes: GraphNode[];
}

/** The ONNX graph as the cutter works on it: nodes, initialisers by name, and one output. Nodes are never changed in place. */
export class Graph {
  private producers: Map<string, GraphNode> | null = null;
  private readers: Map<string, GraphNode[]> | null = null;
  private types: Map<string, number> | null = null;
  private readonly inputsByName: ReadonlyMap<string, GraphInput>;
  private fresh = 0;
  /** How inputs are filled whose shape the file leaves open. */
  conventions: Conventions = conventionsOf([], {});

  constructor(
    public nodes: GraphNode[],
    readonly initializers: Map<string, Partially<TensorProto>>,
    readonly inputs: GraphInput[],
    public output: string,
    /** As the file declares it. */
    readonly outputType: number,
    private readonly opsets: { domain: string; version: number }[],
    private readonly irVersion: number,
    /** Mechanisms that the model is made with, which its nodes call by name. */
    readonly functions: FunctionProto[] = [],
  ) {
    this.inputsByName = new Map(inputs.map(input => [input.name, input]));
  }

  /** An independent copy; nodes and tensors are shared. */
  clone(): Graph {
    const copy = new Graph(
      [...this.nodes],
      new Map(this.initializers),
      this.inputs,
      this.output,
      this.outputType,
      this.opsets,
      this.irVersion,
      [...this.functions],
    );
    copy.conventions = this.conventions;
    return copy;
  }

  opset(domain = ''): number {
    return this.opsets.find(o => normalDomain(o.domain) === domain)?.version ?? 1;
  }

  isInput(name: string): boolean {
    return this.inputsByName.has(name);
  }

  producer(name: string): GraphNode | undefined {
    this.producers ??= new Map(this.nodes.flatMap(n => n.outputs.map(o => [o, n] as const)));
    return this.producers.get(name);
  }

  consumers(name: string): readonly GraphNode[] {
    if (!this.readers) {
      this.readers = new Map();
      for (const node of this.nodes)
        for (const input of new Set(reads(node))) {
          const list = this.readers.get(input);
          if (list) list.push(node);
          else this.readers.set(input, [node]);
        }
    }
    return this.readers.get(name) ?? [];
  }

  /** ONNX element type of a tensor. */
  type(name: string): number {
    if (!this.types) {
      this.types = new Map(this.inputs.map(i => [i.name, i.type]));
      for (const [key, t] of this.initializers) this.types.set(key, t.data_type!);
      for (const node of this.nodes) {
        const found = outputTypes(node, name => this.types!.get(name) ?? ElementType.float32);
        node.outputs.forEach((o, i) => this.types!.set(o, found[i]!));
      }
    }
    return this.types.get(name) ?? ElementType.float32;
  }

  /** Adds a mechanism that a node may call, written with the operators of this graph. */
  define(
    one: Pick<FunctionProto, 'name' | 'input' | 'output' | 'attribute'> & { node: Partially<NodeProto>[] },
  ): void {
    if (!this.opsets.some(o => o.domain === NATIVE_DOMAIN))
      this.opsets.push({ domain: NATIVE_DOMAIN, version: 1 });
    const opset_import = this.opsets.filter(o => o.domain !== NATIVE_DOMAIN);
    const made = { ...one, domain: NATIVE_DOMAIN, overload: '', attribute_proto: [], opset_import };
    this.functions.push(made as FunctionProto);
  }

  /** Replaces the nodes (in any order) and sorts them so that producers come first, otherwise keeping their order. */
  setNodes(nodes: GraphNode[]): void {
    this.nodes = nodes;
    this.forget();
    this.sort();
  }

  /** Drops every node that the output does not need. */
  prune(): void {
    const live = new Set<GraphNode>();
    const stack = [this.output];
    while (stack.length > 0) {
      const node = this.producer(stack.pop()!);
      if (!node || live.has(node)) continue;
      live.add(node);
      for (const name of reads(node)) stack.push(name);
    }
    this.nodes = this.nodes.filter(n => live.has(n));
    this.forget();
  }

  add(node: GraphNode): void {
    this.nodes.push(node);
    this.forget();
  }

  /** Adds a standard operator with one output; returns the output's name. Not sorted in. */
  op(
    op: string,
    inputs: string[],
    attributes: Partially<AttributeProto>[] = [],
    output = this.name(op),
    domain = '',
  ): string {
    this.add({ op, domain, inputs, outputs: [output], attributes, captures: [] });
    return output;
  }

  /** Adds a node with several outputs. */
  ops(op: string, inputs: string[], outputs: number, attributes: Partially<AttributeProto>[] = []): string[] {
    const names = Array.from({ length: outputs }, () => this.name(op));
    this.add({ op, domain: '', inputs, outputs: names, attributes, captures: [] });
    return names;
  }

  ints(values: readonly number[], dims: readonly number[] = [values.length]): string {
    return this.constant(ElementType.int64, BigInt64Array.from(values, BigInt), dims);
  }

  floats(values: readonly number[] | Float32Array, dims: readonly number[]): string {
    return this.constant(ElementType.float32, Float32Array.from(values), dims);
  }

  private constant(type: number, data: BigInt64Array | Float32Array, dims: readonly number[]): string {
    const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const name =
      raw.length <= 256
        ? `constant:${type}:${dims.join('x')}:${Buffer.from(raw).toString('hex')}`
        : this.name('constant');
    if (!this.initializers.has(name)) {
      this.initializers.set(name, { name, dims: [...dims], data_type: type, raw_data: raw });
      this.types?.set(name, type);
    }
    return name;
  }

  private name(hint: string): string {
    return `cut:${hint}:${this.nodes.length}:${this.fresh++}`;
  }

  private forget(): void {
    this.producers = this.readers = this.types = null;
  }

  sort(): void {
    const sorted: GraphNode[] = [];
    const state = new Map<GraphNode, 'open' | 'done'>();
    // An explicit stack: long models are deeper than the call stack.
    for (const root of this.nodes) {
      const stack = [root];
      while (stack.length > 0) {
        const node = stack[stack.length - 1]!;
        if (state.get(node) === 'done') {
          stack.pop();
          continue;
        }
        const waiting = reads(node)
          .map(name => this.producer(name))
          .filter((p): p is GraphNode => p !== undefined && state.get(p) !== 'done');
        if (waiting.length === 0) {
          state.set(node, 'done');
          sorted.push(node);
          stack.pop();
        } else if (state.get(node) === 'open') throw new RefusedError('The ONNX graph has a cycle.');
        else {
          state.set(node, 'open');
          for (const p of waiting.reverse()) stack.push(p);
        }
      }
    }
    this.nodes = sorted;
    this.types = null;
  }

  /** Names of tensors that depend on `sources`, through any node for which `through` holds. */
  reachable(sources: Iterable<string>, through: (node: GraphNode) => boolean = () => true): Set<string> {
    const found = new Set(sources);
    for (const node of this.nodes)
      if (through(node) && reads(node).some(i => found.has(i))) for (const o of node.outputs) found.add(o);
    return found;
  }

  /** Names of tensors computed from initialisers alone. */
  constants(): Set<string> {
    const found = new Set(this.initializers.keys());
    for (const node of this.nodes)
      if (reads(node).every(i => found.has(i)) && !node.op.startsWith('Random'))
        for (const o of node.outputs) found.add(o);
    return found;
  }

  /**
   * The piece of the graph that computes `outputs` from `stops` (tensors given from outside), graph inputs and
   * initialisers, as a model of its own. Names are canonical, so equal pieces have equal bytes.
   */
  extract(outputs: readonly string[], stops: (name: string) => boolean): Extract {
    // Depth first from the outputs: the order of nodes and inputs then depends on the structure alone.
    const done = new Set<string>();
    const nodes: GraphNode[] = [];
    const inputs: string[] = [];
    const stack = [...outputs].reverse();
    while (stack.length > 0) {
      const name = stack[stack.length - 1]!;
      const node = this.producer(name);
      const given = stops(name) || (!node && !this.initializers.has(name));
      const waiting = given || !node ? [] : reads(node).filter(i => !done.has(i));
      if (!done.has(name) && waiting.length > 0) {
        for (const input of waiting.reverse()) stack.push(input);
        continue;
      }
      stack.pop();
      if (done.has(name)) continue;
      if (given) inputs.push(name);
      if (given || !node) done.add(name);
      else {
        nodes.push(node);
        for (const o of node.outputs) if (!stops(o)) done.add(o);
      }
    }
    return this.encode(nodes, inputs, [...outputs]);
  }

  /** Graph inputs keep their declared shape; other ports have a type only. */
  private portType(name: string): NonNullable<Partially<ValueInfoProto>['type']> {
    const dims = this.inputsByName.get(name)?.dims;
    const shape = dims && {
      dim: dims.map(d => (typeof d === 'number' ? { dim_value: d } : { dim_param: d })),
    };
    return { tensor_type: { elem_type: this.type(name), ...(shape ? { shape } : {}) } };
  }

  private encode(nodes: GraphNode[], inputs: string[], outputs: string[]): Extract {
    const given = new Set(inputs);
    const made = new Set(nodes.flatMap(n => n.outputs));
    const names = new Map<string, string>();
    const captured = new Set(nodes.flatMap(n => n.captures));
    const used: string[] = [];
    inputs.forEach((name, i) => names.set(name, captured.has(name) ? name : `i${i}`));
    const rename = (name: string): string => {
      if (name === '') return '';
      let short = names.get(name);
      if (short === undefined) {
        const initializer = !made.has(name) && this.initializers.has(name);
        if (initializer) used.push(name);
        // Bodies of If and Loop read by the original name.
        short = captured.has(name) ? name : `t${names.size}`;
        names.set(name, short);
      }
      return short;
    };
    const protos: Partially<NodeProto>[] = nodes.map(node => {
      node.captures.forEach(rename);
      return {
        op_type: node.op,
        domain: node.domain,
        input: node.inputs.map(rename),
        output: node.outputs.map(rename),
        attribute: node.attributes,
      };
    });
    const ports = outputs.map((_, i) => ({ name: `o${i}` }));
    // Where a node makes the output itself, let it: an Identity is only needed for inputs, non-floats and doubles.
    const direct = new Map<string, string>();
    outputs.forEach((name, i) => {
      const short = rename(name);
      const isPlain =
        made.has(name) &&
        !given.has(name) &&
        this.type(name) === ElementType.float32 &&
        !captured.has(name) &&
        !direct.has(short);
      if (isPlain) direct.set(short, `o${i}`);
      else protos.push({ op_type: 'Identity', input: [short], output: [`o${i}`] });
    });
    const port = (name: string) => direct.get(name) ?? name;
    for (const proto of protos) {
      proto.input = proto.input!.map(port);
      proto.output = proto.output!.map(port);
    }
    const called = this.functions.filter(f => nodes.some(n => n.domain === f.domain && n.op === f.name));
    const bytes = encodeModel({
      // Functions came with version 8.
      ir_version: called.length > 0 ? Math.max(8, this.irVersion) : this.irVersion,
      producer_name: 'attention-inspector',
      opset_import: this.opsets,
      functions: called,
      graph: {
        name: 'g',
        node: protos,
        initializer: used.map(name => ({ ...this.initializers.get(name)!, name: names.get(name)! })),
        input: inputs.map(name => ({ name: names.get(name)!, type: this.portType(name) })),
        output: ports,
      },
    });
    return { bytes, inputs, outputs, initializers: used, nodes };
  }
}
