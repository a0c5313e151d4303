/**
 * A plan of a real model as the editor finds it, timed: `plan.ts MODEL OUT.json [TOKENS] [BUDGET]`. It is fitted to the first tokens of
 * sample.txt within the time that the editor gives it, and tested on another text beside the best simple choices. Prints how far it is
 * and what time it says is left.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Engine } from '../../engine/engine';
import { planFile, type PlanText } from '../../engine/export/planJson';
import { defaultLimitMiB } from '../../engine/runtime/memory';
import { MAXIMUM_RUNS, MAXIMUM_SECONDS } from '../../shared/host/planner';
import { plain, progressWords } from '../../shared/numbers';
import type { AnalysisProgress } from '../../shared/protocol/engine';
import { carriersOf, meanInterval } from '../../shared/uncertainty';

/** Simple choices that are tested on the other text: those that lost least on the fitted one. */
const TESTED = 3;
const FIXTURES = join(__dirname, '../fixtures');

async function main([model, out, tokens = '1024', budget = '0.1']: string[]): Promise<void> {
  if (!model || !out) throw new Error('usage: plan.ts MODEL OUT.json [TOKENS] [BUDGET]');
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const say = (what: string) => console.log(`${seconds().toFixed(1).padStart(6)} s  ${what}`);
  let last = '';
  const engine = new Engine((name, params) => {
    if (name !== 'analysis/progress') return;
    const { phase, fraction, secondsLeft, message } = params as AnalysisProgress;
    const line = `${plain(progressWords(fraction, secondsLeft))}: ${message}`;
    if (phase === 'plan' && line !== last) say((last = line));
  });
  try {
    await engine.request('initialize', { device: 'cpu', memoryLimitMiB: defaultLimitMiB() });
    const analyze = (id: string, name: string) =>
      engine.request('analysis/start', {
        ...{ id, model, text: readFileSync(join(FIXTURES, name), 'utf8'), maxTokens: Number(tokens) },
        ...{ device: 'cpu', mechanisms: [], propagate: false },
      } as const);
    const summary = await analyze('fitted', 'sample.txt');
    say(`analysed ${summary.tokens.ids.length} tokens`);
    const [from, before] = [seconds(), process.cpuUsage()];
    const found = await engine.plan(['fitted'], {
      ...{ budget: Number(budget), mechanisms: [], maxRuns: MAXIMUM_RUNS, maxSeconds: MAXIMUM_SECONDS },
    });
    const { user, system } = process.cpuUsage(before);
    say(`the plan took ${(seconds() - from).toFixed(1)} s, ${((user + system) / 1e6).toFixed(1)} CPU s`);
    await analyze('held out', 'texts/markdown.md');
    const simple = { ...found, uniform: found.uniform.slice(0, TESTED), random: [] };
    const { effect, uniform, ...tested } = await engine.testPlan('held out', simple);
    const interval = meanInterval([effect.perToken]);
    say(`held out: ${effect.delta}, best simple choice ${uniform[0]?.choice.key} ${uniform[0]?.delta}`);
    const text: PlanText = {
      ...{ name: 'markdown.md', role: 'held-out', tokens: tested.tokens, share: tested.share },
      ...{ delta: effect.delta, interval, carriers: carriersOf(effect.perToken), wins: tested.wins },
      ...{ random: tested.random, floor: null },
      uniform: uniform.map(({ choice, share, delta, difference }) => ({
        ...{ mechanism: choice.name, params: choice.params, settled: null, share, delta, difference },
      })),
    };
    const file = planFile(found.plan, summary.model, summary.provenance!, summary.tokens.ids.length, {
      ...{ texts: [text], stability: [], notes: [] },
    });
    writeFileSync(out, `${JSON.stringify(file, null, 2)}\n`);
  } finally {
    await engine.dispose();
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
