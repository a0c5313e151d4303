import { unpack } from '../../shared/packed';
import type { ReportPage } from '../../shared/reportData';

/** The data of a report, from the gzip in base64 that the page holds. */
export async function readReport(base64: string): Promise<ReportPage> {
  const bytes = bytesOf(base64);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return unpack(await new Response(stream).arrayBuffer()) as ReportPage;
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
