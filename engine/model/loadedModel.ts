import type { CoreInput } from '../attention/core';
import { attendNative } from '../attention/native';
import { findMechanism } from '../attention/registry';
import { RefusedError, told } from '../errors';
import { sidesOf, type CoreInfo, type ModelInfo, type TextCheck } from '../../shared/protocol/engine';
import { refusalOf } from '../runtime/complaint';
import { neverCancelled } from '../runtime/cancellation';
import { floats, widened, type Tensor } from '../runtime/tensor';
import { activationBytes } from './cut/activations';
import type { Attend, CutModel, ModelOutput, RunOptions } from './cut/cutModel';
import { coreInfos, describeModel, type GraphFiles, type LearnedNumbers } from './describe';
import { makeFeeds, type Ids } from './cut/feeds';
import { embeddingPiece } from './cut/hidden';
import { LearnedTensors } from './cut/learnedTensors';
import { layerWeights } from './cut/layerWeights';
import { PieceLoader } from './cut/pieces';
import { directPath, type DirectPath } from './cut/directPath';
import { loadWrite, writeOf, type Written } from './cut/headWrites';
import { positionParts, type PositionParts } from './cut/positionParts';
import type { Plan } from './cut/cutPlan';
import type { ProbedRule } from './cut/probe';
import type { CoreFeeds, RunCore } from './cut/segmentRunner';
import { LengthChecks, type RulesAtLength } from './verify/lengthChecks';
import { CoreChecks, type CoreDifference } from './verify/coreChecks';
import { NativeChecks } from './verify/nativeChecks';
import {
  compareFirstRows,
  firstNotFinite,
  firstTokens,
  textCheck,
  windowOf,
  workOf,
} from './verify/textCheck';
import { UncutModel } from './verify/uncut';
import type { BoundRuntime } from './onnx/graphFiles';
import type { Skeleton } from './onnx/skeleton';
import { weightUses, type WeightUses } from './onnx/weightUses';
import { prove, type Proof, type ProofOptions, type Proving } from './verify/prove';
import { lastRows, noiseOf, spread } from './verify/spread';

export class LoadedModel implements CutModel {
  info!: ModelInfo;
  private proof!: Proof;
  private readonly uncut: UncutModel;
  private readonly smallPieces: PieceLoader;
  private readonly coreChecks: CoreChecks;
  private readonly nativeChecks: NativeChecks;
  private readonly lengths: LengthChecks;
  private readonly learned: LearnedTensors;
  private numbers: LearnedNumbers = [];

  private constructor(
    private readonly skeleton: Skeleton,
    private readonly plan: Plan,
    private readonly runtime: BoundRuntime,
    private readonly forget: () => void,
  ) {
    this.lengths = new LengthChecks(plan, runtime, skeleton.folder);
    this.uncut = new UncutModel(plan, runtime, skeleton);
    this.smallPieces = new PieceLoader(runtime, skeleton.folder, 'basic', true);
    this.learned = new LearnedTensors(plan.graph, this.smallPieces);
    this.coreChecks = new CoreChecks(plan, this.smallPieces);
    this.nativeChecks = new NativeChecks(plan, this.coreChecks);
  }

  static async load(
    files: GraphFiles,
    skeleton: Skeleton,
    plan: Plan,
    runtime: BoundRuntime,
    options: ProofOptions,
    forget: () => void,
  ): Promise<LoadedModel> {
    const model = new LoadedModel(skeleton, plan, runtime, forget);
    try {
      await model.lengths.prepare(options.signal);
      const { width, verified } = await model.prove(options);
      const rules = model.lengths.latest();
      await model.readLearned();
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
    const { signal, onSegment, onHidden, onRouter, onBefore, onContext } = options;
    const checked = await this.lengths.at(given, signal);
    const infos = coreInfos(this.plan, checked.rules, this.numbers);
    const coreOf =
      (own: Attend): RunCore =>
      (index, feeds) =>
        this.attendCore(infos[index]!, checked.rules[index]!, given, feeds, own, this.proof.precise);
    const outputOf = (output: ModelOutput): ModelOutput => ({
      ...output,
      kind: this.info.languageModelHead ? 'logits' : 'hidden',
      only: rows => outputOf(output.only(rows)),
    });
    const running = this.proof.runner.run(given, {
      core: watching(coreOf(attend)),
      signal,
      onSegment,
      onHidden,
      onRouter,
      onBefore:
        onBefore &&
        ((index, { stateOf, goOn }) =>
          onBefore(infos[index]!, {
            stateOf,
            goOn: async (token, state, own) => outputOf(await goOn(token, state, coreOf(own))),
          })),
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
    const tokens = Math.max(...rules.tokens);
    const causal = this.info.kind === 'decoder' && this.info.causal && !this.looksAhead();
    const { bitEqual, width, runner, precise } = this.proof;
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
    const predicts = this.info.languageModelHead && (this.takesTarget || this.info.causal);
    const written = predicts ? (cut.target ?? cut.ids) : null;
    let compared = await compareFirstRows(own, values, width, written);
    const longer = own === output && window < tokens;
    if (longer && !tolerance.isNear(compared.difference) && (await this.isOther(rules, cut, signal)))
      compared = await compareFirstRows(await reads(), values, width, written);
    const { difference, lossDiff } = compared;
    // Only what is finite on both sides lies a finite step apart.
    const finite = Number.isFinite(difference.largest) && Number.isFinite(difference.scale);
    const broken = finite ? null : firstNotFinite(values, width);
    if (broken) throw new RefusedError(told`The model gives ${broken.what} from token ${broken.row} on.`);
    const apart = (cores as CoreDifference | null)?.largest ?? null;
    const accepted = () => tolerance.accepts(difference, bitEqual, apart);
    if (!accepted()) {
      const other = await this.uncut.at('basic', [cut]);
      tolerance = tolerance.withSpread(...spread(other.map(lastRows), [expected], width));
    }
    if (!accepted() && tolerance.jumps)
      tolerance = tolerance.withNoise(await noiseOf(runner, this.coreChecks, cut, values, width, signal));
    return textCheck(difference, rules, {
      tokens: window,
      holds: accepted() && rules.upTo === tokens,
      lossDiff,
      spread: tolerance.spread,
      ...(apart === null ? {} : { cores: apart }),
      float64: precise,
    });
  }

  /** Whether masks and biases are others in a shorter text: a window of a fifth of it, say, changes the first rows as well. */
  private async isOther({ rules }: RulesAtLength, shorter: Ids, signal: AbortSignal): Promise<boolean> {
    const there = await this.lengths.at(shorter, signal);
    return rules.some((rule, i) => rule.opaque || rule.description !== there.rules[i]!.description);
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
    return tensor ? { rows: widened(tensor), width: tensor.dims.at(-1)! } : null;
  }

  weightUses(): WeightUses {
    const uses = weightUses(this.plan.graph, this.skeleton.folder, this.info.vocabulary);
    this.runtime.refuseOtherFiles();
    return uses;
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
        return names.map(name => widened(tensors.get(name)!));
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

  directly<T>(ids: Int32Array, work: (path: DirectPath) => Promise<T>): Promise<T> {
    const { cut, cores } = this.plan;
    const feedsOf = (tokens: number) => makeFeeds(cut, this.idsOf(ids.subarray(0, tokens)));
    return this.withPieces(async loader => work(await directPath(cut, cores, feedsOf, ids.length, loader)));
  }

  writes<T>(
    core: number,
    ids: Int32Array,
    { targetIds }: Pick<RunOptions, 'targetIds'>,
    work: (written: Written | null) => Promise<T>,
  ): Promise<T> {
    const { cut, cores } = this.plan;
    const write = writeOf(cut, cores[core]!.context, cut.constants());
    if (!write) return work(null);
    const given = this.idsOf(ids, targetIds);
    const side = sidesOf(this.info.cores[core]!.kind).queries;
    const rows = (side === 'target' ? (given.target ?? ids) : ids).length;
    const feeds = makeFeeds(cut, given);
    return this.withPieces(async loader =>
      work(await loadWrite(cut, cores[core]!, write, { feeds, rows, loader })),
    );
  }

  /** Pieces that are let go of when the work is done. */
  private async withPieces<T>(work: (loader: PieceLoader) => Promise<T>): Promise<T> {
    const loader = new PieceLoader(this.runtime, this.skeleton.folder, 'basic', true);
    try {
      return await work(loader);
    } finally {
      await loader.release();
    }
  }

  async dispose(): Promise<void> {
    this.forget();
    await this.proof?.runner.release();
    await this.smallPieces.release();
    await this.lengths.release();
    await this.uncut.release();
  }

  get hasRouters(): boolean {
    return this.plan.routers.length > 0;
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
    precise: boolean,
  ): Promise<Float32Array> {
    const input = await this.coreInput(info.core, rule, ids, feeds, precise);
    const context = await attend(info, input);
    const size = input.heads * input.queries * input.valueDim;
    if (context.length !== size)
      throw new Error(`core ${info.core}: expected ${size} values, found ${context.length}`);
    return context;
  }

  private async prove(options: ProofOptions): Promise<Proof> {
    const { plan, runtime, uncut, coreChecks } = this;
    // A core of the proof's short samples: by the rules as learnt, which is what is proved.
    const infos = coreInfos(plan, plan.rules);
    const attendSample: Proving['attendSample'] = (ids, attend, precise) => (index, feeds) =>
      this.attendCore(infos[index]!, plan.rules[index]!, ids, feeds, attend, precise);
    const proving = { plan, runtime, folder: this.skeleton.folder, uncut, coreChecks, attendSample };
    return (this.proof = await prove(proving, options));
  }

  private async readLearned(): Promise<void> {
    const ids = this.plan.survey.ids(6, 6, 1);
    this.numbers = await Promise.all(
      this.plan.cores.map(async ({ found: { native }, heads }) =>
        native ? this.learned.numbers(native, ids, heads) : {},
      ),
    );
  }

  private async coreInput(
    index: number,
    rule: ProbedRule,
    ids: Ids,
    feeds: CoreFeeds,
    precise: boolean,
  ): Promise<CoreInput> {
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
      precise,
    };
    const { native } = core.found;
    if (!native) return input;
    const tensors = { ...native.values, ...(await this.learned.of(native.tensors, ids, feeds)) };
    const context = { runtime: this.runtime, signal: neverCancelled };
    const made = { ...input, native: await attendNative(input, native.spec, tensors, context) };
    // The proof's own samples are compared as a whole.
    if (this.proof) await this.nativeChecks.check(index, made, ids, feeds);
    return made;
  }
}
