import type { AttendContext, Attended, Mechanism } from '../attention/mechanism';
import { besideSink } from '../attention/kernels/sink';
import { ownRun, type CoreInput } from '../attention/core';
import { seesAll, standIn } from '../attention/whatIf';
import { settledParams } from '../attention/parameters';
import { findMechanism } from '../attention/registry';
import { someHeads } from '../attention/kernels/subset';
import { RefusedError, told } from '../errors';
import { denseIsOwn } from '../../shared/native';
import { DENSE } from '../../shared/setting';
import type { Attend, CutModel, ModelOutput, RunOptions } from '../model/cut/cutModel';
import {
  sidesOf,
  type CoreKind,
  type CoreResult,
  type Setting,
  type MechanismParams,
  type MechanismResult,
  type Provenance,
  type TargetText,
  type TokenTable,
} from '../../shared/protocol/engine';
import type { Runtime } from '../runtime/runtime';
import type { DistancePrefix } from '../../shared/softSpan';
import { SharedCache } from '../runtime/sharedCache';
import { float32, type Tensor } from '../runtime/tensor';
import { maskedReadings, predictMasked, type Reading } from './masking';
import { CorePasses, type CoreTensors, type StandIn, type Visitor } from './passes';

export type { CoreTensors } from './passes';

/** The key of the predictions of the model as the analysis ran it. */
export const OWN_PREDICTIONS = 'predicted|own';

export type PredictOptions = Pick<RunOptions, 'signal' | 'onSegment'>;

/** What stays of one core after the dense pass. */
export interface AnalysedCore {
  result: CoreResult;
  /** [heads, queries] log-sum-exp of the dense scores. */
  lse: Float32Array;
  /** [heads, queries], nats. */
  entropy: Float32Array;
  /** [heads, distances] mean mass at each distance over the head's queries: entry x is distance x. */
  byDistance: Float32Array;
  /** The same of the text's beginnings, shortest first; absent where they are no texts of their own. */
  prefixes?: readonly DistancePrefix[];
  /** Its shape and rule, without Q, K and V. */
  outline: CoreInput;
  /** Q, K, V and the dense output, when they fit in the budget; else a pass over the cores computes them again. */
  tensors: CoreTensors | null;
}

export const bytesOf = ({ input: { q, k, v }, output }: CoreTensors): number =>
  4 * (q.length + k.length + v.length + output.length);

/** What is computed of analyses for requests (bands of tiles, mechanisms' outputs, tensors computed again) may take so much. */
export const KEPT_BYTES = 256 * 2 ** 20;

/** A finished (or still running) analysis: what detail requests are answered from. */
export class Analysis {
  readonly cores: AnalysedCore[] = [];
  readonly results = new Map<string, MechanismResult>();
  loss: Float32Array | null = null;
  /** The dense model's output, kept where there is no loss, to be compared with that of changed runs. */
  output: ModelOutput | null = null;
  /** What its dense pass took; 0 where there was none. */
  denseSeconds = 0;
  /** Of an analysis without a dense pass: what runs in its cores. */
  standIn: StandIn | null = null;

  /** The mask token of the model's tokenizer. */
  mask: number | null = null;

  /** What was read, by its hashes. */
  inputs: Provenance['inputs'] = [];

  /** Own tensors of each mechanism per core, as fitted to this text's dense Q and K. */
  private readonly own = new Map<string, Record<string, Tensor>>();
  private readonly alike = new Map<string, Record<string, Tensor>>();
  private readonly passes = new CorePasses(this);
  /** An analysis that replaces another one under its id must not find what that one kept. */
  private readonly key = `${++made}|`;

  constructor(
    readonly id: string,
    readonly model: CutModel,
    readonly runtime: Runtime,
    readonly tokens: TokenTable,
    readonly target: TargetText | null = null,
    private readonly cache = new SharedCache<object>({ bytes: KEPT_BYTES }),
  ) {}

  /** The tokens that the queries and the keys of a core stand for. */
  sides(kind: CoreKind): { queries: TokenTable; keys: TokenTable } {
    const table = { text: this.tokens, target: this.target?.tokens ?? this.tokens };
    const sides = sidesOf(kind);
    return { queries: table[sides.queries], keys: table[sides.keys] };
  }

  /** What the loss is about: the text, or the target text of an encoder-decoder. */
  get written(): TokenTable {
    return this.target?.tokens ?? this.tokens;
  }

  /** What the model predicts: the next token, tokens behind its mask, or none, and why. */
  get predicts(): 'next' | 'masked' | { none: string } {
    const { kind, causal, languageModelHead, vocabulary } = this.model.info;
    if (!languageModelHead) return { none: 'The model has no head that predicts tokens, so it has no loss.' };
    if (kind === 'encoder-decoder' || causal) return 'next';
    const fits = this.mask !== null && this.mask < (vocabulary ?? Infinity);
    return fits
      ? 'masked'
      : { none: 'The tokenizer names no mask token, so an encoder has nothing to predict.' };
  }

  /** Runs the analysed text through the model. */
  run(attend: Attend, options: Omit<RunOptions, 'targetIds'>): Promise<ModelOutput> {
    return this.runOn(this.tokens.ids, attend, options);
  }

  /**
   * Runs the text as its predictions need it: row i predicts token i + 1. What is not known from the text itself is computed
   * by every run anew.
   */
  predict(attend: Attend, { onSegment, ...options }: PredictOptions): Promise<ModelOutput> {
    if (this.predicts !== 'masked') return this.run(attend, { ...options, onSegment });
    return predictMasked(this.readings(), (ids, part) =>
      this.runOn(ids, attend, { ...options, onSegment: onSegment && (done => onSegment(part(done))) }),
    );
  }

  /** The runs that predictions need. */
  readings(): Reading[] {
    const { ids } = this.tokens;
    return this.predicts === 'masked' ? maskedReadings(ids, this.mask!) : [{ ids, hidden: null }];
  }

  runOn(ids: Int32Array, attend: Attend, options: Omit<RunOptions, 'targetIds'>): Promise<ModelOutput> {
    return this.model.run(ids, attend, { ...options, targetIds: this.target?.tokens.ids });
  }

  core(core: number): AnalysedCore {
    const found = this.cores[core];
    if (!found) throw new RefusedError(told`Core ${core} of this analysis is not there (yet).`);
    return found;
  }

  /** What Q, K, V and dense outputs of its cores take. */
  get retainedBytes(): number {
    return this.cores.reduce((sum, { tensors }) => sum + (tensors ? bytesOf(tensors) : 0), 0);
  }

  /** From now on a pass over the cores computes them again. */
  letGo(): void {
    for (const core of this.cores) core.tensors = null;
  }

  /** Checks that the head exists. */
  head(core: number, head: number): AnalysedCore {
    const found = this.core(core);
    if (!(head >= 0 && head < found.result.info.heads)) {
      throw new RefusedError(told`Core ${core} has no head ${head}.`);
    }
    return found;
  }

  /** Calls back with the dense tensors of these cores, in this order; requests share the runs that this takes. */
  visit(cores: readonly number[], visit: Visitor['visit'], signal: AbortSignal): Promise<void> {
    for (const core of cores) this.core(core);
    return this.passes.visit({ cores, visit, signal });
  }

  /** The same in a run of its own, where one is needed: for jobs that take long. */
  visitAlone(
    cores: readonly number[],
    visit: Visitor['visit'],
    signal: AbortSignal,
    watch: Pick<Visitor, 'onHidden' | 'toEnd'> = {},
  ): Promise<void> {
    for (const core of cores) this.core(core);
    return this.passes.visitAlone({ ...watch, cores, visit, signal });
  }

  /** Q, K, V and dense output of one core. Whoever needs several cores visits them. */
  async tensors(core: number, signal: AbortSignal): Promise<CoreTensors> {
    let found: CoreTensors | null = null;
    await this.visit([core], (_, tensors) => void (found = tensors), signal);
    return found!;
  }

  /** One head of a core. Where a core is too large to be kept, its heads are by themselves. */
  async headTensors(core: number, head: number, signal: AbortSignal): Promise<CoreInput> {
    const held = this.atHand(core);
    if (held) return someHeads(held.input, [head]);
    const alone = async (own: AbortSignal) => ownHead((await this.tensors(core, own)).input, head);
    return this.shared(`head|${core}|${head}`, alone, signal);
  }

  /** Whether a question about these cores, or one head of one, takes no run of the model. */
  isKept(cores: readonly number[], head: number | null): boolean {
    const alone = head !== null && this.cache.peek(`${this.key}head|${cores[0]}|${head}`) !== undefined;
    return alone || cores.every(core => this.atHand(core) !== null);
  }

  /** The tensors of a core where no run is needed for them. */
  atHand(core: number): CoreTensors | null {
    return this.cores[core]?.tensors ?? this.cache.peek<CoreTensors>(`${this.key}tensors|${core}`) ?? null;
  }

  /** The dense output of a core in a run for predictions, where it is that of the text itself. */
  predictedAtHand(core: number): Float32Array | null {
    return this.predicts === 'masked' ? null : (this.atHand(core)?.output ?? null);
  }

  keep(core: number, tensors: CoreTensors): void {
    if (!this.atHand(core)) this.cache.set(`${this.key}tensors|${core}`, tensors);
  }

  /** What was computed of this analysis before under this key, while there is room for it; all who wait share the work. */
  shared<T extends object>(
    key: string,
    make: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    return this.cache.get(`${this.key}${key}`, make, signal);
  }

  /** Keeps what is at hand for those who ask for it by this key. */
  keepShared(key: string, value: object): void {
    this.cache.set(`${this.key}${key}`, value);
  }

  /** The same for what depends on the model alone, so that its next analysis finds it. */
  sharedByModel<T extends object>(
    key: string,
    make: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    let model = modelKeys.get(this.model);
    if (!model) modelKeys.set(this.model, (model = `${++made}|`));
    return this.cache.get(`${model}${key}`, make, signal);
  }

  /** Lets go of what is kept for requests. */
  forget(): void {
    this.cache.forget(this.key);
  }

  context(signal: AbortSignal, own: Record<string, Tensor> = {}): AttendContext {
    return { runtime: this.runtime, signal, own };
  }

  /**
   * The mechanism's own tensors (spans, centroids, rotations) for one core: fitted once to the dense Q and K of this
   * text, then frozen, so that local and propagated runs speak of the same mechanism.
   */
  async ownTensors(
    choice: Setting,
    core: number,
    input: CoreInput,
    signal: AbortSignal,
  ): Promise<Record<string, Tensor>> {
    const key = ownKey(choice, core);
    const known = this.own.get(key);
    if (known) return known;
    const mechanism = findMechanism(choice.name);
    const own = (await mechanism.prepare?.(input, choice.params, this.context(signal))) ?? {};
    this.own.set(key, own);
    return own;
  }

  /** All parameters of a setting as they come to in a core. */
  settled({ name, params }: Setting, core = 0): MechanismParams {
    return settledParams(findMechanism(name), this.core(core).outline, params);
  }

  /** One core under a mechanism, given its inputs. */
  async attend(choice: Setting, core: number, given: CoreInput, signal: AbortSignal): Promise<Attended> {
    const ran = ownRun(given, choice.key);
    if (ran) return ran;
    const mechanism = findMechanism(choice.name);
    const input = this.withoutOwn(choice, core, given);
    refuseUnfit(mechanism, input, choice);
    const own = await this.ownTensors(choice, core, input, signal);
    const attended = await besideSink(input, mechanism.info.title, plain =>
      mechanism.attend(plain, choice.params, this.context(signal, own)),
    );
    return this.seesMore(choice, core, given) ? { ...attended, lse: null } : attended;
  }

  /**
   * One head under a mechanism, given its core's inputs: output [1, queries, valueDim]. Own tensors are fitted to this
   * head's dense Q and K alone, so that they do not depend on what its neighbours do.
   */
  async attendHead(
    choice: Setting,
    core: number,
    head: number,
    input: CoreInput,
    signal: AbortSignal,
  ): Promise<Attended> {
    const ran = ownRun(someHeads(input, [head]), choice.key);
    if (ran) return ran;
    const mechanism = findMechanism(choice.name);
    const stands = this.withoutOwn(choice, core, input);
    const alone = someHeads(stands, [head]);
    refuseUnfit(mechanism, alone, choice);
    if (!this.isFitted(choice, core, head)) {
      await this.fitHead(choice, core, head, (await this.tensors(core, signal)).input, signal);
    }
    const context = this.context(signal, this.own.get(ownKey(choice, core, head)) ?? {});
    const attended = await besideSink(alone, mechanism.info.title, plain =>
      mechanism.attend(plain, choice.params, context),
    );
    return this.seesMore(choice, core, input) ? { ...attended, lse: null } : attended;
  }

  /**
   * What a mechanism stands in for: scores and softmax. Where the model was made with a mask or with scores that its own graph adds as a bias,
   * dense attention is without them: what if this head saw everything. Only which keys are seen changes: tied keys stay tied.
   */
  private withoutOwn(choice: Setting, core: number, given: CoreInput): CoreInput {
    const input = standIn(given, findMechanism(choice.name), choice.params);
    return this.seesMore(choice, core, given) ? seesAll(input) : input;
  }

  /** What sees more than the model itself, whose mask or terms its graph adds, keeps no share of the model's mass. */
  private seesMore({ key }: Setting, core: number, given: CoreInput): boolean {
    return key === DENSE.key && !given.native && !denseIsOwn(this.model.info.cores[core]!);
  }

  /** Whether the mechanism has its own tensors for this core (or one head of it), or needs none. */
  isFitted(choice: Setting, core: number, head?: number): boolean {
    return !findMechanism(choice.name).prepare || this.own.has(ownKey(choice, core, head));
  }

  /** Makes a head's own tensors, given its core's dense inputs. Before a run with changed heads, `fitHeads` does all of them. */
  async fitHead(
    choice: Setting,
    core: number,
    head: number,
    dense: CoreInput,
    signal: AbortSignal,
  ): Promise<void> {
    if (this.isFitted(choice, core, head)) return;
    const mechanism = findMechanism(choice.name);
    const alone = someHeads(standIn(dense, mechanism, choice.params), [head]);
    refuseUnfit(mechanism, alone, choice);
    const alike = this.alikeOf(mechanism, choice, core, head);
    const given = { mass_by_distance: this.massByDistance(core, head), ...alike };
    const made = await mechanism.prepare!(alone, choice.params, this.context(signal, given));
    for (const name of mechanism.alike?.tensors ?? []) if (made[name]) alike[name] = made[name];
    this.own.set(ownKey(choice, core, head), { ...alike, ...made });
  }

  /** What is known of a head's tensors that another setting of the mechanism has, too. */
  private alikeOf({ alike }: Mechanism, choice: Setting, core: number, head: number): Record<string, Tensor> {
    if (!alike) return {};
    const parameters = alike.parameters.map(name => choice.params[name]);
    const key = [choice.name, core, head, ...parameters].join('|');
    let found = this.alike.get(key);
    if (!found) this.alike.set(key, (found = {}));
    return found;
  }

  private massByDistance(core: number, head: number): Tensor {
    const { byDistance, result } = this.head(core, head);
    const distances = byDistance.length / result.info.heads;
    return float32(byDistance.slice(head * distances, (head + 1) * distances), [1, distances]);
  }

  /** One core under a mechanism on this analysis' own dense inputs; the latest are kept. */
  attendLocally(choice: Setting, core: number, dense: CoreInput, signal: AbortSignal): Promise<Attended> {
    const attend = (own: AbortSignal) => this.attend(choice, core, dense, own);
    return this.shared(`attended|${choice.key}|${core}`, attend, signal);
  }
}

/** A head with tensors of its own, so that it does not hold those of all others. */
function ownHead(input: CoreInput, head: number): CoreInput {
  const alone = someHeads(input, [head]);
  const { bias } = alone.rule;
  const rule =
    bias?.kind === 'opaque' ? { ...alone.rule, bias: { ...bias, data: bias.data.slice() } } : alone.rule;
  return { ...alone, rule, q: alone.q.slice(), k: alone.k.slice(), v: alone.v.slice() };
}

let made = 0;
const modelKeys = new WeakMap<CutModel, string>();

function ownKey(choice: Setting, core: number, head?: number): string {
  return [choice.key, core, ...(head === undefined ? [] : [head])].join('|');
}

function refuseUnfit(mechanism: Mechanism, input: CoreInput, choice: Setting): void {
  const reason = mechanism.refuses?.(input, choice.params);
  if (reason) throw new RefusedError(reason);
}
