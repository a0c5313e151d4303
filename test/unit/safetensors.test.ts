import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RefusedError } from '../../engine/errors';
import {
  openSafetensors,
  readSafetensors,
  SafetensorsWriter,
  writeSafetensors,
} from '../../engine/export/safetensors';
import type { Tensor } from '../../engine/runtime/tensor';

describe('safetensors', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'safetensors-'));
  });
  after(() => rm(folder, { recursive: true }));

  const file = (name: string): string => join(folder, name);
  const raw = (header: unknown, data = Buffer.alloc(0)): Buffer => {
    const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    return Buffer.concat([length, json, data]);
  };

  it('gives back what was written, for every type', async () => {
    const tensors: Record<string, Tensor> = {
      flags: { type: 'bool', data: Uint8Array.of(1, 0, 1), dims: [3] },
      floats: { type: 'float32', data: Float32Array.of(1.5, -2, Infinity, 3e-39), dims: [2, 2] },
      doubles: { type: 'float64', data: Float64Array.of(Math.PI), dims: [] },
      halves: { type: 'float16', data: Uint16Array.of(0x3c00), dims: [1, 1] },
      longs: { type: 'int64', data: BigInt64Array.of(-(2n ** 62n), 7n), dims: [2] },
      ints: { type: 'int32', data: Int32Array.of(-5, 6), dims: [2, 1] },
      bytes: { type: 'uint8', data: Uint8Array.of(255), dims: [1] },
      signed: { type: 'int8', data: Int8Array.of(-128), dims: [1] },
      none: { type: 'float32', data: new Float32Array(0), dims: [0, 4] },
    };
    await writeSafetensors(file('all.safetensors'), tensors);
    assert.deepEqual({ ...(await readSafetensors(file('all.safetensors'))) }, tensors);
  });

  it('follows the published layout byte for byte', async () => {
    // Written out by hand from the format's description: length, header, data.
    const bytes = raw(
      { x: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } },
      Buffer.from('0000803f00000040', 'hex'),
    );
    await writeFile(file('hand.safetensors'), bytes);
    assert.deepEqual((await readSafetensors(file('hand.safetensors'))).x!.data, Float32Array.of(1, 2));
    await writeSafetensors(file('ours.safetensors'), {
      x: { type: 'float32', data: Float32Array.of(1, 2), dims: [2] },
    });
    const ours = await readFile(file('ours.safetensors'));
    const headerBytes = Number(ours.readBigUInt64LE());
    assert.deepEqual(JSON.parse(ours.toString('utf8', 8, 8 + headerBytes)), {
      x: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
    });
    assert.equal(ours.subarray(8 + headerBytes).toString('hex'), '0000803f00000040');
  });

  it('widens bfloat16 exactly', async () => {
    await writeFile(
      file('bf16.safetensors'),
      raw({ x: { dtype: 'BF16', shape: [2], data_offsets: [0, 4] } }, Buffer.from('803f40c0', 'hex')),
    );
    assert.deepEqual((await readSafetensors(file('bf16.safetensors'))).x!.data, Float32Array.of(1, -3));
  });

  it('writes in pieces and in any order', async () => {
    const writer = await SafetensorsWriter.create(file('pieces.safetensors'), 2);
    await writer.add('a', { type: 'int64', dims: [3] });
    await writer.add('b', { type: 'float32', dims: [2, 3] });
    await writer.write('b', Float32Array.of(4, 5, 6), 3);
    await writer.write('a', BigInt64Array.of(7n, 8n, 9n));
    assert.ok(!(await readdir(folder)).includes('pieces.safetensors'), 'not there before it is whole');
    await writer.write('b', Float32Array.of(1, 2, 3));
    await writer.finish();
    const tensors = await readSafetensors(file('pieces.safetensors'));
    assert.deepEqual(tensors.b!.data, Float32Array.of(1, 2, 3, 4, 5, 6));
    assert.deepEqual(tensors.a!.data, BigInt64Array.of(7n, 8n, 9n));
  });

  it('leaves nothing behind when incomplete or aborted, and keeps the old file', async () => {
    await writeFile(file('old.safetensors'), 'old');
    const writer = await SafetensorsWriter.create(file('old.safetensors'), 1);
    await writer.add('a', { type: 'float32', dims: [2] });
    await writer.write('a', Float32Array.of(1));
    await assert.rejects(writer.finish(), /"a" is incomplete: 1 elements/);
    assert.equal(await readFile(file('old.safetensors'), 'utf8'), 'old');
    assert.deepEqual(
      (await readdir(folder)).filter(name => name.endsWith('.tmp')),
      [],
    );
  });

  it('says that the disk is full', async function () {
    if (process.platform !== 'linux') return this.skip();
    const tensor: Tensor = { type: 'float32', data: new Float32Array(100), dims: [100] };
    await assert.rejects(
      writeSafetensors('/dev/full', { tensor }),
      /Cannot write \/dev\/full: the disk is full\./,
    );
  });

  it('refuses a result larger than the disk before writing it', async () => {
    const writer = await SafetensorsWriter.create(file('huge.safetensors'), 1);
    await assert.rejects(
      writer.add('a', { type: 'float32', dims: [2 ** 24, 2 ** 24] }),
      /it needs \d+ MiB and the disk has \d+ MiB left/,
    );
    assert.deepEqual(
      (await readdir(folder)).filter(name => name.startsWith('huge')),
      [],
    );
  });

  const entry = { dtype: 'F32', shape: [2], data_offsets: [0, 8] };
  const eight = Buffer.alloc(8);
  const broken: [string, Buffer, RegExp][] = [
    ['empty', Buffer.alloc(0), /too short/],
    ['text', Buffer.from('This is not a tensor file, it is a sentence.'), /its header claims \d+ bytes/],
    ['truncated header', raw({ x: entry }, eight).subarray(0, 30), /truncated inside its header/],
    ['not JSON', raw('{"x": '), /header is not JSON/],
    ['a list', raw('[1, 2]'), /header is not an object/],
    ['truncated data', raw({ x: entry }, eight.subarray(0, 5)), /reaches beyond its end/],
    ['extra data', raw({ x: entry }, Buffer.alloc(12)), /4 bytes belong to no tensor/],
    [
      'overlap',
      raw({ x: entry, y: { ...entry, data_offsets: [4, 12] } }, Buffer.alloc(12)),
      /does not start where/,
    ],
    ['hole', raw({ x: { ...entry, data_offsets: [8, 16] } }, Buffer.alloc(16)), /does not start where/],
    ['shape against size', raw({ x: { ...entry, shape: [3] } }, eight), /does not match its size/],
    ['negative shape', raw({ x: { ...entry, shape: [-1, -2] } }, eight), /no proper shape/],
    ['huge shape', raw({ x: { ...entry, shape: [2 ** 31, 2 ** 31] } }, eight), /does not match its size/],
    ['reversed offsets', raw({ x: { ...entry, data_offsets: [8, 0] } }, eight), /ends before it begins/],
    ['no entry', raw({ x: null }), /no dtype/],
  ];
  for (const [name, bytes, reason] of broken) {
    it(`refuses a broken file: ${name}`, async () => {
      await writeFile(file('broken.safetensors'), bytes);
      await assert.rejects(openSafetensors(file('broken.safetensors')), (error: Error) => {
        assert.ok(error instanceof RefusedError, String(error));
        assert.match(error.message, reason);
        return true;
      });
    });
  }

  it('refuses a missing file, a missing tensor, an unknown type and too much', async () => {
    await assert.rejects(openSafetensors(file('missing')), /does not exist\./);
    await writeFile(
      file('f8.safetensors'),
      raw({ x: { dtype: 'F8_E4M3', shape: [8], data_offsets: [0, 8] } }, eight),
    );
    const opened = await openSafetensors(file('f8.safetensors'));
    await assert.rejects(opened.read('x'), /type F8_E4M3, which is not supported/);
    await assert.rejects(opened.read('y'), /has no tensor "y"/);
    await opened.close();
    await assert.rejects(readSafetensors(file('f8.safetensors'), 4), /at most 0 MiB can be read here/);
  });
});
