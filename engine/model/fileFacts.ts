import { readSkeleton } from './onnx/skeleton';
import { hasTokenizer, type ModelFiles } from './source/source';
import { ElementType, type ValueInfoProto } from '../runtime/onnxProto';
import type { GraphValue, ModelFileFacts } from '../../shared/protocol/engine';

/** Of what a file may have any number of. */
const LISTED = 64;
const NAME = 200;

/** What the .onnx file says of itself, without its weights. Throws RefusedError for a file that is none. */
export function fileFacts({ onnx, folder }: ModelFiles): ModelFileFacts {
  const { model, fileBytes } = readSkeleton(onnx);
  const { node, input, output, initializer } = model.graph!;
  const weights = new Set(initializer.map(({ name }) => name));
  return {
    bytes: fileBytes,
    irVersion: Number(model.ir_version),
    opsets: model.opset_import
      .slice(0, LISTED)
      .map(({ domain, version }) => ({ domain: domain.slice(0, NAME), version: Number(version) })),
    producer: model.producer_name.slice(0, NAME),
    nodes: node.length,
    inputs: values(input.filter(({ name }) => !weights.has(name))),
    outputs: values(output),
    tokenizer: hasTokenizer(folder),
  };
}

const values = (all: readonly ValueInfoProto[]): GraphValue[] => all.slice(0, LISTED).map(valueOf);

function valueOf({ name, type }: ValueInfoProto): GraphValue {
  const tensor = type?.tensor_type;
  const code = tensor?.elem_type ?? 0;
  const named = Object.entries(ElementType).find(([, value]) => value === code)?.[0];
  const dims = tensor?.shape?.dim
    .slice(0, LISTED)
    .map(({ dim_value, dim_param }) => (dim_param ? dim_param.slice(0, NAME) : Number(dim_value ?? 0)));
  return { name: name.slice(0, NAME), type: named ?? String(code), dims: dims ?? null };
}
