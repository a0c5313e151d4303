/**
 * Writes small WebAssembly modules: loops over pairs that no graph of ONNX Runtime fits, four numbers at a time. An expression is the
 * bytes that compute it, so code is put together from functions like `add(get(x), i32(4))`.
 */

export type Code = readonly number[];
export type ValueType = 'i32' | 'f32' | 'f64' | 'v128';
export type Local = number;

/** The memory of a module; it grows and never shrinks. */
export interface WasmMemory {
  /** Another one once it has grown. */
  readonly buffer: ArrayBuffer;
  /** By pages of 64 KiB. */
  grow(pages: number): number;
}

/** Node has it; its types come with those of a browser's page only. */
const { WebAssembly: wasm } = globalThis as unknown as {
  WebAssembly: {
    Memory: new (size: { initial: number }) => WasmMemory;
    Module: new (bytes: Uint8Array) => object;
    Instance: new (module: object, imports: object) => { exports: object };
  };
};

export const createMemory = (): WasmMemory => new wasm.Memory({ initial: 1 });

/** The functions of a module by their names. */
export function startModule(functions: readonly WasmFunction[], memory: WasmMemory): object {
  return new wasm.Instance(new wasm.Module(encodeModule(functions)), { env: { memory } }).exports;
}

const TYPES: Record<ValueType, number> = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b };
const EMPTY = 0x40;

/** A function without a result, called with its parameters in order. */
export class WasmFunction {
  private readonly locals: ValueType[] = [];
  /** In order. */
  readonly parameters: Local[];
  body: Code = [];

  constructor(
    readonly name: string,
    readonly types: readonly ValueType[],
  ) {
    this.parameters = types.map((_, at) => at);
  }

  local(type: ValueType): Local {
    this.locals.push(type);
    return this.types.length + this.locals.length - 1;
  }

  encode(): Code {
    const locals = this.locals.flatMap(type => [1, TYPES[type]]);
    const all = [...unsigned(this.locals.length), ...locals, ...this.body, 0x0b];
    return [...unsigned(all.length), ...all];
  }
}

/** A module of these functions over the memory that it is given as `env.memory`. */
function encodeModule(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const text = (name: string) => [...unsigned(name.length), ...Buffer.from(name)];
  const section = (id: number, items: readonly Code[]) => {
    const content = [...unsigned(items.length), ...items.flat()];
    return [id, ...unsigned(content.length), ...content];
  };
  const types = functions.map(one => [
    0x60,
    ...unsigned(one.types.length),
    ...one.types.map(type => TYPES[type]),
    0,
  ]);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, types),
    ...section(2, [[...text('env'), ...text('memory'), 0x02, 0x00, 0x01]]),
    ...section(
      3,
      functions.map((_, at) => unsigned(at)),
    ),
    ...section(
      7,
      functions.map(({ name }, at) => [...text(name), 0x00, ...unsigned(at)]),
    ),
    ...section(
      10,
      functions.map(one => one.encode()),
    ),
  ]);
}

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return bytes;
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7) {
    const isLast = rest >> 6 === 0 || rest >> 6 === -1;
    bytes.push((rest & 0x7f) | (isLast ? 0 : 0x80));
    if (isLast) return bytes;
  }
}

/** Operations on whole vectors, or with 0xfd before them, on 16 bytes. */
const vector = (code: number): Code => [0xfd, ...unsigned(code)];
const binary =
  (code: Code) =>
  (a: Code, b: Code): Code => [...a, ...b, ...code];
const unary =
  (code: Code) =>
  (a: Code): Code => [...a, ...code];
/** `offset`: bytes behind the address. */
const loadOf =
  (code: Code) =>
  (address: Code, offset = 0): Code => [...address, ...code, 2, ...unsigned(offset)];
const storeOf =
  (code: Code) =>
  (address: Code, value: Code, offset = 0): Code => [...address, ...value, ...code, 2, ...unsigned(offset)];

export const block = (...codes: readonly Code[]): Code => codes.flat();
export const get = (local: Local): Code => [0x20, ...unsigned(local)];
export const set = (local: Local, value: Code): Code => [...value, 0x21, ...unsigned(local)];
export const when = (condition: Code, then: Code, otherwise: Code = []): Code => [
  ...condition,
  ...[0x04, EMPTY],
  ...then,
  ...(otherwise.length > 0 ? [0x05, ...otherwise] : []),
  0x0b,
];
/** `body` as long as the condition holds before it. */
export const loopWhile = (condition: Code, body: Code): Code => [
  ...[0x02, EMPTY, 0x03, EMPTY],
  ...condition,
  ...[0x45, 0x0d, 1],
  ...body,
  ...[0x0c, 0, 0x0b, 0x0b],
];

export const i32 = (value: number): Code => [0x41, ...signed(value)];
export const add = binary([0x6a]);
export const sub = binary([0x6b]);
export const mul = binary([0x6c]);
export const shl = binary([0x74]);
export const lessThan = binary([0x48]);
export const atLeast = binary([0x4e]);
export const load = loadOf([0x28]);

export const f32 = (value: number): Code => [0x43, ...new Uint8Array(Float32Array.of(value).buffer)];
export const f32x = {
  add: binary([0x92]),
  div: binary([0x95]),
  max: binary([0x97]),
  load: loadOf([0x2a]),
  store: storeOf([0x38]),
};

/** Vectors of any kind. */
export const v128 = {
  load: loadOf(vector(0x00)),
  store: storeOf(vector(0x0b)),
  and: binary(vector(0x4e)),
};

export const f32x4 = {
  loadSplat: loadOf(vector(0x09)),
  splat: unary(vector(0x13)),
  of: (value: number): Code => [...f32(value), ...vector(0x13)],
  lane: (value: Code, lane: number): Code => [...value, ...vector(0x1f), lane],
  add: binary(vector(0xe4)),
  sub: binary(vector(0xe5)),
  mul: binary(vector(0xe6)),
  max: binary(vector(0xe9)),
  greater: binary(vector(0x44)),
  nearest: unary(vector(0x6a)),
  /** Lanes 0..3 of the first, 4..7 of the second. */
  shuffle: (a: Code, b: Code, lanes: readonly number[]): Code => [
    ...a,
    ...b,
    ...vector(0x0d),
    ...lanes.flatMap(lane => [0, 1, 2, 3].map(byte => 4 * lane + byte)),
  ],
};

export const i32x4 = {
  of: (value: number): Code => [...i32(value), ...vector(0x11)],
  fromFloats: unary(vector(0xf8)),
  add: binary(vector(0xae)),
  shl: (value: Code, bits: number): Code => [...value, ...i32(bits), ...vector(0xab)],
};

export const f64x2 = {
  loadSplat: loadOf(vector(0x0a)),
  of: (value: number): Code => [0x44, ...new Uint8Array(Float64Array.of(value).buffer), ...vector(0x14)],
  add: binary(vector(0xf0)),
  mul: binary(vector(0xf2)),
  max: binary(vector(0xf5)),
};
