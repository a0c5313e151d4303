import { createHash } from 'node:crypto';
import { RefusedError, told } from '../../errors';
import { refusedByRuntime } from '../../runtime/complaint';
import type { OptimizationLevel, Runtime, Session } from '../../runtime/runtime';
import type { Tensor } from '../../runtime/tensor';
import type { Extract } from '../onnx/graph';

/** A piece of the graph, loaded. Feeds and results by tensor name. */
export interface Piece {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Throws RefusedError when `feeds` knows no tensor of a name that the piece reads. */
  run(feeds: (name: string) => Tensor | undefined, how?: HowToRun): Promise<Map<string, Tensor>>;
}

export interface HowToRun {
  signal?: AbortSignal;
  /** Rows of the text that a piece is run on at once, where it can be; else as many as are quick. */
  rowsAtOnce?: number;
  /** A tensor of the right size that the piece's first result is written into. */
  into?: Tensor;
}

const FALLBACK: Record<OptimizationLevel, OptimizationLevel[]> = {
  all: ['all', 'basic', 'disabled'],
  basic: ['basic', 'disabled'],
  disabled: ['disabled'],
};

/**
 * Sessions of graph pieces. Equal pieces (layers that share their weights) share one session; a piece that ONNX Runtime
 * cannot optimise is loaded with less optimisation.
 */
export class PieceLoader {
  private readonly sessions = new Map<string, Promise<Session>>();

  constructor(
    private readonly runtime: Runtime,
    private readonly folder: string,
    private readonly level: OptimizationLevel,
    private readonly cpu: boolean,
    /** For many runs: weights are brought into the form that multiplies fastest. */
    private readonly prepack = false,
  ) {}

  async load(piece: Extract, prepack = this.prepack): Promise<Piece> {
    const key = createHash('sha1').update(piece.bytes).digest('hex');
    let pending = this.sessions.get(key);
    if (!pending) this.sessions.set(key, (pending = this.create(piece.bytes, prepack)));
    const session = await pending;
    return {
      inputs: piece.inputs,
      outputs: piece.outputs,
      run: async (feeds, how) => {
        const given: Record<string, Tensor> = {};
        // ONNX Runtime may have dropped inputs that nothing reads.
        for (const port of session.inputNames) {
          const name = inputOf(piece, port);
          const tensor = feeds(name);
          if (!tensor)
            throw new RefusedError(told`The model reads ${JSON.stringify(name)}, which nothing gives.`);
          given[port] = tensor;
        }
        const into = how?.into ? { o0: how.into } : undefined;
        const results = await session.run(given, undefined, into);
        return new Map(piece.outputs.map((name, i) => [name, results[`o${i}`]!]));
      },
    };
  }

  private async create(bytes: Uint8Array, prepack: boolean): Promise<Session> {
    let reason: unknown;
    for (const optimization of FALLBACK[this.level]) {
      try {
        return await this.runtime.load(bytes, {
          optimization,
          externalDataFolder: this.folder,
          cpu: this.cpu,
          prepack,
        });
      } catch (error) {
        if (error instanceof RefusedError) throw error;
        reason = error;
      }
    }
    throw refusedByRuntime('load', reason);
  }

  get size(): number {
    return this.sessions.size;
  }

  async release(): Promise<void> {
    for (const session of this.sessions.values()) await (await session.catch(() => null))?.release();
    this.sessions.clear();
  }
}

function inputOf(piece: Extract, port: string): string {
  const index = /^i(\d+)$/.exec(port);
  return index && Number(index[1]) < piece.inputs.length ? piece.inputs[Number(index[1])]! : port;
}
