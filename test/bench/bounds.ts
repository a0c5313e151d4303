/** What bounds a mechanism: the pairs that it looks at, their products of matrices alone, and what runs outside ONNX Runtime. */
import type { Runtime, Session } from '../../engine/runtime/runtime';
import { float32, type Tensor } from '../../engine/runtime/tensor';

export interface Bounds {
  /** How many times fewer pairs than dense; null = it keeps no pairs. */
  fewer: number | null;
  /** CPU milliseconds per head of the two products of these pairs, at the speed of a product that fits the cache. */
  products: number | null;
  /** Share of the CPU time within ONNX Runtime; the rest is JavaScript and WebAssembly. */
  inRuntime: number;
}

/** A runtime that counts the CPU time of its runs. */
export class CountingRuntime implements Runtime {
  milliseconds = 0;
  private readonly counting = new WeakMap<Session, Session>();

  constructor(private readonly inner: Runtime) {}

  get report(): Runtime['report'] {
    return this.inner.report;
  }

  async load(...given: Parameters<Runtime['load']>): Promise<Session> {
    return this.counted(await this.inner.load(...given));
  }

  async graph(...given: Parameters<Runtime['graph']>): Promise<Session> {
    return this.counted(await this.inner.graph(...given));
  }

  hold<Name extends string>(tensors: Record<Name, Tensor>): ReturnType<typeof this.inner.hold<Name>> {
    return this.inner.hold(tensors);
  }

  dispose(): Promise<void> {
    return this.inner.dispose();
  }

  private counted(session: Session): Session {
    let counting = this.counting.get(session);
    if (!counting) {
      const run: Session['run'] = async (...given) => {
        const before = process.cpuUsage();
        const results = await session.run(...given);
        const used = process.cpuUsage(before);
        this.milliseconds += (used.user + used.system) / 1000;
        return results;
      };
      const { inputNames, outputNames } = session;
      counting = { inputNames, outputNames, run, release: () => session.release() };
      this.counting.set(session, counting);
    }
    return counting;
  }
}

/** CPU milliseconds of a multiplication and an addition in a product of 512 x 64 with 64 x 512, as scores are made of. */
export async function timeOfProduct(runtime: Runtime, dim: number): Promise<number> {
  const [side, heads] = [512, 8];
  const session = await runtime.graph(`bench product|${dim}`, g => {
    const q = g.input('q', 'float32', [heads, side, dim]);
    const k = g.input('k', 'float32', [heads, dim, side]);
    g.output('scores', g.op('ReduceMax', [g.op('MatMul', [q, k]), g.int([-1])], { keepdims: 0 }));
  });
  const numbers = new Float32Array(heads * side * dim).fill(0.01);
  const feeds = { q: float32(numbers, [heads, side, dim]), k: float32(numbers, [heads, dim, side]) };
  let best = Infinity;
  for (let turn = 0; turn < 20; turn++) {
    const before = process.cpuUsage();
    await session.run(feeds);
    const used = process.cpuUsage(before);
    best = Math.min(best, (used.user + used.system) / 1000);
  }
  return best / (heads * side * side * dim);
}
