import type { CoreInput } from '../attention/core';
import { attendNative } from '../attention/native';
import { findMechanism } from '../attention/registry';
import { RefusedError, told } from '../errors';
import { isRunError, refusedByRuntime } from '../runtime/complaint';
import type { CoreInfo, ModelInfo, TextCheck, Verification } from '../../shared/protocol/engine';
import { checkpoint, neverCancelled } from '../runtime/cancellation';
import { collectGarbage, refuseUnlessHeld } from '../runtime/memory';
import { watch } from '../runtime/watch';
import type { OptimizationLevel, Runtime } from '../runtime/runtime';
import { float32, floats, type Tensor } from '../runtime/tensor';
import { activationBytes } from './cut/activations';
import { referenceCore } from './cut/cutGraph';
import type { Attend, CutModel, ModelOutput, RunOptions } from './cut/cutModel';
import { coreInfos, describeModel, type GraphFiles, type LearnedNumbers } from './describe';
import { makeFeeds, type Ids } from './cut/feeds';
import { joinEmbeddings, joinModels, takesEmbeddings } from './rewrite/joinModels';
import { embeddingPiece } from './cut/hidden';
import { LearnedTensors } from './cut/learnedTensors';
import { layerWeights } from './cut/layerWeights';
import { PieceLoader, type Piece } from './cut/pieces';
import { positionParts, type PositionParts } from './cut/positionParts';
import { planCut, type Plan } from './cut/cutPlan';
import { compare, compareOutput, referenceAttend, type Difference } from './verify/proof';
import type { ProbedRule } from './cut/probe';
import { SegmentRunner, type CoreFeeds, type RunCore } from './cut/segmentRunner';
import { segmentsOf } from './cut/segments';
import { LengthChecks, type RulesAtLength } from './verify/lengthChecks';
import { CoreChecks, type CoreDifference } from './verify/coreChecks';
import {
  compareFirstRows,
  firstNotFinite,
  firstTokens,
  textCheck,
  windowOf,
  workOf,
} from './verify/textCheck';
import { UncutModel } from './verify/uncut';
import { readSkeleton, type Skeleton } from './onnx/skeleton';
import { relative, Tolerance } from './verify/tolerance';
import { widened, widenedBytes } from './cut/widen';
import { weightUses, type WeightUses } from './onnx/weightUses';

export interface LoadOptions {
  signal: AbortSignal;
  onProgress?: (message: string) => void;
  /** The dense core that analyses will use; proved instead of the plain reference when given. */
  attend?: Attend;
}

/** The proof's texts are short: they run in blocks of so few rows that blocks are what is proved. */
const PROOF_ROWS = 24;

/** Weights are held a second time in float64, for models that amplify rounding, up to this many bytes. */
const WIDENED_LIMIT = 2 ** 29;

/**
 * Loads a model, cuts it at its attention cores and proves the cut model against the uncut one in ONNX Runtime.
 * Throws RefusedError with one sentence when the file is unsound, has no attention that is understood, or fails the proof.
 */
export async function loadModel(
  files: GraphFiles,
  runtime: Runtime,
  options: LoadOptions,
): Promise<CutModel> {
  const { signal } = options;
  options.onProgress?.('Reading the model');
  const decoder = readSkeleton(files.onnx);
  const skeleton = joined(files, decoder);
  refuseUnlessHeld(skeleton.fileBytes, files.name);
  const forget = watch.expectWeights(skeleton.fileBytes);
  const onProgress = (step: string) => {
    watch.beginStep(skeleton.fileBytes);
    options.onProgress?.(step);
  };
  try {
    onProgress('Looking for attention');
    const plan = await planCut(skeleton, files.config ?? {}, runtime, signal, files.attention);
    onProgress(`Proving the ${plan.cores.length} attention cores`);
    return await LoadedModel.load(files, skeleton, plan, runtime, { ...options, onProgress }, forget);
  } catch (error) {
    forget();
    throw refusalOf(error);
  } finally {
    watch.endSteps();
  }
}

/** The decoder with what it was exported apart from: its encoder, or its table of embeddings. */
function joined({ encoder, embedding }: GraphFiles, decoder: Skeleton): Skeleton {
  if (encoder !== undefined) return joinModels(readSkeleton(encoder), decoder);
  const apart = embedding !== undefined && takesEmbeddings(decoder);
  return apart ? joinEmbeddings(readSkeleton(embedding), decoder) : decoder;
}

/** A damaged model may load and fail only when it runs: ONNX Runtime's complaint, as a refusal. */
function refusalOf(error: unknown): unknown {
  if (error instanceof RefusedError) return error;
  return isRunError(error) ? refusedByRuntime('run', error) : error;
}

class LoadedModel implements CutModel {
  info!: ModelInfo;
  private runner!: SegmentRunner;
  /** How the cut model may depart from the uncut one, as the proof at load found. */
  private proof!: { bitEqual: boolean; tolerance: Tolerance };
  private readonly uncut: UncutModel;
  /** The model amplifies rounding: its cores are computed in float64. */
  private precise = false;
  /** Of a row of the output. */
  private width = 0;
  private readonly smallPieces: PieceLoader;
  private readonly coreChecks: CoreChecks;
  private readonly lengths: LengthChecks;
  private readonly learned: LearnedTensors;
  private numbers: LearnedNumbers = [];

  private constructor(
    private readonly skeleton: Skeleton,
    private readonly plan: Plan,
    private readonly runtime: Runtime,
    private readonly forget: () => void,
  ) {
    this.lengths = new LengthChecks(plan, runtime, skeleton.folder);
    this.uncut = new UncutModel(plan, runtime, skeleton);
    this.smallPieces = new PieceLoader(runtime, skeleton.folder, 'basic', true);
    this.learned = new LearnedTensors(plan.graph, this.smallPieces);
    this.coreChecks = new CoreChecks(plan, this.smallPieces);
  }

  static async load(
    files: GraphFiles,
    skeleton: Skeleton,
    plan: Plan,
    runtime: Runtime,
    options: LoadOptions,
    forget: () => void,
  ): Promise<LoadedModel> {
    const model = new LoadedModel(skeleton, plan, runtime, forget);
    try {
      await model.lengths.prepare(options.signal);
      const proof = await model.prove(options);
      const rules = model.lengths.latest();
      await model.readLearned();
      const { width, verified } = proof;
      model.width = width;
      model.info = describeModel(files, plan, rules, width, verified, skeleton.folder, model.numbers);
      return model;
    } catch (error) {
      await model.dispose();
      throw error;
    }
  }

  async run(ids: Int32Array, attend: Attend, options: RunOptions): Promise<ModelOutput> {
    return this.runCut(this.idsOf(ids, options.targetIds), attend, options);
  }

  /** `watching`: is told what the cores get and give. */
  private async runCut(
    given: Ids,
    attend: Attend,
    options: Omit<RunOptions, 'targetIds'>,
    watching = (core: RunCore): RunCore => core,
  ): Promise<ModelOutput> {
    const { context } = this.info;
    for (const list of [given.ids, given.target])
      if (list && context !== null && list.length > context)
        throw new RefusedError(told`The text has ${list.length} tokens; the model takes at most ${context}.`);
    const { signal, onSegment, onHidden, onContext } = options;
    const checked = await this.lengths.at(given, signal);
    const infos = coreInfos(this.plan, checked.rules, this.numbers);
    const coreOf =
      (own: Attend): RunCore =>
      (index, feeds) =>
        this.attendCore(infos[index]!, checked.rules[index]!, given, feeds, own);
    const outputOf = (output: ModelOutput): ModelOutput => ({
      ...output,
      kind: this.info.languageModelHead ? 'logits' : 'hidden',
      only: rows => outputOf(output.only(rows)),
    });
    const running = this.runner.run(given, {
      core: watching(coreOf(attend)),
      signal,
      onSegment,
      onHidden,
      onContext:
        onContext &&
        ((index, context, goOn) =>
          onContext(infos[index]!, context, async (other, own) => outputOf(await goOn(other, coreOf(own))))),
    });
    // A text may be too long for tables of positions that no configuration names.
    const output = await running.catch(error => {
      throw refusalOf(error);
    });
    return outputOf(output);
  }

  async checkRules(
    ids: Int32Array,
    { signal, targetIds }: Pick<RunOptions, 'signal' | 'targetIds'>,
  ): Promise<void> {
    const { rules } = await this.lengths.at(this.idsOf(ids, targetIds), signal);
    this.info = { ...this.info, cores: coreInfos(this.plan, rules, this.numbers) };
  }

  activationBytes(tokens: number): number {
    return activationBytes(this.plan, tokens);
  }

  private idsOf(ids: Int32Array, targetIds?: Int32Array): Ids {
    return { ids, target: this.takesTarget ? (targetIds ?? ids) : null };
  }

  async checkText(
    ids: Int32Array,
    output: ModelOutput | null,
    attend: Attend,
    { signal, targetIds, share }: Parameters<CutModel['checkText']>[3],
  ): Promise<TextCheck> {
    const given = this.idsOf(ids, targetIds);
    const rules = await this.lengths.at(given, signal);
    const { width } = this;
    const tokens = Math.max(...rules.tokens);
    const causal = this.info.kind === 'decoder' && this.info.causal && !this.looksAhead();
    const { bitEqual } = this.proof;
    let { tolerance } = this.proof;
    const work = workOf(this.info, width);
    let window = windowOf(tokens, share, work);
    // What comes after changes the rows of other models: there the cut model reads the window as well, and where its output
    // alone does not tell, each core is compared on the way.
    const again = !output || tolerance.jumps || (!causal && window < tokens);
    if (again) window = windowOf(tokens, share / 3, work);
    const cut = firstTokens(given, window);
    let cores: CoreDifference | null = null;
    const watching = (core: RunCore): RunCore => {
      const watched = this.coreChecks.watching(core, cut);
      cores = watched.found;
      return watched.core;
    };
    const reads = () => this.runCut(cut, attend, { signal }, tolerance.jumps ? watching : undefined);
    const own = again ? await reads() : output;
    const expected = await this.uncut.run(cut);
    const values = floats(expected);
    const broken = firstNotFinite(values, width);
    if (broken) throw new RefusedError(told`The model gives ${broken.what} from token ${broken.row} on.`);
    const predicts = this.info.languageModelHead && (this.takesTarget || this.info.causal);
    const written = predicts ? (cut.target ?? cut.ids) : null;
    let compared = await compareFirstRows(own, values, width, written);
    const longer = own === output && window < tokens;
    if (longer && !tolerance.isNear(compared.difference) && (await this.isOther(rules, cut, signal)))
      compared = await compareFirstRows(await reads(), values, width, written);
    const { difference, lossDiff } = compared;
    const apart = (cores as CoreDifference | null)?.largest ?? null;
    const accepted = () => tolerance.accepts(difference, bitEqual, apart);
    if (!accepted()) {
      const other = await this.uncut.at('basic', [cut]);
      tolerance = tolerance.withSpread(...spread(other.map(lastRows), [expected], width));
    }
    if (!accepted() && tolerance.jumps)
      tolerance = tolerance.withNoise(await this.noise(cut, values, width, signal));
    return textCheck(difference, rules, {
      tokens: window,
      holds: accepted() && rules.upTo === tokens,
      lossDiff,
      spread: tolerance.spread,
      ...(apart === null ? {} : { cores: apart }),
      float64: this.precise,
    });
  }

  /** Whether masks and biases are others in a shorter text: a window of a fifth of it, say, changes the first rows as well. */
  private async isOther({ rules }: RulesAtLength, shorter: Ids, signal: AbortSignal): Promise<boolean> {
    const there = await this.lengths.at(shorter, signal);
    return rules.some((rule, i) => rule.opaque || rule.description !== there.rules[i]!.description);
  }

  /** How far the model's own nodes in the cores' places, moved by the last digits, lead from its output. */
  private async noise(
    sample: Ids,
    expected: Float32Array,
    width: number,
    signal: AbortSignal,
  ): Promise<Difference> {
    const output = await this.runner.run(sample, { core: this.coreChecks.nudged(sample), signal });
    return (await compareFirstRows(output, expected, width, null)).difference;
  }

  /** What comes after may change a row all the same: masks that the text makes, and mechanisms that choose from all of it. */
  private looksAhead(): boolean {
    return this.plan.cores.some(({ found: { native, contentSides } }) =>
      native?.scores === 'own'
        ? !findMechanism(native.spec.name).info.causalSelection
        : contentSides.length > 0,
    );
  }

  async runUncut(ids: Int32Array, targetIds?: Int32Array): Promise<Tensor> {
    return this.uncut.run(this.idsOf(ids, targetIds));
  }

  async embed(ids: Int32Array): Promise<{ rows: Float32Array; width: number } | null> {
    const { graph, survey } = this.plan;
    const piece = embeddingPiece(graph, survey.idInputs[0]!);
    if (!piece || ids.length === 0) return null;
    const feeds = makeFeeds(graph, this.idsOf(ids));
    const [tensor] = [...(await (await this.smallPieces.load(piece)).run(name => feeds[name])).values()];
    return tensor ? { rows: floats(tensor), width: tensor.dims.at(-1)! } : null;
  }

  weightUses(): WeightUses {
    return weightUses(this.plan.graph, this.skeleton.folder, this.info.vocabulary);
  }

  layerWeights(): ReturnType<CutModel['layerWeights']> {
    const { cut, segments } = this.plan;
    const found = layerWeights(cut, segments.pieces);
    if (!found) return null;
    const read = async (names: readonly string[]) => {
      const loader = new PieceLoader(this.runtime, this.skeleton.folder, 'disabled', true);
      try {
        const distinct = [...new Set(names)];
        const tensors = await (await loader.load(cut.extract(distinct, () => false))).run(() => undefined);
        return names.map(name => floats(tensors.get(name)!));
      } finally {
        await loader.release();
      }
    };
    return { ...found, read };
  }

  async positionParts(
    core: number,
    ids: Int32Array,
    { signal, targetIds }: Pick<RunOptions, 'signal' | 'targetIds'>,
  ): Promise<PositionParts> {
    const { cut, cores, survey } = this.plan;
    const found = cores[core]!;
    const feeds = makeFeeds(cut, this.idsOf(ids, targetIds));
    const loader = new PieceLoader(this.runtime, this.skeleton.folder, 'basic', true);
    try {
      return await positionParts(cut, found, survey.idInputs[found.queryInput]!, feeds, loader, signal);
    } finally {
      await loader.release();
    }
  }

  async dispose(): Promise<void> {
    this.forget();
    await this.runner?.release();
    await this.smallPieces.release();
    await this.lengths.release();
    await this.uncut.release();
  }

  get takesTarget(): boolean {
    return this.plan.survey.idInputs.length > 1;
  }

  // -------------------------------------------------------------- cores

  private async attendCore(
    info: CoreInfo,
    rule: ProbedRule,
    ids: Ids,
    feeds: CoreFeeds,
    attend: Attend,
  ): Promise<Float32Array> {
    const input = await this.coreInput(info.core, rule, ids, feeds);
    const context = await attend(info, input);
    const size = input.heads * input.queries * input.valueDim;
    if (context.length !== size)
      throw new Error(`core ${info.core}: expected ${size} values, found ${context.length}`);
    return context;
  }

  private async readLearned(): Promise<void> {
    const ids = this.plan.survey.ids(6, 6, 1);
    this.numbers = await Promise.all(
      this.plan.cores.map(async ({ found: { native }, heads }) =>
        native ? this.learned.numbers(native, ids, heads) : {},
      ),
    );
  }

  private async coreInput(index: number, rule: ProbedRule, ids: Ids, feeds: CoreFeeds): Promise<CoreInput> {
    const core = this.plan.cores[index]!;
    const opaque = rule.opaque
      ? await this.lengths.opaque(index, ids, feeds.tensor, rule, neverCancelled)
      : null;
    const { scale, softCap, mask, bias, checked } = opaque ?? rule;
    const sink = this.plan.sinks[index];
    const input: CoreInput = {
      heads: core.heads,
      kvHeads: core.kvHeads,
      queries: feeds.q.dims[1]!,
      keys: feeds.k.dims[1]!,
      dim: core.dim,
      valueDim: core.valueDim,
      q: floats(feeds.q),
      k: floats(feeds.k),
      v: floats(feeds.v),
      rule: { scale, softCap, mask, bias, ...(sink && { sink }), ...(checked && { checked }) },
      precise: this.precise,
    };
    const { native } = core.found;
    if (!native) return input;
    const tensors = { ...native.values, ...(await this.learned.of(native.tensors, ids, feeds)) };
    const context = { runtime: this.runtime, signal: neverCancelled };
    return { ...input, native: await attendNative(input, native.spec, tensors, context) };
  }

  /** A core of the proof's short samples: by the rules as learnt, which is what is proved. */
  private attendSample(ids: Ids, attend: Attend): RunCore {
    const infos = coreInfos(this.plan, this.plan.rules);
    return (index, feeds) => this.attendCore(infos[index]!, this.plan.rules[index]!, ids, feeds, attend);
  }

  // -------------------------------------------------------------- proof

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

  private async prove({
    signal,
    onProgress,
    attend,
  }: LoadOptions): Promise<{ verified: Verification; width: number }> {
    const { samples, expected } = await this.proofSamples();
    const width = expected[0]!.dims[expected[0]!.dims.length - 1]!;
    const { bitEqual, basic } = await this.proveBits(samples, signal);
    onProgress?.('Proving the cut model against the uncut one');
    const onGpu = this.runtime.report.device !== 'cpu';
    this.proof = { bitEqual, tolerance: new Tolerance(this.plan, onGpu, ...spread(basic, expected, width)) };
    const own: Attend = attend ?? (async (_, input) => referenceAttend(input));
    this.runner = await this.loadSegments('all', false, signal);
    const differences = await this.differences(samples, expected, own, signal);
    const cores = this.proof.tolerance.jumps ? await this.compareCores(samples, own, signal) : null;
    const accepts = (d: Difference) => this.proof.tolerance.accepts(d, bitEqual, cores?.largest ?? null);
    if (!differences.every(accepts)) {
      const unoptimised = await this.uncut.ofGraph('disabled', samples).catch(() => null);
      if (unoptimised) this.learnSpread(unoptimised, expected, width);
    }
    if (!differences.every(accepts) && cores)
      for (const [i, sample] of samples.entries()) {
        const noise = await this.noise(sample, floats(expected[i]!), width, signal);
        this.proof.tolerance = this.proof.tolerance.withNoise(noise);
      }
    const amplifies = this.proof.tolerance.amplifies(differences);
    const wide = amplifies ? await this.widen(samples, expected, own, signal) : null;
    for (const [i, difference] of differences.entries())
      if (!wide && !accepts(difference)) await this.refuse(samples[i]!, own, difference, cores, signal);
    const { tolerance } = this.proof;
    const shown = wide ?? differences;
    return {
      width,
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
      const core = this.attendSample(sample, own);
      const output = await this.runner.run(sample, { core, signal, rowsAtOnce: PROOF_ROWS });
      found.push(await compareOutput(output, floats(expected[i]!)));
    }
    return found;
  }

  /** Every core against the model's own nodes, over all samples. */
  private async compareCores(samples: Ids[], own: Attend, signal: AbortSignal): Promise<CoreDifference> {
    const found: CoreDifference[] = [];
    for (const sample of samples) {
      const watched = this.coreChecks.watching(this.attendSample(sample, own), sample);
      await this.runner.run(sample, { core: watched.core, signal });
      found.push(watched.found);
    }
    return found.reduce((a, b) => (b.largest > a.largest ? b : a));
  }

  /** Two equivalent runs of the uncut model. */
  private learnSpread(a: readonly Tensor[], b: readonly Tensor[], width: number): void {
    const found = spread(a.map(lastRows), b, width);
    this.proof.tolerance = this.proof.tolerance.withSpread(...found);
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
    const { cut, graph, cores, sides, head, survey } = this.plan;
    if (this.runtime.report.device !== 'cpu' || widenedBytes(cut) > WIDENED_LIMIT) return null;
    const narrow = this.runner;
    const expected = await this.uncut.ofGraph('basic', samples, widened(graph, survey.idInputs, null));
    const width = expected[0]!.dims.at(-1)!;
    this.learnSpread(narrowly, expected, width);
    const wide = widened(cut, survey.idInputs, head?.rows ?? null);
    // Fusions of float64 nodes are wrong in ONNX Runtime 1.30 (T5: by 3e-3 at level ALL).
    const loader = new PieceLoader(this.runtime, this.skeleton.folder, 'basic', false, true);
    this.runner = await SegmentRunner.load(wide, cores, sides, segmentsOf(wide, cores), head, loader, signal);
    this.precise = true;
    const differences = await this.differences(samples, expected, own, signal);
    if (differences.every(d => this.proof.tolerance.isNear(d))) {
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
      const loader = new PieceLoader(this.runtime, this.skeleton.folder, level, true);
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
    const wrong = cores && !(cores.largest <= this.proof.tolerance.core) ? cores : null;
    if (wrong)
      throw new RefusedError(
        told`The cut model does not reproduce the model (largest difference ${found.largest.toExponential(1)} of ${found.scale.toExponential(1)}; on the same inputs ${this.placeName(wrong.core)} gives something else, by ${wrong.largest.toExponential(1)} of its largest output).`,
      );
    const { plan } = this;
    const expected = await plan.survey.contexts(plan.graph, plan.cores, sample);
    let first: number | null = null;
    const sampled = this.attendSample(sample, attend);
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

  // -------------------------------------------------------------- sessions

  private async loadSegments(
    level: OptimizationLevel,
    cpu: boolean,
    signal: AbortSignal,
  ): Promise<SegmentRunner> {
    const { cut, cores, sides, segments, head, inRows } = this.plan;
    await checkpoint(signal);
    await collectGarbage();
    const loader = new PieceLoader(this.runtime, this.skeleton.folder, level, cpu, !cpu);
    const rows = cpu ? [] : inRows;
    // Reference cores rebuild content tensors themselves only from what segments give: offer all of them.
    return SegmentRunner.load(cut, cores, sides, segments, head, loader, signal, rows);
  }
}

/** The same lengths with so many different tokens of each text, over and over. */
function repeating({ ids, target }: Ids, distinct: number): Ids {
  const few = (list: Int32Array) => list.map((_, i) => list[i % Math.min(distinct, list.length)]!);
  return { ids: few(ids), target: target && few(target) };
}

/** Values of an output that are enough to see how far two runs differ. */
const SPREAD_OF = 2 ** 20;

/** As many rows from the end as `SPREAD_OF` allows. */
function lastRows(output: Tensor): Tensor {
  const width = output.dims[output.dims.length - 1]!;
  const rows = Math.min(output.data.length / width, Math.max(1, Math.floor(SPREAD_OF / width)));
  return float32(floats(output).slice(-rows * width), [rows, width]);
}

/** Largest and median relative difference of two runs of the same model on the same samples; of `a` the last rows. */
function spread(
  a: readonly Tensor[],
  b: readonly Tensor[],
  width: number,
): [largest: number, median: number] {
  const found = a.map((tensor, i) => {
    const { largest, median, scale } = compare(
      floats(tensor),
      floats(b[i]!).slice(-tensor.data.length),
      width,
    );
    return [largest / (scale || 1), median / (scale || 1)] as const;
  });
  return [Math.max(...found.map(([largest]) => largest)), Math.max(...found.map(([, median]) => median))];
}
