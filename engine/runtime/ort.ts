import './noTelemetry';
import { availableParallelism } from 'node:os';
import { env, InferenceSession, listSupportedBackends, Tensor as OrtTensor } from 'onnxruntime-node';
import type { CrashedDevice, DeviceChoice, DeviceName, DeviceReport } from '../../shared/protocol/engine';
import { chooseDevice, type Backend } from './device';
import { GraphBuilder } from './graphBuilder';
import type { Held, OptimizationLevel, Runtime, Session, SessionOptions } from './runtime';
import { SharedCache } from './sharedCache';
import type { DeviceTensor, Feed, Tensor } from './tensor';

export const RUNTIME_VERSION = env.versions.node ?? env.versions.common;

// What fails throws as well. Its own log goes to stderr, several lines with colours, where only our sentences belong.
env.logLevel = 'fatal';

/** The only file that imports onnxruntime-node. Opens the wished-for device, or the best one for `auto`. */
export async function createRuntime(
  choice: DeviceChoice,
  crashed: readonly CrashedDevice[] = [],
): Promise<Runtime> {
  const report = await chooseDevice(
    choice,
    listSupportedBackends() as readonly Backend[],
    undefined,
    crashed,
  );
  return new OrtRuntime(report);
}

class OrtRuntime implements Runtime {
  private readonly sessions = new SharedCache<Session>({ max: 96, release: session => session.release() });
  /** Sessions that give back what they are given, on the device. */
  private readonly holders = new SharedCache<InferenceSession>({
    max: 4,
    release: session => session.release(),
  });

  constructor(readonly report: DeviceReport) {}

  async load(model: Uint8Array, options: SessionOptions = {}): Promise<Session> {
    const device = options.cpu ? 'cpu' : this.report.device;
    return new OrtSession(await InferenceSession.create(model, sessionOptions(device, options)));
  }

  async graph(key: string, build: (graph: GraphBuilder) => void): Promise<Session> {
    return this.sessions.get(key, async () => {
      const graph = new GraphBuilder();
      build(graph);
      return this.load(graph.encode());
    });
  }

  async hold<Name extends string>(tensors: Record<Name, Tensor>): Promise<Held<Name>> {
    const names = Object.keys(tensors) as Name[];
    // onnxruntime-node has no tensors of other devices.
    if (this.report.device !== 'webgpu') return { feeds: tensors, release: () => {} };
    const session = await this.holders.get(names.join(), () => holder(names));
    const given = names.map(name => [name, toOrt(tensors[name])] as const);
    const results = await session.run(Object.fromEntries(given));
    const held = {} as Record<Name, Feed>;
    for (const name of names) held[name] = new OnDevice(results[`held ${name}`]!);
    return { feeds: held, release: () => Object.values(results).forEach(tensor => tensor.dispose()) };
  }

  async dispose(): Promise<void> {
    await this.sessions.clear();
    await this.holders.clear();
  }
}

class OnDevice implements DeviceTensor {
  readonly type = 'float32';
  readonly onDevice = true;

  constructor(readonly tensor: OrtTensor) {}

  get dims(): readonly number[] {
    return this.tensor.dims;
  }
}

function holder(names: readonly string[]): Promise<InferenceSession> {
  const graph = new GraphBuilder();
  for (const name of names)
    graph.output(
      `held ${name}`,
      graph.op('Identity', [graph.input(name, 'float32', [`${name} 0`, `${name} 1`, `${name} 2`])]),
    );
  return InferenceSession.create(graph.encode(), {
    ...sessionOptions('webgpu', { optimization: 'disabled' }),
    preferredOutputLocation: 'gpu-buffer',
  });
}

class OrtSession implements Session {
  constructor(private readonly session: InferenceSession) {}

  get inputNames(): readonly string[] {
    return this.session.inputNames;
  }

  get outputNames(): readonly string[] {
    return this.session.outputNames;
  }

  async run(
    feeds: Record<string, Feed>,
    outputs: readonly string[] = this.session.outputNames,
    into: Record<string, Tensor> = {},
  ): Promise<Record<string, Tensor>> {
    const inputs = Object.fromEntries(Object.entries(feeds).map(([name, t]) => [name, toOrt(t)]));
    const wanted = Object.fromEntries(outputs.map(name => [name, into[name] ? toOrt(into[name]) : null]));
    const results = await this.session.run(inputs, wanted);
    return Object.fromEntries(
      Object.entries(results).map(([name, t]) => [name, into[name] ?? fromOrt(name, t)]),
    );
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}

const levels: Record<OptimizationLevel, 'disabled' | 'basic' | 'all'> = {
  disabled: 'disabled',
  basic: 'basic',
  all: 'all',
};

/** Every session has threads of its own, and dozens of sessions are kept: beyond 16 a core gains nothing and many sessions lose. */
const MOST_THREADS = 16;

/** The variable by which schedulers and numerical programs say how many threads a process may have. */
export const THREADS = 'OMP_NUM_THREADS';

/** Threads of one session. On a GPU the processor only hands the work over. */
export function threadsOf(device: DeviceName, cores = allowedThreads()): number {
  return device === 'cpu' ? Math.min(cores, MOST_THREADS) : 1;
}

function allowedThreads(): number {
  const asked = Number(process.env[THREADS]);
  const cores = availableParallelism();
  return Number.isInteger(asked) && asked > 0 ? Math.min(asked, cores) : cores;
}

function sessionOptions(device: DeviceName, options: SessionOptions): InferenceSession.SessionOptions {
  return {
    executionProviders: device === 'cpu' ? ['cpu'] : [device, 'cpu'],
    graphOptimizationLevel: levels[options.optimization ?? 'all'],
    intraOpNumThreads: threadsOf(device),
    interOpNumThreads: 1,
    // An arena would keep its peak for the life of the session; peaks matter more here than allocation time.
    enableCpuMemArena: false,
    enableMemPattern: false,
    logSeverityLevel: 4, // load errors come as exceptions; do not print them a second time
    extra: {
      session: {
        // Many sessions take turns: the threads of one must not spin while the next one runs.
        intra_op: { allow_spinning: '0' },
        // Weights of 8 bits and less are multiplied in float32, not with activations rounded to 8 bits.
        qdq_matmulnbits_accuracy_level: '1',
        ...(options.prepack === false ? { disable_prepacking: '1' } : {}),
        ...(options.externalDataFolder === undefined
          ? {}
          : { model_external_initializers_file_folder_path: options.externalDataFolder }),
      },
    },
  };
}

function toOrt(tensor: Feed): OrtTensor {
  if (tensor instanceof OnDevice) return tensor.tensor;
  if ('onDevice' in tensor) throw new Error('a tensor of another runtime');
  return new OrtTensor(tensor.type, tensor.data as never, tensor.dims);
}

const arrays: Record<
  Tensor['type'],
  new (buffer: ArrayBufferLike, offset: number, length: number) => Tensor['data']
> = {
  float32: Float32Array,
  int64: BigInt64Array,
  int32: Int32Array,
  bool: Uint8Array,
  float16: Uint16Array,
  uint8: Uint8Array,
  int8: Int8Array,
  float64: Float64Array,
};

function fromOrt(name: string, value: OrtTensor): Tensor {
  const type = value.type as Tensor['type'];
  const TypedArray = arrays[type];
  if (TypedArray === undefined)
    throw new Error(`result "${name}" has the type ${value.type}, which is not supported`);
  // The same bytes under the engine's own array type (newer Node versions hand out Float16Array).
  const view = value.data as Float32Array;
  return {
    type,
    data: new TypedArray(view.buffer, view.byteOffset, view.length),
    dims: value.dims,
  } as Tensor;
}
