import type { AttendContext, Attended, Mechanism } from '../attention/mechanism';
import { besideSink } from '../attention/kernels/sink';
import type { CoreInput, MaskRule } from '../attention/core';
import { denseOutput } from '../attention/kernels/dense';
import { findMechanism } from '../attention/registry';
import { someHeads } from '../attention/kernels/subset';
import { RefusedError, told } from '../errors';
import type { Attend, CutModel, ModelOutput, RunOptions } from '../model/cut/cutModel';
import {
  sidesOf,
  type CoreKind,
  type CoreResult,
  type MechanismChoice,
  type MechanismResult,
  type TargetText,
  type TokenTable,
} from '../../shared/protocol/engine';
import { neverCancelled } from '../runtime/cancellation';
import type { Runtime } from '../runtime/runtime';
import { float32, type Tensor } from '../runtime/tensor';

/** What stays of one core after the dense pass. */
export interface AnalysedCore {
  result: CoreResult;
  /** [heads, queries] log-sum-exp of the dense scores. */
  lse: Float32Array;
  /** [heads, distances] mean mass at each distance over the head's queries: entry x is distance x. */
  byDistance: Float32Array;
  mask: MaskRule;
  /** Q, K, V and the dense output, when they fit in the budget; else they are computed again when asked for. */
  tensors: CoreTensors | null;
}

export interface CoreTensors {
  input: CoreInput;
  output: Float32Array;
}

/** Outputs of mechanisms kept for hovers and tiles, per analysis. */
const KEPT_ATTENDED_BYTES = 256 * 2 ** 20;

/** A finished (or still running) analysis: what detail requests are answered from. */
export class Analysis {
  readonly cores: AnalysedCore[] = [];
  readonly results = new Map<string, MechanismResult>();
  loss: Float32Array | null = null;
  /** The dense model's output, kept where there is no loss, to be compared with that of changed runs. */
  output: ModelOutput | null = null;

  /** Own tensors of each mechanism per core, as fitted to this text's dense Q and K. */
  private readonly own = new Map<string, Record<string, Tensor>>();
  private readonly attended = new Map<string, Attended>();
  private recomputed: { core: number; tensors: CoreTensors } | null = null;

  constructor(
    readonly id: string,
    readonly model: CutModel,
    readonly runtime: Runtime,
    readonly tokens: TokenTable,
    readonly target: TargetText | null = null,
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

  /** Runs the analysed text through the model. */
  run(attend: Attend, options: Omit<RunOptions, 'targetIds'>): Promise<ModelOutput> {
    return this.model.run(this.tokens.ids, attend, { ...options, targetIds: this.target?.tokens.ids });
  }

  core(core: number): AnalysedCore {
    const found = this.cores[core];
    if (!found) throw new RefusedError(told`Core ${core} of this analysis is not there (yet).`);
    return found;
  }

  /** Checks that the head exists. */
  head(core: number, head: number): AnalysedCore {
    const found = this.core(core);
    if (!(head >= 0 && head < found.result.info.heads)) {
      throw new RefusedError(told`Core ${core} has no head ${head}.`);
    }
    return found;
  }

  /** Q, K, V and dense output of one core; runs the model again up to that core when they were not kept. */
  async tensors(core: number): Promise<CoreTensors> {
    const kept = this.core(core).tensors;
    if (kept) return kept;
    if (this.recomputed?.core === core) return this.recomputed.tensors;
    const tensors = await this.recompute(core);
    this.recomputed = { core, tensors };
    return tensors;
  }

  private async recompute(core: number): Promise<CoreTensors> {
    const stop = new Error('reached the core');
    let found: CoreTensors | null = null;
    const context = this.context(neverCancelled);
    try {
      await this.run(
        async (info, input) => {
          const output = await denseOutput(input, context);
          if (info.core === core) {
            found = { input, output };
            throw stop;
          }
          return output;
        },
        { signal: neverCancelled },
      );
    } catch (error) {
      if (error !== stop) throw error;
    }
    return found!;
  }

  context(signal: AbortSignal, own: Record<string, Tensor> = {}): AttendContext {
    return { runtime: this.runtime, signal, own };
  }

  /**
   * The mechanism's own tensors (spans, centroids, rotations) for one core: fitted once to the dense Q and K of this
   * text, then frozen, so that local and propagated runs speak of the same mechanism.
   */
  async ownTensors(
    choice: MechanismChoice,
    core: number,
    input: CoreInput,
    signal: AbortSignal,
  ): Promise<Record<string, Tensor>> {
    const key = `${choiceKey(choice)}|${core}`;
    const known = this.own.get(key);
    if (known) return known;
    const mechanism = findMechanism(choice.name);
    const own = (await mechanism.prepare?.(input, choice.params, this.context(signal))) ?? {};
    this.own.set(key, own);
    return own;
  }

  /** One core under a mechanism, given its inputs. */
  async attend(
    choice: MechanismChoice,
    core: number,
    input: CoreInput,
    signal: AbortSignal,
  ): Promise<Attended> {
    const mechanism = findMechanism(choice.name);
    refuseUnfit(mechanism, input, choice);
    const own = await this.ownTensors(choice, core, input, signal);
    return besideSink(input, mechanism.info.title, plain =>
      mechanism.attend(plain, choice.params, this.context(signal, own)),
    );
  }

  /**
   * One head under a mechanism, given its core's inputs: output [1, queries, valueDim]. Own tensors are fitted to this
   * head's dense Q and K alone, so that they do not depend on what its neighbours do.
   */
  async attendHead(
    choice: MechanismChoice,
    core: number,
    head: number,
    input: CoreInput,
    signal: AbortSignal,
  ): Promise<Attended> {
    const mechanism = findMechanism(choice.name);
    const alone = someHeads(input, [head]);
    refuseUnfit(mechanism, alone, choice);
    const key = `${choiceKey(choice)}|${core}|${head}`;
    let own = this.own.get(key);
    if (!own) {
      const dense = someHeads((await this.tensors(core)).input, [head]);
      const given = { mass_by_distance: this.massByDistance(core, head) };
      own = (await mechanism.prepare?.(dense, choice.params, this.context(signal, given))) ?? {};
      this.own.set(key, own);
    }
    const context = this.context(signal, own);
    return besideSink(alone, mechanism.info.title, plain => mechanism.attend(plain, choice.params, context));
  }

  private massByDistance(core: number, head: number): Tensor {
    const { byDistance, result } = this.head(core, head);
    const distances = byDistance.length / result.info.heads;
    return float32(byDistance.slice(head * distances, (head + 1) * distances), [1, distances]);
  }

  /** The same on this analysis' own dense inputs, with the latest kept. */
  async attendLocally(choice: MechanismChoice, core: number, signal: AbortSignal): Promise<Attended> {
    const key = `${choiceKey(choice)}|${core}`;
    let attended = this.attended.get(key);
    if (!attended) {
      const { input } = await this.tensors(core);
      attended = await this.attend(choice, core, input, signal);
    }
    this.remember(key, attended);
    return attended;
  }

  private remember(key: string, attended: Attended): void {
    this.attended.delete(key);
    this.attended.set(key, attended);
    // A hover over the mean of all heads goes round every core and mechanism: by bytes, since a count would thrash.
    let bytes = 0;
    for (const one of this.attended.values()) bytes += one.output.byteLength;
    for (const [oldest, { output }] of this.attended) {
      if (bytes <= KEPT_ATTENDED_BYTES || oldest === key) break;
      this.attended.delete(oldest);
      bytes -= output.byteLength;
    }
  }
}

export function choiceKey(choice: MechanismChoice): string {
  const params = Object.entries(choice.params).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${choice.name}:${params.map(([name, value]) => `${name}=${value}`).join(';')}`;
}

function refuseUnfit(mechanism: Mechanism, input: CoreInput, choice: MechanismChoice): void {
  const reason = mechanism.refuses?.(input, choice.params);
  if (reason) throw new RefusedError(reason);
}
