import type { Field as SchemaField, Type } from 'protobufjs';
import { RefusedError, told } from '../../errors';
import { modelType } from '../../runtime/onnxProto';
import { LENGTH_DELIMITED, type Field, type WireFile } from './wireFile';

/** Nodes of a graph with those of its bodies and functions. */
export const NODE_LIMIT = 200_000;
/** Names, messages and whole numbers of 64 bits: each is an object once it is decoded. */
export const PART_LIMIT = 2 ** 22;
/** Bytes of numbers that stand in lists instead of raw data. */
const NUMBER_LIMIT = 2 ** 27;
/** Entries of a list that belongs to one node, function or graph. */
const LIST_LIMIT = 2 ** 16;
/** Levels of messages; each graph inside a node takes three. */
const DEPTH_LIMIT = 96;

/** Lists that grow with the model. */
const LONG_LISTS = new Set([
  'GraphProto.node',
  'GraphProto.initializer',
  'GraphProto.value_info',
  'GraphProto.quantization_annotation',
  'FunctionProto.node',
  'FunctionProto.value_info',
  'TensorProto.string_data',
  'AttributeProto.strings',
]);
const LONGS = new Set(['int64', 'uint64']);

/**
 * Counts what an .onnx file holds before any of it is decoded, and refuses what would be too much: a few bytes of a file
 * make an object each, and a decoder calls itself for each level.
 */
export function takeCensus(file: WireFile): void {
  new Census(file).message(0, file.size, modelType, 0);
}

class Census {
  private nodes = 0;
  private parts = 0;
  private numbers = 0;

  constructor(private readonly file: WireFile) {}

  message(from: number, to: number, type: Type, depth: number): void {
    if (depth > DEPTH_LIMIT) throw this.refusal('its graphs lie in each other too deeply');
    if (type.name === 'NodeProto' && ++this.nodes > NODE_LIMIT)
      throw this.refusal(`its graph has more than ${NODE_LIMIT} nodes`);
    if (type.name === 'SparseTensorProto')
      throw new RefusedError(
        told`${this.file.name} keeps weights as sparse tensors, which is not supported: save it with dense ones.`,
      );
    const counts = new Map<number, number>();
    for (let at = from; at < to;) {
      const field = this.file.field(at, to);
      const known = type.fieldsById[field.number]?.resolve();
      const count = (counts.get(field.number) ?? 0) + 1;
      counts.set(field.number, count);
      if (known) this.refuseCount(known, type, count);
      this.count(field, known);
      if (known && isMessage(known) && field.wire === LENGTH_DELIMITED)
        this.message(field.start, field.end, known.resolvedType as Type, depth + 1);
      at = field.end;
    }
  }

  private refuseCount(known: SchemaField, type: Type, count: number): void {
    // Readers differ: some take the last of two messages, others join them.
    if (count > 1 && !known.repeated && isMessage(known)) throw this.file.broken();
    if (count > LIST_LIMIT && known.repeated && !LONG_LISTS.has(`${type.name}.${known.name}`))
      throw this.refusal(
        `one of its ${type.name.replace('Proto', '').toLowerCase()}s has more than ${LIST_LIMIT} entries of the kind ${known.name}`,
      );
  }

  private count(field: Field, known: SchemaField | undefined): void {
    // Packed: a byte each at least.
    const isPacked = known?.repeated && isNumber(known) && field.wire === LENGTH_DELIMITED;
    if (!isPacked) this.parts++;
    else if (LONGS.has(known.type)) this.parts += field.end - field.start;
    else this.numbers += field.end - field.start;
    if (this.parts > PART_LIMIT || this.numbers > NUMBER_LIMIT)
      throw this.refusal('its graph has more parts, without the weights, than any model');
  }

  private refusal(why: string): RefusedError {
    return new RefusedError(told`${this.file.name} is refused: ${why}.`);
  }
}

const isNumber = (field: SchemaField): boolean => !isMessage(field) && !/^(string|bytes)$/.test(field.type);

const isMessage = (field: SchemaField): boolean =>
  field.resolvedType !== null && 'fieldsById' in field.resolvedType;
