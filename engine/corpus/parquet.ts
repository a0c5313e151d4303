/** Tables of typed columns as Parquet files. */
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import type { SchemaElement } from 'hyparquet';
import { RefusedError, told } from '../errors';
import { writeWhole } from '../export/outputFile';
import { readPlain } from '../plainFile';
import { VERSION } from '../version';

const TYPES = {
  string: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
  int32: { type: 'INT32' },
  int64: { type: 'INT64' },
  float: { type: 'FLOAT' },
  double: { type: 'DOUBLE' },
} as const satisfies Record<string, Partial<SchemaElement>>;

type ElementType = keyof typeof TYPES;
/** `?`: may be null. */
export type ColumnType = ElementType | `${ElementType}?` | `${ElementType}[]`;

type Values = { string: string; int32: number; int64: number; float: number; double: number };
type ValueOf<T extends ColumnType> = T extends `${infer E extends ElementType}[]`
  ? Values[E][]
  : T extends `${infer E extends ElementType}?`
    ? Values[E] | null
    : T extends ElementType
      ? Values[T]
      : never;

export type Columns = Readonly<Record<string, ColumnType>>;
export type Row<C extends Columns> = { -readonly [name in keyof C]: ValueOf<C[name]> };

/** Rows of a group in the file: only so many are in memory at a time. */
const GROUP = 1000;

export async function writeParquet<C extends Columns>(
  path: string,
  columns: C,
  rows: Iterable<Row<C>>,
): Promise<void> {
  const names = Object.keys(columns);
  const schema: SchemaElement[] = [
    { name: 'root', num_children: names.length },
    ...names.flatMap(name => elementsOf(name, columns[name]!)),
  ];
  const bytes = new ByteWriter();
  const writer = new ParquetWriter({
    writer: bytes,
    schema,
    createdBy: `attention-inspector version ${VERSION}`,
  });
  for (const group of groupsOf(rows)) {
    const columnData = names.map(name => {
      const large = columns[name]!.startsWith('int64');
      const data = group.map(row => (large ? bigint(row[name]) : row[name]));
      // Bins and their counts are small whole numbers near their neighbours.
      return /^int\d+\[\]$/.test(columns[name]!)
        ? { name, data, encoding: 'DELTA_BINARY_PACKED' as const }
        : { name, data };
    });
    await writer.write({ columnData, rowGroupSize: GROUP });
  }
  await writer.finish();
  await writeWhole(path, bytes.getBytes());
}

function* groupsOf<R>(rows: Iterable<R>): Generator<R[]> {
  let group: R[] = [];
  for (const row of rows) {
    group.push(row);
    if (group.length < GROUP) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}

const FILE_LIMIT = 2 ** 31;
/** Tables of ours hold less than one value a byte. */
const MOST_VALUES_A_BYTE = 16;
const MOST_VALUES = 1e5;

/** @throws what the system or the format has to say. */
export async function readParquet<C extends Columns>(path: string, columns: C): Promise<Row<C>[]> {
  const bytes = await readPlain(path, FILE_LIMIT);
  if (bytes === null) throw new RefusedError(told`there is no ${path}`);
  const { buffer, byteOffset, byteLength } = bytes;
  const file = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
  refuseUnpacked(file, path);
  const rows = await parquetReadObjects({ file });
  return rows.map(
    row =>
      Object.fromEntries(
        Object.entries(columns).map(([name, type]) => {
          const value: unknown = row[name] ?? null;
          return [name, type.startsWith('int64') ? plain(value) : value];
        }),
      ) as Row<C>,
  );
}

/** A column of equal values takes no room in a file, and each is a value of an object once it is read. */
function refuseUnpacked(file: ArrayBuffer, path: string): void {
  const columns = parquetMetadata(file).row_groups.flatMap(({ columns }) => columns);
  const values = columns.reduce((sum, { meta_data }) => sum + Number(meta_data?.num_values ?? 0), 0);
  if (values > MOST_VALUES + MOST_VALUES_A_BYTE * file.byteLength)
    throw new RefusedError(told`${path} unpacks to far more than it holds`);
}

function elementsOf(name: string, column: ColumnType): SchemaElement[] {
  const [, element, suffix] = /^(\w+)(\?|\[\])?$/.exec(column)!;
  const type = TYPES[element as ElementType];
  if (suffix !== '[]') {
    return [{ name, ...type, repetition_type: suffix === '?' ? 'OPTIONAL' : 'REQUIRED' }];
  }
  return [
    { name, repetition_type: 'REQUIRED', num_children: 1, converted_type: 'LIST' },
    { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    { name: 'element', ...type, repetition_type: 'REQUIRED' },
  ];
}

const bigint = (value: unknown): unknown =>
  Array.isArray(value) ? value.map(bigint) : typeof value === 'number' ? BigInt(value) : value;
const plain = (value: unknown): unknown =>
  Array.isArray(value) ? value.map(plain) : typeof value === 'bigint' ? Number(value) : value;
