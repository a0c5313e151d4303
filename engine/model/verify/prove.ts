import { RefusedError, told } from '../../errors';
import type { Verification } from '../../../shared/protocol/engine';
import { checkpoint } from '../../runtime/cancellation';
import { collectGarbage } from '../../runtime/memory';
import type { OptimizationLevel, Runtime } from '../../runtime/runtime';
import { floats, type Tensor } from '../../runtime/tensor';
import { referenceCore } from '../cut/cutGraph';
import type { Attend } from '../cut/cutModel';
import type { Plan } from '../cut/cutPlan';
import { makeFeeds, type Ids } from '../cut/feeds';
import { PieceLoader, type Piece } from '../cut/pieces';
import { SegmentRunner, type CoreFeeds, type RunCore } from '../cut/segmentRunner';
import { segmentsOf } from '../cut/segments';
import { widened, widenedBytes } from '../cut/widen';
import type { CoreChecks, CoreDifference } from './coreChecks';
import { compare, compareOutput, referenceAttend, type Difference } from './proof';
import { lastRows, noiseOf, spread } from './spread';
import { relative, Tolerance } from './tolerance';
import type { UncutModel } from './uncut';
import { say } from '../../../shared/sentences';

/** What is proved, and with what. */
export interface Proving {
  plan: Plan;
  runtime: Runtime;
  /** Of the model's files. */
  folder: string;
  uncut: UncutModel;
  coreChecks: CoreChecks;
  /** The cores of a sample, by the rules as learnt; `precise`: in float64. */
  attendSample(ids: Ids, attend: Attend, precise: boolean): RunCore;
}

export interface ProofOptions {
  signal: AbortSignal;
  onProgress?: (message: string) => void;
  /** The dense core that analyses will use; proved instead of the plain reference when given. */
  attend?: Attend;
}

/** The segments that were proved, and how they may depart from the uncut model. */
export interface Proof {
  verified: Verification;
  /** Of a row of the output. */
  width: number;
  bitEqual: boolean;
  tolerance: Tolerance;
  runner: SegmentRunner;
  /** The model amplifies rounding: its cores are computed in float64. */
  precise: boolean;
}

/** The proof's texts are short: they run in blocks of so few rows that blocks are what is proved. */
const PROOF_ROWS = 24;

/** Weights are held a second time in float64, for models that amplify rounding, up to this many bytes. */
const WIDENED_LIMIT = 2 ** 29;

/** Proves the cut model against the uncut one. @throws RefusedError */
export async function prove(proving: Proving, options: ProofOptions): Promise<Proof> {
  const prover = new Prover(proving, options);
  try {
    return await prover.prove();
  } catch (error) {
    await prover.release();
    throw error;
  }
}

class Prover {
  private readonly plan: Plan;
  private readonly runtime: Runtime;
  private readonly folder: string;
  private readonly uncut: UncutModel;
  private readonly coreChecks: CoreChecks;
  private readonly attendSample: Proving['attendSample'];
  private runner!: SegmentRunner;
  private tolerance!: Tolerance;
  private precise = false;

  constructor(
    proving: Proving,
    private readonly options: ProofOptions,
  ) {
    this.plan = proving.plan;
    this.runtime = proving.runtime;
    this.folder = proving.folder;
    this.uncut = proving.uncut;
    this.coreChecks = proving.coreChecks;
    this.attendSample = (...args) => proving.attendSample(...args);
  }

  async release(): Promise<void> {
    await this.runner?.release();
  }

  /**
   * Two lengths that the model takes, the longer one beyond small windows, and what the uncut model gives for them. A model
   * may give NaN for some tokens only: then texts of fewer different tokens are drawn.
   */
  private async proofSamples(): Promise<{ samples: Ids[]; expected: Tensor[] }> {
    const limit = this.plan.context ?? Infinity;
    const { survey } = this.plan;
    const [a, b] = [Math.min(33, limit), Math.min(61, limit)];
    for (const distinct of [Infinity, 16, 8, 4, 2, 1]) {
      const draw = (length: number, target: number, seed: number) =>
        repeating(survey.ids(length, Math.max(1, target), seed), distinct);
      const samples = [draw(a, a - 7, 11), draw(b, b - 20, 12)];
      const expected: Tensor[] = [];
      for (const sample of samples) expected.push(await this.uncut.run(sample));
      if (expected.every(tensor => floats(tensor).every(Number.isFinite))) return { samples, expected };
    }
    throw new RefusedError('The model itself gives no numbers (NaN) for a sample text in ONNX Runtime.');
  }

  async prove(): Promise<Proof> {
    const { signal, onProgress, attend } = this.options;
    const { samples, expected } = await this.proofSamples();
    await this.uncut.afterSamples();
    const width = expected[0]!.dims[expected[0]!.dims.length - 1]!;
    const { bitEqual, basic } = await this.proveBits(samples, signal);
    onProgress?.(say('provingModel'));
    const onGpu = this.runtime.report.device !== 'cpu';
    this.tolerance = new Tolerance(this.plan, onGpu, ...spread(basic, expected, width));
    const own: Attend = attend ?? (async (_, input) => referenceAttend(input));
    this.runner = await this.loadSegments('all', false, signal);
    const differences = await this.differences(samples, expected, own, signal);
    const cores = this.tolerance.jumps ? await this.compareCores(samples, own, signal) : null;
    const accepts = (d: Difference) => this.tolerance.accepts(d, bitEqual, cores?.largest ?? null);
    if (!differences.every(accepts)) {
      const unoptimised = await this.uncut.ofGraph('disabled', samples).catch(() => null);
      if (unoptimised) this.learnSpread(unoptimised, expected, width);
    }
    if (!differences.every(accepts) && cores)
      for (const [i, sample] of samples.entries()) {
        const noise = await noiseOf(
          this.runner,
          this.coreChecks,
          sample,
          floats(expected[i]!),
          width,
          signal,
        );
        this.tolerance = this.tolerance.withNoise(noise);
      }
    const amplifies = this.tolerance.amplifies(differences);
    const wide = amplifies ? await this.widen(samples, expected, own, signal) : null;
    for (const [i, difference] of differences.entries())
      if (!wide && !accepts(difference)) await this.refuse(samples[i]!, own, difference, cores, signal);
    const { tolerance, runner, precise } = this;
    const shown = wide ?? differences;
    return {
      width,
      bitEqual,
      tolerance,
      runner,
      precise,
      verified: {
        maxAbsDiff: Math.max(...shown.map(d => d.largest)),
        maxRelDiff: Math.max(...shown.map(relative)),
        bitEqual,
        reference: `the uncut model${this.writtenOutWords()} in ONNX Runtime at ${samples.map(s => s.ids.length).join(' and ')} tokens${tolerance.note(wide !== null)}`,
        tokens: Math.max(...samples.map(s => s.ids.length)),
        ...(this.plan.assumed === null ? {} : { assumed: this.plan.assumed }),
      },
    };
  }

  private writtenOutWords(): string {
    const { lacking } = this.plan;
    return lacking.length === 0
      ? ''
      : ` with ${lacking.join(' and ')} written out by the inspector, for want of an operator that runs here,`;
  }

  /** Of the cut model's output to the uncut one's, per sample. */
  private async differences(
    samples: Ids[],
    expected: Tensor[],
    own: Attend,
    signal: AbortSignal,
  ): Promise<Difference[]> {
    const found: Difference[] = [];
    for (const [i, sample] of samples.entries()) {
      const core = this.attendSample(sample, own, this.precise);
      const output = await this.runner.run(sample, { core, signal, rowsAtOnce: PROOF_ROWS });
      found.push(await compareOutput(output, floats(expected[i]!)));
    }
    return found;
  }

  /** Every core against the model's own nodes, over all samples. */
  private async compareCores(samples: Ids[], own: Attend, signal: AbortSignal): Promise<CoreDifference> {
    const found: CoreDifference[] = [];
    for (const sample of samples) {
      const watched = this.coreChecks.watching(this.attendSample(sample, own, this.precise), sample);
      await this.runner.run(sample, { core: watched.core, signal });
      found.push(watched.found);
    }
    return found.reduce((a, b) => (b.largest > a.largest ? b : a));
  }

  /** Two equivalent runs of the uncut model. */
  private learnSpread(a: readonly Tensor[], b: readonly Tensor[], width: number): void {
    const found = spread(a.map(lastRows), b, width);
    this.tolerance = this.tolerance.withSpread(...found);
  }

  /**
   * A model that amplifies rounding is run in float64 from here on, where the device can, and proved against the uncut model
   * in float64. Null when it stays as it is.
   */
  private async widen(
    samples: Ids[],
    narrowly: Tensor[],
    own: Attend,
    signal: AbortSignal,
  ): Promise<Difference[] | null> {
    const { cut, graph, cores, head, routers, survey } = this.plan;
    if (this.runtime.report.device !== 'cpu' || widenedBytes(cut) > WIDENED_LIMIT) return null;
    const narrow = this.runner;
    const expected = await this.uncut.ofGraph('basic', samples, widened(graph, survey.idInputs, null));
    const width = expected[0]!.dims.at(-1)!;
    this.learnSpread(narrowly, expected, width);
    const wide = widened(cut, survey.idInputs, head?.rows ?? null);
    // Fusions of float64 nodes are wrong in ONNX Runtime 1.30 (T5: by 3e-3 at level ALL).
    const loader = new PieceLoader(this.runtime, this.folder, 'basic', false, true);
    const plan = { ...this.plan, cut: wide, segments: segmentsOf(wide, cores, null, routers) };
    this.runner = await SegmentRunner.load(plan, loader, signal);
    this.precise = true;
    const differences = await this.differences(samples, expected, own, signal);
    if (differences.every(d => this.tolerance.isNear(d))) {
      await narrow.release();
      return differences;
    }
    await this.runner.release();
    this.runner = narrow;
    this.precise = false;
    return null;
  }

  /** Cores run by ONNX Runtime itself must give the bits of the uncut model at the same optimisation level. */
  private async proveBits(
    samples: Ids[],
    signal: AbortSignal,
  ): Promise<{ bitEqual: boolean; basic: Tensor[] }> {
    let basic: Tensor[] = [];
    for (const level of ['basic', 'disabled'] as const) {
      // Some files load only with optimisation (float16 by ONNX Runtime's converter).
      const optional = (error: unknown) => {
        if (level === 'basic' || !(error instanceof RefusedError)) throw error;
        return null;
      };
      const expected = await this.uncut.ofGraph(level, samples).catch(optional);
      if (!expected) break;
      if (level === 'basic') basic = expected.map(lastRows);
      const loader = new PieceLoader(this.runtime, this.folder, level, true);
      const segments = await this.loadSegments(level, true, signal);
      try {
        const cores: Piece[] = [];
        for (const core of this.plan.cores)
          cores.push(await loader.load(referenceCore(this.plan.graph, core)));
        let equal = true;
        for (const [i, sample] of samples.entries()) {
          const feeds = makeFeeds(this.plan.graph, sample);
          const core: RunCore = async (index, given) => {
            const { q, k, v } = this.plan.cores[index]!;
            const own: Record<string, Tensor> = { [q]: given.q, [k]: given.k, [v]: given.v };
            const results = await cores[index]!.run(name => own[name] ?? feeds[name] ?? given.tensor(name));
            return floats([...results.values()][0]!);
          };
          const output = await segments.run(sample, { core, signal });
          equal &&= (await compareOutput(output, floats(expected[i]!))).equal;
        }
        if (equal) return { bitEqual: true, basic };
      } finally {
        await segments.release();
        await loader.release();
      }
    }
    return { bitEqual: false, basic };
  }

  /** Names the first core whose output departs from the uncut model's, or the one that does on the same inputs. */
  private async refuse(
    sample: Ids,
    attend: Attend,
    found: Difference,
    cores: CoreDifference | null,
    signal: AbortSignal,
  ): Promise<never> {
    const wrong = cores && !(cores.largest <= this.tolerance.core) ? cores : null;
    if (wrong)
      throw new RefusedError(
        told`The cut model does not reproduce the model (largest difference ${found.largest.toExponential(1)} of ${found.scale.toExponential(1)}; on the same inputs ${this.placeName(wrong.core)} gives something else, by ${wrong.largest.toExponential(1)} of its largest output).`,
      );
    const { plan } = this;
    const expected = await plan.survey.contexts(plan.graph, plan.cores, sample);
    let first: number | null = null;
    const sampled = this.attendSample(sample, attend, this.precise);
    const core = async (index: number, feeds: CoreFeeds) => {
      const own = await sampled(index, feeds);
      const d = compare(own, expected[index]!, plan.cores[index]!.valueDim);
      if (first === null && !(d.largest <= 1e-4 * d.scale)) first = index;
      return own;
    };
    await this.runner.run(sample, { core, signal });
    const place = first === null ? 'after the last attention' : `first in ${this.placeName(first)}`;
    throw new RefusedError(
      told`The cut model does not reproduce the model (largest difference ${found.largest.toExponential(1)} of ${found.scale.toExponential(1)}, ${place}).`,
    );
  }

  private placeName(index: number): string {
    const { kind, layer } = this.plan.places[index]!;
    return `the ${kind} attention of layer ${layer}`;
  }

  private async loadSegments(
    level: OptimizationLevel,
    cpu: boolean,
    signal: AbortSignal,
  ): Promise<SegmentRunner> {
    await checkpoint(signal);
    await collectGarbage();
    const loader = new PieceLoader(this.runtime, this.folder, level, cpu, !cpu);
    const rows = cpu ? [] : this.plan.inRows;
    // Reference cores rebuild content tensors themselves only from what segments give: offer all of them.
    return SegmentRunner.load(this.plan, loader, signal, rows);
  }
}

/** The same lengths with so many different tokens of each text, over and over. */
function repeating({ ids, target }: Ids, distinct: number): Ids {
  const few = (list: Int32Array) => list.map((_, i) => list[i % Math.min(distinct, list.length)]!);
  return { ids: few(ids), target: target && few(target) };
}
