/**
 * Plain data with typed arrays as one block of bytes, for files and pages: the length of the JSON (uint32, little-endian), the JSON, and
 * behind it the arrays, each aligned to 8 bytes and split into planes of bytes. In the JSON an array is
 * `{ "$array": [type, first byte, length] }`, and what JSON has no number for `{ "$number": "NaN" }`.
 */
const TYPES = {
  Uint8Array,
  Int8Array,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
};

const aligned = (bytes: number) => (bytes + 7) & ~7;

/** First bytes of all entries, then all second bytes, ...: alike bytes beside each other compress better. */
function planes({ buffer, byteOffset, byteLength, BYTES_PER_ELEMENT: width }: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  if (width === 1) return bytes;
  const sorted = new Uint8Array(byteLength);
  for (let plane = 0, to = 0; plane < width; plane++)
    for (let from = plane; from < byteLength; from += width) sorted[to++] = bytes[from]!;
  return sorted;
}

export function pack(value: unknown): Uint8Array {
  const arrays: Uint8Array[] = [];
  let size = 0;
  const json = JSON.stringify(value, (_, entry: unknown) => {
    if (typeof entry === 'number' && !Number.isFinite(entry)) return { $number: String(entry) };
    if (!ArrayBuffer.isView(entry)) return entry;
    const type = entry.constructor.name;
    if (!(type in TYPES)) throw new Error(`A ${type} cannot be packed.`);
    arrays.push(planes(entry as Uint8Array));
    const first = size;
    size += aligned(entry.byteLength);
    return { $array: [type, first, (entry as Uint8Array).length] };
  });
  const text = new TextEncoder().encode(json);
  const start = aligned(4 + text.length);
  const result = new Uint8Array(start + size);
  new DataView(result.buffer).setUint32(0, text.length, true);
  result.set(text, 4);
  let at = start;
  for (const array of arrays) {
    result.set(array, at);
    at += aligned(array.length);
  }
  return result;
}

function read(buffer: ArrayBuffer, type: keyof typeof TYPES, first: number, length: number, most: number) {
  if (!Object.hasOwn(TYPES, type)) throw new TypeError(`There is no array of ${String(type)}.`);
  const width = TYPES[type].BYTES_PER_ELEMENT;
  if (!(length * width <= most)) throw new RangeError('The arrays take more bytes than there are.');
  if (width === 1) return new TYPES[type](buffer, first, length);
  // The bytes of an entry lie apart, in planes.
  const from = new Uint8Array(buffer, first, length * width);
  const bytes = new Uint8Array(length * width);
  for (let plane = 0, at = 0; plane < width; plane++) {
    for (let i = plane; i < bytes.length; i += width) bytes[i] = from[at++]!;
  }
  return new TYPES[type](bytes.buffer, 0, length);
}

/** Bytes of the JSON at the front of what was packed. */
export const jsonBytes = (buffer: ArrayBuffer): number => new DataView(buffer).getUint32(0, true);

/** The counterpart of `pack`. No two arrays are of the same bytes: all together take no more memory than the packed ones. */
export function unpack(buffer: ArrayBuffer): unknown {
  const length = jsonBytes(buffer);
  const start = (4 + length + 7) & ~7;
  let left = buffer.byteLength - start;
  const json = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
  return JSON.parse(json, (_, entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return entry;
    const { $array, $number } = entry as { $array?: [keyof typeof TYPES, number, number]; $number?: string };
    if ($number) return Number($number);
    if (!$array) return entry;
    const array = read(buffer, $array[0], start + $array[1], $array[2], left);
    left -= array.byteLength;
    return array;
  });
}
