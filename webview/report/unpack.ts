import type { ReportData } from '../../engine/protocol';

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

/** The counterpart of the engine's export/pack.ts. Arrays are views into the buffer. */
export function unpack(buffer: ArrayBuffer): unknown {
  const length = new DataView(buffer).getUint32(0, true);
  const start = (4 + length + 7) & ~7;
  const json = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
  return JSON.parse(json, (_, entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return entry;
    const { $array, $number } = entry as { $array?: [keyof typeof TYPES, number, number]; $number?: string };
    if ($number) return Number($number);
    return $array ? new TYPES[$array[0]](buffer, start + $array[1], $array[2]) : entry;
  });
}
