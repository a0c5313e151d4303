/** A picture as pixels: a PNG that knows its size on paper, and a PDF page of exactly that size. */
import type { Picture } from './pageToSvg';

export interface Printed {
  picture: Picture;
  millimetres: number;
  /** Pixels for each of the picture's. */
  ratio: number;
}

/** More than this no canvas holds on every machine. */
const MOST_PIXELS = 120e6;

export async function toPng(printed: Printed): Promise<Uint8Array> {
  const canvas = await painted(printed);
  const blob = await new Promise<Blob | null>(resolve => canvas.toBlob(resolve, 'image/png'));
  if (!blob) throw new Error('the picture is too large for this machine');
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return withSize(bytes, Math.round((canvas.width / printed.millimetres) * 1000));
}

/** One page, as large as the figure, with it as an image: letters of every script come out, whatever fonts the reader has. */
export async function toPdf(printed: Printed): Promise<Uint8Array> {
  const canvas = await painted(printed);
  const { width, height } = canvas;
  const { data } = canvas.getContext('2d')!.getImageData(0, 0, width, height);
  const colours = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    colours[to++] = data[from]!;
    colours[to++] = data[from + 1]!;
    colours[to++] = data[from + 2]!;
  }
  const image = await deflated(colours);
  const wide = (printed.millimetres / 25.4) * 72;
  const tall = (wide * height) / width;
  const size = `${wide.toFixed(3)} ${tall.toFixed(3)}`;
  const drawing = `q ${wide.toFixed(3)} 0 0 ${tall.toFixed(3)} 0 0 cm /F Do Q`;
  return pdf([
    '<< /Type /Catalog /Pages 2 0 R >>',
    '<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
    `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 ${size}] /Contents 4 0 R /Resources << /XObject << /F 5 0 R >> >> >>`,
    [`<< /Length ${drawing.length} >>`, new TextEncoder().encode(drawing)],
    [
      `<< /Type /XObject /Subtype /Image /Width ${width} /Height ${height} /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /FlateDecode /Length ${image.length} >>`,
      image,
    ],
  ]);
}

async function painted({ picture, ratio }: Printed): Promise<HTMLCanvasElement> {
  const { svg, width, height } = picture;
  const least = Math.min(ratio, Math.sqrt(MOST_PIXELS / (width * height)));
  const url = URL.createObjectURL(new Blob([svg], { type: 'image/svg+xml' }));
  try {
    const image = new Image();
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = () => reject(new Error('the picture could not be drawn'));
      image.src = url;
    });
    const canvas = document.createElement('canvas');
    canvas.width = Math.round(width * least);
    canvas.height = Math.round(height * least);
    canvas.getContext('2d')!.drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas;
  } finally {
    URL.revokeObjectURL(url);
  }
}

// ---------------------------------------------------------------- PNG

/** Where the header chunk of every PNG ends. */
const AFTER_HEADER = 33;

/** Says in the file how many pixels there are to a metre, so that programs place it at its size. */
function withSize(png: Uint8Array, perMetre: number): Uint8Array {
  const chunk = new Uint8Array(21);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, 9);
  chunk.set(new TextEncoder().encode('pHYs'), 4);
  view.setUint32(8, perMetre);
  view.setUint32(12, perMetre);
  chunk[16] = 1;
  view.setUint32(17, crc32(chunk.subarray(4, 17)));
  const sized = new Uint8Array(png.length + chunk.length);
  sized.set(png.subarray(0, AFTER_HEADER));
  sized.set(chunk, AFTER_HEADER);
  sized.set(png.subarray(AFTER_HEADER), AFTER_HEADER + chunk.length);
  return sized;
}

function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

// ---------------------------------------------------------------- PDF

type PdfObject = string | [dictionary: string, stream: Uint8Array<ArrayBuffer>];

function pdf(objects: PdfObject[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const offsets: number[] = [];
  let length = 0;
  const write = (part: string | Uint8Array) => {
    const bytes = typeof part === 'string' ? new TextEncoder().encode(part) : part;
    parts.push(bytes);
    length += bytes.length;
  };
  write('%PDF-1.4\n');
  objects.forEach((object, at) => {
    offsets.push(length);
    write(`${at + 1} 0 obj\n`);
    if (typeof object === 'string') write(`${object}\n`);
    else {
      write(`${object[0]}\nstream\n`);
      write(object[1]);
      write('\nendstream\n');
    }
    write('endobj\n');
  });
  const table = length;
  write(`xref\n0 ${objects.length + 1}\n0000000000 65535 f \n`);
  for (const offset of offsets) write(`${String(offset).padStart(10, '0')} 00000 n \n`);
  write(`trailer << /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${table}\n%%EOF\n`);
  const file = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

async function deflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
