import type { MechanismInfo, MechanismParams, SpanFitParams } from '../../shared/protocol/engine';
import type { Runtime } from '../runtime/runtime';
import type { Tensor } from '../runtime/tensor';
import type { Attended } from './attended';
import type { CoreInput } from './core';
import type { Cost, CostShape } from './cost';
import type { HeadMask, PairRule } from './mask';
import type { OwnTensor } from './ownTensors';

export type { Attended, SparseRow } from './attended';

/** What a mechanism may use beside its inputs. */
export interface AttendContext {
  runtime: Runtime;
  signal: AbortSignal;
  /** Tensors given by the caller (`attend`), or made by `prepare` from this text. */
  own: Record<string, Tensor>;
}

/** A head of a core that ran under a mechanism, with the tensors that were made or given for the run. */
export interface BucketedRun {
  input: CoreInput;
  head: number;
  attended: Attended;
  own: Readonly<Record<string, Tensor>>;
}

/** Which bucket each query and key of one head is in, per round; -1 = none. */
export interface Bucketing {
  rounds: number;
  count: number;
  queryBucket: Int32Array[];
  keyBucket: Int32Array[];
  /** In how many buckets each query is (hashing: one per round). */
  multiplicity: Int32Array;
  /** Members per bucket and round, counting every membership. */
  sizes: Int32Array[];
  /** [count, dim] directions of the buckets, empty where there are none. */
  centers: Float32Array;
}

/** What docs/mechanisms.md says beside `info`, in Markdown of one line each. */
export interface About {
  /** What it keeps, in a sentence or two. */
  what: string;
  /** The same as a formula. */
  rule: string;
  /** What of the paper is exact here and what only approximates. */
  exact: string;
  /** Roughly, for N tokens under a causal mask. */
  cost: string;
  /** When it helps, or what it tells. */
  when: string;
}

/** One way to spend a share of the pairs (estimated, may be above 1): a larger share gives no fewer of them; null = none. */
export type SettingFamily = (input: CoreInput, share: number) => MechanismParams | null;

/** Of a mechanism that gives each head a span of its own. */
export interface Spans {
  /** What the spans of a setting are fitted to, or the one that it gives to all. */
  wish(params: MechanismParams): Omit<SpanFitParams, 'id'> | { span: number };
  /** The setting whose spans are fitted to a share of the pairs of all heads together. */
  atBudget(share: number): MechanismParams;
  /** The same setting with this span in place of a fit. */
  given(params: MechanismParams, span: number): MechanismParams;
}

/**
 * One way of attending. One file each; `registry.ts` lists them, and all that others need to know of it is said
 * here: command line, settings, palette, tables, views, exports and docs name no mechanism.
 */
export interface Mechanism {
  readonly info: MechanismInfo;
  readonly about: About;
  /** Settings that show it on some 40 tokens, in the picture of the docs (the first), in tests and in checks of exports. */
  readonly examples: readonly MechanismParams[];
  /** The picture's text is said so many times over, for a rule that needs a longer one. */
  readonly pictureRepeats?: number;
  /** Settings under which nothing of so many tokens is left out: then it is dense attention. None: it always approximates. */
  whole(tokens: number): Partial<MechanismParams>[];
  /** Tensors that a caller may give. */
  readonly tensors?: Readonly<Record<string, OwnTensor>>;
  /** Settings that a model which was made with it has beside those of its file. */
  readonly madeWith?: MechanismParams;
  /**
   * Of a native core its output is more than the sum of values under the map that is shown: of its own weights, or of the softmax in
   * it. What an intervention takes away is then taken from the mechanism itself.
   */
  readonly beyondMap?: 'weights' | 'softmax';
  /** The keys are made from the queries; those of the input are not looked at. */
  tiesKeys?(params: MechanismParams): boolean;
  /** Has no meaning without a causal mask: runs causal where the caller may choose. */
  readonly causalOnly?: true;
  /** Says in one sentence why this input cannot be served, or null. */
  refuses?(input: CoreInput, params: MechanismParams): string | null;
  /** What the parameters with a `defaultRule` are for this input, given or not. */
  settle?(input: CoreInput, params: MechanismParams): MechanismParams;
  /** The setting of another mechanism that this one comes to, where it leaves nothing of its own: results say so. */
  sameAs?(params: MechanismParams): { name: string; params: MechanismParams } | null;
  /** Makes the mechanism's own tensors from the text where the caller gave none: fitted spans, centroids, seeded rotations. */
  prepare?(
    input: CoreInput,
    params: MechanismParams,
    context: AttendContext,
  ): Promise<Record<string, Tensor>>;
  /** Of these, tensors that hang on these parameters alone: made once for all settings that have them alike. */
  alike?: { tensors: readonly string[]; parameters: readonly string[] };
  /**
   * Settings that spend about this share (0..1) of each head's dense pairs, for plans; may be none. Absent = the mechanism
   * keeps no set of pairs, or its pairs are not for the caller to choose.
   */
  settings?(input: CoreInput, share: number): MechanismParams[];
  /** Why no setting spends less than much of the pairs, where that is so. */
  spendsMore?: string;
  /**
   * Where the text decides how many pairs a setting has: `settings` only estimates, and these are the ways to grow with
   * the share. Callers measure what was spent and ask again.
   */
  readonly families?: readonly SettingFamily[];
  /** The pairs it keeps, where they follow from parameters and positions alone: exports write it. */
  rule?(input: Pick<CoreInput, 'keys'>, params: MechanismParams): PairRule;
  /** What a run over a single head kept of this text, as tables for exports; absent = its pairs one by one. */
  mask?(attended: Attended, input: CoreInput, params: MechanismParams): HeadMask;
  /** In which buckets the tokens of one head are, after a run over all heads; null where this setting has none. */
  buckets?(of: BucketedRun): Bucketing | null;
  readonly spans?: Spans;
  /** What one head costs by formula on a text of `tokens` tokens; its pairs are those that `Attended.pairs` counts. */
  cost?(tokens: number, params: MechanismParams, shape: CostShape): Cost;
  /** Sub-quadratic where the paper is: scores in ONNX Runtime graphs or lists of pairs, index work in typed arrays. */
  attend(input: CoreInput, params: MechanismParams, context: AttendContext): Promise<Attended>;
}
