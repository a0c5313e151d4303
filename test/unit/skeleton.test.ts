import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RefusedError } from '../../engine/errors';
import { graphOf } from '../../engine/model/onnx/readGraph';
import { isHollow } from '../../engine/model/onnx/hollowFile';
import { readSkeleton } from '../../engine/model/onnx/skeleton';
import { inlineBranches } from '../../engine/model/rewrite/inline';
import {
  AttributeType,
  decodeModel,
  ElementType,
  encodeModel,
  type Partially,
  type TensorProto,
} from '../../engine/runtime/onnxProto';
import { plainModel } from '../fixtures/onnxModels';

describe('skeleton of an .onnx file', () => {
  let root: string;
  let folder: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'skeleton-'));
    folder = join(root, 'model');
    mkdirSync(folder);
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const write = (name: string, bytes: Uint8Array | string): string => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  const refused = (file: string, message: RegExp) =>
    assert.throws(
      () => readSkeleton(file),
      (error: Error) => {
        assert.ok(error instanceof RefusedError, String(error.stack));
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );

  it('leaves large weights in the file and points to their bytes', () => {
    const bytes = plainModel(512).encode();
    const skeleton = readSkeleton(write('m.onnx', bytes));
    assert.ok(bytes.length > 100_000);
    assert.ok(skeleton.bytes.length < 2_000, `${skeleton.bytes.length} bytes`);
    const original = decodeModel(bytes).graph!.initializer;
    skeleton.model.graph!.initializer.forEach((tensor, i) => {
      const entry = (key: string) => tensor.external_data.find(e => e.key === key)!.value;
      assert.equal(entry('location'), 'm.onnx');
      const from = Number(entry('offset'));
      const found = bytes.subarray(from, from + Number(entry('length')));
      assert.deepEqual(Buffer.from(found), Buffer.from(original[i]!.raw_data));
    });
    assert.deepEqual(
      skeleton.model.graph!.node.map(n => n.op_type),
      ['Gather', 'Relu', 'MatMul'],
    );
  });

  it('points to weights that the file says explicitly to be its own', () => {
    const model = plainModel(64);
    // What PyTorch and ONNX Runtime's quantiser write; it lies after the data and must not win over the reference.
    for (const tensor of model.initializers) tensor.data_location = 0;
    const bytes = model.encode();
    assert.ok(bytes.length > plainModel(64).encode().length, 'the field is written');
    for (const tensor of readSkeleton(write('m.onnx', bytes)).model.graph!.initializer) {
      assert.equal(tensor.data_location, 1);
      assert.equal(tensor.raw_data.length, 0);
    }
  });

  it('keeps the references of models with their own weight file', () => {
    write('weights.bin', new Uint8Array(2 * 32 * 64 * 4));
    const skeleton = readSkeleton(write('m.onnx', external('weights.bin')));
    assert.deepEqual(
      skeleton.model.graph!.initializer.map(t => t.external_data[0]!.value),
      ['weights.bin', 'weights.bin'],
    );
  });

  it('refuses a file that is cut short, wherever', () => {
    const bytes = plainModel(64).encode();
    const file = write('m.onnx', bytes);
    for (let length = bytes.length - 1; length > 0; length -= 97) {
      truncateSync(file, length);
      refused(file, /cut short or damaged|holds no ONNX graph|names no operator set|is text/);
    }
    truncateSync(file, 0);
    refused(file, /empty/);
  });

  it('refuses large files that hold nothing, which take room in memory only', () => {
    const alone = write('m.onnx', plainModel(64).encode());
    truncateSync(alone, 16 * 2 ** 30);
    refused(alone, /^m\.onnx is refused: the file of 17\.2 GB holds nothing but zeros\.$/);
    truncateSync(write('weights.bin', new Uint8Array(2 * 32 * 64 * 4).fill(7)), 16 * 2 ** 30);
    const beside = write('m.onnx', external('weights.bin'));
    refused(
      beside,
      /^m\.onnx is refused: its weight file weights\.bin of 17\.2 GB holds nothing but zeros\.$/,
    );
    // Smaller ones may be what somebody tries a large model with.
    truncateSync(join(folder, 'weights.bin'), 2 * 2 ** 30);
    readSkeleton(beside);
  });

  it('looks for more than a graph at the front of a large file', () => {
    const file = write('some.bin', new Uint8Array(2 ** 20).fill(7));
    truncateSync(file, 2 ** 33);
    assert.ok(isHollow(file, 2 ** 33), 'its first part is not looked at: it may be a graph');
  });

  it('refuses text, Git LFS pointers, folders and missing files', () => {
    refused(
      write('text.onnx', 'This is a text about models, long enough to fill more than one line.\n'),
      /is text/,
    );
    refused(write('short.onnx', 'hi'), /is text/);
    refused(
      write('lfs.onnx', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'),
      /Git LFS pointer/,
    );
    refused(
      write('zip.onnx', Uint8Array.from([0x50, 0x4b, 3, 4, 20, 0, 0, 0, 8, 0, 255, 255])),
      /no ONNX model/,
    );
    refused(folder, /no file/);
    refused(join(folder, 'none.onnx'), /no file/);
  });

  for (const location of [
    '../secret.bin',
    '/etc/passwd',
    'sub/../../secret.bin',
    'C:\\secret.bin',
    '\\\\host\\share',
    '',
  ])
    it(`refuses weights at ${JSON.stringify(location)}`, () => {
      writeFileSync(join(root, 'secret.bin'), new Uint8Array(1 << 16));
      refused(write('m.onnx', external(location)), /outside the model's folder/);
    });

  it('refuses weights behind a link out of the folder', () => {
    writeFileSync(join(root, 'secret.bin'), new Uint8Array(1 << 16));
    symlinkSync(join(root, 'secret.bin'), join(folder, 'weights.bin'));
    refused(write('m.onnx', external('weights.bin')), /outside the model's folder/);
    symlinkSync(root, join(folder, 'up'));
    refused(write('n.onnx', external('up/secret.bin')), /outside the model's folder/);
  });

  it('follows the links of a Hugging Face cache to the blobs, model and weights alike', () => {
    const blobs = join(root, 'blobs');
    mkdirSync(blobs);
    writeFileSync(join(blobs, 'a1'), external('model.onnx_data'));
    writeFileSync(join(blobs, 'b2'), new Uint8Array(2 * 32 * 64 * 4));
    symlinkSync('../blobs/a1', join(folder, 'model.onnx'));
    refused(join(folder, 'model.onnx'), /weight file model\.onnx_data is missing/);
    symlinkSync('../blobs/b2', join(folder, 'model.onnx_data'));
    const { model, bytes, folder: found } = readSkeleton(join(folder, 'model.onnx'));
    assert.equal(found, blobs);
    for (const graph of [model.graph!, decodeModel(bytes).graph!])
      assert.deepEqual(
        graph.initializer.map(t => t.external_data.find(e => e.key === 'location')!.value),
        ['b2', 'b2'],
      );
    rmSync(join(folder, 'model.onnx_data'));
    writeFileSync(join(root, 'secret'), new Uint8Array(2 * 32 * 64 * 4));
    symlinkSync('../secret', join(folder, 'model.onnx_data'));
    refused(join(folder, 'model.onnx'), /missing|outside the model's folder/);
  });

  it('refuses sparse weights by name', () => {
    const bytes = decodeModel(plainModel().encode());
    bytes.graph!.sparse_initializer = [{ values: { name: 'w', dims: [1], data_type: 1, float_data: [1] } }];
    refused(write('m.onnx', encodeModel(bytes as never)), /sparse tensors/);
  });

  it('refuses a missing or short weight file', () => {
    refused(write('m.onnx', external('weights.bin')), /weight file weights\.bin is missing/);
    write('weights.bin', new Uint8Array(100));
    refused(write('m.onnx', external('weights.bin')), /cut short/);
    refused(write('m.onnx', external('weights.bin', { offset: '-5', length: '8192' })), /cut short/);
  });

  it('refuses weights that lie at two places', () => {
    writeFileSync(join(root, 'secret.bin'), new Uint8Array(1 << 16));
    write('weights.bin', new Uint8Array(1 << 16));
    const twice = decodeModel(external('weights.bin'));
    for (const tensor of twice.graph!.initializer)
      tensor.external_data.push({ key: 'location', value: '../secret.bin' });
    refused(write('m.onnx', encodeModel(twice)), /says twice where its weights lie/);
    const both = decodeModel(external('weights.bin'));
    const [tensor] = both.graph!.initializer;
    tensor!.raw_data = new Uint8Array(32 * 64 * 4);
    refused(write('n.onnx', encodeModel(both)), /says twice where its weights lie/);
  });

  it('refuses tensors whose bytes do not fit their dimensions', () => {
    const model = plainModel(64);
    model.initializers[0]!.dims = [32, 65];
    refused(write('m.onnx', model.encode()), /8192 bytes where its dimensions ask for 8320/);
    model.initializers[0]!.dims = [2 ** 40, 2 ** 40];
    refused(write('m.onnx', model.encode()), /impossible dimensions/);
    model.initializers[0]!.dims = [-1, 64];
    refused(write('m.onnx', model.encode()), /impossible dimensions/);
  });

  it('either reads or refuses 500 damaged files, and never anything else', () => {
    const bytes = plainModel(64).encode();
    let state = 7;
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    let refusals = 0;
    for (let i = 0; i < 500; i++) {
      const damaged = bytes.slice(0, random(4) === 0 ? random(bytes.length) : bytes.length);
      // Mostly in the structure, which lies at both ends.
      for (let n = random(4) + 1; n > 0; n--)
        damaged[random(2) === 0 ? random(120) : random(bytes.length)] = random(256);
      const file = write('m.onnx', damaged);
      try {
        readSkeleton(file);
      } catch (error) {
        assert.ok(error instanceof RefusedError, `seed ${i}: ${(error as Error).stack}`);
        refusals++;
      }
    }
    assert.ok(refusals > 100 && refusals < 500, `${refusals} of 500 refused`);
  });
});

/** The plain model with its weights in another file. */
function external(location: string, extra: Record<string, string> = {}): Uint8Array {
  const model = decodeModel(plainModel(64).encode());
  let offset = 0;
  for (const tensor of model.graph!.initializer as Partially<TensorProto>[]) {
    const length = tensor.raw_data!.length;
    const entries = { location, offset: String(offset), length: String(length), ...extra };
    tensor.external_data = Object.entries(entries).map(([key, value]) => ({ key, value }));
    tensor.data_location = 1;
    tensor.raw_data = new Uint8Array(0);
    offset += length;
  }
  return encodeModel(model);
}

describe('a graph that is too much to decode', function () {
  this.timeout(20_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'deep-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  /** A field of a message: tag, length, content. */
  const field = (tag: number, content: Uint8Array | string) => {
    const bytes = Buffer.from(content);
    const length: number[] = [];
    for (let n = bytes.length; ; n = Math.floor(n / 128)) {
      length.push(n < 128 ? n : (n % 128) + 128);
      if (n < 128) break;
    }
    const head = tag < 16 ? [tag * 8 + 2] : [((tag * 8 + 2) % 128) + 128, (tag * 8 + 2) >> 7];
    return Buffer.concat([Buffer.from([...head, ...length]), bytes]);
  };
  const times = (count: number, part: Buffer) => Buffer.alloc(count * part.length, part);
  const graph = (...parts: Buffer[]) => field(7, Buffer.concat(parts));
  const node = (...parts: Buffer[]) => field(1, Buffer.concat([field(4, 'Relu'), ...parts]));
  const nested = (levels: number) => {
    let deep = field(1, field(4, 'Relu'));
    // A node, its attribute, that one's graph.
    for (let level = 0; level < levels; level++) deep = field(1, field(5, field(6, deep)));
    return deep;
  };
  const nestedType = (levels: number) => {
    let type = field(1, Buffer.from([8, 1]));
    for (let level = 0; level < levels; level++) type = field(4, field(1, type));
    return type;
  };
  /** A function of one node with many inputs, and many calls of it. */
  const wideFunction = () =>
    Buffer.concat([
      graph(
        times(2000, field(1, Buffer.concat([field(4, 'wide'), field(7, 'own')]))),
        field(12, field(1, 'x')),
      ),
      field(8, Buffer.from([16, 17])),
      field(25, Buffer.concat([field(1, 'wide'), field(10, 'own'), field(7, times(60_000, field(1, 'x')))])),
    ]);
  const cases: [string, () => Buffer, RegExp][] = [
    ['100 graphs in each other', () => graph(nested(100)), /too deeply/],
    ['3,000 graphs in each other', () => graph(nested(3000)), /too deeply/],
    ['100 types in each other', () => graph(field(11, field(2, nestedType(100)))), /too deeply/],
    ['200,001 nodes', () => graph(times(200_001, field(1, field(4, 'x')))), /more than 200000 nodes/],
    [
      '200,001 nodes of a function',
      () => field(25, times(200_001, field(7, field(4, 'x')))),
      /more than 200000 nodes/,
    ],
    ['200,000 inputs of a node', () => graph(node(times(200_000, field(1, 'x')))), /65536 entries .* input/],
    ['200,000 attributes', () => graph(node(times(200_000, field(5, '')))), /65536 entries .* attribute/],
    ['300,000 outputs', () => graph(times(300_000, field(12, field(1, 'x')))), /65536 entries .* output/],
    ['5,000,000 empty tensors', () => graph(times(5_000_000, field(5, ''))), /more parts/],
    ['5,000,000 whole numbers', () => graph(field(5, field(7, Buffer.alloc(5_000_000)))), /more parts/],
    ['5,000,000 fields of no meaning', () => times(5_000_000, Buffer.from([0xf8, 1, 1])), /more parts/],
    ['a function of wide nodes', wideFunction, /functions are refused: they make more than 4194304 names/],
    ['two graphs', () => Buffer.concat([graph(node()), graph(node())]), /damaged/],
    ['sparse weights in a body', () => graph(node(field(5, field(22, '')))), /sparse tensors/],
  ];
  for (const [name, make, message] of cases)
    it(`is refused at once: ${name}`, () => {
      const path = join(folder, 'model.onnx');
      writeFileSync(path, make());
      assert.throws(
        () => readSkeleton(path),
        (error: Error) => error instanceof RefusedError && message.test(error.message),
      );
    });

  it('is read when many nodes have bodies of known branches', () => {
    const model = plainModel();
    model.raw('yes', ElementType.bool, Uint8Array.of(1), []);
    const [relu] = model.nodes.filter(({ op_type }) => op_type === 'Relu');
    let last = relu!.output![0]!;
    for (let i = 0; i < 3000; i++) {
      const body = (op_type: string) => ({
        name: 'body',
        node: [{ op_type, input: [last], output: [`${op_type}${i}`] }],
        output: [{ name: `${op_type}${i}` }],
      });
      model.nodes.push({
        op_type: 'If',
        input: ['yes'],
        output: [`if${i}`],
        attribute: [
          { name: 'then_branch', type: AttributeType.graph, g: body('Relu') },
          { name: 'else_branch', type: AttributeType.graph, g: body('Neg') },
        ],
      });
      last = `if${i}`;
    }
    const path = join(folder, 'branches.onnx');
    writeFileSync(path, model.encode());
    const read = graphOf(readSkeleton(path).model);
    inlineBranches(read);
    assert.equal(read.nodes.filter(({ op }) => op === 'If').length, 0);
  });
});

describe('weights that are no file', function () {
  this.timeout(10_000);
  it('are refused: a folder, a pipe that nobody writes to', function () {
    if (process.platform === 'win32') return this.skip();
    const folder = mkdtempSync(join(tmpdir(), 'pipe-'));
    try {
      const path = join(folder, 'model.onnx');
      writeFileSync(path, external('weights'));
      mkdirSync(join(folder, 'weights'));
      assert.throws(() => readSkeleton(path), /its weight file weights is no file/);
      rmSync(join(folder, 'weights'), { recursive: true });
      execFileSync('mkfifo', [join(folder, 'weights')]);
      assert.throws(() => readSkeleton(path), /its weight file weights is no file/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
