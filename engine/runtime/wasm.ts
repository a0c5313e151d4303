/** The memory of a WebAssembly module; it grows and never shrinks. */
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

/** The functions of a module by their names; all numbers lie in `memory`. `base64`: its bytes, as `npm run kernels` writes them. */
export function startModule(base64: string, memory: WasmMemory): object {
  return new wasm.Instance(new wasm.Module(Buffer.from(base64, 'base64')), { env: { memory } }).exports;
}
