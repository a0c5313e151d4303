/** What a plan is compared with at the same budget: one setting in every head, and chance. */
import type { Analysis } from '../analysis';
import { errorCost, spent } from './candidates';
import { Approach } from '../approach';
import { sum, type Choice, type PlanSearch } from './search';
import { fitSpansOf } from '../spans';
import type { Mechanism, Spans } from '../../attention/mechanism';
import { settingOf } from '../../attention/parameters';
import { mechanisms } from '../../attention/registry';
import { SEEDS, seededUniform } from '../../../shared/random';
import type { Setting, Plan, PlanCandidate, RunEffect } from '../../../shared/protocol/engine';
import { mean } from '../../statistics';
import { DENSE } from '../../../shared/setting';

export interface Uniform {
  choice: Setting;
  chosen: Choice;
}

/** Of each mechanism, settings with errors this near to the least, so many of them, are run: local errors do not tell which is best. */
const RUN = 2;
const CLOSE = 2;
/** A setting that spends so many times the budget on some of the heads is over it on all. */
const FAR_OVER = 1.1;

/**
 * Of each mechanism the settings with the least local error (weighed by what each head contributes) that stay within the
 * budget in all heads together, and for one with spans also what it is made for: a span of its own in each head, for one
 * share of the mass. Of each list the one that loses least when it is run counts.
 */
export async function uniformChoices(search: PlanSearch, texts: readonly Analysis[]): Promise<Uniform[][]> {
  const found: Uniform[][] = [];
  for (const mechanism of search.candidates.mechanisms) {
    if (mechanism.info.name === DENSE.name) continue;
    found.push(await bestUniform(search, mechanism));
    if (mechanism.spans) found.push(await fittedSpans(search, mechanism, mechanism.spans, texts));
  }
  return found.filter(list => list.length > 0);
}

/** Settings of what keeps the most mass by looking at every score; none where it is chosen from like the others. */
export async function floorChoices(search: PlanSearch): Promise<Uniform[]> {
  const named = new Set(search.candidates.mechanisms);
  const floor = mechanisms.find(one => one.info.floor && !named.has(one));
  return floor ? bestUniform(search, floor) : [];
}

async function bestUniform(search: PlanSearch, mechanism: Mechanism): Promise<Uniform[]> {
  const tried = new Map<string, Uniform & { cost: number }>();
  const consider = async (choices: readonly Setting[]) => {
    let last: number | null = null;
    for (const [at, chosen] of (await search.candidates.everywhere(choices)).entries()) {
      if (!chosen) continue;
      const choice = choices[at]!;
      const paid = search.spent(chosen);
      last = paid / search.dense;
      if (paid > search.limit) continue;
      const cost = sum(chosen, (one, at) => errorCost(one) * search.sensitivity[at]!);
      tried.set(choice.key, { choice, chosen, cost });
    }
    return last;
  };
  const { families } = mechanism;
  if (!families) await consider(search.candidates.settings(0, mechanism, search.budget));
  // Where the pairs depend on the text, what was asked for is corrected by what was spent.
  for (const family of families ?? []) {
    const approach = new Approach(search.budget);
    while (approach.asked !== null) {
      const choices = search.candidates.settings(0, mechanism, approach.asked, [family]);
      const some = choices[0] ? await search.candidates.shareOnSome(choices[0]) : null;
      // What would be far over is not compared in every head, only to be put aside.
      const isOver = some !== null && some > FAR_OVER * search.budget;
      approach.told(isOver ? some : await consider(choices));
    }
  }
  const ranked = [...tried.values()].sort((a, b) => a.cost - b.cost);
  return ranked.slice(0, RUN).filter(({ cost }) => cost <= CLOSE ** 2 * ranked[0]!.cost);
}

/** Spans for one share of the mass in all heads, the largest within the budget (as fitted to the first text). */
async function fittedSpans(
  search: PlanSearch,
  { info }: Mechanism,
  spans: Spans,
  texts: readonly Analysis[],
): Promise<Uniform[]> {
  const choice = settingOf(info, spans.atBudget(search.budget));
  for (const budget of [search.budget, 0.9 * search.budget]) {
    const params = settingOf(info, spans.atBudget(budget)).params;
    const wish = spans.wish(params);
    if ('span' in wish) return [];
    const fit = fitSpansOf(texts[0]!, { id: '', ...wish });
    const wanted = fit.heads.map(({ span }, at) => ({
      at,
      choice: settingOf(info, spans.given(params, span)),
    }));
    const chosen = (await search.candidates.addAll(wanted)).flatMap(one => one ?? []);
    const all = chosen.length === fit.heads.length;
    if (all && search.spent(chosen) <= search.limit) return [{ choice, chosen }];
  }
  return [];
}

/** Assignments drawn from the candidates, then moved by random steps to just within the budget. Seeded. */
export function randomChoices({ candidates, limit }: PlanSearch, count: number): Choice[] {
  const uniform = seededUniform(SEEDS.randomPlans);
  const draw = <T>(list: readonly T[]): T => list[Math.floor(uniform() * list.length)]!;
  return Array.from({ length: count }, () => {
    const chosen = candidates.lists.map(draw);
    const priceOf = (one: PlanCandidate) => spent(one, candidates.unit);
    let paid = sum(chosen, priceOf);
    const step = (at: number, options: readonly PlanCandidate[]) => {
      if (options.length === 0) return;
      paid -= priceOf(chosen[at]!);
      chosen[at] = draw(options);
      paid += priceOf(chosen[at]!);
    };
    while (paid > limit) {
      const high = [...chosen.keys()].filter(at =>
        candidates.lists[at]!.some(one => priceOf(one) < priceOf(chosen[at]!)),
      );
      if (high.length === 0) break;
      const at = draw(high);
      step(
        at,
        candidates.lists[at]!.filter(one => priceOf(one) < priceOf(chosen[at]!)),
      );
    }
    for (const at of chosen.keys()) {
      const now = priceOf(chosen[at]!);
      step(
        at,
        candidates.lists[at]!.filter(one => priceOf(one) > now && priceOf(one) - now <= limit - paid),
      );
    }
    return chosen;
  });
}

/** Mean and range of the changes under assignments drawn at random; all 0 where none was run. */
export function rangeOf(effects: readonly RunEffect[]): Plan['random'] {
  if (effects.length === 0) return { runs: 0, mean: 0, least: 0, most: 0 };
  const deltas = effects.map(({ delta }) => delta);
  const least = Math.min(...deltas);
  return {
    runs: deltas.length,
    mean: mean(deltas),
    least,
    most: Math.max(...deltas),
    leastPerToken: effects[deltas.indexOf(least)]!.perToken,
  };
}
