/** Plans for the synthetic engine: real choices among its own settings, with a made-up effect that grows with the error. */
import type {
  AssignParams,
  AssignResult,
  AtBudgetParams,
  HeadComparison,
  Setting,
  MechanismResult,
  Plan,
  PlanCandidate,
  PlanParams,
  RunEffect,
} from '../../shared/protocol/engine';
import { setting } from '../support/settings';

/** What a plan needs of the engine. */
export interface PlanningEngine {
  mechanism(choice: Setting): MechanismResult;
  readonly size: { tokens: number; layers: number; heads: number };
}

const SHARES = [0.02, 0.04, 0.08, 0.15, 0.3];

function settings(n: number): Setting[] {
  const whole = (value: number) => Math.max(1, Math.round(value));
  return SHARES.flatMap((share): Setting[] => [
    setting('local', { window: whole((share * n) / 2) }),
    setting('strided', { stride: whole(2 / share) }),
    setting('fixed', { block: whole(share * n), summary: 2 }),
    setting('lsh', { bucketSize: whole(share * n), rounds: 2 }),
  ]);
}

export function effect(errors: readonly number[], tokens: number): RunEffect {
  const delta =
    errors.reduce((sum, error, at) => sum + error * error * (1 + (at % 5)), 0) / (errors.length * 4);
  // A few tokens pay most of it, some gain a little: as it is with real texts.
  const shares = Float32Array.from({ length: tokens - 1 }, (_, t) => {
    const even = Math.abs(Math.sin((t + 1) * 12.9898) * 43758.5453) % 1;
    return even > 0.8 ? -0.2 : 0.05 / (0.003 + even ** 2) - 0.05;
  });
  const mean = shares.reduce((total, share) => total + share, 0) / shares.length;
  return { measure: 'loss', delta, perToken: shares.map(share => (share / mean) * delta) };
}

const sum = (list: readonly HeadComparison[], of: 'pairs' | 'densePairs') =>
  list.reduce((total, head) => total + head[of], 0);

export function plan(engine: PlanningEngine, { budget }: Pick<PlanParams, 'budget'>): Plan {
  const { tokens } = engine.size;
  const results = settings(tokens).map(choice => engine.mechanism(choice));
  const candidates: PlanCandidate[] = results.flatMap(result =>
    result.heads.map(head => ({
      ...head,
      choice: result.setting,
      onFront: false,
    })),
  );
  const errorsOf = (heads: readonly HeadComparison[]) => heads.map(head => head.outputError);
  const greedy = (share: number): PlanCandidate[] => {
    const heads = results[0]!.heads.map(({ core, head }) =>
      candidates.filter(c => c.core === core && c.head === head).sort((a, b) => a.pairs - b.pairs),
    );
    const chosen = heads.map(list => list[0]!);
    const limit = share * sum(chosen, 'densePairs');
    for (;;) {
      let best: { at: number; to: PlanCandidate; rate: number } | null = null;
      heads.forEach((list, at) => {
        for (const to of list) {
          const [more, gain] = [to.pairs - chosen[at]!.pairs, chosen[at]!.outputError - to.outputError];
          if (gain <= 0 || sum(chosen, 'pairs') + more > limit) continue;
          const rate = gain / Math.max(1, more);
          if (!best || rate > best.rate) best = { at, to, rate };
        }
      });
      const step = best as { at: number; to: PlanCandidate } | null;
      if (!step) return chosen;
      chosen[step.at] = step.to;
    }
  };
  const chosen = greedy(budget);
  const found = effect(errorsOf(chosen), tokens);
  const names = [...new Set(results.map(r => r.setting.name))];
  const uniform = names.flatMap(name => {
    const within = results.filter(r => r.setting.name === name && 1 - r.sparsity <= budget * 1.1);
    const best = within.sort((a, b) => a.outputError - b.outputError)[0];
    if (!best) return [];
    return [{ choice: best.setting, share: 1 - best.sparsity, effect: effect(errorsOf(best.heads), tokens) }];
  });
  uniform.sort((a, b) => a.effect.delta - b.effect.delta);
  const best = uniform[0]?.effect.delta ?? Infinity;
  const random = { runs: 5, mean: best * 1.6, least: best * 1.2, most: best * 2.1 };
  return {
    budget,
    pairs: sum(chosen, 'pairs'),
    densePairs: sum(chosen, 'densePairs'),
    heads: chosen.map(({ onFront: _, ...head }, at) => ({ ...head, sensitivity: 1 + (at % 5) })),
    effect: found,
    uniform,
    random,
    wins: found.delta < best ? 'yes' : 'no',
    curve: [0.02, 0.05, 0.1, 0.2, 0.3].map((share, at) => {
      const heads = greedy(share);
      const delta = effect(errorsOf(heads), tokens).delta;
      return { share: sum(heads, 'pairs') / sum(heads, 'densePairs'), delta, measured: at % 2 === 0 };
    }),
    tried: [
      { what: 'from local errors alone', delta: found.delta * 1.2, kept: false },
      { what: 'weights of layer 2 corrected', delta: found.delta, kept: true },
    ],
    candidates,
    notes: [],
  };
}

/** Settings of one mechanism that spend about the budget, the best of them. */
export function fitted(engine: PlanningEngine, { budget, mechanisms }: AtBudgetParams): MechanismResult[] {
  const near = settings(engine.size.tokens)
    .filter(({ name }) => mechanisms.includes(name))
    .map(choice => engine.mechanism(choice))
    .sort((a, b) => Math.abs(1 - a.sparsity - budget) - Math.abs(1 - b.sparsity - budget));
  return near.slice(0, 1);
}

/** With intervals and the like, made up around the result. */
export function detailed(result: MechanismResult): MechanismResult {
  const around = (value: number) => ({ low: value * 0.97, high: Math.min(1, value * 1.03) });
  const recall = result.recall ?? 0;
  const measures = {
    recallInterval: around(recall),
    outputErrorInterval: around(result.outputError),
    sampled: 64,
    queries: 700,
    entmaxRecall: recall * 0.9,
    topPRecall: recall * 0.8,
    kl: -Math.log(recall),
  };
  return { ...result, measures };
}

export function assigned(engine: PlanningEngine, { heads }: AssignParams): AssignResult {
  const known = new Map<string, MechanismResult>();
  const result = (setting: Setting) => {
    if (!known.has(setting.key)) known.set(setting.key, engine.mechanism(setting));
    return known.get(setting.key)!;
  };
  const found = heads.map(({ core, head, choice }) =>
    result(choice).heads.find(h => h.core === core && h.head === head)!,
  );
  return {
    effect: effect(
      found.map(h => h.outputError),
      engine.size.tokens,
    ),
    heads: found,
    pairs: sum(found, 'pairs'),
    densePairs: sum(found, 'densePairs'),
  };
}
