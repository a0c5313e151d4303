import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, run } from '../../../scripts/lib/project.mjs';

/** The dense attention of one head, as the command line writes it to a safetensors file. */
export class DenseWeights {
  private constructor(
    private readonly file: number,
    private readonly header: Record<string, { shape: number[]; data_offsets: [number, number] }>,
    private readonly start: number,
  ) {}

  static async of(text: string, output: string): Promise<DenseWeights> {
    await run(
      process.execPath,
      [join(ROOT, 'dist', 'cli.js'), 'analyze', text, '--tensors', output, '--weights'],
      {
        quiet: true,
        minutes: 3,
      },
    );
    const file = openSync(output, 'r');
    const size = Number(read(file, 0, 8).readBigUInt64LE());
    return new DenseWeights(file, JSON.parse(read(file, 8, size).toString('utf8')), 8 + size);
  }

  /** One query's row: its attention to every key. */
  row(core: number, head: number, query: number): Float32Array {
    const tensor = this.header[`core.${core}.weights`];
    if (!tensor) throw new Error(`no core.${core}.weights`);
    const [, queries, keys] = tensor.shape as [number, number, number];
    const at = this.start + tensor.data_offsets[0] + (head * queries + query) * keys * 4;
    const bytes = read(this.file, at, keys * 4);
    return Float32Array.from({ length: keys }, (_, key) => bytes.readFloatLE(key * 4));
  }

  close(): void {
    closeSync(this.file);
  }
}

function read(file: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  readSync(file, bytes, 0, length, position);
  return bytes;
}
