import { RefusedError } from '../../errors';
import {
  changed,
  encodeModel,
  type GraphProto,
  type ModelProto,
  type ValueInfoProto,
} from '../../runtime/onnxProto';
import { normalDomain } from '../onnx/node';
import type { Skeleton } from '../onnx/skeleton';

/** Names that a decoder file gives to what its encoder makes. */
const ENCODED = 'encoder_hidden_states';
const ENCODER_MASK = 'encoder_attention_mask';
/** Inputs of the decoder file that belong to the target text. */
const TARGET_INPUTS = ['input_ids', 'attention_mask', 'position_ids'];

/**
 * Encoder and decoder of a model that was exported as two files, as one model that takes the text as `input_ids` and the
 * target as `decoder_input_ids`. Both files lie in one folder.
 */
export function joinModels(encoder: Skeleton, decoder: Skeleton): Skeleton {
  const first = encoder.model.graph!;
  const second = decoder.model.graph!;
  const inputs = new Set(first.input.map(i => i.name));
  const output = first.output.find(o => o.name === 'last_hidden_state') ?? first.output[0];
  if (!output || !second.input.some(i => i.name === ENCODED))
    throw new RefusedError('The encoder and decoder files do not belong together.');
  const ofEncoder = (name: string) => (name === '' || inputs.has(name) ? name : `encoder:${name}`);
  const inDecoder = new Map(TARGET_INPUTS.map(name => [name, `decoder_${name}`]));
  inDecoder.set(ENCODED, ofEncoder(output.name));
  if (inputs.has('attention_mask')) inDecoder.set(ENCODER_MASK, 'attention_mask');
  const ofDecoder = (name: string) => inDecoder.get(name) ?? name;
  const left = renamed(first, ofEncoder);
  const right = renamed(second, ofDecoder);
  const taken = new Set([...left.input.map(i => i.name), ofEncoder(output.name)]);
  const model = changed(decoder.model, {
    ir_version: Math.max(Number(encoder.model.ir_version), Number(decoder.model.ir_version)),
    opset_import: joinedOpsets(encoder.model, decoder.model),
    functions: [...encoder.model.functions, ...decoder.model.functions],
    graph: changed(right, {
      node: [...left.node, ...right.node],
      initializer: [...left.initializer, ...right.initializer],
      input: [...left.input, ...right.input.filter(i => !taken.has(i.name)).map(ownLengths)],
      output: right.output.map(ownLengths),
      value_info: [],
    }),
  });
  return {
    file: decoder.file,
    folder: decoder.folder,
    bytes: encodeModel(model),
    model,
    fileBytes: encoder.fileBytes + decoder.fileBytes,
  };
}

/** What a decoder of embeddings takes in place of token ids, and a file of the table gives. */
const EMBEDDED = 'inputs_embeds';

export const takesEmbeddings = ({ model }: Skeleton): boolean => {
  const names = new Set(model.graph!.input.map(i => i.name));
  return names.has(EMBEDDED) && !names.has('input_ids');
};

/** The table of embeddings and the decoder that was exported without it, as one model of token ids. Both lie in one folder. */
export function joinEmbeddings(table: Skeleton, decoder: Skeleton): Skeleton {
  const first = table.model.graph!;
  const second = decoder.model.graph!;
  const ids = new Set(first.input.map(i => i.name));
  const output = first.output.find(o => o.name === EMBEDDED) ?? first.output[0];
  if (!output || ids.size !== 1)
    throw new RefusedError('The files of the embeddings and of the decoder do not belong together.');
  const ofTable = (name: string) => (name === '' || ids.has(name) ? name : `embed:${name}`);
  const ofDecoder = (name: string) => (name === EMBEDDED ? ofTable(output.name) : name);
  const [left, right] = [renamed(first, ofTable), renamed(second, ofDecoder)];
  const model = changed(decoder.model, {
    ir_version: Math.max(Number(table.model.ir_version), Number(decoder.model.ir_version)),
    opset_import: joinedOpsets(table.model, decoder.model),
    functions: [...table.model.functions, ...decoder.model.functions],
    graph: changed(right, {
      node: [...left.node, ...right.node],
      initializer: [...left.initializer, ...right.initializer],
      input: [...left.input, ...right.input.filter(i => i.name !== ofTable(output.name))],
      value_info: [],
    }),
  });
  return {
    file: decoder.file,
    folder: decoder.folder,
    bytes: encodeModel(model),
    model,
    fileBytes: table.fileBytes + decoder.fileBytes,
  };
}

function joinedOpsets(a: ModelProto, b: ModelProto): ModelProto['opset_import'] {
  const opsets = [...b.opset_import];
  for (const one of a.opset_import) {
    const other = opsets.find(o => normalDomain(o.domain) === normalDomain(one.domain));
    if (!other) opsets.push(one);
    else if (Number(other.version) !== Number(one.version))
      throw new RefusedError(
        'The two files of the model were exported for different versions of the ONNX operators.',
      );
  }
  return opsets;
}

/** Both files call their lengths alike (`sequence_length`), which are two lengths now. */
function ownLengths(port: ValueInfoProto): ValueInfoProto {
  const tensor = port.type?.tensor_type;
  if (!tensor?.shape) return port;
  const dim = tensor.shape.dim.map(d => (d.dim_param ? { ...d, dim_param: `decoder:${d.dim_param}` } : d));
  return changed(port, { type: { tensor_type: { ...tensor, shape: { dim } } } });
}

/** The graph under other tensor names, those in the bodies of If and Loop included. */
function renamed(graph: GraphProto, to: (name: string) => string): GraphProto {
  const named = <T extends { name: string }>(list: readonly T[]): T[] =>
    list.map(item => changed<{ name: string }>(item, { name: to(item.name) }) as T);
  return changed(graph, {
    input: named(graph.input),
    output: named(graph.output),
    initializer: named(graph.initializer),
    value_info: [],
    node: graph.node.map(node =>
      changed(node, {
        name: '',
        input: node.input.map(to),
        output: node.output.map(to),
        attribute: node.attribute.map(a => (a.g ? changed(a, { g: renamed(a.g, to) }) : a)),
      }),
    ),
  });
}
