/** An analysis as JSON, for scripts: `analyze --json`. Described by `analysis.schema.json`. */
import type {
  AnalysisSummary,
  CoreInfo,
  HeadComparison,
  HeadProfile,
  Intervention,
  InterventionResult,
  MechanismParams,
  MechanismResult,
  SparseAnalysis,
} from '../../shared/protocol/engine';
import { attentionOf, standingOf } from '../../shared/native';
import { chosenParams } from '../../shared/setting';
import { findMechanism } from '../attention/registry';
import { carriersOf, meanInterval } from '../../shared/uncertainty';
import { textOf } from '../../shared/protocol/notes';

/** Name and version of the format: the number grows when a reader of the older one would break. */
export const ANALYSIS_SCHEMA = 'urn:attention-inspector:analysis:1';

/** The summary without what only views need (thumbnails, curves, per-token numbers). */
export function analysisJson(
  summary: AnalysisSummary,
  interventions: readonly InterventionResult[] = [],
  predictions: readonly object[] = [],
) {
  const { model, tokens } = summary;
  return {
    schema: ANALYSIS_SCHEMA,
    provenance: summary.provenance ?? null,
    model: {
      name: model.name,
      ref: model.ref,
      kind: model.kind,
      layers: model.layers,
      heads: model.heads,
      causal: model.causal,
      parameters: model.parameters,
      context: model.context,
    },
    device: summary.device.device,
    tokens: tokens.ids.length,
    textTokens: { total: tokens.total, estimated: tokens.estimated ?? false },
    target: summary.target && {
      tokens: summary.target.tokens.ids.length,
      source: summary.target.source,
    },
    verified: verifiedJson(summary),
    layers: summary.cores.map(({ info, heads }) => ({
      core: info.core,
      kind: info.kind,
      layer: info.layer,
      mask: info.mask,
      attention: attentionOf(info),
      heads: heads.map(headJson),
    })),
    loss: lossJson(summary),
    mechanisms: summary.mechanisms.map(result => mechanismJson(result, model.cores)),
    ...(summary.sparse && { sparse: sparseJson(summary.sparse) }),
    interventions: interventions.map(interventionJson),
    ...(predictions.length > 0 && { predictions }),
    timings: summary.timings,
    peakRssMiB: summary.peakRssMiB,
    notes: summary.notes,
  };
}

export type AnalysisJson = ReturnType<typeof analysisJson>;

/** With the tokens that are predicted, so that two analyses can be compared token by token. */
function lossJson({ loss, tokens, target }: AnalysisSummary) {
  if (!loss) return null;
  const { text } = target?.tokens ?? tokens;
  return {
    mean: loss.mean,
    masked: loss.masked ?? false,
    perToken: Array.from(loss.perToken),
    tokens: text.slice(text.length - loss.perToken.length),
  };
}

/** The comparison on this text, and what the model was compared with when it was loaded. */
function verifiedJson({ model, verified }: AnalysisSummary) {
  const part = verified.tokens === verified.of ? 'all' : `the first ${verified.tokens} of`;
  return {
    ...verified,
    bitEqual: model.verified.bitEqual,
    reference: `the uncut model in ONNX Runtime on ${part} ${verified.of} tokens of this text`,
    atLoad: {
      maxAbsDiff: model.verified.maxAbsDiff,
      maxRelDiff: model.verified.maxRelDiff,
      reference: model.verified.reference,
    },
  };
}

function headJson(head: HeadProfile) {
  return {
    head: head.head,
    entropy: head.entropy,
    relativeEntropy: head.relativeEntropy,
    meanDistance: head.meanDistance,
    span90: head.span90,
    span95: head.span95,
    span99: head.span99,
    span90Quantiles: head.span90Quantiles,
    span95Quantiles: head.span95Quantiles,
    span99Quantiles: head.span99Quantiles,
    to: head.to,
    roles: head.roles.map(role => ({ ...role })),
    ...(head.sampled && { sampled: head.sampled }),
  };
}

/** What ran where there was no dense pass. */
function sparseJson({ setting, queries, pairs, densePairs, missed, links }: SparseAnalysis) {
  return {
    mechanism: setting && { name: setting.name, params: chosenParams(setting), setting: setting.key },
    queries,
    pairs,
    densePairs,
    missed,
    links,
  };
}

function interventionJson({ interventions, effect, notes, settled }: InterventionResult) {
  const ofLoss = effect.measure === 'loss';
  const perToken = Array.from(effect.perToken);
  return {
    interventions: interventions.map((one, at) => changeJson(one, settled?.[at] ?? null)),
    deltaLoss: ofLoss && perToken.length > 0 ? effect.delta : null,
    deltaOutput: ofLoss ? null : effect.delta,
    ...(effect.embedding && { embedding: effect.embedding }),
    ...certaintyJson(effect.perToken),
    deltaLossPerToken: ofLoss ? perToken : undefined,
    deltaOutputPerToken: ofLoss ? undefined : perToken,
    notes,
  };
}

/** 95 % of what the change may be, and the few tokens that carry it; null where there is none, or too few tokens to tell. */
function certaintyJson(perToken: Float32Array) {
  return { interval: meanInterval([perToken]), carriers: carriersOf(perToken) };
}

function changeJson(one: Intervention, settled: MechanismParams | null) {
  if (one.kind !== 'mechanism') return one;
  return { ...one, choice: { name: one.choice.name, params: chosenParams(one.choice), settled } };
}

function mechanismJson(result: MechanismResult, cores: readonly CoreInfo[]) {
  return {
    name: result.setting.name,
    params: chosenParams(result.setting),
    setting: result.setting.key,
    settled: result.settled,
    scope: result.scope,
    standing: standingOf(result.setting, cores),
    approximate: findMechanism(result.setting.name).info.approximate ?? false,
    recall: result.recall,
    sparsity: result.sparsity,
    outputError: result.outputError,
    deltaLoss: result.deltaLoss,
    ...(result.deltaLossPerToken && { deltaLossPerToken: Array.from(result.deltaLossPerToken) }),
    deltaOutput: result.deltaOutput,
    ...(result.embedding && { embedding: result.embedding }),
    ...certaintyJson(result.deltaLossPerToken ?? result.deltaOutputPerToken ?? new Float32Array(0)),
    pairs: result.pairs,
    densePairs: result.densePairs,
    milliseconds: result.milliseconds,
    ...(result.spending ? { spending: result.spending } : {}),
    heads: result.heads.map(comparisonJson),
    ...(result.measures ? { measures: result.measures } : {}),
    notes: result.notes.map(textOf),
  };
}

function comparisonJson(head: HeadComparison) {
  return {
    core: head.core,
    head: head.head,
    recall: head.recall,
    recallP5: head.recallP5,
    outputError: head.outputError,
    pairs: head.pairs,
    densePairs: head.densePairs,
    uncovered: head.uncovered,
    ...(head.span === undefined ? {} : { span: head.span }),
    ...(head.growth === undefined ? {} : { censored: head.censored, growth: head.growth }),
    ...(head.reconstruction === undefined ? {} : { reconstruction: head.reconstruction }),
    ...(head.measures ? { measures: head.measures } : {}),
    ...(head.spending ? { spending: head.spending } : {}),
  };
}
