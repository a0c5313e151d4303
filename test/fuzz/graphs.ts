/** Damage to ONNX models that knows their structure: what comes out is a file that decodes, and means something else. */
import {
  AttributeType,
  ElementType,
  encodeModel,
  modelType,
  type AttributeProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type Partially,
  type TensorProto,
  type ValueInfoProto,
} from '../../engine/runtime/onnxProto';
import { HOSTILE_NAMES } from './mutate';
import { below, oneOf, seeded, type Random } from './random';

/** Of ONNX Runtime too; what they take is of no matter. */
const OPERATORS = (
  'Add Sub Mul Div Pow Neg Abs Sqrt Exp Log Erf Tanh Sigmoid Relu Gelu Softmax LogSoftmax MatMul Gemm Einsum Transpose Reshape ' +
  'Squeeze Unsqueeze Flatten Concat Split Slice Gather GatherND GatherElements ScatterND ScatterElements Expand Tile Pad Resize ' +
  'Range ConstantOfShape EyeLike OneHot NonZero Shape Size Where Equal Less Greater And Or Not Cast Identity Dropout Trilu CumSum TopK ' +
  'ReduceMean ReduceSum ReduceMax ArgMax Clip Min Max Mean LayerNormalization GroupNormalization RMSNormalization RotaryEmbedding ' +
  'Attention BatchNormalization InstanceNormalization Conv ConvTranspose MaxPool LSTM GRU RNN If Scan SequenceAt SequenceConstruct ' +
  'ConcatFromSequence StringNormalizer Unique NonMaxSuppression QuantizeLinear DequantizeLinear DynamicQuantizeLinear MatMulInteger ' +
  'BiasGelu FastGelu SkipLayerNormalization MultiHeadAttention GroupQueryAttention EmbedLayerNormalization FusedMatMul MatMulNBits Unheard'
).split(' ');
const DOMAINS = ['', 'ai.onnx', 'com.microsoft', 'ai.onnx.ml', 'local', 'ai.onnx.training'];
const INTEGERS = [
  0,
  1,
  -1,
  2,
  -2,
  3,
  7,
  64,
  127,
  255,
  65_536,
  2 ** 20,
  2 ** 31 - 1,
  -(2 ** 31),
  2 ** 32,
  2 ** 40,
  2 ** 62,
  -(2 ** 62),
];
const FLOATS = [0, -0, 1, -1, NaN, Infinity, -Infinity, 1e-45, 3.4e38, -3.4e38];
const TYPES = Object.values(ElementType);

type Damage = (graph: GraphProto, random: Random, model: ModelProto) => void;

/** One to four changes of the model. */
export function damageModel(bytes: Uint8Array, seed: number): Uint8Array {
  const random = seeded(seed);
  // Plain objects: what a decoded message lacks stands in its prototype.
  const model = modelType.toObject(modelType.decode(bytes), { arrays: true }) as ModelProto;
  for (let times = 1 + below(random, 4); times > 0 && model.graph!.node.length > 0; times--)
    oneOf(random, damages)(random() < 0.9 ? model.graph! : bodyIn(model.graph!, random), random, model);
  return encodeModel(model);
}

/** A graph in a node, where there is one. */
function bodyIn(graph: GraphProto, random: Random): GraphProto {
  const bodies = graph.node.flatMap(n => n.attribute.flatMap(a => (a.g?.node.length ? a.g : [])));
  return bodies.length > 0 ? oneOf(random, bodies) : graph;
}

const damages: Damage[] = [
  // ------------------------------------------------------------ nodes
  onNode((node, random) => (node.op_type = oneOf(random, OPERATORS))),
  onNode((node, random) => (node.domain = oneOf(random, DOMAINS))),
  onNode((node, random, graph) => {
    const at = below(random, node.input.length + 1);
    node.input[at] = anyName(graph, random);
  }),
  onNode((node, random) => node.input.splice(below(random, node.input.length), 1)),
  onNode((node, random) => (node.input[below(random, node.input.length)] = '')),
  onNode((node, random) => node.input.reverse() && random() < 0.3 && node.input.push(...node.input)),
  onNode(
    (node, random, graph) => (node.output[below(random, node.output.length + 1)] = anyName(graph, random)),
  ),
  onNode((node, random, graph) => (node.input[0] = node.output[0] ?? anyName(graph, random))),
  (graph, random) => graph.node.splice(below(random, graph.node.length), 1 + below(random, 3)),
  (graph, random) => {
    const node = oneOf(random, graph.node);
    const copies = oneOf(random, [1, 2, 300]);
    for (let copy = 0; copy < copies; copy++)
      graph.node.push({ ...node, output: node.output.map(name => `${name}:copy${copy}`) });
  },
  (graph, random) => {
    const [a, b] = [below(random, graph.node.length), below(random, graph.node.length)];
    [graph.node[a], graph.node[b]] = [graph.node[b]!, graph.node[a]!];
  },
  /** Something between a node and what it reads. */
  onNode((node, random, graph) => {
    const at = below(random, node.input.length);
    const [name, made] = [node.input[at] ?? '', `between:${below(random, 1e9)}`];
    const inputs = [name, ...Array.from({ length: below(random, 3) }, () => anyName(graph, random))];
    graph.node.unshift(nodeOf(oneOf(random, OPERATORS), inputs, [made], [anyAttribute(random)]));
    node.input[at] = made;
  }),
  /** A branch around it. */
  onNode((node, random, graph) => {
    const at = below(random, node.input.length);
    const [name, made] = [node.input[at] ?? '', `branch:${below(random, 1e9)}`];
    const body = (op: string) => ({
      name: 'body',
      node: [nodeOf(op, [name], [`${made}:${op}`], [])],
      output: [{ name: `${made}:${op}` }],
      ...{ input: [], initializer: [], value_info: [] },
    });
    graph.initializer.push(integers('condition', [1], [], ElementType.bool));
    graph.node.unshift(
      nodeOf(
        'If',
        [random() < 0.8 ? 'condition' : name],
        [made],
        [
          { name: 'then_branch', type: AttributeType.graph, g: body('Identity') as never },
          { name: 'else_branch', type: AttributeType.graph, g: body(oneOf(random, OPERATORS)) as never },
        ],
      ),
    );
    node.input[at] = made;
  }),
  /** Much from little: read by the graph's nodes, or by nobody. */
  (graph, random) => {
    const size = 2 ** (10 + below(random, 30));
    const shape = `size:${below(random, 1e9)}`;
    graph.initializer.push(integers(shape, [size], [1]), integers('zero', [0], []), integers('one', [1], []));
    graph.initializer.push(integers('count', [size], []));
    const made = oneOf(random, [
      () => [nodeOf('ConstantOfShape', [shape], [`${shape}:made`], [])],
      () => [nodeOf('Expand', ['one', shape], [`${shape}:made`], [])],
      () => [nodeOf('Range', ['zero', 'count', 'one'], [`${shape}:made`], [])],
      () => doubling(shape, below(random, 36)),
    ])();
    graph.node.unshift(...made);
    if (random() < 0.7) graph.output[0] = { ...graph.output[0]!, name: `${shape}:made` };
    else oneOf(random, graph.node).input.push(`${shape}:made`);
  },
  // ------------------------------------------------------------ attributes
  onNode((node, random) => (node.attribute[below(random, node.attribute.length + 1)] = anyAttribute(random))),
  onNode((node, random) => node.attribute.splice(below(random, node.attribute.length), 1)),
  onAttribute((a, random) => (a.i = oneOf(random, INTEGERS))),
  onAttribute((a, random) => (a.f = oneOf(random, FLOATS))),
  onAttribute(
    (a, random) => (a.ints = Array.from({ length: below(random, 6) }, () => oneOf(random, INTEGERS))),
  ),
  onAttribute((a, random) => (a.type = below(random, 16))),
  onAttribute(
    (a, random) => (a.name = oneOf(random, ['axis', 'value', 'to', 'perm', 'num_heads', 'epsilon', ''])),
  ),
  onAttribute((a, random) => (a.s = Buffer.from(oneOf(random, HOSTILE_NAMES)))),
  onAttribute((a, random) => a.t && damageTensor(a.t, random)),
  // ------------------------------------------------------------ shapes
  (graph, random) => damagePort(oneOf(random, graph.input), random),
  (graph, random) => damagePort(oneOf(random, graph.output), random),
  (graph, random) => damagePort(oneOf(random, graph.value_info), random),
  (graph, random) => graph.input.splice(below(random, graph.input.length), 1),
  (graph, random) => graph.output.push({ ...oneOf(random, graph.output), name: anyName(graph, random) }),
  (graph, random) => {
    const port = oneOf(random, graph.input);
    if (port) graph.input.push({ ...port, name: oneOf(random, ['past', 'mask', 'pixels', port.name, '']) });
  },
  // ------------------------------------------------------------ initialisers
  ...Array.from({ length: 6 }, (): Damage => (graph, random) => {
    const tensor = oneOf(random, graph.initializer);
    if (tensor) damageTensor(tensor, random);
  }),
  (graph, random) => graph.initializer.splice(below(random, graph.initializer.length), 1),
  (graph, random) => {
    const tensor = oneOf(random, graph.initializer);
    if (tensor) graph.initializer.push({ ...tensor, name: anyName(graph, random) });
  },
  (graph, random) => {
    const [a, b] = [oneOf(random, graph.initializer), oneOf(random, graph.initializer)];
    if (a && b) [a.name, b.name] = [b.name, a.name];
  },
  // ------------------------------------------------------------ the model
  (_, random, model) => {
    const opset = oneOf(random, model.opset_import);
    if (opset) opset.version = oneOf(random, [0, 1, 6, 9, 11, 12, 13, 17, 18, 21, 23, 24, 99, -1]);
  },
  (_, random, model) => (model.ir_version = oneOf(random, [0, 1, 3, 4, 7, 10, 13, 99, -1])),
  (_, random, model) =>
    (model.opset_import = [...model.opset_import, { domain: oneOf(random, DOMAINS), version: 1 }]),
  /** A function of the model's own in the place of an operator. */
  (graph, random, model) => {
    const node = oneOf(random, graph.node);
    const inner = random() < 0.2 ? 'made' : node.op_type;
    const body = { ...node, op_type: inner, domain: inner === 'made' ? 'local' : node.domain };
    const functions = model.functions as object[];
    model.functions = [
      ...functions,
      {
        name: 'made',
        domain: 'local',
        input: node.input,
        output: node.output,
        node: [body],
        opset_import: model.opset_import,
      },
    ];
    model.opset_import = [...model.opset_import, { domain: 'local', version: 1 }];
    [node.op_type, node.domain] = ['made', 'local'];
  },
];

function onNode(change: (node: NodeProto, random: Random, graph: GraphProto) => unknown): Damage {
  return (graph, random) => {
    const node = oneOf(random, graph.node);
    if (node) change(node, random, graph);
  };
}

function onAttribute(change: (attribute: AttributeProto, random: Random) => unknown): Damage {
  return (graph, random) => {
    const all = graph.node.flatMap(n => n.attribute);
    if (all.length > 0) change(oneOf(random, all), random);
  };
}

function damageTensor(tensor: TensorProto, random: Random): void {
  oneOf(random, [
    () => (tensor.dims = Array.from({ length: below(random, 5) }, () => oneOf(random, INTEGERS))),
    () => (tensor.dims = [...tensor.dims].reverse()),
    () => (tensor.dims = [...tensor.dims, 1]),
    () => (tensor.data_type = oneOf(random, [...TYPES, 0, 14, 17, 19, 23, 99])),
    () => (tensor.name = oneOf(random, HOSTILE_NAMES)),
    () => (tensor.raw_data = new Uint8Array(0)),
    () => (tensor.raw_data = tensor.raw_data?.slice(0, below(random, tensor.raw_data.length))),
    () => (tensor.float_data = [1, 2, 3]),
    () => (tensor.string_data = [Buffer.from('x')]),
    () => overwrite(tensor, Float32Array.of(oneOf(random, FLOATS)), random),
    () => overwrite(tensor, BigInt64Array.of(BigInt(oneOf(random, INTEGERS))), random),
    () => {
      const location = oneOf(random, [...HOSTILE_NAMES, 'model.onnx', 'tokenizer.json', '.']);
      const entries = {
        location,
        offset: String(oneOf(random, INTEGERS)),
        length: String(oneOf(random, INTEGERS)),
      };
      tensor.data_location = 1;
      tensor.external_data = Object.entries(entries)
        .filter(() => random() < 0.8)
        .map(([key, value]) => ({ key, value }));
      if (random() < 0.7) tensor.raw_data = new Uint8Array(0);
    },
  ])();
}

/** One number of a tensor, or all of them. */
function overwrite(tensor: TensorProto, value: ArrayBufferView, random: Random): void {
  const raw_data = (tensor.raw_data ??= new Uint8Array(0));
  const bytes = new Uint8Array(value.buffer);
  if (raw_data.length < bytes.length) return;
  const step = random() < 0.5 ? bytes.length : raw_data.length;
  const first = below(random, Math.floor(raw_data.length / bytes.length)) * bytes.length;
  for (let at = step === raw_data.length ? first : 0; at + bytes.length <= raw_data.length; at += step)
    raw_data.set(bytes, at);
}

function damagePort(port: ValueInfoProto | undefined, random: Random): void {
  if (!port) return;
  const tensor = port.type?.tensor_type;
  oneOf(random, [
    () => (port.type = null),
    () => (port.name = oneOf(random, [...HOSTILE_NAMES, 'input_ids', 'attention_mask', 'logits'])),
    () => tensor && (tensor.elem_type = oneOf(random, TYPES)),
    () => tensor && (tensor.shape = null),
    () =>
      tensor &&
      (tensor.shape = {
        dim: Array.from({ length: below(random, 5) }, () =>
          random() < 0.5
            ? { dim_value: oneOf(random, INTEGERS) }
            : { dim_param: oneOf(random, HOSTILE_NAMES) },
        ),
      }),
    () => {
      const dims = tensor?.shape?.dim ?? [];
      if (dims.length > 0) dims[below(random, dims.length)] = { dim_value: oneOf(random, INTEGERS) };
    },
  ])();
}

/** A name of the graph, or none. */
function anyName(graph: GraphProto, random: Random): string {
  const from = oneOf(random, [
    () => oneOf(random, graph.node)?.output[0],
    () => oneOf(random, graph.node)?.output[0],
    () => oneOf(random, graph.initializer)?.name,
    () => oneOf(random, graph.input)?.name,
    () => oneOf(random, HOSTILE_NAMES),
  ]);
  return from() ?? 'nothing';
}

function anyAttribute(random: Random): AttributeProto {
  const name = oneOf(random, [
    'axis',
    'axes',
    'to',
    'perm',
    'value',
    'num_heads',
    'scale',
    'keepdims',
    'epsilon',
    'is_causal',
    'unidirectional',
  ]);
  return oneOf<Partially<AttributeProto>>(random, [
    { name, type: AttributeType.int, i: oneOf(random, INTEGERS) },
    { name, type: AttributeType.ints, ints: [oneOf(random, INTEGERS), oneOf(random, INTEGERS)] },
    { name, type: AttributeType.float, f: oneOf(random, FLOATS) },
    { name, type: AttributeType.string, s: Buffer.from('x') },
    { name, type: AttributeType.tensor, t: integers('', [oneOf(random, INTEGERS)], [1]) },
  ]) as AttributeProto;
}

export function nodeOf(
  op_type: string,
  input: string[],
  output: string[],
  attribute: Partially<AttributeProto>[],
): NodeProto {
  return { op_type, input, output, attribute, name: '', domain: '' } as never;
}

/** A tensor that is joined to itself so many times. */
function doubling(name: string, times: number): NodeProto[] {
  return Array.from({ length: times + 1 }, (_, i) => {
    const from = i === 0 ? name : `${name}:${i - 1}`;
    const axis: Partially<AttributeProto> = { name: 'axis', type: AttributeType.int, i: 0 };
    return nodeOf('Concat', [from, from], [i === times ? `${name}:made` : `${name}:${i}`], [axis]);
  });
}

export function integers(
  name: string,
  values: number[],
  dims: number[],
  type: number = ElementType.int64,
): TensorProto {
  const data = type === ElementType.bool ? Uint8Array.from(values) : BigInt64Array.from(values, BigInt);
  return { name, dims, data_type: type, raw_data: new Uint8Array(data.buffer) } as never;
}
