/** A plan as JSON, for scripts and for the other exports: `plan --json`. Described by `plan.schema.json`. */
import { studentInterval } from '../measure/student';
import type {
  BudgetUnit,
  Change,
  Spending,
  CoreInfo,
  EmbeddingChange,
  HeadComparison,
  Interval,
  MechanismParams,
  ModelInfo,
  Plan,
  PlannedHead,
  Provenance,
  RunEffect,
  Setting,
} from '../../shared/protocol/engine';
import { chosenParams } from '../../shared/setting';
import { carriersOf, meanInterval, textsOf, type Carriers } from '../../shared/uncertainty';
import { textOf } from '../../shared/protocol/notes';
import { mean } from '../statistics';

/** Name and version of the format: the number grows when a reader of the older one would break. */
const PLAN_SCHEMA = 'urn:attention-inspector:plan:2';

/** A setting as it was chosen, and as its parameters came to on the text. */
export interface Settled {
  mechanism: string;
  params: MechanismParams;
  settled: MechanismParams | null;
}

export const settledJson = ({ choice, settled }: Pick<PlannedHead, 'choice' | 'settled'>): Settled => ({
  mechanism: choice.name,
  params: chosenParams(choice),
  settled: settled ?? null,
});

/** One setting in every head. */
export interface Everywhere extends Settled {
  share: number;
  delta: number;
  /** Of models without a head that predicts tokens. */
  embedding?: EmbeddingChange;
}

/** One text that the plan was fitted to or tested on. */
export interface PlanText {
  name: string;
  /** `fitted`: the plan was chosen on it; `held-out`: another text; `longer`: the fitted text and what follows it. */
  role: 'fitted' | 'held-out' | 'longer';
  tokens: number;
  /** Share of the dense pairs that the plan spends there (windows are in tokens: a smaller share of a longer text). */
  share: number;
  /** Change of the loss (nats per token), or 1 - cosine of the output. */
  delta: number;
  embedding?: EmbeddingChange;
  /** 95 %, bootstrap over tokens; null where they are too few. */
  interval: Interval | null;
  carriers: Carriers | null;
  /** The best uniform choices of the fitted texts, on this text; `difference`: how much more the plan changes, token by token. */
  uniform: (Everywhere & { difference: Change })[];
  /** The floor in every head, on this text; null where it has no setting. */
  floor: (Everywhere & { difference: Change }) | null;
  random: { runs: number; mean: number; least: number; most: number };
  /** Whether every uniform choice and random assignment lost more than the plan. */
  wins: Plan['wins'];
}

/** Share of the texts whose own fit agrees with the plan, with the 95 % exact binomial interval of so many votes. */
export interface Agreement {
  agreement: number;
  low: number;
  high: number;
}

/** How far fits to each text alone agree with the plan about one head. */
export interface HeadStability {
  core: number;
  head: number;
  /** The same mechanism. */
  mechanism: Agreement;
  /** As many pairs: between 2/3 and 3/2 of the plan's share. */
  span: Agreement;
  /** What each text alone chose. */
  choices: (Settled & { share: number })[];
}

/** All held-out texts together: means over texts, with Student's intervals. */
export interface HeldOut {
  texts: number;
  delta: number;
  interval: Interval | null;
  /** The uniform choice that lost least on the fitted texts, and how much more or less than it the plan loses. */
  best: {
    mechanism: string;
    params: MechanismParams;
    delta: number;
    difference: number;
    interval: Interval | null;
  } | null;
}

/** How the texts were chosen from many. */
export interface PlanCorpus {
  choose: string;
  seed: number;
  /** Usable texts that were neither fitted to nor tested on. */
  left: number;
  skipped: { name: string; why: string }[];
}

export interface PlanFileHead extends Settled {
  core: number;
  kind: CoreInfo['kind'];
  layer: number;
  head: number;
  /** Local, over the fitted texts. */
  recall: number | null;
  recallP5: number | null;
  outputError: number;
  pairs: number;
  densePairs: number;
  uncovered: number;
  sensitivity: number;
}

export interface PlanFile {
  schema: typeof PLAN_SCHEMA;
  provenance: Provenance;
  model: {
    name: string;
    ref: string;
    kind: ModelInfo['kind'];
    layers: number;
    heads: number;
    causal: boolean;
    parameters: number;
    context: number | null;
    cores: {
      core: number;
      kind: CoreInfo['kind'];
      layer: number;
      heads: number;
      causal: boolean;
      mask: string;
    }[];
  };
  device: string;
  budget: number;
  /** What it is paid in. */
  budgetIn: BudgetUnit;
  /** In every unit, where it is known: under budgets of another unit than pairs. */
  spending: Spending | null;
  /** Tokens of the longest fitted text. */
  tokens: number;
  /** Spent over the fitted texts. */
  pairs: number;
  densePairs: number;
  measure: RunEffect['measure'];
  delta: number;
  embedding?: EmbeddingChange;
  interval: Interval | null;
  carriers: Carriers | null;
  wins: Plan['wins'];
  heads: PlanFileHead[];
  uniform: Everywhere[];
  floor: Everywhere | null;
  random: PlanText['random'];
  curve: Plan['curve'];
  /** Fitted texts first. Empty when the plan comes from the editor. */
  texts: PlanText[];
  stability: HeadStability[];
  /** Null of fewer than two held-out texts. */
  heldOut: HeldOut | null;
  /** Null where the texts were named one by one. */
  corpus: PlanCorpus | null;
  tried: Plan['tried'];
  notes: string[];
}

/** `texts` and `stability` are known where the plan was tested on more than the text it was fitted to. */
export function planFile(
  plan: Plan,
  model: ModelInfo,
  provenance: Provenance,
  tokens: number,
  tested: { texts: PlanText[]; stability: HeadStability[]; notes: string[]; corpus?: PlanCorpus } = {
    texts: [],
    stability: [],
    notes: [],
  },
): PlanFile {
  const info = (core: number) => model.cores.find(one => one.core === core)!;
  return {
    schema: PLAN_SCHEMA,
    provenance,
    model: {
      name: model.name,
      ref: model.ref,
      kind: model.kind,
      layers: model.layers,
      heads: model.heads,
      causal: model.causal,
      parameters: model.parameters,
      context: model.context,
      cores: model.cores.map(({ core, kind, layer, heads, causal, mask }) => ({
        core,
        kind,
        layer,
        heads,
        causal,
        mask,
      })),
    },
    device: provenance.device.device,
    budget: plan.budget,
    budgetIn: plan.unit ?? 'pairs',
    spending: plan.spending ?? null,
    tokens,
    pairs: plan.pairs,
    densePairs: plan.densePairs,
    measure: plan.effect.measure,
    delta: plan.effect.delta,
    ...(plan.effect.embedding && { embedding: plan.effect.embedding }),
    interval: meanInterval(textsOf(plan.effect)),
    carriers: carriersOf(plan.effect.perToken),
    wins: plan.wins,
    heads: plan.heads.map(head => ({
      core: head.core,
      kind: info(head.core).kind,
      layer: info(head.core).layer,
      head: head.head,
      ...settledJson(head),
      ...local(head),
      sensitivity: head.sensitivity,
    })),
    uniform: plan.uniform.map(uniformJson),
    floor: plan.floor ? uniformJson(plan.floor) : null,
    random: withoutTokens(plan.random),
    curve: plan.curve,
    texts: tested.texts,
    stability: tested.stability,
    heldOut: heldOutOf(tested.texts, plan),
    corpus: tested.corpus ?? null,
    tried: plan.tried,
    notes: [...plan.notes.map(textOf), ...tested.notes],
  };
}

const uniformJson = ({ share, effect, ...one }: Plan['uniform'][number]) => ({
  ...settledJson(one),
  share,
  delta: effect.delta,
  ...(effect.embedding && { embedding: effect.embedding }),
});

function heldOutOf(texts: readonly PlanText[], { uniform: [first] }: Plan): HeldOut | null {
  const heldOut = texts.filter(({ role }) => role === 'held-out');
  if (heldOut.length < 2) return null;
  const deltas = heldOut.map(({ delta }) => delta);
  return {
    texts: heldOut.length,
    delta: mean(deltas),
    interval: studentInterval(deltas),
    best: first ? comparedWith(first.choice, heldOut) : null,
  };
}

function comparedWith(choice: Setting, texts: readonly PlanText[]): HeldOut['best'] {
  const [mechanism, params] = [choice.name, chosenParams(choice)];
  const key = JSON.stringify(params);
  const deltas = texts.flatMap(({ uniform }) => {
    const same = uniform.find(one => one.mechanism === mechanism && JSON.stringify(one.params) === key);
    return same ? [same.delta] : [];
  });
  if (deltas.length < texts.length) return null;
  const differences = texts.map(({ delta }, at) => delta - deltas[at]!);
  return {
    mechanism,
    params,
    delta: mean(deltas),
    difference: mean(differences),
    interval: studentInterval(differences),
  };
}

/** The range alone. */
export function withoutTokens({ runs, mean, least, most }: Plan['random']): PlanText['random'] {
  return { runs, mean, least, most };
}

function local({ recall, recallP5, outputError, pairs, densePairs, uncovered }: HeadComparison) {
  return { recall, recallP5, outputError, pairs, densePairs, uncovered };
}
