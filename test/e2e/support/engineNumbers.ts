import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, run } from '../../../scripts/lib/project.mjs';

interface Analysis {
  mechanisms: { name: string; heads: { core: number; head: number; recall: number }[] }[];
}

/** What the command line says of a text: the dense attention of every head, and what LSH and routing keep of it. */
export class EngineNumbers {
  private constructor(
    private readonly file: number,
    private readonly header: Record<string, { shape: number[]; data_offsets: [number, number] }>,
    private readonly start: number,
    private readonly analysis: Analysis,
  ) {}

  static async of(text: string, output: string): Promise<EngineNumbers> {
    const json = `${output}.json`;
    await run(
      process.execPath,
      [
        ...[join(ROOT, 'dist', 'cli.js'), 'analyze', text, '--mechanisms', 'lsh,routing', '--json', json],
        ...['--tensors', output, '--weights', '--device', 'cpu'],
      ],
      { quiet: true, minutes: 3 },
    );
    const file = openSync(output, 'r');
    const size = Number(read(file, 0, 8).readBigUInt64LE());
    return new EngineNumbers(
      file,
      JSON.parse(read(file, 8, size).toString('utf8')),
      8 + size,
      JSON.parse(readFileSync(json, 'utf8')) as Analysis,
    );
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

  /** Share of one head's mass that a mechanism keeps, with its default parameters. */
  recall(mechanism: string, core: number, head: number): number {
    const found = this.analysis.mechanisms
      .find(each => each.name === mechanism)
      ?.heads.find(each => each.core === core && each.head === head);
    if (!found) throw new Error(`no ${mechanism} for head ${core}.${head}`);
    return found.recall;
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
