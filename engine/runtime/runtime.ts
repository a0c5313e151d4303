import type { DeviceReport } from '../../shared/protocol/engine';
import type { GraphBuilder } from './graphBuilder';
import type { Feed, Tensor } from './tensor';

export type OptimizationLevel = 'disabled' | 'basic' | 'all';

export interface SessionOptions {
  optimization?: OptimizationLevel;
  /** Folder against which external data of the model is resolved; nothing outside it is read. */
  externalDataFolder?: string;
  /** Force the CPU even when the runtime's device is a GPU (proofs need one reference). */
  cpu?: boolean;
  /** False: weights stay as they lie in the file (mapped, not copied), slower to multiply with. For sessions of a few runs. */
  prepack?: boolean;
}

/** A loaded graph. Feeds and results by name; results are in CPU memory. */
export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /**
   * `outputs`: the results wanted, all when absent. `into`: tensors of the caller that receive results of the same name,
   * type and shape in place of new ones; worth it for large results of repeated runs.
   */
  run(
    feeds: Record<string, Feed>,
    outputs?: readonly string[],
    into?: Record<string, Tensor>,
  ): Promise<Record<string, Tensor>>;
  release(): Promise<void>;
}

/** What a device reads without a copy from run to run, by name. */
export interface Held<Name extends string = string> {
  feeds: Record<Name, Feed>;
  /** Nothing may read them afterwards. */
  release(): void;
}

/** ONNX Runtime on one device. `engine/runtime/ort.ts` is the only file that imports onnxruntime-node. */
export interface Runtime {
  readonly report: DeviceReport;
  /** Loads a serialised ONNX model (or skeleton). Throws Error with ONNX Runtime's message. */
  load(model: Uint8Array, options?: SessionOptions): Promise<Session>;
  /** The session of a graph we generate; built once per key, least recently used are released. */
  graph(key: string, build: (graph: GraphBuilder) => void): Promise<Session>;
  /** Brings float32 tensors to the device once, for many runs. Where they are read in place anyway, or cannot be held, these are the tensors themselves. */
  hold<Name extends string>(tensors: Record<Name, Tensor>): Promise<Held<Name>>;
  dispose(): Promise<void>;
}
