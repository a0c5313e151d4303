import { KEPT_BYTES, type Analysis } from '../analysis';
import {
  assignedModel,
  assignedRun,
  attendAsKnown,
  assignmentKey,
  lossEffect,
  predictedIds,
} from '../changedRun';
import { DensePredictions } from '../../measure/predictionShift';
import type { EmbeddingChange, HeadAssignment, Plan, RunEffect } from '../../../shared/protocol/engine';
import { mean } from '../../statistics';

/** What a run says, over all fitted texts together. */
export interface Outcome {
  effect: RunEffect;
  /** What the search lowers: the divergence where there is a loss (less noisy than the loss itself), else the change. */
  objective: number;
}

/**
 * The propagated runs of one plan: each assignment runs once over all fitted texts, is written down, and counts against
 * the limit.
 *
 * The change of the loss of a text is a noisy sample of what a changed model loses in general: its expectation, where the
 * dense model predicts well, is the KL divergence of the changed predictions from the dense ones, which every token
 * gives in full. So the search goes by the divergence; what is told and compared in the end is the loss.
 */
export class PlanRuns {
  readonly tried: Plan['tried'] = [];
  private readonly known = new Map<string, Outcome>();
  private readonly dense = new Map<Analysis, DensePredictions>();

  constructor(
    readonly texts: readonly Analysis[],
    private readonly limit: number,
    private readonly signal: AbortSignal,
    private readonly onRun: (what: string, seconds: number) => void = () => undefined,
    /** Runs for which there is time. */
    private readonly timeFor: () => number = () => Infinity,
  ) {}

  get left(): number {
    return Math.max(0, Math.min(this.limit - this.tried.length, this.timeFor()));
  }

  /** Runs the model with these mechanisms (other heads dense). `what`: in words, for the list of what was tried. */
  async run(what: string, heads: readonly HeadAssignment[]): Promise<Outcome> {
    const key = assignmentKey(heads);
    const known = this.known.get(key);
    if (known) return known;
    const began = performance.now();
    const effects: RunEffect[] = [];
    for (const text of this.texts) effects.push(await this.runText(text, heads));
    const outcome = together(effects);
    this.known.set(key, outcome);
    const { delta, divergence: moved } = outcome.effect;
    this.tried.push({ what, delta, ...(moved === undefined ? {} : { divergence: moved }), kept: false });
    this.onRun(what, (performance.now() - began) / 1000);
    return outcome;
  }

  /** Marks the last run as the one to go on from. */
  keep(): void {
    const last = this.tried[this.tried.length - 1];
    if (last) last.kept = true;
  }

  private async runText(text: Analysis, heads: readonly HeadAssignment[]): Promise<RunEffect> {
    if (!text.loss) return assignedRun(text, heads, this.signal);
    let dense = this.dense.get(text);
    if (!dense) {
      const output = await text.predict(attendAsKnown(text, this.signal), { signal: this.signal });
      dense = new DensePredictions(output, KEPT_BYTES / this.texts.length);
      this.dense.set(text, dense);
    }
    const output = await assignedModel(text, heads, this.signal);
    const { loss, shift } = await dense.compare(output, predictedIds(text), text.context(this.signal));
    return { ...lossEffect(text, loss), divergence: shift };
  }
}

/** Several texts as one: means over all tokens. */
function together(effects: readonly RunEffect[]): Outcome {
  const { measure } = effects[0]!;
  const tokens = effects.reduce((sum, { perToken }) => sum + perToken.length, 0);
  const perToken = new Float32Array(tokens);
  let at = 0;
  let [delta, moved] = [0, 0];
  for (const effect of effects) {
    perToken.set(effect.perToken, at);
    at += effect.perToken.length;
    const weight = tokens === 0 ? 0 : effect.perToken.length / tokens;
    delta += weight * effect.delta;
    moved += weight * (effect.divergence ?? 0);
  }
  const embedding = meanEmbedding(effects.flatMap(effect => effect.embedding ?? []));
  const lengths = effects.map(effect => effect.perToken.length);
  const changes = {
    measure,
    delta,
    perToken,
    ...(effects.length > 1 ? { lengths } : {}),
    ...(embedding && { embedding }),
  };
  if (measure === 'output') return { effect: changes, objective: delta };
  return { effect: { ...changes, divergence: moved }, objective: moved };
}

function meanEmbedding(changes: readonly EmbeddingChange[]): EmbeddingChange | null {
  const [first] = changes;
  if (!first) return null;
  return {
    pooling: first.pooling,
    cosine: mean(changes.map(({ cosine }) => cosine)),
    length: mean(changes.map(({ length }) => length)),
  };
}
