import { RefusedError, told } from '../../errors';
import { LENGTH_DELIMITED, type WireFile } from './wireFile';

/** Tensors up to this size stay in the skeleton: constants that the cutter wants to read. */
const INLINE_BYTES = 2048;
/** A skeleton is the graph alone; even very large models stay far below. */
const SKELETON_LIMIT = 256 * 2 ** 20;

// Field numbers of onnx.proto.
const MODEL = { graph: 7 };
const GRAPH = { node: 1, initializer: 5 };
const NODE = { attribute: 5 };
const ATTRIBUTE = { tensor: 5, graph: 6 };
const TENSOR = { raw: 9 };

type Rule = 'tensor' | Rules;
interface Rules {
  [field: number]: Rule;
}
const attributeRules: Rules = { [ATTRIBUTE.tensor]: 'tensor' };
const graphRules: Rules = {
  [GRAPH.initializer]: 'tensor',
  [GRAPH.node]: { [NODE.attribute]: attributeRules },
};
attributeRules[ATTRIBUTE.graph] = graphRules;
const modelRules: Rules = { [MODEL.graph]: graphRules };

/** The bytes of an .onnx file, large raw data of its tensors replaced by references to where it lies in the file `location`. */
export function withoutWeights(file: WireFile, location: string): Uint8Array {
  return new Scanner(file, location).message(0, file.size, modelRules).joined();
}

/** Bytes in pieces, joined once at the end: a message is known only when its length is. */
class Pieces {
  private readonly list: Uint8Array[] = [];
  length = 0;

  add(bytes: Uint8Array): void {
    this.list.push(bytes);
    this.length += bytes.length;
  }

  addMessage(field: number, content: Pieces): void {
    this.add(varint(field * 8 + LENGTH_DELIMITED));
    this.add(varint(content.length));
    for (const bytes of content.list) this.add(bytes);
  }

  joined(): Uint8Array {
    return Buffer.concat(this.list);
  }
}

/** Walks fields by position, copying the small ones in runs and stepping over the large ones. */
class Scanner {
  private copied = 0;

  constructor(
    private readonly file: WireFile,
    private readonly location: string,
  ) {}

  message(from: number, to: number, rules: Rules): Pieces {
    const pieces = new Pieces();
    /** What lies from here on is still to be copied as it is. */
    let kept = from;
    for (let at = from; at < to;) {
      const field = this.file.field(at, to);
      const rule = rules[field.number];
      const isLarge = field.wire === LENGTH_DELIMITED && field.end - field.start > INLINE_BYTES;
      if (rule !== undefined && isLarge) {
        this.copy(kept, at, pieces);
        pieces.addMessage(
          field.number,
          rule === 'tensor'
            ? this.tensor(field.start, field.end)
            : this.message(field.start, field.end, rule),
        );
        kept = field.end;
      }
      at = field.end;
    }
    this.copy(kept, to, pieces);
    return pieces;
  }

  private tensor(from: number, to: number): Pieces {
    const pieces = new Pieces();
    // After all other fields: some writers say "in this file" explicitly, and the last word counts.
    const references: Uint8Array[] = [];
    for (let at = from; at < to;) {
      const field = this.file.field(at, to);
      const size = field.end - field.start;
      if (field.number === TENSOR.raw && size > INLINE_BYTES)
        references.push(reference(this.location, field.start, size));
      else this.copy(at, field.end, pieces);
      at = field.end;
    }
    for (const bytes of references) pieces.add(bytes);
    return pieces;
  }

  private copy(from: number, to: number, pieces: Pieces): void {
    if (from === to) return;
    this.copied += to - from;
    if (this.copied > SKELETON_LIMIT)
      throw new RefusedError(
        told`${this.file.name} is refused: its graph without weights exceeds ${SKELETON_LIMIT / 2 ** 20} MB.`,
      );
    pieces.add(this.file.copy(from, to));
  }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  bytes.push(value);
  return Uint8Array.from(bytes);
}

function lengthDelimited(field: number, payload: Uint8Array): Uint8Array {
  return Buffer.concat([varint(field * 8 + LENGTH_DELIMITED), varint(payload.length), payload]);
}

/** `external_data` (13) entries and `data_location` (14) = EXTERNAL of a TensorProto. */
function reference(location: string, offset: number, length: number): Uint8Array {
  const entries = Object.entries({ location, offset: String(offset), length: String(length) });
  const text = (value: string) => new TextEncoder().encode(value);
  return Buffer.concat([
    ...entries.map(([key, value]) =>
      lengthDelimited(13, Buffer.concat([lengthDelimited(1, text(key)), lengthDelimited(2, text(value))])),
    ),
    Uint8Array.of(14 * 8, 1),
  ]);
}
