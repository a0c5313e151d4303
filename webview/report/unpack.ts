import type { ReportData } from '../../shared/protocol/engine';

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

/** The data of a report, from the gzip in base64 that the page holds. */
export async function readReport(base64: string): Promise<ReportData> {
  const bytes = bytesOf(base64);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return unpack(await new Response(stream).arrayBuffer()) as ReportData;
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function read(buffer: ArrayBuffer, type: keyof typeof TYPES, first: number, length: number) {
  const width = TYPES[type].BYTES_PER_ELEMENT;
  if (width === 1) return new TYPES[type](buffer, first, length);
  // The bytes of an entry lie apart, in planes.
  const from = new Uint8Array(buffer, first, length * width);
  const bytes = new Uint8Array(length * width);
  for (let plane = 0, at = 0; plane < width; plane++) {
    for (let i = plane; i < bytes.length; i += width) bytes[i] = from[at++]!;
  }
  return new TYPES[type](bytes.buffer, 0, length);
}

/** The counterpart of the engine's export/pack.ts. */
export function unpack(buffer: ArrayBuffer): unknown {
  const length = new DataView(buffer).getUint32(0, true);
  const start = (4 + length + 7) & ~7;
  const json = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
  return JSON.parse(json, (_, entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return entry;
    const { $array, $number } = entry as { $array?: [keyof typeof TYPES, number, number]; $number?: string };
    if ($number) return Number($number);
    return $array ? read(buffer, $array[0], start + $array[1], $array[2]) : entry;
  });
}
