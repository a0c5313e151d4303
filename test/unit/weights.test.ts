import assert from 'node:assert/strict';
import fs, { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { countParameters, equalWeights } from '../../engine/model/onnx/weights';
import { ElementType } from '../../engine/runtime/onnxProto';

describe('numbers in the weights', () => {
  const ROWS = 30;
  const COLUMNS = 20;
  const table = Float32Array.from({ length: ROWS * COLUMNS }, (_, i) => Math.sin(i));
  const turned = Float32Array.from(table, (_, i) => table[(i % ROWS) * COLUMNS + Math.floor(i / ROWS)]!);
  const bytes = (data: ArrayBufferView) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const tensor = (dims: number[], data: ArrayBufferView, type: number = ElementType.float32) => ({
    dims,
    data_type: type,
    raw_data: bytes(data),
  });

  it('counts a table and its turned copy once, wherever they lie', () => {
    const folder = mkdtempSync(join(tmpdir(), 'weights-'));
    writeFileSync(join(folder, 'data'), Buffer.concat([Buffer.alloc(16), bytes(turned)]));
    const entries = { location: 'data', offset: '16', length: String(turned.byteLength) };
    const outside = {
      dims: [COLUMNS, ROWS],
      data_type: ElementType.float32,
      data_location: 1,
      external_data: Object.entries(entries).map(([key, value]) => ({ key, value })),
    };
    assert.equal(countParameters([tensor([ROWS, COLUMNS], table), outside], folder), 600);
    assert.equal(countParameters([outside, tensor([ROWS, COLUMNS], table)], folder), 600);
    rmSync(folder, { recursive: true });
  });

  it('counts others each, and no masks or indices', () => {
    const other = table.map(v => v + 1);
    const ones = new Float32Array(600).fill(1);
    const all = [
      tensor([ROWS, COLUMNS], table),
      tensor([COLUMNS, ROWS], other),
      tensor([ROWS, COLUMNS], ones),
      tensor([COLUMNS, ROWS], ones),
      tensor([100, 100], new Uint8Array(10_000), ElementType.bool),
      tensor([100], new BigInt64Array(100), ElementType.int64),
    ];
    assert.equal(countParameters(all, '.'), 2400);
  });

  it('counts packed weights by what they hold', () => {
    const bits = tensor([8, 2, 16], new Uint8Array(256), ElementType.uint8);
    assert.equal(
      countParameters([bits], '.', () => 2),
      512,
    );
  });
});

describe('many tensors of a small file', () => {
  const SIZE = 1 << 20;
  let folder: string;
  let read: number;
  const { readSync } = fs;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'weights-'));
    writeFileSync(join(folder, 'data'), Buffer.alloc(SIZE));
    read = 0;
    const counting = (...args: Parameters<typeof readSync>) => {
      const length = readSync(...args);
      read += length;
      return length;
    };
    fs.readSync = counting as typeof readSync;
  });
  afterEach(() => {
    fs.readSync = readSync;
    rmSync(folder, { recursive: true });
  });

  const at = (offset: number, length: number) => ({
    dims: [length],
    data_type: ElementType.uint8,
    data_location: 1,
    external_data: Object.entries({ location: 'data', offset: String(offset), length: String(length) }).map(
      ([key, value]) => ({ key, value }),
    ),
  });

  it('over one place are found equal without reading it again', () => {
    const tensors = [...Array.from({ length: 2000 }, () => at(0, SIZE / 2)), at(SIZE / 2, SIZE / 2)];
    const keys = equalWeights(tensors, folder);
    assert.equal(keys.size, 2001);
    assert.equal(new Set(keys.values()).size, 1);
    assert.ok(read > SIZE && read < 1.1 * SIZE, `${read} bytes read`);
  });

  it('that overlap are not all read', () => {
    const tensors = Array.from({ length: 500 }, (_, i) => at(i, SIZE / 2));
    const keys = equalWeights(tensors, folder);
    assert.ok(keys.size > 1 && keys.size < 10, `${keys.size} keys`);
    assert.ok(read < 4 * SIZE, `${read} bytes read`);
  });

  it('are counted without comparing each with each', () => {
    const ones = { dims: [12, 12], data_type: ElementType.uint8, raw_data: new Uint8Array(144).fill(1) };
    const tables = Array.from({ length: 4000 }, () => ones);
    assert.equal(countParameters(tables, folder), 4000 * 144);
  });
});
