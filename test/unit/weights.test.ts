import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { countParameters } from '../../engine/model/onnx/weights';
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
