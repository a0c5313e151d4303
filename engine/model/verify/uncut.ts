import { checkpoint, neverCancelled } from '../../runtime/cancellation';
import { collectGarbage } from '../../runtime/memory';
import type { OptimizationLevel, Runtime, Session } from '../../runtime/runtime';
import { float32, widened, type Tensor } from '../../runtime/tensor';
import type { Plan } from '../cut/cutPlan';
import { makeFeeds, type Ids } from '../cut/feeds';
import { PieceLoader } from '../cut/pieces';
import { unknownInput } from '../onnx/inputs';
import type { Graph } from '../onnx/graph';
import type { Skeleton } from '../onnx/skeleton';
import { referenceBytes } from './reference';
import { refusedByRuntime } from '../../runtime/complaint';

type Run = (ids: Ids) => Promise<Tensor>;

/** Files larger than this are not mapped a second time between the proof and the first text that is compared. */
const MAPPED_TWICE = 200_000_000;

/** The uncut model in ONNX Runtime on the CPU: what the cut one is compared with. */
export class UncutModel {
  /** At full optimisation, kept loaded: every analysis is compared with it. A large one from the first text on. */
  private kept: Promise<{ run: Run; release(): Promise<void> }> | null = null;

  constructor(
    private readonly plan: Plan,
    private readonly runtime: Runtime,
    private readonly skeleton: Skeleton,
  ) {}

  async run(ids: Ids): Promise<Tensor> {
    this.kept ??= this.load('all');
    return (await this.kept).run(ids);
  }

  /** At another level of optimisation, as it is in the file. */
  async at(level: OptimizationLevel, samples: readonly Ids[]): Promise<Tensor[]> {
    return outputs(await this.load(level), samples);
  }

  /** The graph that was cut, where that is not the file's own bit for bit (fused attention written out, float64). */
  async ofGraph(level: OptimizationLevel, samples: readonly Ids[], graph?: Graph): Promise<Tensor[]> {
    const { writtenOut, lacking } = this.plan;
    if (!graph && !writtenOut && lacking.length === 0) return this.at(level, samples);
    return outputs(await this.loadGraph(level, graph ?? this.plan.graph), samples);
  }

  private load(level: OptimizationLevel) {
    return this.plan.lacking.length > 0 ? this.loadGraph(level, this.plan.graph) : this.loadFile(level);
  }

  private async loadGraph(level: OptimizationLevel, graph: Graph) {
    const loader = new PieceLoader(this.runtime, this.skeleton.folder, level, true);
    const piece = await loader.load(graph.extract([graph.output], () => false));
    const run: Run = async ids => {
      const feeds = makeFeeds(graph, ids);
      return (await piece.run(name => feeds[name])).get(graph.output)!;
    };
    return { run, release: () => loader.release() };
  }

  private async loadFile(optimization: OptimizationLevel) {
    const { graph, output } = this.plan;
    // Weights of a few bits are multiplied by another algorithm when they are prepacked: compare like with like.
    const prepack =
      optimization === 'all' && graph.nodes.some(n => /^MatMulNBits$|^DequantizeLinear$/.test(n.op));
    const options = { optimization, externalDataFolder: this.skeleton.folder, cpu: true, prepack };
    await checkpoint(neverCancelled);
    await collectGarbage();
    const session = await this.runtime
      .load(referenceBytes(this.skeleton), options)
      .catch((error: unknown) => {
        throw refusedByRuntime('load', error);
      });
    return { run: (ids: Ids) => runFile(session, graph, output, ids), release: () => session.release() };
  }

  /** The proof needs it no more at full optimisation. */
  async afterSamples(): Promise<void> {
    if (this.skeleton.fileBytes > MAPPED_TWICE) await this.release();
  }

  async release(): Promise<void> {
    await (await this.kept?.catch(() => null))?.release();
    this.kept = null;
  }
}

async function outputs(
  { run, release }: { run: Run; release(): Promise<void> },
  samples: readonly Ids[],
): Promise<Tensor[]> {
  try {
    const found: Tensor[] = [];
    for (const sample of samples) found.push(await run(sample));
    return found;
  } finally {
    await release();
  }
}

async function runFile(session: Session, graph: Graph, output: string, ids: Ids): Promise<Tensor> {
  const feeds = makeFeeds(graph, ids);
  const unknown = session.inputNames.find(name => !feeds[name]);
  if (unknown !== undefined) throw unknownInput(unknown);
  const given = Object.fromEntries(session.inputNames.map(name => [name, feeds[name]!]));
  const result = (await session.run(given, [output]))[output]!;
  return float32(widened(result), result.dims);
}
