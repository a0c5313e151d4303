import { keyOfNative, settingsOf } from '../attention/native';
import { settingOf } from '../attention/parameters';
import { DIFFERENTIAL } from '../../shared/native';
import { findMechanism } from '../attention/registry';
import type {
  CoreAttention,
  CoreInfo,
  MechanismParams,
  ModelFingerprint,
  ModelInfo,
  Pooling,
  Verification,
} from '../../shared/protocol/engine';
import type { CutCore } from './cut/cutGraph';
import type { Subtraction } from './cut/subtraction';
import type { Plan } from './cut/cutPlan';
import type { ProbedRule } from './cut/probe';
import { countWeights } from './onnx/weightUses';
import { otherLayers } from './otherLayers';

/** The graph of one model, in one file or two. */
export interface GraphFiles {
  /** The .onnx file. */
  onnx: string;
  /** Of a model in two files: the encoder's, when `onnx` is the decoder's. */
  encoder?: string;
  /** The table of embeddings beside `onnx`, for decoders that were exported without it. */
  embedding?: string;
  /** All files that ONNX Runtime reads, where they are known. */
  paths?: readonly string[];
  /** Its config.json, where there is one. */
  config?: Record<string, unknown>;
  /** What its attention.json declares, where there is one (docs/native.md). */
  attention?: unknown;
  /** How its files say that an embedding is made; absent where they do not. */
  pooling?: Pooling | 'other';
  name: string;
  /** What the user gave. */
  ref: string;
  fingerprint?: ModelFingerprint;
}

/** Learned numbers of each core's native attention, one for each head, by their names. */
export type LearnedNumbers = readonly Readonly<Record<string, number[]>>[];

/** `rules`: those that hold at the length in question. */
export function coreInfos(
  { cores, sinks, places, subtractions }: Plan,
  rules: readonly ProbedRule[],
  learned: LearnedNumbers = [],
): CoreInfo[] {
  return cores.map((core, i) => ({
    core: i,
    kind: places[i]!.kind,
    layer: places[i]!.layer,
    heads: core.heads,
    kvHeads: core.kvHeads,
    dim: core.dim,
    mask: rules[i]!.description + (sinks[i] ? ', sink' : ''),
    causal: rules[i]!.mask.causal,
    ...subtracted(attentionOf(core, rules[i]!, sinks[i] != null, learned[i]), subtractions[i]!),
  }));
}

type MadeWith = Pick<CoreInfo, 'attention' | 'ownSetting' | 'ownMask'>;

/**
 * Differential attention in place of a softmax of every head for itself. That softmax is what a head's map is, and dense attention
 * runs it: the difference lies behind the core, in the model.
 */
function subtracted(made: MadeWith, subtraction: Subtraction | null): MadeWith {
  if (!subtraction || (made.attention && !made.ownMask)) return made;
  return {
    ...made,
    attention: {
      name: DIFFERENTIAL,
      native: true,
      params: { ...made.attention?.params, ...lambdaOf(subtraction) },
    },
    ownMask: true,
  };
}

/** Lambda, by head where pairs differ in it, and what each head's output counts. */
function lambdaOf({ lambda, factor }: Subtraction): Record<string, number | number[]> {
  if (!lambda || !factor) return {};
  const each = lambda.map(asWritten);
  return { lambda: new Set(each).size === 1 ? each[0]! : each, factor: factor.map(asWritten) };
}

/** float32 has seven digits. */
const asWritten = (value: number) => Number(value.toPrecision(6));

/** The mechanism that the model was made with here; nothing for dense attention. */
function attentionOf(
  { found: { native } }: CutCore,
  { mask: { causal, window, chunk, streaming }, made: also }: ProbedRule,
  sink: boolean,
  learned: Readonly<Record<string, number[]>> = {},
): MadeWith {
  const made = (name: string, params: CoreAttention['params'], ownSetting: string | null = null) => ({
    attention: { name, native: true, params },
    ...(ownSetting !== null && { ownSetting }),
  });
  const masked = (name: string, params: MechanismParams) =>
    made(name, params, settingOf(findMechanism(name).info, params).key);
  if (native)
    return made(native.spec.name, { ...settingsOf(native.spec), ...learned }, keyOfNative(native.spec));
  if (also)
    return also.whole ? masked(also.name, also.params as MechanismParams) : made(also.name, also.params);
  const ownMask = true as const;
  if (sink) return { ...made('sink', {}), ownMask };
  if (chunk !== undefined) return { ...masked('chunked', { chunk }), ownMask };
  if (streaming)
    return { ...made('streaming', { sinks: streaming.first, window: streaming.before + 1 }), ownMask };
  const reach = window && Math.min(window.before, causal ? Infinity : window.after);
  return reach !== null && reach < Number.MAX_SAFE_INTEGER
    ? { ...masked('local', { window: reach + 1 }), ownMask }
    : {};
}

/** `width`: columns of the model's output; `folder`: where its weights lie. */
export function describeModel(
  files: GraphFiles,
  plan: Plan,
  rules: readonly ProbedRule[],
  width: number,
  verified: Verification,
  folder: string,
  learned: LearnedNumbers,
): ModelInfo {
  const cores = coreInfos(plan, rules, learned);
  const config = files.config ?? {};
  const named = typeof config['vocab_size'] === 'number' ? config['vocab_size'] : plan.vocabulary;
  // Exports pad vocabularies; a hidden state is never that wide.
  const languageModelHead = /logits/.test(plan.output)
    ? width >= Math.min(named, plan.vocabulary)
    : width === named || width === plan.vocabulary;
  const others = otherLayers(plan.graph, config, cores.filter(c => c.kind === 'self').length);
  return {
    name: files.name,
    ref: files.ref,
    kind: plan.kind,
    layers: Math.max(...['self', 'encoder', 'decoder'].map(k => cores.filter(c => c.kind === k).length)),
    heads: Math.max(...cores.map(c => c.heads)),
    causal: cores.every(c => c.causal),
    parameters: countWeights(plan.graph, folder),
    context: plan.context,
    vocabulary: languageModelHead ? width : named,
    languageModelHead,
    ...(!languageModelHead && poolingOf(files, plan.kind, cores)),
    cores,
    ...(others.length > 0 && { otherLayers: others }),
    verified,
    ...(files.fingerprint && { fingerprint: files.fingerprint }),
  };
}

/** As the model's files say, else as is usual: the mean of an encoder's rows, the last of a causal model's, which alone has seen all. */
function poolingOf(
  { pooling }: GraphFiles,
  kind: ModelInfo['kind'],
  cores: readonly CoreInfo[],
): Pick<ModelInfo, 'pooling'> {
  if (pooling === 'other' || kind === 'encoder-decoder') return {};
  return { pooling: pooling ?? (cores.every(({ causal }) => causal) ? 'last' : 'mean') };
}
