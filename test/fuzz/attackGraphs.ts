/** Models as an attacker would write them: weights that lie elsewhere, functions, graphs in graphs, much from little. */
import {
  AttributeType,
  ElementType,
  encodeModel,
  modelType,
  type AttributeProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
} from '../../engine/runtime/onnxProto';
import { integers, nodeOf } from './graphs';
import { HOSTILE_NAMES } from './mutate';
import { below, oneOf, seeded, type Random } from './random';

/** Names of files that lie in the model's folder, as `files.ts` makes them. */
export const WEIGHT_FILES = [
  'weights.bin',
  'huge.bin',
  'pipe.bin',
  'folder.bin',
  'outside.bin',
  'device.bin',
];
const LOCATIONS = [...WEIGHT_FILES, ...HOSTILE_NAMES, 'model.onnx', './model.onnx', '.', './weights.bin'];
const OFFSETS = [
  '0',
  '-1',
  '1',
  '4096',
  '18446744073709551615',
  '9223372036854775807',
  '1e3',
  ' 8',
  '0x10',
  '',
];
const LIMITS = [0, 1, 2, 3, 2 ** 31, 2 ** 62, -1];

type Loose = Record<string, unknown>;
type Attack = (graph: GraphProto, random: Random, model: ModelProto & Loose) => void;

export function attackModel(bytes: Uint8Array, seed: number): Uint8Array {
  const random = seeded(seed);
  const model = modelType.toObject(modelType.decode(bytes), { arrays: true }) as ModelProto & Loose;
  for (let times = 1 + below(random, 2); times > 0; times--)
    oneOf(random, attacks)(model.graph!, random, model);
  return encodeModel(model);
}

const attacks: Attack[] = [
  // ------------------------------------------------------------ weights that lie elsewhere
  (graph, random) => moveOut(oneOf(random, graph.initializer) as never, random),
  (graph, random) => graph.initializer.forEach(tensor => random() < 0.3 && moveOut(tensor as never, random)),
  (graph, random, model) => {
    const t = integers('', [1, 2, 3], [3]);
    moveOut(t as never, random);
    const constant = nodeOf('Constant', [], ['constant:out'], [{ name: 'value', type: 4, t: t as never }]);
    oneOf(random, [
      () => graph.node.unshift(constant),
      () => graph.node.unshift(branch('condition', 'branch:out', [constant], ['constant:out'], graph)),
      () => define(model, 'unused', [], ['constant:out'], [constant]),
      () => {
        define(model, 'used', [], ['constant:out'], [constant]);
        graph.node.unshift(call('used', [], ['called:out']));
      },
      () => oneOf(random, graph.node).attribute.push({ name: 'many', type: 9, tensors: [t] } as never),
    ])();
  },
  (graph, random) => {
    const [a, b] = [oneOf(random, graph.initializer), oneOf(random, graph.initializer)];
    for (const tensor of [a, b] as unknown as Loose[])
      Object.assign(tensor, external('weights.bin', '0', null), { raw_data: new Uint8Array(0) });
  },
  /** A small file that stands for much. */
  (graph, random) => {
    const dims = oneOf(random, [[2 ** 28], [2 ** 14, 2 ** 14], [2 ** 30], [2 ** 20, 2 ** 10, 4]]);
    const huge = { name: 'huge', dims, data_type: ElementType.float32, ...external('huge.bin', '0', null) };
    graph.initializer.push(huge as never);
    if (random() < 0.5)
      graph.node.unshift(nodeOf(oneOf(random, ['Identity', 'Neg', 'ReduceSum']), ['huge'], ['huge:out'], []));
  },
  // ------------------------------------------------------------ functions
  (graph, random, model) => {
    const other = oneOf(random, ['self', 'other']);
    define(model, 'self', ['x'], ['y'], [call(other, ['x'], ['y'])]);
    define(model, 'other', ['x'], ['y'], [call('self', ['x'], ['y'])]);
    between(graph, random, (from, to) => [call('self', [from], [to])]);
  },
  (graph, random, model) => {
    const levels = oneOf(random, [3, 12, 30, 63, 70, 200]);
    define(model, 'level0', ['x'], ['y'], [nodeOf('Identity', ['x'], ['y'], [])]);
    for (let level = 1; level <= levels; level++) {
      const inner = `level${level - 1}`;
      const twice = [call(inner, ['x'], ['a']), call(inner, ['a'], ['y'])];
      define(model, `level${level}`, ['x'], ['y'], random() < 0.7 ? twice : [call(inner, ['x'], ['y'])]);
    }
    between(graph, random, (from, to) => [call(`level${levels}`, [from], [to])]);
  },
  /** In the place of an operator of ONNX, or of a mechanism. */
  (graph, random, model) => {
    const node = oneOf(random, graph.node);
    const domain = oneOf(random, ['', 'ai.onnx', 'com.microsoft', 'attention_inspector']);
    const name = oneOf(random, [
      node.op_type,
      'entmax',
      'routing',
      'lsh',
      'adaptive-span@0',
      '__proto__',
      'dense',
    ]);
    const inputs = oneOf(random, [['q', 'k', 'v'], ['x'], ['q', 'k', 'v', 'alpha'], []]);
    define(model, name, inputs, ['y'], [nodeOf('Identity', [inputs[0] ?? ''], ['y'], [])], domain);
    const given = inputs.map(() => oneOf(random, graph.node).output[0]!);
    const settings = ['scale', 'causal', 'clusters', 'localHeads', 'constructor', 'window'].filter(
      () => random() < 0.4,
    );
    const attribute = settings.map(key => ({
      name: key,
      type: AttributeType.float,
      f: oneOf(random, [NaN, -1, 1e30, 0, 4]),
    }));
    Object.assign(node, { op_type: name, domain, input: given, attribute });
  },
  (graph, random, model) => {
    const reference = {
      name: 'axis',
      ref_attr_name: oneOf(random, ['given', 'missing', '__proto__']),
      type: 2,
    };
    define(model, 'refers', ['x'], ['y'], [nodeOf('Concat', ['x', 'x'], ['y'], [reference as never])]);
    if (random() < 0.3) define(model, 'refers', [], [], []);
    const given = { name: 'given', type: oneOf(random, [1, 2, 3, 7]), i: oneOf(random, LIMITS), f: NaN };
    between(graph, random, (from, to) => [{ ...call('refers', [from], [to]), attribute: [given as never] }]);
  },
  // ------------------------------------------------------------ graphs in graphs
  (graph, random) => {
    const turns = `turns:${below(random, 1e9)}`;
    graph.initializer.push(integers(turns, [oneOf(random, [2 ** 62, 1e9, 0, -1])], []));
    graph.initializer.push(integers('forever', [1], [], ElementType.bool));
    between(graph, random, (from, to) => {
      const grows = random() < 0.4;
      const next = grows
        ? nodeOf('Concat', ['state', 'state'], ['next'], [{ name: 'axis', type: 2, i: 0 }])
        : nodeOf('Identity', ['state'], ['next'], []);
      const body = {
        name: 'body',
        node: [nodeOf('Identity', ['going'], ['goes'], []), next],
        input: ['turn', 'going', 'state'].map(name => ({ name })),
        output: ['goes', 'next'].map(name => ({ name })),
      };
      const attribute = [{ name: 'body', type: AttributeType.graph, g: body as never }];
      return [nodeOf('Loop', [turns, random() < 0.5 ? '' : 'forever', from], [to], attribute)];
    });
  },
  (graph, random) => {
    between(graph, random, (from, to) => {
      let inner: NodeProto[] = [nodeOf('Identity', [from], ['deep:0'], [])];
      const levels = oneOf(random, [2, 8, 20, 29, 30]);
      for (let level = 1; level <= levels; level++)
        inner = [branch('condition', `deep:${level}`, inner, [`deep:${level - 1}`], graph)];
      return [...inner, nodeOf('Identity', [`deep:${levels}`], [to], [])];
    });
  },
  (graph, random) => {
    between(graph, random, (from, to) => {
      const body = {
        name: 'body',
        node: [nodeOf('Identity', [oneOf(random, ['row', from, 'later', ''])], ['out'], [])],
        input: [{ name: 'row' }],
        output: [{ name: oneOf(random, ['out', 'row', from]) }],
      };
      const inputs = {
        name: 'num_scan_inputs',
        type: AttributeType.int,
        i: oneOf(random, [1, 0, 2, -1, 2 ** 31]),
      };
      const axes = {
        name: 'scan_input_axes',
        type: AttributeType.ints,
        ints: [oneOf(random, [0, 1, 5, -9, 2 ** 40])],
      };
      return [nodeOf('Scan', [from], [to], [{ name: 'body', type: 5, g: body as never }, inputs, axes])];
    });
  },
  /** A body whose own names hide those around it, with weights of its own. */
  (graph, random) => {
    const hidden = oneOf(random, graph.initializer)?.name ?? 'w';
    between(graph, random, (from, to) => {
      const node = branch('condition', to, [nodeOf('Add', [from, hidden], ['sum'], [])], ['sum'], graph);
      for (const { g } of node.attribute) g!.initializer = [integers(hidden, [below(random, 9)], [1])];
      return [node];
    });
  },
  // ------------------------------------------------------------ other types
  (graph, random) => {
    const sparse = {
      values: integers(oneOf(random, ['s', graph.initializer[0]?.name ?? 's']), [1], [1]),
      indices: integers('', [0], [1]),
      dims: [oneOf(random, [1, 2 ** 34])],
    };
    oneOf<() => unknown>(random, [
      () => ((graph as unknown as Loose).sparse_initializer = [sparse]),
      () =>
        oneOf(random, graph.node).attribute.push({
          name: 'sparse_value',
          type: 11,
          sparse_tensor: sparse,
        } as never),
      () =>
        oneOf(random, graph.node).attribute.push({ name: 'x', type: 12, sparse_tensors: [sparse] } as never),
    ])();
  },
  (graph, random) => {
    const port = oneOf(random, [...graph.input, ...graph.output]) as unknown as Loose;
    const element = { tensor_type: { elem_type: 1 } };
    port.type = oneOf<Loose>(random, [
      { sequence_type: { elem_type: element } },
      { map_type: { key_type: 7, value_type: element } },
      { optional_type: { elem_type: element } },
      { sparse_tensor_type: { elem_type: 1 } },
      { opaque_type: { domain: 'x', name: 'y' } },
      {},
    ]);
  },
  (graph, random, model) => {
    const notes = Array.from({ length: oneOf(random, [1, 2000]) }, (_, i) => ({
      key: `k${i % 7}`,
      value: oneOf(random, HOSTILE_NAMES),
    }));
    oneOf<() => unknown>(random, [
      () => (model.metadata_props = notes),
      () => (model.training_info = [{ initialization: graph, algorithm: graph }]),
      () =>
        ((graph as unknown as Loose).quantization_annotation = [
          { tensor_name: graph.initializer[0]?.name, quant_parameter_tensor_names: notes },
        ]),
      () => (model.doc_string = 'x'.repeat(2 ** 20)),
      () => (model.configuration = [{ name: 'c', num_devices: 2 ** 31 - 1, device: [] }]),
      () => graph.node.forEach(node => (node.name = oneOf(random, ['', 'same', ...HOSTILE_NAMES]))),
    ])();
  },
  // ------------------------------------------------------------ much from little
  (graph, random) => {
    const size = 2 ** (6 + below(random, 26));
    graph.initializer.push(integers('much:size', [size], [1]), integers('much:axes', [0], [1]));
    between(graph, random, (from, to) => {
      const grown = oneOf<() => NodeProto[]>(random, [
        () => [nodeOf('Tile', [from, 'much:size'], ['much'], [])],
        () => [nodeOf('Expand', [from, 'much:size'], ['much'], [])],
        () => [nodeOf('Pad', [from, 'much:size'], ['much'], [])],
        () => [nodeOf('OneHot', [from, 'much:size', 'much:size'], ['much'], [])],
        () => [nodeOf('Resize', [from, '', '', 'much:size'], ['much'], [])],
        () => [
          nodeOf('ConstantOfShape', ['much:size'], ['much:0'], []),
          nodeOf('MatMul', ['much:0', 'much:0'], ['much'], []),
        ],
        () => [nodeOf('NonZero', [from], ['much'], [])],
        () => [nodeOf('CumSum', [from, 'much:axes'], ['much'], [])],
        () => [nodeOf('Unsqueeze', [from, 'much:size'], ['much'], [])],
        () => [
          nodeOf(
            'Split',
            [from],
            Array.from({ length: 3000 }, (_, i) => (i ? `much:${i}` : 'much')),
            [],
          ),
        ],
        () => [
          nodeOf(
            'Einsum',
            [from, from],
            ['much'],
            [
              {
                name: 'equation',
                type: 3,
                s: Buffer.from(
                  oneOf(random, ['i...,j...->ij...', 'a'.repeat(500), ',', '->', 'ii->i', '...']),
                ),
              },
            ],
          ),
        ],
      ])();
      return [...grown, nodeOf(oneOf(random, ['Identity', 'ReduceMax', 'Shape']), ['much'], [to], [])];
    });
  },
  (graph, random) => {
    const many = oneOf(random, [300, 5000, 40_000]);
    const name = graph.node[0]!.input[0] ?? '';
    oneOf<() => unknown>(random, [
      () =>
        graph.node.unshift(
          nodeOf(
            'Concat',
            Array.from({ length: many }, () => name),
            ['wide'],
            [{ name: 'axis', type: 2, i: 0 }],
          ),
        ),
      () =>
        graph.node.unshift(
          ...Array.from({ length: many / 10 }, (_, i) =>
            nodeOf('Identity', [i ? `long:${i - 1}` : name], [`long:${i}`], []),
          ),
        ),
      () =>
        graph.initializer.push(...Array.from({ length: many }, (_, i) => integers(`w${i}`, [i % 3], [1]))),
      () => graph.output.push(...Array.from({ length: many / 100 }, (_, i) => ({ name: `o${i}` }) as never)),
      () =>
        graph.input.push(
          ...Array.from({ length: many / 100 }, (_, i) => ({ ...graph.input[0]!, name: `in${i}` })),
        ),
    ])();
  },
];

// ---------------------------------------------------------------- parts

/** Nodes between one that is there and what it reads. */
function between(graph: GraphProto, random: Random, made: (from: string, to: string) => NodeProto[]): void {
  const node = oneOf(random, graph.node);
  const at = below(random, Math.max(1, node.input.length));
  const to = `between:${below(random, 1e9)}`;
  graph.node.unshift(...made(node.input[at] ?? '', to));
  node.input[at] = to;
}

function branch(
  condition: string,
  out: string,
  node: NodeProto[],
  outputs: string[],
  graph: GraphProto,
): NodeProto {
  if (!graph.initializer.some(({ name }) => name === condition))
    graph.initializer.push(integers(condition, [1], [], ElementType.bool));
  const part = (name: string, nodes: NodeProto[]) => {
    const lists = { input: [], initializer: [], value_info: [] };
    const g = { name: 'body', node: nodes, output: outputs.map(name => ({ name })), ...lists };
    return { name, type: AttributeType.graph, g: g as never } as Partial<AttributeProto>;
  };
  // Branches in both would double with each level.
  const other = outputs.map(name => nodeOf('Identity', [condition], [name], []));
  return nodeOf('If', [condition], [out], [part('then_branch', node), part('else_branch', other)] as never);
}

const call = (name: string, input: string[], output: string[]): NodeProto => ({
  ...nodeOf(name, input, output, []),
  domain: 'local',
});

function define(
  model: ModelProto & Loose,
  name: string,
  input: string[],
  output: string[],
  node: NodeProto[],
  domain = 'local',
): void {
  const one = { name, domain, input, output, node, attribute: ['given'], opset_import: model.opset_import };
  model.functions = [...(model.functions as unknown[]), one] as never;
  if (!model.opset_import.some(each => each.domain === domain))
    model.opset_import = [...model.opset_import, { domain, version: 1 }];
}

function moveOut(tensor: Loose | undefined, random: Random): void {
  if (!tensor) return;
  const length = random() < 0.5 ? null : oneOf(random, OFFSETS);
  Object.assign(tensor, external(oneOf(random, LOCATIONS), oneOf(random, OFFSETS), length));
  if (random() < 0.8) tensor.raw_data = new Uint8Array(0);
}

const external = (location: string, offset: string, length: string | null) => ({
  data_location: 1,
  external_data: [
    { key: 'location', value: location },
    { key: 'offset', value: offset },
    ...(length === null ? [] : [{ key: 'length', value: length }]),
  ],
});
