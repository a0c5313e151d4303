import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parquetMetadata } from 'hyparquet';
import { readParquet, writeParquet } from '../../engine/corpus/parquet';

describe('tables as Parquet', () => {
  let folder: string;
  before(async () => (folder = await mkdtemp(join(tmpdir(), 'parquet-'))));
  after(() => rm(folder, { recursive: true }));

  const columns = { name: 'string?', at: 'int32', counts: 'int64[]' } as const;
  const row = (at: number) => ({ name: at % 3 ? `row ${at}` : null, at, counts: [at, 2 ** 40 + at] });

  it('are written group by group from rows that come one by one, and read as they were', async () => {
    const count = 2500;
    function* rows() {
      for (let at = 0; at < count; at++) yield row(at);
    }
    const path = join(folder, 'rows.parquet');
    await writeParquet(path, columns, rows());
    const { buffer, byteOffset, byteLength } = await readFile(path);
    const { row_groups } = parquetMetadata(buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer);
    assert.deepEqual(
      row_groups.map(({ num_rows }) => Number(num_rows)),
      [1000, 1000, 500],
    );
    assert.deepEqual(await readParquet(path, columns), [...rows()]);
  });

  it('may be empty', async () => {
    const path = join(folder, 'none.parquet');
    await writeParquet(path, columns, []);
    assert.deepEqual(await readParquet(path, columns), []);
  });
});
