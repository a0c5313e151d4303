import type { CoreInfo, ModelInfo, TextCheck } from '../../../shared/protocol/engine';
import type { CoreInput } from '../../attention/core';
import type { HiddenRows } from './hidden';
import type { RouterRows } from './routers';
import type { LayerWeights } from './layerWeights';
import type { WeightUses } from '../onnx/weightUses';
import type { DirectPath } from './directPath';
import type { Written } from './headWrites';
import type { PositionParts } from './positionParts';
import type { TokenState } from './tokenState';
import type { Tensor } from '../../runtime/tensor';

/** Runs one core: returns the context, [heads, queries, valueDim]. */
export type Attend = (core: CoreInfo, input: CoreInput) => Promise<Float32Array>;

/**
 * The rest of a run from behind one core on, with another context in that core's place: what lies before is not run again.
 * Only while the callback that was given it has not returned.
 */
export type GoOn = (context: Float32Array, attend: Attend) => Promise<ModelOutput>;

/** Where a run stands before a core. Only while the callback that was given it has not returned. */
export interface Before {
  /** All that is handed on of one token, to this core and behind it. */
  stateOf(token: number): TokenState;
  /** The rest of the run with that of another run in its place. @throws RefusedError where more than the token's would have to go with it */
  goOn(token: number, state: TokenState, attend: Attend): Promise<ModelOutput>;
}

/** What came out after the last core. Rows are read in blocks: all logits at once can be larger than the model. */
export interface ModelOutput {
  kind: 'logits' | 'hidden';
  rows: number;
  width: number;
  /** [to - from, width] */
  read(from: number, to: number): Promise<Float32Array>;
  /** What it keeps in memory. */
  holds: readonly Float32Array[];
  /** These rows alone, of which no more is held. */
  only(rows: Int32Array): ModelOutput;
}

export interface RunOptions {
  signal: AbortSignal;
  /** Decoder input of an encoder-decoder with a second id input; default: the text itself. */
  targetIds?: Int32Array;
  /** Called when a segment starts, with the share of segments done. */
  onSegment?: (fraction: number) => void;
  /** Called with the residual stream before each core where it crosses the cut by itself, and at the end. */
  onHidden?: (hidden: HiddenRows) => void;
  /** Called with what a router of experts decided, where the model has one. */
  onRouter?: (router: RouterRows) => void;
  /** Called before each core; the run waits for it. */
  onBefore?: (core: CoreInfo, before: Before) => Promise<void>;
  /** Called behind each core with its context; the run waits for it. */
  onContext?: (core: CoreInfo, context: Float32Array, goOn: GoOn) => Promise<void>;
}

/** A model cut at its attention cores, proved against the uncut model. */
export interface CutModel {
  readonly info: ModelInfo;
  /** True when the decoder has ids of its own; some exports of encoder-decoders feed both sides from one input. */
  readonly takesTarget: boolean;
  /** True when it has routers of experts, of which `onRouter` tells. */
  readonly hasRouters: boolean;
  /**
   * Compares the rules of all cores with the model's own graph at the lengths of this text, and learns them anew where they
   * differ: `info` then says what holds there. `run` does so by itself. @throws RefusedError
   */
  checkRules(ids: Int32Array, options: Pick<RunOptions, 'signal' | 'targetIds'>): Promise<void>;
  /** Bytes that a run of so many tokens needs at its widest, beside the weights and what the cores do. */
  activationBytes(tokens: number): number;
  /** Runs a text through the segments with `attend` in each core's place. */
  run(ids: Int32Array, attend: Attend, options: RunOptions): Promise<ModelOutput>;
  /**
   * Compares `output`, which `run` gave for this text with dense cores, with the uncut model's own, on as many of the first
   * tokens as a `share` of its arithmetic allows; null = the text was not run with dense cores. @throws RefusedError where the model itself gives no finite numbers
   */
  checkText(
    ids: Int32Array,
    output: ModelOutput | null,
    attend: Attend,
    options: Pick<RunOptions, 'signal' | 'targetIds'> & { share: number },
  ): Promise<TextCheck>;
  /** Rows of the token embedding table [ids, width]; null when the graph has no look-up of its own for them. */
  embed(ids: Int32Array): Promise<{ rows: Float32Array; width: number } | null>;
  /** What its weights are for. */
  weightUses(): WeightUses;
  /** Matrices of layers that are built alike, and their numbers; null when no two are. */
  layerWeights(): (LayerWeights & { read(names: readonly string[]): Promise<Float32Array[]> }) | null;
  /** Queries and keys of a core of layer 0 by content and absolute position. @throws RefusedError where they do not split. */
  positionParts(
    core: number,
    ids: Int32Array,
    options: Pick<RunOptions, 'signal' | 'targetIds'>,
  ): Promise<PositionParts>;
  /** Works with the direct path from heads to logits, for a text; its pieces are loaded for that time. @throws RefusedError where there is none */
  directly<T>(ids: Int32Array, work: (path: DirectPath) => Promise<T>): Promise<T>;
  /**
   * Works with what a core's heads write into the residual stream, in blocks of as many rows as the core has queries; the piece is
   * loaded for that time. null where it is no linear map of their output.
   */
  writes<T>(
    core: number,
    ids: Int32Array,
    options: Pick<RunOptions, 'targetIds'>,
    work: (written: Written | null) => Promise<T>,
  ): Promise<T>;
  /** The uncut model's own output for the same tokens (proofs, tests, bench). */
  runUncut(ids: Int32Array, targetIds?: Int32Array): Promise<Tensor>;
  dispose(): Promise<void>;
}
